//! When a peer is asked for addresses, and when it is told some: the schedules of rule P-4.

use std::time::Duration;

use crate::ids::ConnId;
use crate::rng::Rng;
use crate::time::Mono;

/// The first question falls within this time after a link became live.
const FIRST_ASKED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1500));
/// Between two questions to one peer; ± 25 %.
const ASKED_EVERY: Duration = Duration::from_secs(600);
/// The same while this node seeks links: a little above [`TOLD_EVERY`].
const ASKED_OFTEN: Duration = Duration::from_secs(180);
/// A peer is answered at most once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(120);

/// What has passed between this node and one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Exchange {
    /// When to ask, if addresses are of use then.
    pub(crate) ask_at: Mono,
    /// The link on which a question of ours waits for its answer.
    open: Option<ConnId>,
    told_at: Option<Mono>,
}

/// What addresses are of use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// For links now.
    Links,
    /// For a book that is worth its name.
    Book,
}

/// Whether a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is.
    Due,
    /// It comes too soon after the last.
    TooSoon,
}

impl Exchange {
    /// A link to the peer became live.
    pub(crate) fn link_up(&mut self, now: Mono, rng: &mut Rng) {
        self.ask_at = now + rng.between(FIRST_ASKED.0, FIRST_ASKED.1);
        self.open = None;
    }

    /// The peer is asked now.
    pub(crate) fn ask(&mut self, now: Mono, conn: ConnId, purpose: Use, rng: &mut Rng) {
        let again = match purpose {
            Use::Links => ASKED_OFTEN,
            Use::Book => ASKED_EVERY,
        };
        self.ask_at = now + rng.jitter(again, 25);
        self.open = Some(conn);
    }

    /// Whether addresses that come on this link answer a question.
    pub(crate) fn awaits(&self, conn: ConnId) -> bool {
        self.open == Some(conn)
    }

    /// The question was answered: there is no second answer.
    pub(crate) const fn answered(&mut self) {
        self.open = None;
    }

    /// The peer asks. Links that come and go change nothing about its turn.
    pub(crate) fn asked(&mut self, now: Mono) -> Turn {
        if self.told_at.is_some_and(|at| now.since(at) < TOLD_EVERY) {
            return Turn::TooSoon;
        }
        self.told_at = Some(now);
        Turn::Due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConnSlab;

    #[test]
    fn each_question_has_one_answer_on_its_own_link() {
        let mut slab = ConnSlab::new();
        let (first, second) = (slab.insert_with(|_| ()), slab.insert_with(|_| ()));
        let mut rng = Rng::new([1; 32]);
        let mut exchange = Exchange::default();
        exchange.link_up(Mono(0), &mut rng);
        assert!(!exchange.awaits(first));
        let first_ask = exchange.ask_at;
        assert!((Mono(0) + FIRST_ASKED.0..=Mono(0) + FIRST_ASKED.1).contains(&first_ask));
        exchange.ask(first_ask, first, Use::Links, &mut rng);
        assert!(exchange.ask_at.since(first_ask) >= TOLD_EVERY, "an honest peer is never out of its turn");
        exchange.ask(first_ask, first, Use::Book, &mut rng);
        assert!(exchange.ask_at.since(first_ask) >= ASKED_EVERY * 3 / 4);
        assert!(exchange.awaits(first) && !exchange.awaits(second));
        exchange.answered();
        assert!(!exchange.awaits(first));
        exchange.ask(first_ask, first, Use::Book, &mut rng);
        exchange.link_up(first_ask, &mut rng);
        assert!(!exchange.awaits(first), "what was asked on an earlier link is void");
    }

    #[test]
    fn a_peer_has_its_turn_every_two_minutes_however_often_it_comes() {
        let mut exchange = Exchange::default();
        let at = |secs| Mono(0) + Duration::from_secs(secs);
        assert_eq!(exchange.asked(at(5)), Turn::Due);
        exchange.link_up(at(6), &mut Rng::new([1; 32]));
        assert_eq!((exchange.asked(at(6)), exchange.asked(at(124))), (Turn::TooSoon, Turn::TooSoon));
        assert_eq!(exchange.asked(at(125)), Turn::Due);
    }
}
