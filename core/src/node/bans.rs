//! What follows from the conduct of peers and from the operator's orders about them (rules ): bans come
//! into force here, apply to every link and dial at once, and end here.

use std::net::IpAddr;
use std::time::Duration;

use crate::ban::{Ban, BanEnd, BanNote, BanTarget, IpNet};
use crate::command::Command;
use crate::config::Config;
use crate::event::{CloseReason, ClosedBy, Enforce, Event, Offence, Reply, Warning};
use crate::ids::{ConnId, NodeId, RequestId};
use crate::journal::{Record, RecordKey};
use crate::limits::{BAN_BYTES, Holding, ORDER_BYTES, ORDERS_WAITING, holding};
use crate::link::{Link, Origin};
use crate::net::bans::{Bans, Set, Verdict, verdict};
use crate::net::pool::Destination;
use crate::net::scores::{BOUND, Charge, Pace, Rank, Sentence};
use crate::node::{Node, Parked, Run, TimerKey};
use crate::time::{Mono, Now};

/// Changes that nobody waits for are written together, so late at most: peers can cause them at will.
const SAVE_WITHIN: Duration = Duration::from_secs(5);

/// What is to be written of the bans. One record is under way at most, whatever is ordered meanwhile.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Saving {
    /// When a change that nobody waits for is to be written.
    due: Option<Mono>,
    /// Answers to orders that no record holds yet.
    unwritten: Vec<(RequestId, Reply)>,
    /// Answers that wait for the record under way, if there is one.
    under_way: Option<Vec<(RequestId, Reply)>>,
}

impl Saving {
    pub(super) fn holding(&self) -> Holding {
        holding("orders that wait for a write", self.waiting(), ORDERS_WAITING)
    }

    fn waiting(&self) -> usize {
        self.unwritten.len() + self.under_way.as_ref().map_or(0, Vec::len)
    }
}

/// Takes the bans of earlier starts out of what the journal gave back.
pub(super) fn recall(records: &mut Vec<Record>, config: &Config, now: Now) -> (Bans, Option<Warning>) {
    let bound = config.limits.bans;
    let place = records.iter().position(|record| record.key == RecordKey::Bans);
    let Some(record) = place.map(|place| records.remove(place)) else { return (Bans::new(bound), None) };
    let Some(mut bans) = Bans::decode(&record.bytes, now, bound) else {
        return (Bans::new(bound), Some(Warning::CacheSetAside(RecordKey::Bans)));
    };
    bans.withdraw(now, |id, _| config.registry.get(id).is_some());
    (bans, None)
}

impl Node {
    /// The one door for offences: an authenticated peer broke a rule that no state of ours can explain. It may
    /// have lost its link when this returns.
    pub(super) fn offended(&mut self, now: Now, id: NodeId, offence: Offence) {
        if let Some(count) = self.counters.offences.get_mut(offence.index()) {
            *count += 1;
        }
        let others = self.config.registry.entries().iter().filter(|entry| entry.id != self.identity.node);
        let charge = self.scores.charge(now.mono, id, offence, self.rank(&id), others.count());
        let Some(Charge { score, passed, sentence }) = charge else { return };
        if passed.is_some() {
            self.event(Event::Misbehaved { peer: id, offence, score, bound: BOUND });
        }
        if self.config.limits.punish == Enforce::Observe {
            return;
        }
        match sentence {
            Sentence::None | Sentence::Slowed => {}
            Sentence::Ban(lasts, offence) => self.punish(now, id, lasts, offence),
            Sentence::SelfSuspected(offence, peers) => {
                self.event(Event::Warning(Warning::SelfSuspected { offence, peers }));
                let withdrawn = self.bans.withdraw(now, |_, cause| cause == offence);
                self.withdrawn(now, withdrawn);
            }
        }
    }

    /// How a peer's traffic is handled: a registered or reserved one at the bound is slowed (rule A-6).
    pub(super) fn pace(&self, now: Now, id: &NodeId) -> Pace {
        match self.config.limits.punish {
            Enforce::On if self.rank(id) != Rank::Other => self.scores.pace(now.mono, id),
            Enforce::On | Enforce::Observe => Pace::Free,
        }
    }

    pub(super) fn rank(&self, id: &NodeId) -> Rank {
        match (self.config.registry.get(id), self.is_reserved(id)) {
            (Some(_), _) => Rank::Registered,
            (None, true) => Rank::Reserved,
            (None, false) => Rank::Other,
        }
    }

    fn punish(&mut self, now: Now, id: NodeId, lasts: Duration, offence: Offence) {
        match self.bans.punish(now, id, lasts, offence) {
            Some(set) => {
                self.came_into_force(set);
                self.save_soon(now);
                self.cut_off(now, CloseReason::Abuse);
                self.pursue(now, Destination::Peer(id));
            }
            // There is no place for another ban, or the operator's own is in force: the link goes all the same.
            None => {
                if let Some(live) = self.pool.get(&id).and_then(|peer| peer.live) {
                    self.end(now, live.conn, CloseReason::Abuse, ClosedBy::Us);
                }
            }
        }
    }

