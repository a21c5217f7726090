//! The kernels of all hosts and the network between them: what `connect`, `accept`, `read`, `write` and
//! `close` do, and what becomes of SYN, segments, FIN and RST on their way.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use timed_core::TransportCause;

use super::clock::SimTime;
use super::context::{Context, Due};
use super::host::HostId;
use super::path::{Cut, Dials, Packets, Paths, Profile};
use super::wire::{End, EndState, Fin, Owner, Pipe, Segment, Side, Tcp, TcpId};

/// When SYNs are sent again after the first, and when the kernel gives up (Linux, `tcp_syn_retries` = 6).
const SYN_AGAIN: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(7),
    Duration::from_secs(15),
    Duration::from_secs(31),
    Duration::from_secs(63),
];
const SYN_GIVE_UP: Duration = Duration::from_secs(127);
/// Bytes unacknowledged for so long end the connection (`TCP_USER_TIMEOUT` or the kernel's own patience).
const STUCK_GIVE_UP: Duration = Duration::from_secs(120);
/// How long a kernel keeps what a process has closed.
const LINGER: Duration = Duration::from_secs(60);
/// Connections that wait to be accepted, at most: further SYNs are dropped.
const BACKLOG: usize = 512;
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// Something in the network whose time has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetEvent {
    Syn(TcpId),
    SynAgain { tcp: TcpId, attempt: usize },
    SynAnswered(TcpId),
    Established(TcpId),
    Segment { tcp: TcpId, from: Side, flight: u32 },
    Retry { tcp: TcpId, from: Side },
    Space { tcp: TcpId, side: Side },
    Reset { tcp: TcpId, to: Side },
    Linger { tcp: TcpId, side: Side },
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Bytes(usize),
    Nothing,
    Eof,
    Failed(TransportCause),
}

/// Whether a host's machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It does.
    On,
    /// It does not: what is sent to it vanishes.
    Off,
}

#[derive(Debug)]
struct Kernel {
    /// Its own address; others see `seen_as`.
    ip: IpAddr,
    seen_as: IpAddr,
    port: u16,
    power: Power,
    listening: bool,
    backlog: VecDeque<TcpId>,
    ready: VecDeque<(TcpId, Side)>,
    wake_entered: bool,
    next_port: u16,
}

/// All kernels, all connections.
#[derive(Debug)]
pub(crate) struct Net {
    kernels: Vec<Kernel>,
    tcps: BTreeMap<TcpId, Tcp>,
    last_tcp: u64,
    pub(crate) paths: Paths,
}

impl Net {
    pub(crate) const fn new(profile: Profile) -> Self {
        Self { kernels: Vec::new(), tcps: BTreeMap::new(), last_tcp: 0, paths: Paths::new(profile) }
    }

    /// Adds a machine. Behind a NAT, `seen_as` differs from `ip` and nobody can dial it.
    pub(crate) fn add_host(&mut self, ip: IpAddr, seen_as: IpAddr, port: u16) -> HostId {
        self.kernels.push(Kernel {
            ip,
            seen_as,
            port,
            power: Power::On,
            listening: false,
            backlog: VecDeque::new(),
            ready: VecDeque::new(),
            wake_entered: false,
            next_port: FIRST_EPHEMERAL_PORT,
        });
        HostId(self.kernels.len() - 1)
    }

    // What a process asks of its kernel.

    pub(crate) fn listen(&mut self, host: HostId) {
        self.kernels[host.0].listening = true;
    }

