//! The kernels of all hosts: what `connect`, `accept`, `read`, `write` and `close` do, and what befalls a host's
//! connections when its process or its machine dies.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use timed_core::TransportCause;

use super::clock::SimTime;
use super::context::{Context, Due};
use super::host::HostId;
use super::path::{Packets, Paths, Profile};
use super::wire::{End, EndState, Fin, Owner, Pipe, Side, Tcp, TcpId};

/// When SYNs are sent again after the first.
pub(crate) const SYN_AGAIN: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(7),
    Duration::from_secs(15),
    Duration::from_secs(31),
    Duration::from_secs(63),
];
/// How long a kernel keeps what a process has closed.
const LINGER: Duration = Duration::from_secs(60);
/// Connections that wait to be accepted, at most: further SYNs are dropped.
pub(crate) const BACKLOG: usize = 512;
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

/// One machine's kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Its own address; others see `seen_as`.
    ip: IpAddr,
    seen_as: IpAddr,
    pub(super) port: u16,
    pub(super) power: Power,
    pub(super) listening: bool,
    pub(super) backlog: VecDeque<TcpId>,
    ready: VecDeque<(TcpId, Side)>,
    wake_entered: bool,
    next_port: u16,
}

impl Kernel {
    /// Whether a machine is dialed at this address.
    pub(super) fn is_at(&self, ip: IpAddr) -> bool {
        self.ip == ip && self.seen_as == ip
    }
}

/// All kernels, all connections.
#[derive(Debug)]
pub(crate) struct Net {
    pub(super) kernels: Vec<Kernel>,
    pub(super) tcps: BTreeMap<TcpId, Tcp>,
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
            if let Some(at) = tcp.pipes[side.index()].last_ack() {
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

    /// Tells the process that there is something about an end.
    pub(super) fn announce(&mut self, id: TcpId, side: Side, cx: &mut Context) {
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
    pub(super) fn tidy(&mut self, id: TcpId) {
        let done = |end: &End| end.state == EndState::Gone && end.owner == Owner::Kernel;
        if self.tcps.get(&id).is_some_and(|tcp| tcp.ends.iter().all(done)) {
            self.tcps.remove(&id);
        }
    }

    pub(super) fn way(&self, id: TcpId, from: Side) -> Option<(HostId, HostId)> {
        let tcp = self.tcps.get(&id)?;
        Some((tcp.ends[from.index()].host, tcp.ends[from.other().index()].host))
    }

    /// Whether a packet of a connection that arrives now does arrive.
    pub(super) fn passes(&mut self, id: TcpId, from: Side, cx: &mut Context) -> bool {
        let Some(tcp) = self.tcps.get(&id) else { return false };
        let (here, there) = (tcp.ends[from.index()].host, tcp.ends[from.other().index()].host);
        let severed = tcp.severed;
        let on = self.kernels.get(there.0).is_some_and(|kernel| kernel.power == Power::On);
        if !on || severed {
            return false;
        }
        match self.paths.get(here, there, &mut cx.rng).packets {
            Packets::Arrive => true,
            Packets::Vanish => false,
            Packets::Lose => cx.rng.below(10) > 0,
        }
    }

    /// The machine at an address: the one that uses the port, else any with the IP.
    fn route(&self, to: SocketAddr) -> Option<HostId> {
        let ip = to.ip().to_canonical();
        let here = |kernel: &Kernel| kernel.ip == ip && kernel.ip == kernel.seen_as;
        let exact = self.kernels.iter().position(|kernel| here(kernel) && kernel.port == to.port());
        exact.or_else(|| self.kernels.iter().position(here)).map(HostId)
    }
}
