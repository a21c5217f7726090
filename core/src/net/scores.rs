//! How ill each peer has behaved lately (rule A-3), as a number that decays. It belongs to an authenticated key:
//! addresses have none, because honest nodes share them (BAN-04).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Offence;
use crate::ids::NodeId;
use crate::limits::{Holding, SCORE_BYTES, holding};
use crate::net::breaker::{Breaker, Suspicion};
use crate::time::Mono;

/// The score at which a peer is banned, or slowed if it is registered or reserved.
pub(crate) const BOUND: u32 = 100;
/// What is left of a score after so long is half of it.
const HALF_LIFE: Duration = Duration::from_secs(10 * 60);
/// Scores are brought up to date in steps of a tenth of a half-life.
const STEP: Duration = Duration::from_secs(HALF_LIFE.as_secs() / 10);
/// What is left after 0 to 9 steps, in 65,536ths: 2^(-n/10).
const LEFT: [u64; 10] = [65_536, 61_147, 57_052, 53_232, 49_667, 46_341, 43_238, 40_342, 37_641, 35_120];
/// Marks a point, so that decay is not lost in rounding.
const POINT: u32 = 1024;
/// How long an automatic ban lasts: the first, the second, and every later one.
const BANS: [Duration; 3] =
    [Duration::from_secs(10 * 60), Duration::from_secs(30 * 60), Duration::from_secs(60 * 60)];
/// A ban is forgotten after so long without another.
const REPEAT: Duration = Duration::from_secs(6 * 60 * 60);

/// No automatic ban is longer.
pub(crate) const LONGEST_BAN: Duration = BANS[2];

/// What an offence counts (rule A-3). Nothing here can be caused by a state of the charging node that is late,
/// ahead or lost, by somebody on the path, or by somebody else's content that passed through the peer.
#[must_use]
pub(crate) const fn weight(offence: Offence) -> u32 {
    match offence {
        // Sent inside the authenticated channel, so it is the peer's own encoder; each costs a link. Four within
        // minutes are no accident of one odd message.
        Offence::Malformed => 25,
        // A payload, or a block, that costs its transfer and its verification for nothing.
        Offence::InvalidBlock => 20,
        // Costs one verification. Whoever forwards has to verify first, so even one is a broken node; a few may
        // come in one burst before it is restarted.
        Offence::BadSignature => 10,
        // Told at most once a second as long as an excess lasts: half a minute of it, never one burst.
        Offence::Flood => 4,
        // Costs no more than its bytes.
        Offence::Unasked => 2,
    }
}

/// What automatic punishment a peer is open to (rule A-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// A registered masternode: never banned automatically, and a witness of our own faults.
    Registered,
    /// A peer that the operator keeps a place for: never banned automatically.
    Reserved,
    /// Anybody else.
    Other,
}

/// What follows from an offence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// Nothing yet.
    None,
    /// The peer is banned for so long, mostly for this.
    Ban(Duration, Offence),
    /// A registered or reserved peer has reached the bound: see [`Scores::pace`].
    Slowed,
    /// So many masternodes seem to break this rule that this node suspects itself; all charges of it are
    /// dropped.
    SelfSuspected(Offence, usize),
}

/// A charge that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// The score now, in points.
    pub(crate) score: u32,
    /// Whether it has passed another quarter, half or whole of the bound.
    pub(crate) passed: Option<Passed>,
    pub(crate) sentence: Sentence,
}

/// A part of the bound that a score has passed on its way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub(crate) enum Passed {
    Quarter,
    Half,
    Whole,
}

/// How the traffic of a peer is handled (rule A-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Pace {
    /// As everybody's.
    Free,
    /// A registered or reserved peer at the bound: it is read more slowly, never cut off.
    Slowed,
}

/// What is known of one key.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Record {
    /// For each offence, in parts of a point, as of `at`.
    marks: [u32; Offence::ALL.len()],
    at: Mono,
    passed: Option<Passed>,
    bans: u32,
    last_ban: Mono,
}

impl Record {
    const fn new(now: Mono) -> Self {
        Self { marks: [0; Offence::ALL.len()], at: now, passed: None, bans: 0, last_ban: now }
    }

