//! The connections of a model: two ordered queues of packets each, delivered one by one when a step says so.

use std::collections::{BTreeMap, VecDeque};

use timed_core::ConnId;
use timed_core::limits::{FRAME_HEADER, RECORD_OVERHEAD, RECORD_PREFIX};
use timed_core::wire::frame::{self, FrameKind};
use timed_core::wire::message::Kind;

use super::step::{ConnKey, HostIx, Side};

/// Length of the sealed part of a record that carries a pong alone: lane, header, token, tag.
const PONG: usize = 1 + FRAME_HEADER + 8 + RECORD_OVERHEAD;

/// What travels on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Packet {
    /// Everything that one call of `transmit` gave.
    Data(Vec<u8>),
    /// The end of the stream.
    Fin,
    /// The sender's kernel threw unread bytes away, or an adversary forged a reset.
    Reset,
}

impl Packet {
    /// Whether it is one record with nothing but an answered ping: it changes no more than when the peer was
    /// last heard.
    fn is_mere_pong(&self) -> bool {
        let Self::Data(bytes) = self else { return false };
        let Some((prefix, sealed)) = bytes.split_first_chunk::<RECORD_PREFIX>() else { return false };
        let header = sealed.get(1..).and_then(frame::read_header);
        usize::from(u16::from_le_bytes(*prefix)) == sealed.len()
            && header.is_some_and(|header| header.kind == FrameKind::Known(Kind::Pong))
            && sealed.len() == PONG
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Dialed; nobody has accepted.
    Dialed,
    /// Both ends have it.
    Up,
    /// Cut without a word: nothing travels any more.
    Cut,
}

/// A connection. An end is gone once its process has closed it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Conn {
    pub(crate) target: HostIx,
    pub(crate) state: State,
    /// The names that the two processes gave it, dialer first.
    ends: [Option<ConnId>; 2],
    /// What travels to the dialer, to the acceptor.
    queues: [VecDeque<Packet>; 2],
    /// Packets delivered to the dialer, to the acceptor.
    delivered: [u16; 2],
    /// What became of it where two met.
    pub(crate) fate: Fate,
}

/// Whether a connection was found to be the one of two that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// Not so far.
    Open,
    /// One end has closed it as a duplicate.
    Lost,
}

const fn index(side: Side) -> usize {
    match side {
        Side::Dialer => 0,
        Side::Acceptor => 1,
    }
}

impl Conn {
    pub(crate) fn end(&self, side: Side) -> Option<ConnId> {
        self.ends[index(side)]
    }

    pub(crate) fn accepted(&mut self, conn: ConnId) {
        self.state = State::Up;
        self.ends[index(Side::Acceptor)] = Some(conn);
    }

    /// Where an end of the connection is.
    pub(crate) const fn host(&self, key: ConnKey, side: Side) -> HostIx {
        match side {
            Side::Dialer => key.dialer,
            Side::Acceptor => self.target,
        }
    }

    pub(crate) fn waiting(&self, side: Side) -> bool {
        !self.queues[index(side)].is_empty()
    }

    /// Whether the next packet towards `side` changes nothing that anybody decides by: an answered ping, but
    /// not the first, which follows the two packets of the handshake and proves that the peer runs.
    pub(crate) fn has_pong_next(&self, side: Side) -> bool {
        self.delivered(side) >= 3 && self.queues[index(side)].front().is_some_and(Packet::is_mere_pong)
    }

    pub(crate) fn delivered(&self, side: Side) -> u16 {
        self.delivered[index(side)]
    }

    /// Sends towards `side`; lost if nothing travels or nobody is there.
    pub(crate) fn send(&mut self, side: Side, packet: Packet) {
        if self.state == State::Up && self.end(side).is_some() {
            self.queues[index(side)].push_back(packet);
        }
    }

    pub(crate) fn take(&mut self, side: Side) -> Option<Packet> {
        self.delivered[index(side)] += 1;
        self.queues[index(side)].pop_front()
    }

    pub(crate) fn cut(&mut self) {
        self.state = State::Cut;
        self.queues = Default::default();
    }

    /// What is on its way is lost, and both ends will learn of a reset.
    pub(crate) fn reset(&mut self) {
        self.queues = Default::default();
        for side in [Side::Dialer, Side::Acceptor] {
            self.send(side, Packet::Reset);
        }
    }

    /// The process at `side` is gone without a word: what it had sent still arrives.
    pub(crate) fn vanish(&mut self, side: Side) {
        self.ends[index(side)] = None;
        self.queues[index(side)].clear();
    }
}

/// All connections of which an end is left.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Wire {
    conns: BTreeMap<ConnKey, Conn>,
}

impl Wire {
    pub(crate) fn dial(&mut self, key: ConnKey, target: HostIx, conn: ConnId) {
        let ends = [Some(conn), None];
        let queues = Default::default();
        let conn = Conn { target, state: State::Dialed, ends, queues, delivered: [0; 2], fate: Fate::Open };
        self.conns.insert(key, conn);
    }

    pub(crate) fn get(&self, key: ConnKey) -> Option<&Conn> {
        self.conns.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: ConnKey) -> Option<&mut Conn> {
        self.conns.get_mut(&key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnKey, &Conn)> {
        self.conns.iter().map(|(key, conn)| (*key, conn))
    }

    /// The process at `side` closed its end: the other one learns it after everything sent before. What had
    /// not been read makes it a reset.
    pub(crate) fn close(&mut self, key: ConnKey, side: Side) {
        let Some(conn) = self.conns.get_mut(&key) else { return };
        let last = if conn.waiting(side) { Packet::Reset } else { Packet::Fin };
        conn.send(side.other(), last);
        conn.vanish(side);
        self.forget(key);
    }

    /// The process at `side` vanished with its machine.
    pub(crate) fn vanish(&mut self, key: ConnKey, side: Side) {
        if let Some(conn) = self.conns.get_mut(&key) {
            conn.vanish(side);
        }
        self.forget(key);
    }

    fn forget(&mut self, key: ConnKey) {
        if self.conns.get(&key).is_some_and(|conn| conn.ends == [None, None]) {
            self.conns.remove(&key);
        }
    }
}