    pub(crate) fn connect(&mut self, host: HostId, to: SocketAddr, cx: &mut Context) -> TcpId {
        self.last_tcp += 1;
        let tcp = TcpId(self.last_tcp);
        let kernel = &mut self.kernels[host.0];
        let local = SocketAddr::new(kernel.seen_as, kernel.next_port);
        kernel.next_port = kernel.next_port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        let end = |host, addr, state, owner| End {
            host,
            addr,
            state,
            error: None,
            owner,
            announced: false,
            wants_space: false,
        };
        let there = self.route(to).unwrap_or(HostId::NOWHERE);
        let profile = &self.paths.profile;
        let pipe = || Pipe::new(profile.send_buffer, profile.receive_buffer);
        self.tcps.insert(
            tcp,
            Tcp {
                ends: [
                    end(host, local, EndState::SynSent, Owner::Process),
                    end(there, to, EndState::Gone, Owner::Kernel),
                ],
                pipes: [pipe(), pipe()],
                accepted_at: None,
                severed: false,
            },
        );
        self.send_syn(tcp, cx);
        cx.agenda.enter(cx.now + SYN_AGAIN[0], Due::Net(NetEvent::SynAgain { tcp, attempt: 0 }));
        tcp
    }

    /// The next connection that came in, and from where.
    pub(crate) fn accept(&mut self, host: HostId, cx: &mut Context) -> Option<(TcpId, SocketAddr)> {
        let (id, tcp) = loop {
            let id = self.kernels[host.0].backlog.pop_front()?;
            if self.tcps.contains_key(&id) {
                break (id, self.tcps.get_mut(&id)?);
            }
        };
        tcp.accepted_at = Some(cx.now);
        let end = &mut tcp.ends[1];
        end.owner = Owner::Process;
        let from = tcp.ends[0].addr;
        let pipe = &tcp.pipes[0];
        if pipe.unread() > 0 || pipe.fin == Fin::Arrived || tcp.ends[1].error.is_some() {
            self.announce(id, Side::Acceptor, cx);
        }
        Some((id, from))
    }

    /// The ends of this host on which something happened since the last call.
    pub(crate) fn take_ready(&mut self, host: HostId) -> VecDeque<(TcpId, Side)> {
        let ready = std::mem::take(&mut self.kernels[host.0].ready);
        for (id, side) in &ready {
            if let Some(tcp) = self.tcps.get_mut(id) {
                tcp.ends[side.index()].announced = false;
            }
        }
        ready
    }

    /// Whether the kernel's handshake of a dialed end is done; then its own address.
    pub(crate) fn connected(&self, id: TcpId) -> Option<SocketAddr> {
        let end = &self.tcps.get(&id)?.ends[0];
        (end.state == EndState::Open).then_some(end.addr)
    }

    /// How many bytes a write would take now.
    pub(crate) fn space(&mut self, id: TcpId, side: Side, now: SimTime) -> usize {
        match self.tcps.get_mut(&id) {
            Some(tcp) if tcp.ends[side.index()].state == EndState::Open => tcp.pipes[side.index()].space(now),
            _ => 0,
        }
    }

    /// Writes; the caller has asked for the space.
    pub(crate) fn write(&mut self, id: TcpId, side: Side, bytes: &[u8], cx: &mut Context) {
        if let Some(tcp) = self.tcps.get_mut(&id)
            && tcp.ends[side.index()].state == EndState::Open
        {
            tcp.pipes[side.index()].write(bytes);
            self.pump(id, side, cx);
        }
    }

    /// The process is to be woken when it can write again.
    pub(crate) fn want_space(&mut self, id: TcpId, side: Side, cx: &mut Context) {
        if let Some(tcp) = self.tcps.get_mut(&id) {
            tcp.ends[side.index()].wants_space = true;
            if let Some(at) = tcp.pipes[side.index()].next_ack() {
                cx.agenda.enter(at.max(cx.now), Due::Net(NetEvent::Space { tcp: id, side }));
            }
        }
    }

    pub(crate) fn read(
        &mut self,
        id: TcpId,
        side: Side,
        max: usize,
        out: &mut Vec<u8>,
        cx: &mut Context,
    ) -> Read {
        let Some(tcp) = self.tcps.get_mut(&id) else { return Read::Nothing };
        let from = side.other();
        let pipe = &mut tcp.pipes[from.index()];
        if pipe.unread() > 0 {
            let len = pipe.read(max, out);
            self.pump(id, from, cx);
            Read::Bytes(len)
        } else if let Some(cause) = tcp.ends[side.index()].error {
            Read::Failed(cause)
        } else if pipe.fin == Fin::Arrived {
            Read::Eof
        } else {
            Read::Nothing
        }
    }