    /// The registry has changed: whoever is a masternode now is not banned by us (rule A-6).
    pub(super) fn pardon_registered(&mut self, now: Now) {
        let registry = &self.config.registry;
        let withdrawn = self.bans.withdraw(now, |id, _| registry.get(id).is_some());
        self.withdrawn(now, withdrawn);
    }

    fn withdrawn(&mut self, now: Now, bans: Vec<Ban>) {
        if !bans.is_empty() {
            self.save_soon(now);
        }
        for ban in bans {
            self.ended(now, ban, BanEnd::Withdrawn);
        }
    }

    /// Whether a connection from this address is refused before a byte of it is read.
    pub(super) fn is_banned_address(&self, now: Now, ip: IpAddr) -> bool {
        self.bans.on_address(now.mono, ip).is_some()
    }

    /// Whether a proven key is refused.
    pub(super) fn is_banned_key(&self, now: Now, id: &NodeId) -> bool {
        matches!(verdict(now.mono, &self.bans.grounds(now.mono, Some(id), None)), Verdict::Banned(_))
    }

    /// The operator bans: applies at once, answered when it is durable.
    pub(super) fn order_ban(
        &mut self,
        now: Now,
        id: RequestId,
        target: BanTarget,
        lasts: Option<Duration>,
        note: Option<BanNote>,
    ) -> Option<Reply> {
        if self.is_own(&target) {
            return Some(Reply::IsSelf);
        }
        if lasts.is_some_and(|lasts| lasts.is_zero()) {
            return Some(Reply::Refused("a ban must last some time"));
        }
        if let Some(refused) = self.cannot_order() {
            return Some(refused);
        }
        let Ok(set) = self.bans.order(now, target, lasts, note) else {
            return Some(Reply::Refused("every place for a ban is taken: lift one first"));
        };
        let masternodes = self.masternodes_on(&target);
        let reply = Reply::Banned { ban: Box::new(set.ban.clone()), masternodes };
        self.came_into_force(set);
        if masternodes > 0 {
            let registry = &self.config.registry;
            let kept = |id: &NodeId, ip| *id == self.identity.node || !self.bans.concern(now.mono, id, ip);
            let left = registry.entries().iter().filter(|entry| kept(&entry.id, entry.addr.ip())).count();
            let quorum = registry.quorum();
            self.event(Event::Warning(Warning::MasternodesBanned { target, masternodes, left, quorum }));
        }
        self.answer_when_saved(now, id, reply);
        self.cut_off(now, CloseReason::Banned);
        let destinations: Vec<Destination> = self.pool.destinations().collect();
        for destination in destinations {
            self.pursue(now, destination);
        }
        None
    }

    /// The operator lifts a ban: applies at once, answered when it is durable.
    pub(super) fn order_unban(&mut self, now: Now, id: RequestId, target: BanTarget) -> Option<Reply> {
        if let Some(refused) = self.cannot_order() {
            return Some(refused);
        }
        let Some(ban) = self.bans.remove(now, &target) else {
            let covers = match target {
                BanTarget::Net(net) => self.bans.on_address(now.mono, net.ip()).map(|hold| hold.target),
                BanTarget::Key(_) => None,
            };
            return Some(Reply::NotBanned(covers));
        };
        if let BanTarget::Key(id) = target {
            self.scores.forget(&id);
        }
        self.answer_when_saved(now, id, Reply::Unbanned(Box::new(ban.clone())));
        self.ended(now, ban, BanEnd::Lifted);
        None
    }

    fn cannot_order(&self) -> Option<Reply> {
        if self.run != Run::Working {
            Some(Reply::Refused("the node is stopping"))
        } else if self.saving.waiting() >= ORDERS_WAITING {
            Some(Reply::Refused("too many orders wait for the disk"))
        } else {
            None
        }
    }

    fn is_own(&self, target: &BanTarget) -> bool {
        match target {
            BanTarget::Key(id) => *id == self.identity.node,
            BanTarget::Net(net) => self.identity.advertised.is_some_and(|own| *net == IpNet::host(own.ip())),
        }
    }

    /// Registered masternodes that a ban on this concerns.
    fn masternodes_on(&self, target: &BanTarget) -> usize {
        let entries = self.config.registry.entries().iter().filter(|entry| entry.id != self.identity.node);
        entries
            .filter(|entry| match target {
                BanTarget::Key(id) => entry.id == *id,
                BanTarget::Net(net) => net.contains(entry.addr.ip()),
            })
            .count()
    }

