//! Decisions and rules in words.

use crate::event::{Attempt, CloseReason, ClosedBy, Direction, Excessive, Handling, PeerInfo, Why};
use crate::net::absence::Absence;
use crate::net::dialer::{Decision, Side};

/// Nothing is known yet.
pub(super) const UNDECIDED: Why = Why {
    peer: None,
    addr: None,
    masternode: None,
    sought_by: Vec::new(),
    decision: "",
    text: String::new(),
    rule: "",
    rule_text: "",
    since: None,
    ban: None,
    next: None,
    session: None,
    attempts: Vec::new(),
};

/// A decision's stable name, its rule, and its words.
pub(super) struct Words {
    pub(super) decision: &'static str,
    pub(super) rule: &'static str,
    pub(super) text: String,
}

impl Words {
    fn new(decision: &'static str, rule: &'static str, text: impl Into<String>) -> Self {
        Self { decision, rule, text: text.into() }
    }
}

/// Whether the two nodes are apart because the peer is away on purpose.
pub(super) fn away(decision: Decision, absence: Absence) -> Option<Words> {
    let waits = matches!(decision, Decision::BackOff(_) | Decision::AwaitDialer(_));
    let text = "the peer has announced to be away; until it is back, or the time it gave is over, it is tried calmly";
    (waits && absence.is_away()).then(|| Words::new("absent", "L-5", text))
}

/// What the last attempt says where the two nodes are apart because one of them had no place for the other.
pub(super) fn for_want_of_a_place(decision: Decision, last: Option<&Attempt>) -> Option<Words> {
    if !matches!(decision, Decision::BackOff(_) | Decision::AwaitDialer(_) | Decision::Unwanted) {
        return None;
    }
    let (name, rule, text) = match last?.end? {
        (CloseReason::SlotsFull, ClosedBy::Peer) => {
            ("slots_full", "S-3", "the peer is well, but every place that it has for such a node is taken")
        }
        (CloseReason::Displaced, ClosedBy::Peer) => {
            ("displaced", "S-4", "the peer needed this node's place for a masternode or a reserved peer")
        }
        (CloseReason::PoorLink, ClosedBy::Peer) => {
            ("poor_link", "S-6", "the peer replaced the link, which was poor, by another one")
        }
        (CloseReason::SlotsFull, ClosedBy::Us) => {
            ("no_slot", "S-3", "the peer came when every place that such a peer may have here was taken")
        }
        (CloseReason::Displaced, ClosedBy::Us) => {
            ("displaced", "S-4", "the peer's place was needed for a masternode or a reserved peer")
        }
        (CloseReason::PoorLink, ClosedBy::Us) => {
            ("poor_link", "S-6", "the link, which was poor, was replaced by one to another observer")
        }
        _ => return None,
    };
    Some(Words::new(name, rule, text))
}

/// What is done about a peer that sends too much.
fn told(Excessive { class, handling }: Excessive) -> String {
    let done = match handling {
        Handling::Observed => "which is only counted (rule A-1)",
        Handling::Dropped => "and what is too much is dropped (rule A-1)",
        Handling::Slowed => "so its link is read more slowly (rule A-6)",
    };
    format!("; it sends more of the class {:?} than an honest peer does, {done}", class.as_str())
}

/// Whose attempt it was and how it ended.
fn ended(attempt: &Attempt) -> String {
    let ours = attempt.direction == Direction::Outbound;
    let Some((reason, by)) = attempt.end else {
        return if ours { "our last attempt led to a link" } else { "the peer's last attempt led to a link" }
            .to_owned();
    };
    let what = match (by, ours) {
        (ClosedBy::Peer, true) => "the peer ended our last attempt",
        (ClosedBy::Peer, false) => "the peer ended the link that it had dialed",
        (ClosedBy::Us, true) => "this node ended its own last attempt",
        (ClosedBy::Us, false) => "this node ended the peer's last attempt",
        (ClosedBy::Network, true) => "our last attempt failed",
        (ClosedBy::Network, false) => "the peer's last attempt failed",
    };
    format!("{what} ({}): {}", reason.as_str(), reason.describe())
}

fn connected(session: Option<&PeerInfo>) -> String {
    let Some(session) = session else { return "a live session stands".to_owned() };
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
}