    /// An error that the process is told even when it does not read.
    pub(crate) fn error(&self, id: TcpId, side: Side) -> Option<TransportCause> {
        self.tcps.get(&id)?.ends[side.index()].error
    }

    /// As `close(2)`: what was written is still delivered, unless bytes were left unread: then RST.
    pub(crate) fn close(&mut self, id: TcpId, side: Side, cx: &mut Context) {
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let unread = tcp.pipes[side.other().index()].unread();
        let end = &mut tcp.ends[side.index()];
        end.owner = Owner::Kernel;
        match end.state {
            EndState::Open if unread == 0 => {
                end.state = EndState::Closing;
                tcp.pipes[side.index()].fin = Fin::Queued;
                cx.agenda.enter(cx.now + LINGER, Due::Net(NetEvent::Linger { tcp: id, side }));
                self.pump(id, side, cx);
            }
            EndState::Open | EndState::SynReceived => self.abort(id, side, cx),
            EndState::SynSent => end.state = EndState::Gone,
            EndState::Closing | EndState::Gone => {}
        }
        self.tidy(id);
    }

    // What befalls hosts and connections from outside.

    /// The process is gone: its kernel closes everything it had.
    pub(crate) fn process_died(&mut self, host: HostId, cx: &mut Context) {
        let kernel = &mut self.kernels[host.0];
        kernel.listening = false;
        kernel.ready.clear();
        kernel.backlog.clear();
        for (id, side) in self.ends_of(host) {
            let Some(tcp) = self.tcps.get_mut(&id) else { continue };
            let end = &mut tcp.ends[side.index()];
            end.announced = false;
            match (end.owner, end.state) {
                (Owner::Process, _) => self.close(id, side, cx),
                (Owner::Kernel, EndState::SynReceived | EndState::Open) => self.abort(id, side, cx),
                (Owner::Kernel, _) => {}
            }
            self.tidy(id);
        }
    }

    /// The machine is gone without a word.
    pub(crate) fn power_off(&mut self, host: HostId) {
        let kernel = &mut self.kernels[host.0];
        kernel.power = Power::Off;
        kernel.listening = false;
        kernel.ready.clear();
        kernel.backlog.clear();
        for (id, side) in self.ends_of(host) {
            if let Some(tcp) = self.tcps.get_mut(&id) {
                tcp.ends[side.index()].state = EndState::Gone;
                tcp.ends[side.index()].announced = false;
                tcp.ends[side.index()].owner = Owner::Kernel;
                tcp.pipes[side.index()].sender_died();
                tcp.pipes[side.other().index()].discard_unread();
            }
            self.tidy(id);
        }
    }

    pub(crate) fn power_on(&mut self, host: HostId) {
        self.kernels[host.0].power = Power::On;
    }

    pub(crate) fn power(&self, host: HostId) -> Power {
        self.kernels[host.0].power
    }

    /// Every connection between two hosts is reset at both ends.
    pub(crate) fn reset_between(&mut self, a: HostId, b: HostId, cx: &mut Context) {
        for id in self.between(a, b) {
            for side in Side::BOTH {
                self.fail(id, side, TransportCause::Reset, cx);
            }
            self.tidy(id);
        }
    }

    /// Something on the way forgets every connection between two hosts; new ones are not affected.
    pub(crate) fn sever_between(&mut self, a: HostId, b: HostId) {
        for id in self.between(a, b) {
            if let Some(tcp) = self.tcps.get_mut(&id) {
                tcp.severed = true;
            }
        }
    }

