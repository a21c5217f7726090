//! Bytes in: the opening, then records, frames and messages. The direction of a link is no input here: every
//! kind is handled alike whoever dialed.

use bytes::Bytes;

use crate::event::{CloseReason, ClosedBy, Direction, Event, Offence, TrafficClass};
use crate::ids::{ConnId, NodeId};
use crate::limits::{FRAME_HEADER, MAX_INTRODUCTION};
use crate::link::handshake::{self, OpeningProgress};
use crate::link::{Confirmed, Link, Phase};
use crate::masternode::{Bearer, Flaw, OwnLinks, Verdict, is_sampled};
use crate::net::pool::Destination;
use crate::node::rates::Metered;
use crate::node::{Node, TimerKey};
use crate::time::Now;
use crate::wire::codec::{decode_body, encode_body};
use crate::wire::frame::FrameKind;
use crate::wire::message::{Heartbeat, Kind, Lane, LinkEntry, Message, Pong, ProvenBoot};
use crate::wire::{frame, record};
use crate::witness;

impl Node {
    pub(super) fn read(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(conn) else {
            self.counters.stale_inputs += 1;
            return;
        };
        link.bytes_in += bytes.len() as u64;
        let mut input = bytes;
        if matches!(link.phase, Phase::AwaitPreamble | Phase::AwaitReply(_)) {
            match handshake::collect_opening(link, &mut input, &self.identity) {
                Ok(OpeningProgress::Incomplete) => return,
                Ok(OpeningProgress::Complete) => {}
                Err(fault) => {
                    self.opening_failed(now, conn, fault);
                    return;
                }
            }
            match link.direction() {
                Direction::Inbound => {
                    self.step_for_unproven(now, conn);
                    return;
                }
                Direction::Outbound => self.open_channel(now, conn),
            }
        }
        self.read_records(now, conn, input);
        self.slow_down(now, conn);
    }

    fn read_records(&mut self, now: Now, conn: ConnId, mut input: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        while let Some(link) = self.links.get_mut(conn).filter(|link| !link.is_closing()) {
            let Some(channel) = link.channel_mut() else { break };
            match channel.records.next(&mut input, &mut scratch, channel.session.as_mut()) {
                Ok(None) => break,
                Ok(Some(lane)) => {
                    self.heard(now, conn);
                    self.read_frames(now, conn, lane, record::frames(&scratch));
                }
                Err(reason) => {
                    self.end(now, conn, reason, ClosedBy::Us);
                    break;
                }
            }
        }
        scratch.clear();
        self.scratch = scratch;
    }

    fn read_frames(&mut self, now: Now, conn: ConnId, lane: Lane, mut plain: &[u8]) {
        // The reader is taken out for the time, so that a frame may be handled with the whole node at hand.
        let Some(link) = self.links.get_mut(conn) else { return };
        if link.peering().is_none() && lane != Lane::Control {
            self.end(now, conn, CloseReason::UnexpectedMessage, ClosedBy::Us);
            return;
        }
        let Some(channel) = link.channel_mut() else { return };
        let mut reader = std::mem::take(channel.reader(lane));
        loop {
            let next = reader.next(lane, &mut plain);
            let told = witness::ask(|witness| witness.framed(&next)).flatten();
            let next = match &told {
                Some(told) => {
                    told.as_ref().map(|frame| frame.as_ref().map(|(kind, body)| (*kind, &body[..])))
                }
                None => next.as_ref().map(|frame| *frame),
            };
            match next.map_err(|reason| *reason) {
                Ok(None) => break,
                Ok(Some((kind, body))) => self.frame(now, conn, kind, body),
                Err(reason) => self.end_for_fault(now, conn, reason),
            }
            if self.links.get(conn).is_none_or(Link::is_closing) {
                return;
            }
        }
        let Some(link) = self.links.get_mut(conn) else { return };
        // Nobody collects more than an introduction before it is one (rule W-4).
        if link.peering().is_none() && reader.held() > FRAME_HEADER + MAX_INTRODUCTION {
            self.end(now, conn, CloseReason::BadFrame, ClosedBy::Us);
        } else if let Some(channel) = link.channel_mut() {
            *channel.reader(lane) = reader;
        }
    }

