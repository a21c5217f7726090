//! Why this node is, or is not, connected to a peer: the decision in force, asked now, in words.

mod words;

use crate::ban::{BanCause, BanTarget};
use crate::event::{Attempt, Next, Reply, SlotClass, Why};
use crate::input::PeerRef;
use crate::net::book::Standing;
use crate::net::dialer::Decision;
use crate::net::pool::Destination;
use crate::node::Node;
use crate::node::requests::Named;
use crate::time::{Now, Wall};
use words::Words;

impl Node {
    /// Answers `Why`: nobody is unknown of whom a ban, the address book or a configured name tells anything.
    pub(super) fn explain(&self, now: Now, peer: &PeerRef) -> Reply {
        let why = match self.named(peer) {
            Named::One(destination) => self.why(now, destination),
            Named::Us => self.why_self(),
            Named::Several => return Reply::AmbiguousPeer,
            Named::Nobody => match self.why_unknown(now, peer) {
                Some(why) => why,
                None => return Reply::UnknownPeer,
            },
        };
        Reply::Why(Box::new(why))
    }

    /// Explains the decision in force about a destination: the gate's own, asked now.
    fn why(&self, now: Now, destination: Destination) -> Why {
        let peer = match destination {
            Destination::Peer(id) => self.pool.get(&id),
            Destination::Addr(_) => None,
        };
        let decision = self.pool.decide(now.mono, destination, &self.bans).unwrap_or(Decision::Unwanted);
        let dialing = self.pool.dialing(destination);
        let attempts: Vec<Attempt> =
            dialing.into_iter().flat_map(|dialing| dialing.attempts()).copied().collect();
        let who = Why {
            peer: peer.map(|peer| peer.id),
            addr: self.pool.addr_of(destination),
            masternode: peer.and_then(|peer| peer.masternode),
            sought_by: self.pool.sought_by(destination).names(),
            attempts,
            ..words::UNDECIDED
        };
        if let Decision::Banned(hold) = decision
            && let Some(why) = self.why_banned(now, &hold.target)
        {
            return Why { peer: who.peer.or(why.peer), ban: why.ban.clone(), ..why.about(who) };
        }
        let session = peer.and_then(|peer| self.peer_info(now, peer, peer.live?.conn));
        let last = who.attempts.first();
        let absence = dialing.map(|dialing| dialing.absence).unwrap_or_default();
        let special = words::away(decision, absence).or_else(|| words::for_want_of_a_place(decision, last));
        let Words { decision: name, rule, mut text } = match special {
            Some(words) => words,
            None => {
                let failures = dialing.map_or(0, |dialing| dialing.backoff.failures());
                words::explain(decision, session.as_ref(), last, failures)
            }
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
        let since = match decision {
            Decision::Connected => session.as_ref().map(|session| session.since),
            Decision::InFlight => None,
            Decision::Held(until) => {
                let left = until.since(now.mono);
                Some(now.wall - self.config.timings.operator_hold.saturating_sub(left))
            }
            // Since there is no link; an address alone never had one.
            _ => peer.map(|peer| peer.changed.wall).or(last.map(|last| last.at)),
        };
        let action = words::what_next(decision, peer.map(|peer| self.pool.side(peer)));
        let next =
            action.map(|action| Next { action, within: decision.until().map(|at| at.since(now.mono)) });
        let since = since.filter(|wall| *wall > Wall(0));
        Why { decision: name, text, rule, rule_text: words::rule(rule), since, next, session, ..who }
    }

    fn why_self(&self) -> Why {
        Why {
            peer: Some(self.identity.node),
            addr: self.identity.advertised,
            masternode: self.config.registry.index_of(&self.identity.node),
            decision: "self",
            text: "this is the node itself: it never dials its own key or address".to_owned(),
            rule: "D-7",
            rule_text: words::rule("D-7"),
            ..words::UNDECIDED
        }
    }

    /// Explains a peer that is not in the table: by the ban on it, by the address book, or by the name that leads
    /// nowhere yet.
    fn why_unknown(&self, now: Now, peer: &PeerRef) -> Option<Why> {
        let target = match peer {
            PeerRef::Id(id) => Some(BanTarget::Key(*id)),
            PeerRef::Addr(addr) => self.bans.on_address(now.mono, addr.ip()).map(|hold| hold.target),
            PeerRef::Ip(ip) => self.bans.on_address(now.mono, *ip).map(|hold| hold.target),
            PeerRef::IdPrefix(prefix) => {
                let bans = self.bans.list(now);
                let mut meant = bans.iter().filter(|ban| {
                    matches!(ban.target, BanTarget::Key(id) if id.to_string().starts_with(prefix.as_str()))
                });
                meant.next().filter(|_| meant.next().is_none()).map(|ban| ban.target)
            }
            PeerRef::Seed(_) => None,
        };
        let banned = target.and_then(|target| self.why_banned(now, &target));
        banned.or_else(|| self.why_named(now, peer)).or_else(|| self.why_in_book(now, peer))
    }

    /// Explains a ban.
    fn why_banned(&self, now: Now, target: &BanTarget) -> Option<Why> {
        let ban = self.bans.get(now, target)?;
        let mut text = match ban.cause {
            BanCause::Operator => format!("the operator has banned {target}"),
            BanCause::Score(offence) => {
                format!("this node has banned {target} ({}): {}", offence.as_str(), offence.describe())
            }
        };
        if let Some(note) = &ban.note {
            text = format!("{text}: {}", note.as_str());
        }
        let next = match ban.until {
            Some(until) => Next { action: "the ban ends", within: Some(until.since(now.wall)) },
            None => Next { action: "the ban ends when the operator lifts it", within: None },
        };
        Some(Why {
            peer: match target {
                BanTarget::Key(id) => Some(*id),
                BanTarget::Net(_) => None,
            },
            decision: "banned",
            text,
            rule: "A-4",
            rule_text: words::rule("A-4"),
            since: Some(ban.since),
            next: Some(next),
            ban: Some(ban),
            ..words::UNDECIDED
        })
    }

    /// Explains a configured name that leads to no peer yet.
    fn why_named(&self, now: Now, peer: &PeerRef) -> Option<Why> {
        let PeerRef::Seed(seed) = peer else { return None };
        let (id, addrs, asked_again) = self.seeds.stands_for(*seed)?;
        let text = match addrs {
            [] => "the name could not be resolved so far".to_owned(),
            addrs => format!("nobody is sought at the {} addresses that the name leads to", addrs.len()),
        };
        let action = "the name service is asked again";
        Some(Why {
            peer: id,
            addr: addrs.first().copied(),
            sought_by: vec!["configured"],
            decision: "unresolved",
            text,
            rule: "P-8",
            rule_text: words::rule("P-8"),
            next: Some(Next { action, within: Some(asked_again.since(now.mono)) }),
            ..words::UNDECIDED
        })
    }

    /// Explains an address of which only the address book knows.
    fn why_in_book(&self, now: Now, peer: &PeerRef) -> Option<Why> {
        let (addr, standing) = self.addresses.meant(now, |id, addr| match peer {
            PeerRef::Id(meant) => id == Some(meant),
            PeerRef::Addr(meant) => addr == meant,
            PeerRef::Ip(ip) => addr.ip() == ip.to_canonical(),
            PeerRef::IdPrefix(prefix) => id.is_some_and(|id| id.to_string().starts_with(prefix.as_str())),
            PeerRef::Seed(_) => false,
        })?;
        let passing = Next { action: "an observer that has few links may choose it", within: None };
        let (peer, text, next) = match standing {
            Standing::Tried(id) => {
                (Some(id), "known from the address book alone: this node reached it before", passing)
            }
            Standing::Heard(id) => {
                (Some(id), "known from the address book alone: another node told of it", passing)
            }
            Standing::LeftAlone(left) => (
                None,
                "the address failed, or led to another node, and is left alone for a while",
                Next { action: "it may be heard of and dialed again", within: Some(left) },
            ),
        };
        Some(Why {
            peer,
            addr: Some(addr),
            decision: "address_book",
            text: text.to_owned(),
            rule: "P-3",
            rule_text: words::rule("P-3"),
            next: Some(next),
            ..words::UNDECIDED
        })
    }
}

impl Why {
    /// The same reasons about somebody of whom more is known.
    fn about(self, who: Self) -> Self {
        let Self { decision, text, rule, rule_text, since, ban, next, .. } = self;
        Self { decision, text, rule, rule_text, since, ban, next, ..who }
    }
}
