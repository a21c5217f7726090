//! Why this node is, or is not, connected to a peer: the decision in force, asked now, in words.

use std::time::Duration;

use crate::event::{
    Attempt, CloseReason, ClosedBy, Direction, Excessive, Handling, PeerInfo, SlotClass, Why,
};
use crate::net::absence::Absence;
use crate::net::dialer::Decision;
use crate::net::pool::Destination;
use crate::node::Node;
use crate::time::{Mono, Now, Wall};

impl Node {
    /// Explains the decision in force about a destination: the gate's own, asked now.
    pub(super) fn why(&self, now: Now, destination: Destination) -> Why {
        let peer = match destination {
            Destination::Peer(id) => self.pool.get(&id),
            Destination::Addr(_) => None,
        };
        let decision = self.pool.decide(now.mono, destination, &self.bans).unwrap_or(Decision::Unwanted);
        if let Decision::Banned(hold) = decision
            && let Some(why) = self.why_banned(now, &hold.target)
        {
            let attempts = self.pool.dialing(destination);
            return Why {
                peer: peer.map(|peer| peer.id),
                addr: self.pool.addr_of(destination),
                attempts: attempts.into_iter().flat_map(|dialing| dialing.attempts()).copied().collect(),
                ..why
            };
        }
        let session = peer.and_then(|peer| self.peer_info(now, peer, peer.live?.conn));
        let attempts = self.pool.dialing(destination);
        let last = attempts.and_then(|dialing| dialing.attempts().next());
        let absence = attempts.map(|dialing| dialing.absence).unwrap_or_default();
        let special = away(decision, absence).or_else(|| for_want_of_a_place(decision, last));
        let (name, rule, mut text) = match special {
            Some((name, rule, text)) => (name, rule, text.to_owned()),
            None => explain(decision, session.as_ref()),
        };
        let class = match (peer, destination) {
            (Some(peer), _) => self.pool.class(peer),
            (None, Destination::Addr(addr)) => self.pool.class_at(&addr),
            (None, Destination::Peer(_)) => SlotClass::Observer,
        };
        let reserved = match destination {
            Destination::Peer(id) => self.is_reserved(&id),
            Destination::Addr(_) => class == SlotClass::Reserved,
        };
        if reserved {
            text.push_str("; this node's operator has reserved a place for the peer");
        } else if decision == Decision::NoSlot || name == "no_slot" {
            let slots = self.pool.slots().of(class);
            text.push_str(&format!(" ({} used, {} free)", slots.used, slots.free));
        }
        let next = decision.until().map(|at| (what_next(decision), remaining(now.mono, at)));
        Why {
            peer: peer.map(|peer| peer.id),
            addr: self.pool.addr_of(destination),
            decision: name,
            text,
            rule,
            ban: None,
            since: peer.map(|peer| peer.changed.wall).filter(|wall| *wall > Wall(0)),
            next,
            session,
            attempts: attempts.into_iter().flat_map(|dialing| dialing.attempts()).copied().collect(),
        }
    }
}

/// Whether the two nodes are apart because the peer is away on purpose.
fn away(decision: Decision, absence: Absence) -> Option<(&'static str, &'static str, &'static str)> {
    let waits = matches!(decision, Decision::BackOff(_) | Decision::AwaitDialer(_));
    (waits && absence.is_away()).then_some((
        "absent",
        "L-5",
        "the peer has announced to be away; until it is back, or the time it gave is over, it is tried calmly",
    ))
}