    /// Lets whole steps of time take their share.
    fn decay(&mut self, now: Mono) {
        let steps = now.since(self.at).as_nanos() / STEP.as_nanos();
        let Ok(steps) = u32::try_from(steps) else {
            (self.marks, self.at) = ([0; Offence::ALL.len()], now);
            return;
        };
        if steps == 0 {
            return;
        }
        for mark in &mut self.marks {
            *mark = decayed(*mark, steps);
        }
        self.at = self.at + STEP * steps;
        self.passed = self.passed.min(passed(self.points()));
    }

    fn points(&self) -> u32 {
        self.marks.iter().fold(0u32, |sum, mark| sum.saturating_add(*mark)) / POINT
    }

    fn heaviest(&self) -> Option<Offence> {
        let each = Offence::ALL.iter().zip(&self.marks);
        each.max_by_key(|(_, mark)| **mark).map(|(offence, _)| *offence)
    }

    /// Bans that still count.
    fn repeats(&self, now: Mono) -> u32 {
        let forgotten = now.since(self.last_ban).as_secs() / REPEAT.as_secs();
        self.bans.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    /// What makes it worth remembering.
    fn worth(&self, now: Mono) -> (u32, u32) {
        let mut record = *self;
        record.decay(now);
        (record.repeats(now), record.points())
    }
}

/// What so many steps leave of a mark.
fn decayed(mark: u32, steps: u32) -> u32 {
    let halved = u64::from(mark.checked_shr(steps / 10).unwrap_or(0));
    let left = usize::try_from(steps % 10).ok().and_then(|rest| LEFT.get(rest)).copied().unwrap_or(0);
    u32::try_from(halved * left / 65_536).unwrap_or(u32::MAX)
}

const fn passed(points: u32) -> Option<Passed> {
    if points >= BOUND {
        Some(Passed::Whole)
    } else if points >= BOUND / 2 {
        Some(Passed::Half)
    } else if points >= BOUND / 4 {
        Some(Passed::Quarter)
    } else {
        None
    }
}

/// Scores of authenticated keys: so many at most, the least worth remembering gives way.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Scores {
    records: BTreeMap<NodeId, Record>,
    bound: usize,
    breaker: Breaker,
}

impl Scores {
    pub(crate) fn new(bound: usize) -> Self {
        Self { records: BTreeMap::new(), bound, breaker: Breaker::default() }
    }

    pub(crate) fn holdings(&self) -> [Holding; 2] {
        [holding("scores", self.records.len(), self.bound), self.breaker.holding()]
    }

    /// A peer broke a rule. `others` masternodes are registered beside this node. `None` if this node suspects
    /// itself of misjudging that rule: then nobody is charged.
    pub(crate) fn charge(
        &mut self,
        now: Mono,
        id: NodeId,
        offence: Offence,
        rank: Rank,
        others: usize,
    ) -> Option<Charge> {
        if self.breaker.is_truce(now, offence) {
            return None;
        }
        self.make_room(now, &id);
        let record = self.records.entry(id).or_insert_with(|| Record::new(now));
        record.decay(now);
        // No more than twice the bound, so that a slowed peer is free again soon after it has stopped.
        if record.points() < 2 * BOUND
            && let Some(mark) = record.marks.get_mut(offence.index())
        {
            *mark = mark.saturating_add(weight(offence) * POINT);
        }
        let score = record.points();
        let now_passed = passed(score);
        let news = if now_passed > record.passed { now_passed } else { None };
        record.passed = record.passed.max(now_passed);
        let mut sentence = Sentence::None;
        if score >= BOUND {
            let chiefly = record.heaviest().unwrap_or(offence);
            sentence = match rank {
                Rank::Reserved => Sentence::Slowed,
                Rank::Registered => match self.breaker.reached(now, chiefly, id, others) {
                    Suspicion::Of(_) => Sentence::Slowed,
                    Suspicion::OfSelf(peers) => {
                        self.forgive(chiefly);
                        Sentence::SelfSuspected(chiefly, peers)
                    }
                },
                Rank::Other => {
                    let before = record.repeats(now);
                    let last = BANS.len() - 1;
                    let length = BANS.get((before as usize).min(last)).copied().unwrap_or(LONGEST_BAN);
                    *record = Record { bans: before + 1, last_ban: now, ..Record::new(now) };
                    Sentence::Ban(length, chiefly)
                }
            };
        }
        Some(Charge { score, passed: news, sentence })
    }