/// A decision in words, with the last attempt and how many have failed in a row.
pub(super) fn explain(
    decision: Decision,
    session: Option<&PeerInfo>,
    last: Option<&Attempt>,
    failures: u32,
) -> Words {
    let (name, rule, text) = match decision {
        Decision::Connected => return Words::new("connected", "P-1", connected(session)),
        Decision::InFlight => ("dialing", "D-6", "a dial or a knock of ours is under way"),
        Decision::OwnAddress => ("self", "D-7", "the address is our own"),
        Decision::Banned(_) => ("banned", "A-4", "a ban is in force"),
        Decision::Incompatible(_) => {
            let text = last.map_or_else(|| "network, genesis or version differ".to_owned(), ended);
            return Words::new("incompatible", "H-5", text);
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
        Decision::BackOff(_) => {
            let text = match last {
                None => "not dialed yet: the first dials after a start are spread over a moment".to_owned(),
                Some(last) if failures > 1 => format!("{}; {failures} failures in a row", ended(last)),
                Some(last) => ended(last),
            };
            return Words::new("back_off", "D-5", text);
        }
        Decision::AwaitDialer(_) => {
            ("await_dialer", "D-3", "the peer has the lower address and is to dial; we knock if it does not")
        }
        Decision::AwaitKnocked(_) => {
            ("await_knocked", "D-4", "we knocked and the peer is to dial; we dial ourselves if it does not")
        }
        Decision::Knock => ("knock", "D-3", "a knock is due; too many other dials are under way"),
        Decision::Dial(_) => ("dial", "D-5", "a dial is due; too many others are under way"),
    };
    Words::new(name, rule, text)
}

/// What happens next if nothing changes before: at the end of the decision where it has one.
pub(super) const fn what_next(decision: Decision, side: Option<Side>) -> Option<&'static str> {
    Some(match decision {
        Decision::Connected => match side {
            Some(Side::Dialer) => "nothing while the link stands; if it is lost, we dial",
            Some(Side::Passive) => {
                "nothing while the link stands; if it is lost, the peer dials, or we knock"
            }
            Some(Side::Nobody) | None => "nothing while the link stands",
        },
        Decision::InFlight => "the attempt succeeds, or fails within the dial and handshake time-outs",
        Decision::OwnAddress => return None,
        Decision::Banned(_) => "the ban ends",
        Decision::Held(_) => "the hold ends",
        Decision::Unwanted => "nothing, unless the peer dials or the operator connects it",
        Decision::NotDialable => "nothing, unless the peer dials",
        Decision::NoSlot => "we dial when a place is free",
        Decision::Settling(_) => "the survivor is missed and we try again",
        Decision::BackOff(_) | Decision::Incompatible(_) => "we try again",
        Decision::AwaitDialer(_) => "we knock",
        Decision::AwaitKnocked(_) => "we dial",
        Decision::Knock => "we knock when another dial has ended",
        Decision::Dial(_) => "we dial when another dial has ended",
    })
}

/// A rule of `core/PROTOCOL.md` in a few words.
pub(super) const fn rule(number: &str) -> &'static str {
    match number.as_bytes() {
        b"A-4" => "a banned key or address gets no link",
        b"B-3" => "of two links of a pair one survives, and the other is not dialed again",
        b"D-2" => "a node without an address is never dialed",
        b"D-3" => "the lower address dials; the other end waits, then knocks",
        b"D-4" => "a knock that brings no link is followed by a dial",
        b"D-5" => "one back-off a peer, and a bounded number of dials at a time",
        b"D-6" => "one function of the situation decides about every dial",
        b"D-7" => "a node does not dial itself",
        b"D-8" => "a peer that the operator disconnected is kept apart for a while",
        b"H-5" => "incompatible nodes part, and try again rarely",
        b"L-5" => "a node that has announced to be away is not missed",
        b"P-1" => "one live link a peer",
        b"P-3" => "addresses of others are kept in an address book",
        b"P-8" => "a configured name is asked about until a link to it stands",
        b"S-3" => "every live link needs a place",
        b"S-4" => "a masternode or a reserved peer may take the place of an observer",
        b"S-6" => "a poor link to an observer may be replaced by another",
        _ => "",
    }
}