    /// Connections that both processes hold, and since when.
    pub(crate) fn established(&self) -> impl Iterator<Item = (HostId, HostId, SimTime)> {
        self.tcps.values().filter_map(|tcp| {
            let [dialer, acceptor] = &tcp.ends;
            let held = [dialer, acceptor]
                .iter()
                .all(|end| end.state == EndState::Open && end.owner == Owner::Process);
            let since = tcp.accepted_at?;
            (held && !tcp.severed).then_some((dialer.host, acceptor.host, since))
        })
    }

    /// How many connections the kernels still know.
    pub(crate) fn size(&self) -> usize {
        self.tcps.len()
    }

    fn ends_of(&self, host: HostId) -> Vec<(TcpId, Side)> {
        let ends = |side: Side| {
            self.tcps
                .iter()
                .filter(move |(_, tcp)| tcp.ends[side.index()].host == host)
                .map(move |(id, _)| (*id, side))
        };
        ends(Side::Dialer).chain(ends(Side::Acceptor)).collect()
    }

    fn between(&self, a: HostId, b: HostId) -> Vec<TcpId> {
        let both = |tcp: &Tcp| {
            let hosts = [tcp.ends[0].host, tcp.ends[1].host];
            hosts == [a, b] || hosts == [b, a]
        };
        self.tcps.iter().filter(|(_, tcp)| both(tcp)).map(|(id, _)| *id).collect()
    }

    // The network.

    pub(crate) fn on(&mut self, event: NetEvent, cx: &mut Context) {
        match event {
            NetEvent::Syn(tcp) => self.on_syn(tcp, cx),
            NetEvent::SynAgain { tcp, attempt } => self.on_syn_again(tcp, attempt, cx),
            NetEvent::SynAnswered(tcp) => self.on_syn_answered(tcp, cx),
            NetEvent::Established(tcp) => {
                if self.passes(tcp, Side::Dialer, cx) {
                    self.establish(tcp, cx);
                }
            }
            NetEvent::Segment { tcp, from, flight } => self.on_segment(tcp, from, flight, cx),
            NetEvent::Retry { tcp, from } => self.on_retry(tcp, from, cx),
            NetEvent::Space { tcp, side } => self.on_space(tcp, side, cx),
            NetEvent::Reset { tcp, to } => self.on_reset(tcp, to, cx),
            NetEvent::Linger { tcp, side } => {
                if let Some(known) = self.tcps.get_mut(&tcp)
                    && known.ends[side.index()].state == EndState::Closing
                {
                    known.ends[side.index()].state = EndState::Gone;
                }
                self.tidy(tcp);
            }
        }
    }

    fn send_syn(&mut self, id: TcpId, cx: &mut Context) {
        let Some(way) = self.way(id, Side::Dialer) else { return };
        let at = self.paths.carry(way, cx.now, 0, &mut cx.rng);
        cx.agenda.enter(at, Due::Net(NetEvent::Syn(id)));
    }

    fn on_syn(&mut self, id: TcpId, cx: &mut Context) {
        let Some(way) = self.way(id, Side::Dialer) else { return };
        if !self.passes(id, Side::Dialer, cx) {
            return;
        }
        let dials = self.paths.get(way.0, way.1, &mut cx.rng).dials;
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let kernel = &self.kernels[way.1.0];
        let listening = kernel.listening && kernel.port == tcp.ends[1].addr.port();
        if dials == Dials::Vanish || (listening && kernel.backlog.len() >= BACKLOG) {
            return;
        }
        if dials == Dials::Refused || !listening {
            self.send_reset(id, Side::Dialer, cx);
            return;
        }
        if tcp.ends[1].state == EndState::Gone {
            tcp.ends[1].state = EndState::SynReceived;
        }
        let at = self.paths.carry((way.1, way.0), cx.now, 0, &mut cx.rng);
        cx.agenda.enter(at, Due::Net(NetEvent::SynAnswered(id)));
    }