    /// How a peer that is registered or reserved is to be handled.
    pub(crate) fn pace(&self, now: Mono, id: &NodeId) -> Pace {
        match self.score(now, id) {
            score if score >= BOUND => Pace::Slowed,
            _ => Pace::Free,
        }
    }

    /// A peer's score, in points.
    pub(crate) fn score(&self, now: Mono, id: &NodeId) -> u32 {
        self.records.get(id).map_or(0, |record| record.worth(now).1)
    }

    /// The operator has pardoned a peer.
    pub(crate) fn forget(&mut self, id: &NodeId) {
        self.records.remove(id);
    }

    /// Nobody is to blame for this offence.
    fn forgive(&mut self, offence: Offence) {
        for record in self.records.values_mut() {
            if let Some(mark) = record.marks.get_mut(offence.index()) {
                *mark = 0;
            }
            record.passed = record.passed.min(passed(record.points()));
        }
    }

    fn make_room(&mut self, now: Mono, id: &NodeId) {
        if self.records.len() < self.bound || self.records.contains_key(id) {
            return;
        }
        let least = self.records.iter().min_by_key(|(_, record)| record.worth(now)).map(|(id, _)| *id);
        if let Some(least) = least {
            self.records.remove(&least);
        }
    }
}

/// The nodes of a tree are half empty at worst.
const _: () = assert!(2 * size_of::<(NodeId, Record)>() <= SCORE_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Mono = Mono(1_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn peer(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    fn charge(scores: &mut Scores, now: Mono, id: NodeId, offence: Offence, rank: Rank) -> Charge {
        scores.charge(now, id, offence, rank, 13).unwrap()
    }

    /// Charges until something follows; answers how many it took and what followed.
    fn until_punished(scores: &mut Scores, now: Mono, offence: Offence, rank: Rank) -> (u32, Sentence) {
        (1..1_000)
            .map(|count| (count, charge(scores, now, peer(1), offence, rank).sentence))
            .find(|(_, sentence)| *sentence != Sentence::None)
            .unwrap()
    }

    #[test]
    fn each_offence_reaches_the_bound_after_its_number_of_times() {
        for (offence, times) in [
            (Offence::Malformed, 4),
            (Offence::InvalidBlock, 5),
            (Offence::BadSignature, 10),
            (Offence::Flood, 25),
            (Offence::Unasked, 50),
        ] {
            let ban = Sentence::Ban(BANS[0], offence);
            assert_eq!(until_punished(&mut Scores::new(9), T0, offence, Rank::Other), (times, ban));
        }
    }

    #[test]
    fn ban_05b_a_flood_is_banned_within_half_a_minute_and_bursts_at_slot_edges_never_are() {
        let mut scores = Scores::new(9);
        let banned = (0..600u32).find(|second| {
            let now = T0 + SECOND * *second;
            charge(&mut scores, now, peer(1), Offence::Flood, Rank::Other).sentence != Sentence::None
        });
        assert!(banned.is_some_and(|second| second <= 30), "{banned:?}");
        // A second of excess at the edge of every tenth slot of ten seconds, for a day.
        let mut worst = 0;
        for slot in (0..8_640u32).step_by(10) {
            let now = T0 + SECOND * 10 * slot;
            let charge = charge(&mut scores, now, peer(2), Offence::Flood, Rank::Other);
            assert_eq!(charge.sentence, Sentence::None);
            worst = worst.max(charge.score);
        }
        assert!(worst < BOUND / 2, "{worst}");
    }

    #[test]
    fn ban_05b_scores_halve_every_ten_minutes_however_often_they_are_looked_at() {
        let mut scores = Scores::new(9);
        for _ in 0..8 {
            charge(&mut scores, T0, peer(1), Offence::BadSignature, Rank::Other);
        }
        assert_eq!(scores.score(T0, &peer(1)), 80);
        assert_eq!(scores.score(T0 + HALF_LIFE, &peer(1)), 40);
        assert_eq!(scores.score(T0 + HALF_LIFE * 2, &peer(1)), 20);
        assert_eq!(scores.score(T0 + HALF_LIFE / 2, &peer(1)), 56);
        assert_eq!(scores.score(T0 + HALF_LIFE * 40, &peer(1)), 0);
        // In small steps that are no multiple of its own.
        let mut record = *scores.records.get(&peer(1)).unwrap();
        for millis in (0..=1_200_000).step_by(7_001) {
            record.decay(T0 + Duration::from_millis(millis));
        }
        assert!((19..=21).contains(&record.points()), "{}", record.points());
    }

    #[test]
    fn ban_05a_bans_grow_with_repeats_to_an_hour_and_repeats_are_forgotten() {
        let mut scores = Scores::new(9);
        let mut now = T0;
        let mut lengths = Vec::new();
        for _ in 0..5 {
            let (_, sentence) = until_punished(&mut scores, now, Offence::Malformed, Rank::Other);
            let Sentence::Ban(length, _) = sentence else { panic!("{sentence:?}") };
            lengths.push(length.as_secs() / 60);
            now = now + length;
        }
        assert_eq!(lengths, [10, 30, 60, 60, 60]);
        now = now + REPEAT * 5;
        let (_, sentence) = until_punished(&mut scores, now, Offence::Malformed, Rank::Other);
        assert_eq!(sentence, Sentence::Ban(BANS[0], Offence::Malformed));
    }

    #[test]
    fn a_3_a_quarter_a_half_and_the_whole_are_told_once() {
        let mut scores = Scores::new(9);
        let told: Vec<_> = (0..10)
            .filter_map(|_| charge(&mut scores, T0, peer(1), Offence::BadSignature, Rank::Reserved).passed)
            .collect();
        assert_eq!(told, [Passed::Quarter, Passed::Half, Passed::Whole]);
        let later = T0 + HALF_LIFE;
        assert_eq!(charge(&mut scores, later, peer(1), Offence::BadSignature, Rank::Reserved).passed, None);
        let again = charge(&mut scores, T0 + HALF_LIFE * 9, peer(1), Offence::Malformed, Rank::Reserved);
        assert_eq!(again.passed, Some(Passed::Quarter));
    }

    #[test]
    fn a_6_registered_and_reserved_peers_are_slowed_and_free_again_soon_after() {
        for rank in [Rank::Registered, Rank::Reserved] {
            let mut scores = Scores::new(9);
            for _ in 0..1_000 {
                let sentence = charge(&mut scores, T0, peer(1), Offence::Flood, rank).sentence;
                assert!(matches!(sentence, Sentence::None | Sentence::Slowed), "{sentence:?}");
            }
            assert_eq!(scores.pace(T0, &peer(1)), Pace::Slowed);
            assert_eq!(scores.pace(T0 + HALF_LIFE + STEP, &peer(1)), Pace::Free);
        }
    }

    #[test]
    fn a_5_when_many_masternodes_break_the_same_rule_nobody_is_charged_with_it() {
        let mut scores = Scores::new(99);
        for _ in 0..9 {
            charge(&mut scores, T0, peer(99), Offence::BadSignature, Rank::Other);
        }
        let mut suspected = None;
        for number in 1..=13 {
            for _ in 0..10 {
                let charge = scores.charge(T0, peer(number), Offence::BadSignature, Rank::Registered, 13);
                if let Some(Charge { sentence: Sentence::SelfSuspected(offence, peers), .. }) = charge {
                    assert_eq!(suspected.replace((offence, peers, number)), None, "told twice");
                }
            }
        }
        assert_eq!(suspected, Some((Offence::BadSignature, 5, 5)));
        assert_eq!(scores.score(T0, &peer(99)), 0, "what others were charged with is dropped, too");
        assert_eq!(scores.charge(T0, peer(99), Offence::BadSignature, Rank::Other, 13), None);
        assert!(scores.charge(T0, peer(99), Offence::Malformed, Rank::Other, 13).is_some());
    }

    #[test]
    fn the_table_is_bounded_and_the_least_gives_way() {
        let mut scores = Scores::new(3);
        until_punished(&mut scores, T0, Offence::Malformed, Rank::Other);
        charge(&mut scores, T0, peer(2), Offence::InvalidBlock, Rank::Other);
        charge(&mut scores, T0, peer(3), Offence::Unasked, Rank::Other);
        charge(&mut scores, T0, peer(4), Offence::BadSignature, Rank::Other);
        let kept: Vec<NodeId> = scores.records.keys().copied().collect();
        assert_eq!(kept, [peer(1), peer(2), peer(4)], "a ban is remembered, the smallest score is not");
    }
}