    /// A ban is in the table: it is told, and so is the end of the one that it took the place of.
    fn came_into_force(&mut self, set: Set) {
        if let Some((ban, end)) = set.ended {
            self.event(Event::BanEnded { ban: Box::new(ban), end });
        }
        if let Some(count) = self.counters.bans.get_mut(set.ban.cause.index()) {
            *count += 1;
        }
        self.event(Event::Banned(Box::new(set.ban)));
        self.arm_bans();
    }

    /// Applies the bans in force to every link and dial. Live links end for `reason`.
    fn cut_off(&mut self, now: Now, reason: CloseReason) {
        let banned = |link: &Link| {
            let (id, ip) = match link.origin {
                Origin::Dialed { addr, expect, .. } => (link.peer.or(expect), addr.ip()),
                Origin::Accepted => (link.peer, link.remote.ip()),
            };
            matches!(
                verdict(now.mono, &self.bans.grounds(now.mono, id.as_ref(), Some(ip))),
                Verdict::Banned(_)
            )
        };
        let open = self.links.iter().filter(|(_, link)| !link.is_closing());
        let reason = |link: &Link| if link.peering().is_some() { reason } else { CloseReason::Banned };
        let doomed: Vec<(ConnId, CloseReason)> =
            open.filter(|(_, link)| banned(link)).map(|(conn, link)| (conn, reason(link))).collect();
        for (conn, reason) in doomed {
            self.end(now, conn, reason, ClosedBy::Us);
        }
    }

    /// A ban is no longer in the table: it is told, and whoever it kept away is tried at once.
    fn ended(&mut self, now: Now, ban: Ban, end: BanEnd) {
        let freed = |destination: &Destination| match (ban.target, destination) {
            (BanTarget::Key(id), Destination::Peer(peer)) => id == *peer,
            (BanTarget::Key(_), Destination::Addr(_)) => false,
            (BanTarget::Net(net), destination) => {
                self.pool.addr_of(*destination).is_some_and(|addr| net.contains(addr.ip()))
            }
        };
        let freed: Vec<Destination> = self.pool.destinations().filter(freed).collect();
        self.event(Event::BanEnded { ban: Box::new(ban), end });
        for destination in freed {
            if let Some(dialing) = self.pool.dialing_mut(destination) {
                dialing.tried_at_once(now.mono);
            }
            self.pursue(now, destination);
        }
        self.arm_bans();
    }

    /// The timer of bans: ends, and changes that are to be written.
    pub(super) fn bans_due(&mut self, now: Now) {
        let over = self.bans.expire(now);
        if !over.is_empty() {
            self.save_soon(now);
        }
        for ban in over {
            self.ended(now, ban, BanEnd::Expired);
        }
        self.save_if_due(now);
        self.arm_bans();
    }

    pub(super) fn arm_bans(&mut self) {
        // What waits for the record under way is looked at when that is durable.
        let save = self.saving.due.filter(|_| self.saving.under_way.is_none());
        let at = [self.bans.deadline(), save].into_iter().flatten().min();
        self.timers.set(TimerKey::Bans, at);
    }

    fn save_soon(&mut self, now: Now) {
        self.saving.due.get_or_insert(now.mono + SAVE_WITHIN);
        self.arm_bans();
    }

    fn answer_when_saved(&mut self, now: Now, id: RequestId, reply: Reply) {
        self.saving.unwritten.push((id, reply));
        self.saving.due = Some(now.mono);
        self.save_if_due(now);
        self.arm_bans();
    }

    fn save_if_due(&mut self, now: Now) {
        if self.saving.under_way.is_some() || self.saving.due.is_none_or(|due| due > now.mono) {
            return;
        }
        let orders = std::mem::take(&mut self.saving.unwritten);
        self.saving = Saving { due: None, unwritten: Vec::new(), under_way: Some(orders) };
        let ticket = self.gate.issue();
        let record = self.bans.encode(now);
        self.commands.push_back(Command::Persist { ticket, key: RecordKey::Bans, record });
        let _ = self.gate.pass(ticket, Parked::Bans, usize::MAX);
    }

    /// The record under way is durable: its orders are answered, and what came meanwhile is written.
    pub(super) fn bans_saved(&mut self, now: Now) {
        for (id, reply) in self.saving.under_way.take().unwrap_or_default() {
            self.event(Event::Reply { id, reply });
        }
        self.save_if_due(now);
        if self.run == Run::Working {
            self.arm_bans();
        }
    }

    /// The node stops: what is not written yet is written as soon as may be, or not at all where nothing is sound
    /// any more.
    pub(super) fn save_bans_at_last(&mut self, now: Now, reason: CloseReason) {
        if reason == CloseReason::Halted {
            self.saving = Saving::default();
        } else if self.saving.due.is_some() {
            self.saving.due = Some(now.mono);
            self.save_if_due(now);
        }
    }
}

/// An answer that waits, with its ban and the note of that.
const _: () = assert!(size_of::<Reply>() + BAN_BYTES <= ORDER_BYTES);