    /// A record opened: the peer lives (rule L-1).
    fn heard(&mut self, now: Now, conn: ConnId) {
        if let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut) {
            peering.vitals.heard = now.mono;
        }
    }

    /// A frame on a link whose acceptor we are: the dialer holds it as live, too, unless it takes its leave
    /// (rule H-6).
    fn confirmed_by(&mut self, conn: ConnId, kind: Kind) {
        if let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut)
            && peering.confirmed == Confirmed::NotYet
            && kind != Kind::Goodbye
        {
            peering.confirmed = Confirmed::ByBoth;
            self.confirm();
        }
    }

    fn frame(&mut self, now: Now, conn: ConnId, kind: FrameKind, body: &[u8]) {
        let Some(link) = self.links.get(conn) else { return };
        let FrameKind::Known(kind) = kind else {
            if link.peering().is_some() {
                self.counters.unknown_frames += 1;
                // There is nothing to drop.
                let _ = self.meter(now, conn, kind, body.len());
            } else {
                self.end(now, conn, CloseReason::UnexpectedMessage, ClosedBy::Us);
            }
            return;
        };
        let allowed = match &link.phase {
            Phase::AwaitHello(_) => kind == Kind::Hello,
            Phase::AwaitAck(..) => kind == Kind::HelloAck,
            Phase::Live(..) => !matches!(kind, Kind::Hello | Kind::HelloAck),
            _ => false,
        };
        if !allowed {
            self.end_for_fault(now, conn, CloseReason::UnexpectedMessage);
            return;
        }
        let from = link.peer;
        self.confirmed_by(conn, kind);
        if self.meter(now, conn, FrameKind::Known(kind), body.len()) == Metered::Drop {
            return;
        }
        if let (Kind::Heartbeat, Some(verdict)) = (kind, self.masternode.glance(body)) {
            self.count_heartbeat(&verdict);
            return;
        }
        if let (Kind::Datagram, Some(from)) = (kind, from) {
            self.useful(now, &from);
            let payload = self.arrivals.keep(body);
            self.event(Event::Datagram { from, payload });
            return;
        }
        if let (Kind::Peers, Some(from)) = (kind, from)
            && !self.awaits_addresses(conn, from)
        {
            self.addresses_unasked(now, from);
            return;
        }
        match (decode_body(kind, body), from) {
            (Ok(Message::Hello(hello)), _) => self.hello_arrived(now, conn, hello),
            (Ok(Message::HelloAck(ack)), _) => self.ack_arrived(now, conn, &ack),
            (Ok(Message::Goodbye(goodbye)), Some(from)) => {
                if let Some(peer) = self.pool.get_mut(&from) {
                    peer.heard_ordinal(goodbye.highest);
                }
                self.end(now, conn, goodbye.reason, ClosedBy::Peer);
            }
            (Ok(Message::Ping(ping)), _) => {
                let frame = self.frames.encode(&Message::Pong(Pong { token: ping.token }));
                self.deliver(now, conn, Lane::Control, &frame);
            }
            (Ok(Message::Pong(pong)), _) => self.pong(now, conn, pong),
            (Ok(Message::Absence(said)), Some(from)) => self.absence_announced(from, said),
            (Ok(Message::Heartbeat(beat)), Some(from)) => self.heartbeat(now, conn, from, beat, body),
            (Ok(Message::GetPeers(get)), Some(from)) => self.addresses_asked(now, conn, from, get),
            (Ok(Message::Peers(told)), Some(from)) => self.addresses_told(now, conn, from, &told),
            (Ok(message), Some(from)) if self.chain.is_some() => {
                self.heard_height(conn, &message);
                let before = self.before();
                self.chain_message(now, from, message);
                self.meter_chain(now, (conn, from), kind, body.len(), before);
            }
            // That this node makes no blocks is its own choice.
            (Ok(_), _) => self.end(now, conn, CloseReason::BadMessage, ClosedBy::Us),
            (Err(_), _) => self.end_for_fault(now, conn, CloseReason::BadMessage),
        }
    }

    /// Ends a link for what came inside its authenticated channel. On a live one that is an offence (rule A-3);
    /// a record that does not open is none, for somebody on the path may have damaged it.
    fn end_for_fault(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        let peer = self.links.get(conn).and_then(Link::peering).map(|peering| peering.peer);
        self.end(now, conn, reason, ClosedBy::Us);
        if let Some(peer) = peer {
            self.offended(now, peer, Offence::Malformed);
        }
    }

    fn pong(&mut self, now: Now, conn: ConnId, pong: Pong) {
        if let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut)
            && let Some(sent) = peering.vitals.pinged.filter(|sent| sent.0 == pong.token)
        {
            peering.vitals.pinged = None;
            // Only now is it sure that this boot ran after the link was live here: a `Hello` or an answer may
            // be the late word of a process that has died since (rule E-4).
            let (id, boot, proof) = (peering.peer, peering.boot, peering.proof.take());
            if let Some(peer) = self.pool.get_mut(&id) {
                if let Some(proof) = proof {
                    peer.saw(ProvenBoot { boot, proof: *proof });
                }
                if peer.live.is_some_and(|live| live.conn == conn) {
                    peer.quality.ponged(now.mono.since(sent));
                }
            }
        }
    }

    fn count_heartbeat(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::New(_) => self.counters.heartbeats += 1,
            Verdict::Repeat | Verdict::Stale | Verdict::Own => self.counters.heartbeat_repeats += 1,
            Verdict::OffTime(_) | Verdict::Foreign | Verdict::Excess | Verdict::Invalid(_) => {
                self.counters.heartbeats_invalid += 1;
            }
        }
    }

    fn heartbeat(&mut self, now: Now, conn: ConnId, from: NodeId, beat: Box<Heartbeat>, body: &[u8]) {
        let (height, tip) = (beat.height, beat.tip);
        let (signer, sampled) = (beat.signer, is_sampled(beat.wall, self.config.timings.heartbeat));
        let mut events = Vec::new();
        let verdict = self.masternode.received(now, from, beat, self.crypto.as_mut(), &mut events);
        self.emit(now, events);
        self.count_heartbeat(&verdict);
        if matches!(verdict, Verdict::New(_)) {
            self.useful(now, &from);
            if sampled {
                self.event(Event::Sample(Bytes::copy_from_slice(body)));
            }
        }
        self.chain_clock(now);
        if signer == from
            && matches!(verdict, Verdict::New(_))
            && let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut)
        {
            peering.height = height;
            self.chain_tip(now, from, (height, tip));
        }
        if matches!(verdict, Verdict::New(_) | Verdict::OffTime(_)) {
            self.chain_clock(now);
        }
        if let Some(audience) = verdict.audience() {
            let to: Vec<ConnId> = self
                .pool
                .live()
                .filter(|(peer, _)| audience.includes(&peer.id, peer.masternode))
                .map(|(_, conn)| conn)
                .collect();
            if !to.is_empty() {
                // Forwarded as it came: re-encoding gives the same bytes (rule W-7).
                let copy = self.frames.fill(|out| frame::append_encoded(Kind::Heartbeat, body, out));
                for conn in to {
                    self.deliver(now, conn, Lane::Control, &copy);
                }
            }
        }
        self.arm_masternode();
        if let Verdict::Invalid(flaw) = verdict {
            let forged = u64::from(flaw == Flaw::BadSignature);
            self.meter_forged(conn, TrafficClass::Heartbeat, forged);
            tracing::debug!(%from, flaw = flaw.as_str(), "invalid heartbeat");
            let brought_by = if from == signer { Bearer::Signer } else { Bearer::Forwarder };
            if let Some(offence) = flaw.offence(brought_by) {
                self.offended(now, from, offence);
            }
        }
    }

    /// The heartbeats machine's timer: expiries, then our own heartbeat.
    pub(super) fn masternode_due(&mut self, now: Now) {
        let mut events = Vec::new();
        self.masternode.tick(now, &mut events);
        self.emit(now, events);
        if self.masternode.beat_due(now.mono) {
            let links = self.own_links();
            let beat = self.masternode.beat(now, links, self.tip(), self.crypto.as_mut());
            if let Some(beat) = beat {
                let sampled = is_sampled(beat.wall, self.config.timings.heartbeat);
                let message = Message::Heartbeat(beat);
                if sampled {
                    let mut body = Vec::new();
                    encode_body(&message, &mut body);
                    self.event(Event::Sample(body.into()));
                }
                let frame = self.frames.encode(&message);
                let to: Vec<ConnId> = self.pool.live().map(|(_, conn)| conn).collect();
                for conn in to {
                    self.deliver(now, conn, Lane::Control, &frame);
                }
            }
        }
        self.arm_masternode();
    }

    pub(super) fn arm_masternode(&mut self) {
        let at = self.masternode.deadline();
        self.timers.set(TimerKey::Masternode, at);
    }

    /// This node's live links to masternodes, as its heartbeats and the matrix state them.
    pub(super) fn own_links(&self) -> OwnLinks {
        let entries = self.pool.live().filter_map(|(peer, conn)| {
            let link = self.links.get(conn)?;
            let peering = link.peering()?;
            Some(LinkEntry {
                peer: peer.masternode?,
                direction: link.direction(),
                because: peering.because,
                session: peering.ballot.session.tag(),
            })
        });
        OwnLinks {
            entries: entries.collect(),
            duplicates: u16::try_from(self.duplicates()).unwrap_or(u16::MAX),
        }
    }

    /// Passes a machine's events on; each may change what a snapshot shows.
    pub(super) fn emit(&mut self, now: Now, events: Vec<Event>) {
        if !events.is_empty() {
            self.touch(now);
        }
        for event in events {
            self.event(event);
        }
    }

    /// Whether a destination's record says that a dial is under way on this connection.
    pub(super) fn flies(&self, destination: Destination, conn: ConnId) -> bool {
        self.pool.dialing(destination).is_some_and(|dialing| dialing.in_flight == Some(conn))
    }
}