/// What the last attempt says where the two nodes are apart because one of them had no place for the other.
fn for_want_of_a_place(
    decision: Decision,
    last: Option<&Attempt>,
) -> Option<(&'static str, &'static str, &'static str)> {
    if !matches!(decision, Decision::BackOff(_) | Decision::AwaitDialer(_) | Decision::Unwanted) {
        return None;
    }
    match last?.end? {
        (CloseReason::SlotsFull, ClosedBy::Peer) => Some((
            "slots_full",
            "S-3",
            "the peer is well, but every place that it has for such a node is taken",
        )),
        (CloseReason::Displaced, ClosedBy::Peer) => Some((
            "displaced",
            "S-4",
            "the peer needed this node's place for a masternode or a reserved peer",
        )),
        (CloseReason::PoorLink, ClosedBy::Peer) => {
            Some(("poor_link", "S-6", "the peer replaced the link, which was poor, by another one"))
        }
        (CloseReason::SlotsFull, ClosedBy::Us) => Some((
            "no_slot",
            "S-3",
            "the peer came when every place that such a peer may have here was taken",
        )),
        (CloseReason::Displaced, ClosedBy::Us) => {
            Some(("displaced", "S-4", "the peer's place was needed for a masternode or a reserved peer"))
        }
        (CloseReason::PoorLink, ClosedBy::Us) => {
            Some(("poor_link", "S-6", "the link, which was poor, was replaced by one to another observer"))
        }
        _ => None,
    }
}

fn remaining(now: Mono, at: Mono) -> Duration {
    at.since(now)
}

/// What is done about a peer that sends too much, in words.
fn told(Excessive { class, handling }: Excessive) -> String {
    let done = match handling {
        Handling::Observed => "which is only counted (rule A-1)",
        Handling::Dropped => "and what is too much is dropped (rule A-1)",
        Handling::Slowed => "so its link is read more slowly (rule A-6)",
    };
    format!("; it sends more of the class {:?} than an honest peer does, {done}", class.as_str())
}

/// The decision's stable name, its rule, and its words.
fn explain(decision: Decision, session: Option<&PeerInfo>) -> (&'static str, &'static str, String) {
    let (name, rule, text) = match decision {
        Decision::Connected => {
            let text = session.map_or_else(
                || "a live session stands".to_owned(),
                |session| {
                    let who = match session.direction {
                        Direction::Outbound => "we dialed",
                        Direction::Inbound => "the peer dialed",
                    };
                    let excessive = session.excessive.map(told).unwrap_or_default();
                    format!(
                        "a live session stands: {who} ({}), session {}{excessive}",
                        session.because.as_str(),
                        session.session
                    )
                },
            );
            return ("connected", "D-6", text);
        }
        Decision::InFlight => ("dialing", "D-6", "a dial or a knock of ours is under way"),
        Decision::OwnAddress => ("self", "D-7", "the address is our own"),
        Decision::Banned(_) => ("banned", "A-4", "a ban is in force"),
        Decision::Incompatible(_) => {
            ("incompatible", "H-5", "network, genesis or version differ; see the attempts below")
        }
        Decision::Held(_) => {
            ("operator_hold", "D-8", "the operator disconnected this peer; `connect` lifts the hold")
        }
        Decision::Unwanted => {
            ("not_wanted", "D-6", "this node does not seek a link to this peer, but takes one")
        }
        Decision::NotDialable => {
            ("not_dialable", "D-2", "no address of this peer is known: only the peer can dial")
        }
        Decision::NoSlot => ("no_slot", "S-3", "every place that such a peer may have here is taken"),
        Decision::Settling(_) => {
            ("duplicate", "B-3", "our link lost to another one of this pair, which is about to be live")
        }
        Decision::BackOff(_) => ("back_off", "D-5", "the last attempt failed; see the attempts below"),
        Decision::AwaitDialer(_) => {
            ("await_dialer", "D-3", "the peer has the lower address and is to dial; we knock if it does not")
        }
        Decision::AwaitKnocked(_) => {
            ("await_knocked", "D-4", "we knocked and the peer is to dial; we dial ourselves if it does not")
        }
        Decision::Knock => ("knock", "D-3", "a knock is due"),
        Decision::Dial(_) => ("dial", "D-1", "a dial is due; too many others are under way"),
    };
    (name, rule, text.to_owned())
}

const fn what_next(decision: Decision) -> &'static str {
    match decision {
        Decision::Banned(_) => "the ban ends",
        Decision::Held(_) => "the hold ends",
        Decision::Settling(_) => "the survivor is missed and we try again",
        Decision::BackOff(_) | Decision::Incompatible(_) => "we try again",
        Decision::AwaitDialer(_) => "we knock",
        Decision::AwaitKnocked(_) => "we dial",
        _ => "nothing",
    }
}