    fn on_syn_again(&mut self, id: TcpId, attempt: usize, cx: &mut Context) {
        if self.tcps.get(&id).is_none_or(|tcp| tcp.ends[0].state != EndState::SynSent) {
            return;
        }
        let Some(since_first) = SYN_AGAIN.get(attempt) else {
            self.fail(id, Side::Dialer, TransportCause::TimedOut, cx);
            self.tidy(id);
            return;
        };
        let next = SYN_AGAIN.get(attempt + 1).unwrap_or(&SYN_GIVE_UP);
        let attempt = attempt + 1;
        cx.agenda.enter(cx.now + (*next - *since_first), Due::Net(NetEvent::SynAgain { tcp: id, attempt }));
        self.send_syn(id, cx);
    }

    fn on_syn_answered(&mut self, id: TcpId, cx: &mut Context) {
        let Some(way) = self.way(id, Side::Dialer) else { return };
        if !self.passes(id, Side::Acceptor, cx) {
            return;
        }
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        match tcp.ends[0].state {
            EndState::SynSent => {
                tcp.ends[0].state = EndState::Open;
                let at = self.paths.carry(way, cx.now, 0, &mut cx.rng);
                cx.agenda.enter(at, Due::Net(NetEvent::Established(id)));
                self.announce(id, Side::Dialer, cx);
            }
            EndState::Gone => self.send_reset(id, Side::Acceptor, cx),
            EndState::Open | EndState::Closing | EndState::SynReceived => {}
        }
    }

    fn establish(&mut self, id: TcpId, cx: &mut Context) {
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        if tcp.ends[1].state == EndState::SynReceived {
            tcp.ends[1].state = EndState::Open;
            let host = tcp.ends[1].host;
            self.kernels[host.0].backlog.push_back(id);
            self.wake(host, cx);
        }
    }

    /// Sends what may be sent.
    fn pump(&mut self, id: TcpId, from: Side, cx: &mut Context) {
        let Some(way) = self.way(id, from) else { return };
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let pipe = &mut tcp.pipes[from.index()];
        if pipe.retrying || matches!(tcp.ends[from.index()].state, EndState::Gone | EndState::SynSent) {
            return;
        }
        let mut pieces = match self.paths.profile.cut {
            Cut::Whole => 1,
            Cut::Random(most) => 1 + cx.rng.below(most.max(1)),
        };
        loop {
            let sendable = pipe.sendable();
            let fin = sendable == 0 && pipe.fin == Fin::Queued && pipe.all_sent();
            if sendable == 0 && !fin {
                return;
            }
            let len = if pieces > 1 && sendable > 1 {
                1 + usize::try_from(cx.rng.below(sendable as u64 - 1)).unwrap_or(0)
            } else {
                sendable
            };
            pieces = pieces.saturating_sub(1);
            pipe.launch(Segment { len, fin });
            let at = self.paths.carry(way, cx.now, len, &mut cx.rng).max(pipe.last_arrival);
            pipe.last_arrival = at;
            let flight = pipe.flight;
            cx.agenda.enter(at, Due::Net(NetEvent::Segment { tcp: id, from, flight }));
        }
    }

