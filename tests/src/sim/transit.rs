//! What becomes of SYN, segments, acknowledgements, FIN and RST on their way between two kernels.

use std::time::Duration;

use timed_core::TransportCause;

use super::context::{Context, Due};
use super::net::{BACKLOG, Net, NetEvent, SYN_AGAIN};
use super::path::{Cut, Dials};
use super::wire::{EndState, Fin, Segment, Side, TcpId};

/// When the kernel gives up on a SYN (Linux, `tcp_syn_retries` = 6).
const SYN_GIVE_UP: Duration = Duration::from_secs(127);
/// Bytes unacknowledged for so long end the connection (`TCP_USER_TIMEOUT` or the kernel's own patience).
const STUCK_GIVE_UP: Duration = Duration::from_secs(120);

impl Net {
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

    pub(super) fn send_syn(&mut self, id: TcpId, cx: &mut Context) {
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
    pub(super) fn pump(&mut self, id: TcpId, from: Side, cx: &mut Context) {
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

    /// A process is not woken for a few bytes of room, as kernels do it.
    fn on_space(&mut self, id: TcpId, side: Side, cx: &mut Context) {
        let Some(tcp) = self.tcps.get_mut(&id) else { return };
        if !tcp.ends[side.index()].wants_space {
            return;
        }
        // Otherwise the acknowledgement of what is still under way asks again.
        if tcp.pipes[side.index()].is_writable(cx.now) {
            tcp.ends[side.index()].wants_space = false;
            self.announce(id, side, cx);
        }
    }

    /// Once both streams have ended, kernels that only waited for that forget the connection.
    pub(super) fn finish(&mut self, id: TcpId) {
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
    pub(super) fn abort(&mut self, id: TcpId, side: Side, cx: &mut Context) {
        if let Some(tcp) = self.tcps.get_mut(&id) {
            tcp.ends[side.index()].state = EndState::Gone;
            tcp.pipes[side.index()].sender_died();
            self.send_reset(id, side.other(), cx);
        }
    }

    pub(super) fn send_reset(&mut self, id: TcpId, to: Side, cx: &mut Context) {
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

    pub(super) fn fail(&mut self, id: TcpId, side: Side, cause: TransportCause, cx: &mut Context) {
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
}