    fn on_segment(&mut self, id: TcpId, from: Side, flight: u32, cx: &mut Context) {
        if self.tcps.get(&id).is_none_or(|tcp| tcp.pipes[from.index()].flight != flight) {
            return;
        }
        if !self.passes(id, from, cx) {
            if let Some(tcp) = self.tcps.get_mut(&id) {
                let wait = tcp.pipes[from.index()].lose_flight(cx.now);
                self.retry_in(id, from, wait, cx);
            }
            return;
        }
        if from == Side::Dialer {
            self.establish(id, cx);
        }
        let back = self.way(id, from.other());
        let acked = self.passes(id, from.other(), cx);
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let Some(segment) = tcp.pipes[from.index()].land() else { return };
        let receiver = &tcp.ends[from.other().index()];
        match receiver.state {
            EndState::Open => {}
            EndState::Closing if segment.len == 0 => {}
            EndState::Gone | EndState::Closing | EndState::SynSent | EndState::SynReceived => {
                tcp.ends[from.other().index()].state = EndState::Gone;
                tcp.pipes[from.other().index()].sender_died();
                tcp.pipes[from.index()].lose_flight(cx.now);
                self.send_reset(id, from, cx);
                self.tidy(id);
                return;
            }
        }
        let wants_space = tcp.ends[from.index()].wants_space;
        let ack_at = match back {
            Some(way) if acked => Some(cx.now + self.paths.get(way.0, way.1, &mut cx.rng).latency),
            _ => None,
        };
        let pipe = &mut tcp.pipes[from.index()];
        pipe.arrive(segment, ack_at);
        match ack_at {
            Some(at) if wants_space => cx.agenda.enter(at, Due::Net(NetEvent::Space { tcp: id, side: from })),
            Some(_) => {}
            None => {
                let wait = pipe.next_retry(cx.now);
                self.retry_in(id, from, wait, cx);
            }
        }
        self.finish(id);
        self.announce(id, from.other(), cx);
        self.tidy(id);
    }

    /// Sends again later, unless that is settled already or nobody is left to do it.
    fn retry_in(&mut self, id: TcpId, from: Side, wait: Duration, cx: &mut Context) {
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let pipe = &mut tcp.pipes[from.index()];
        if !pipe.retrying && tcp.ends[from.index()].state != EndState::Gone {
            pipe.retrying = true;
            cx.agenda.enter(cx.now + wait, Due::Net(NetEvent::Retry { tcp: id, from }));
        }
    }

    fn on_retry(&mut self, id: TcpId, from: Side, cx: &mut Context) {
        let reaches = self.passes(id, from, cx);
        let returns = self.passes(id, from.other(), cx);
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let there = tcp.ends[from.other().index()].state;
        let pipe = &mut tcp.pipes[from.index()];
        pipe.retrying = false;
        if pipe.stuck_since.is_some_and(|since| cx.now.since(since) > STUCK_GIVE_UP) {
            self.fail(id, from, TransportCause::TimedOut, cx);
            self.tidy(id);
            return;
        }
        if pipe.acks_lost > 0 {
            if reaches && there == EndState::Gone {
                self.send_reset(id, from, cx);
                return;
            }
            if reaches && returns {
                pipe.recover_acks(cx.now);
                self.on_space(id, from, cx);
            } else {
                let wait = pipe.next_retry(cx.now);
                self.retry_in(id, from, wait, cx);
            }
        }
        self.pump(id, from, cx);
    }

    fn on_space(&mut self, id: TcpId, side: Side, cx: &mut Context) {
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        if tcp.ends[side.index()].wants_space && tcp.pipes[side.index()].space(cx.now) > 0 {
            tcp.ends[side.index()].wants_space = false;
            self.announce(id, side, cx);
        }
    }

    /// Once both streams have ended, kernels that only waited for that forget the connection.
    fn finish(&mut self, id: TcpId) {
        if let Some(tcp) = self.tcps.get_mut(&id)
            && tcp.pipes.iter().all(|pipe| pipe.fin == Fin::Arrived)
        {
            for end in &mut tcp.ends {
                if end.state == EndState::Closing {
                    end.state = EndState::Gone;
                }
            }
        }
    }

    /// This end sends RST and is gone.
    fn abort(&mut self, id: TcpId, side: Side, cx: &mut Context) {
        if let Some(tcp) = self.tcps.get_mut(&id) {
            tcp.ends[side.index()].state = EndState::Gone;
            tcp.pipes[side.index()].sender_died();
            self.send_reset(id, side.other(), cx);
        }
    }

    fn send_reset(&mut self, id: TcpId, to: Side, cx: &mut Context) {
        let Some(way) = self.way(id, to.other()) else { return };
        let at = self.paths.carry(way, cx.now, 0, &mut cx.rng);
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let pipe = &mut tcp.pipes[to.other().index()];
        let at = at.max(pipe.last_arrival);
        cx.agenda.enter(at, Due::Net(NetEvent::Reset { tcp: id, to }));
    }

    fn on_reset(&mut self, id: TcpId, to: Side, cx: &mut Context) {
        if !self.passes(id, to.other(), cx) {
            return;
        }
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let cause = match tcp.ends[to.index()].state {
            EndState::SynSent => TransportCause::Refused,
            _ => TransportCause::Reset,
        };
        if cx.rng.below(2) == 0 {
            tcp.pipes[to.other().index()].discard_unread();
        }
        self.fail(id, to, cause, cx);
        self.tidy(id);
    }

    fn fail(&mut self, id: TcpId, side: Side, cause: TransportCause, cx: &mut Context) {
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let end = &mut tcp.ends[side.index()];
        if end.state == EndState::Gone {
            return;
        }
        end.state = EndState::Gone;
        end.error = Some(cause);
        tcp.pipes[side.index()].sender_died();
        self.announce(id, side, cx);
    }

    /// Tells the process that there is something about an end.
    fn announce(&mut self, id: TcpId, side: Side, cx: &mut Context) {
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        let end = &mut tcp.ends[side.index()];
        if end.owner == Owner::Kernel || end.announced {
            return;
        }
        end.announced = true;
        let host = end.host;
        self.kernels[host.0].ready.push_back((id, side));
        self.wake(host, cx);
    }

    /// Has a look taken at an end at the next wake-up: after reading was resumed.
    pub(crate) fn look_again(&mut self, id: TcpId, side: Side, cx: &mut Context) {
        self.announce(id, side, cx);
    }

    /// Enters a wake-up of a host's process, unless one is due.
    pub(crate) fn wake(&mut self, host: HostId, cx: &mut Context) {
        let kernel = &mut self.kernels[host.0];
        if !kernel.wake_entered {
            kernel.wake_entered = true;
            let delay = cx.rng.between(Duration::ZERO, self.paths.profile.wake_delay);
            cx.agenda.enter(cx.now + delay, Due::Wake(host));
        }
    }

    /// The entered wake-up has come.
    pub(crate) fn woken(&mut self, host: HostId) {
        self.kernels[host.0].wake_entered = false;
    }

    /// Forgets a connection of which no end is left.
    fn tidy(&mut self, id: TcpId) {
        let done = |end: &End| end.state == EndState::Gone && end.owner == Owner::Kernel;
        if self.tcps.get(&id).is_some_and(|tcp| tcp.ends.iter().all(done)) {
            self.tcps.remove(&id);
        }
    }

    fn way(&self, id: TcpId, from: Side) -> Option<(HostId, HostId)> {
        let tcp = self.tcps.get(&id)?;
        Some((tcp.ends[from.index()].host, tcp.ends[from.other().index()].host))
    }

    /// Whether a packet of a connection that arrives now does arrive.
    fn passes(&mut self, id: TcpId, from: Side, cx: &mut Context) -> bool {
        let Some(tcp) = self.tcps.get(&id) else { return false };
        let (here, there) = (tcp.ends[from.index()].host, tcp.ends[from.other().index()].host);
        let severed = tcp.severed;
        let on = self.kernels.get(there.0).is_some_and(|kernel| kernel.power == Power::On);
        on && !severed && self.paths.get(here, there, &mut cx.rng).packets == Packets::Arrive
    }

    /// The machine at an address: the one that uses the port, else any with the IP.
    fn route(&self, to: SocketAddr) -> Option<HostId> {
        let ip = to.ip().to_canonical();
        let here = |kernel: &Kernel| kernel.ip == ip && kernel.ip == kernel.seen_as;
        let exact = self.kernels.iter().position(|kernel| here(kernel) && kernel.port == to.port());
        exact.or_else(|| self.kernels.iter().position(here)).map(HostId)
    }
}
