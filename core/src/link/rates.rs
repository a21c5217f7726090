//! How fast a peer sends of its own accord (rules ): a token bucket for each class of traffic of a link,
//! in integers. The rates, and what follows from an excess, are decided above, in `node/rates`.

use std::time::Duration;

use crate::event::{Enforce, RateUnit, TrafficClass};
use crate::limits::FRAME_COST;
use crate::time::Mono;
use crate::wire::frame::FrameKind;
use crate::wire::message::Kind;

/// Parts of a unit in which a bucket counts: then a nanosecond gives back as many parts as a second gives units.
const PARTS: u64 = 1_000_000_000;
/// A bucket holds no more units than this, so that its parts fit into 64 bits with room to spare.
const MOST: u64 = u64::MAX / PARTS / 4;
/// What is charged beyond a bucket's capacity is never more than so many seconds give back.
const LONGEST_DEBT: u64 = 10;
/// A peer that is slowed goes on when so large a part of what the bucket holds is free again.
const ROOM_TO_GO_ON: u64 = 16;
/// An excess lasts when it was there for so long, in the sum of late: each second without one takes one away.
const LASTING: Duration = Duration::from_secs(10);
/// An excess is counted towards that once in so long.
const COUNTED_EVERY: Duration = Duration::from_secs(1);
/// An excess is of interest for so long.
const RECENT: Duration = Duration::from_secs(10);

/// What a class of traffic may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Rate {
    /// At once, in units.
    pub(crate) capacity: u64,
    /// In each second from then on, in units; at least 1.
    pub(crate) per_second: u64,
}

/// A class's rate, and whether it is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Row {
    pub(crate) rate: Rate,
    pub(crate) enforce: Enforce,
}

/// The rates of all classes, in their order.
pub(crate) type Rows = [Row; TrafficClass::ALL.len()];

/// What something is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Toll {
    /// Its class, and how much of it in the class's units; none for what only the total knows.
    pub(crate) class: Option<(TrafficClass, u64)>,
    /// Bytes of the total.
    pub(crate) bytes: u64,
}

impl Toll {
    /// So many messages of a class, with so many bytes in all.
    pub(crate) const fn messages(class: TrafficClass, count: u64, bytes: u64) -> Self {
        Self { class: Some((class, count)), bytes }
    }

    /// So many bytes of a class.
    pub(crate) const fn bytes(class: TrafficClass, bytes: u64) -> Self {
        Self { class: Some((class, bytes)), bytes }
    }

    /// So many bytes of no class.
    pub(crate) const fn total(bytes: u64) -> Self {
        Self { class: None, bytes }
    }

    /// What a frame on a live link is charged, before anything of it is decoded; none if it is free. `pinged` tells
    /// whether a ping of ours waits for its pong: that answer is free (BAN-01d).
    pub(crate) fn of(kind: FrameKind, body: usize, pinged: Pinged) -> Option<Self> {
        let bytes = frame_cost(body);
        let class = match kind {
            // One of each at most, and the link ends with it.
            FrameKind::Known(Kind::Hello | Kind::HelloAck | Kind::Goodbye) => return None,
            FrameKind::Known(Kind::Pong) if pinged == Pinged::Waiting => return None,
            // Answers, but for those that nobody asked for: what was asked for is given back when it is asked.
            FrameKind::Known(Kind::BlockPart | Kind::BlocksEnd | Kind::Peers) => {
                return Some(Self::total(bytes));
            }
            FrameKind::Known(Kind::Ping | Kind::Pong | Kind::Absence) => TrafficClass::Liveness,
            FrameKind::Known(Kind::Heartbeat) => TrafficClass::Heartbeat,
            FrameKind::Known(
                Kind::Proposal | Kind::Vote | Kind::Polka | Kind::Commit | Kind::Held | Kind::Tip,
            ) => TrafficClass::Consensus,
            FrameKind::Known(Kind::GetPayload) => TrafficClass::PayloadRequest,
            FrameKind::Known(Kind::Chunk) => TrafficClass::Payload,
            FrameKind::Known(Kind::GetBlocks) => TrafficClass::BlockRequest,
            FrameKind::Known(Kind::Transaction) => TrafficClass::Transaction,
            FrameKind::Known(Kind::TransactionOffer | Kind::TransactionWant) => {
                TrafficClass::TransactionOffer
            }
            FrameKind::Known(Kind::GetPeers) => TrafficClass::Addresses,
            FrameKind::Known(Kind::Datagram) => TrafficClass::Datagram,
            FrameKind::Unknown(_) => TrafficClass::Unknown,
        };
        Some(match class.unit() {
            RateUnit::Messages => Self::messages(class, 1, bytes),
            RateUnit::Bytes => Self::bytes(class, bytes),
        })
    }
}

/// Whether a ping of ours waits for its pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pinged {
    Waiting,
    No,
}

/// Bytes that a frame counts where bytes are counted: small ones cost time, too.
pub(crate) fn frame_cost(body: usize) -> u64 {
    u64::try_from(body.saturating_add(FRAME_COST)).unwrap_or(u64::MAX)
}

/// How much of a rate is used, in parts of a unit, as of when the meter was settled.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Bucket {
    used: u64,
}

impl Bucket {
    /// Gives back what so many nanoseconds give back.
    fn settle(&mut self, passed: u64, rate: Rate) {
        self.used = self.used.saturating_sub(passed.saturating_mul(rate.per_second));
    }

    fn has_room(self, amount: u64, rate: Rate) -> bool {
        self.used.saturating_add(parts(amount)) <= parts(rate.capacity)
    }

    fn charge(&mut self, amount: u64, rate: Rate) {
        let most = parts(rate.capacity).saturating_add(parts(rate.per_second.saturating_mul(LONGEST_DEBT)));
        self.used = self.used.saturating_add(parts(amount)).min(most);
    }

    /// How long until there is room to go on.
    fn wait(self, rate: Rate) -> Duration {
        let enough = parts(rate.capacity - rate.capacity / ROOM_TO_GO_ON);
        Duration::from_nanos(self.used.saturating_sub(enough).div_ceil(rate.per_second.max(1)))
    }
}

fn parts(units: u64) -> u64 {
    units.min(MOST) * PARTS
}

/// More than a class may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    /// The class whose bucket is empty.
    pub(crate) class: TrafficClass,
    /// Whether it is news: nothing of it since the bucket was half full.
    pub(crate) news: News,
}

/// Whether an excess continues another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum News {
    First,
    Further,
}

/// What a toll has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Passage {
    /// It is paid.
    Free,
    /// It is too much for a rate that is only observed.
    Observed(Excess),
    /// It is too much. Nothing was charged.
    Over(Excess),
}

/// What one live link has used of all rates.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Meter {
    buckets: [Bucket; TrafficClass::ALL.len()],
    /// As of when.
    settled: Mono,
    /// Classes whose excess was told, a bit each.
    told: u16,
    newest: Option<(TrafficClass, Mono)>,
    /// Until when the excess of late would have to stay away to be forgotten, and when it was counted last.
    lasting: Option<(Mono, Mono)>,
}

impl Meter {
    /// Of a link that is live from now on.
    pub(crate) fn new(now: Mono) -> Self {
        Self {
            buckets: [Bucket::default(); TrafficClass::ALL.len()],
            settled: now,
            told: 0,
            newest: None,
            lasting: None,
        }
    }

    /// Charges what has come, if there is room for it.
    pub(crate) fn pay(&mut self, now: Mono, rows: &Rows, toll: Toll) -> Passage {
        self.settle(now, rows);
        let mut passage = Passage::Free;
        let shares = toll.class.into_iter().chain([(TrafficClass::Total, toll.bytes)]);
        for (class, amount) in shares.clone() {
            let Some((row, bucket)) = self.row(rows, class) else { continue };
            let (half_full, has_room) =
                (bucket.used <= parts(row.rate.capacity) / 2, bucket.has_room(amount, row.rate));
            if half_full {
                self.told &= !bit(class);
            }
            if !has_room {
                let excess = self.exceeded(now, class);
                match row.enforce {
                    Enforce::On => return Passage::Over(excess),
                    Enforce::Observe => passage = Passage::Observed(excess),
                }
            }
        }
        for (class, amount) in shares {
            if let Some((row, bucket)) = self.row(rows, class).filter(|(row, b)| b.has_room(amount, row.rate))
            {
                bucket.charge(amount, row.rate);
            }
        }
        passage
    }

    /// Charges what has come although there is no room for it: it was not dropped, or has cost more than it seemed.
    pub(crate) fn owe(&mut self, rows: &Rows, toll: Toll) {
        for (class, amount) in toll.class.into_iter().chain([(TrafficClass::Total, toll.bytes)]) {
            if let Some((row, bucket)) = self.row(rows, class) {
                bucket.charge(amount, row.rate);
            }
        }
    }

    /// Gives back what an answer to our own request was, or will be, charged (rule A-2).
    pub(crate) fn give_back(&mut self, toll: Toll) {
        for (class, amount) in toll.class.into_iter().chain([(TrafficClass::Total, toll.bytes)]) {
            if let Some(bucket) = self.buckets.get_mut(class.index()) {
                bucket.used = bucket.used.saturating_sub(parts(amount));
            }
        }
    }

    /// Whatever was used is given back.
    pub(crate) fn forgive(&mut self) {
        for bucket in &mut self.buckets {
            bucket.used = 0;
        }
    }

    /// How long a peer that is slowed is not to be read: until every rate that is enforced has room again.
    pub(crate) fn wait(&mut self, now: Mono, rows: &Rows) -> Duration {
        self.settle(now, rows);
        let enforced = rows.iter().zip(&self.buckets).filter(|(row, _)| row.enforce == Enforce::On);
        enforced.map(|(row, bucket)| bucket.wait(row.rate)).max().unwrap_or_default()
    }

    /// Lets the time that has passed give back what it gives back, of every class: one reading of the clock for all
    /// is a good part of what a link holds.
    fn settle(&mut self, now: Mono, rows: &Rows) {
        let passed = u64::try_from(now.since(self.settled).as_nanos()).unwrap_or(u64::MAX);
        if passed == 0 {
            // What comes in one piece is charged at one time.
            return;
        }
        for (row, bucket) in rows.iter().zip(&mut self.buckets) {
            bucket.settle(passed, row.rate);
        }
        self.settled = self.settled.max(now);
    }

    /// An excess was dropped. Tells, once a second, whether that has lasted.
    pub(crate) fn has_lasted(&mut self, now: Mono) -> bool {
        let (until, counted) = self.lasting.unwrap_or((now, Mono(0)));
        if counted > Mono(0) && now.since(counted) < COUNTED_EVERY {
            return false;
        }
        // It grows by two seconds a second, of which one has passed: what comes every other second leaves nothing.
        let until = until.max(now) + 2 * COUNTED_EVERY;
        let until = until.min(now + LASTING + 2 * COUNTED_EVERY);
        self.lasting = Some((until, now));
        until.since(now) > LASTING
    }

    /// The class that was exceeded last, if that is not long ago.
    pub(crate) fn recent(&self, now: Mono) -> Option<TrafficClass> {
        self.newest.filter(|(_, at)| now.since(*at) <= RECENT).map(|(class, _)| class)
    }

    fn exceeded(&mut self, now: Mono, class: TrafficClass) -> Excess {
        let news = if self.told & bit(class) == 0 { News::First } else { News::Further };
        self.told |= bit(class);
        self.newest = Some((class, now));
        Excess { class, news }
    }

    fn row<'a>(&'a mut self, rows: &Rows, class: TrafficClass) -> Option<(Row, &'a mut Bucket)> {
        rows.get(class.index()).copied().zip(self.buckets.get_mut(class.index()))
    }
}

fn bit(class: TrafficClass) -> u16 {
    1u16.checked_shl(u32::try_from(class.index()).unwrap_or(u32::MAX)).unwrap_or(0)
}

const _: () = assert!(TrafficClass::ALL.len() <= 16);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Mono {
        Mono(1_000_000_000 + millis * 1_000_000)
    }

    /// Every class the same, but the total, which has room for all.
    fn rows(capacity: u64, per_second: u64, enforce: Enforce) -> Rows {
        let mut rows = [Row { rate: Rate { capacity, per_second }, enforce }; TrafficClass::ALL.len()];
        rows[TrafficClass::Total.index()].rate = Rate { capacity: MOST, per_second: MOST };
        rows
    }

    fn known(kind: Kind) -> FrameKind {
        FrameKind::Known(kind)
    }

    fn vote() -> Toll {
        Toll::of(known(Kind::Vote), 150, Pinged::No).unwrap()
    }

    fn paid(meter: &mut Meter, now: Mono, rows: &Rows, toll: Toll) -> bool {
        meter.pay(now, rows, toll) == Passage::Free
    }

    #[test]
    fn a_1_a_bucket_lets_its_capacity_pass_at_once_and_its_rate_from_then_on() {
        let rows = rows(10, 4, Enforce::On);
        let mut meter = Meter::new(at(0));
        let passed = |meter: &mut Meter, now| (0..100).filter(|_| paid(meter, now, &rows, vote())).count();
        assert_eq!(passed(&mut meter, at(0)), 10);
        assert_eq!(passed(&mut meter, at(249)), 0);
        assert_eq!(passed(&mut meter, at(250)), 1);
        assert_eq!(passed(&mut meter, at(1_250)), 4);
        assert_eq!(passed(&mut meter, at(3_600_000)), 10, "no more than its capacity is saved");
    }

    proptest! {
        /// Whatever the times and amounts: no more passes in any span than the capacity and what the span gives.
        #[test]
        fn a_1_no_pattern_gets_more_through_than_the_rate(
            steps in proptest::collection::vec((0u64..2_000_000_000, 1u64..2_000), 1..200),
            capacity in 2_000u64..100_000,
            per_second in 1u64..10_000_000,
        ) {
            let rate = Rate { capacity, per_second };
            let mut bucket = Bucket::default();
            let (mut now, mut through) = (Mono(0), 0u128);
            for (step, amount) in steps {
                now = now + Duration::from_nanos(step);
                bucket.settle(step, rate);
                if bucket.has_room(amount, rate) {
                    bucket.charge(amount, rate);
                    through += u128::from(amount);
                }
                let most = u128::from(capacity) + u128::from(now.0) * u128::from(per_second) / u128::from(PARTS);
                prop_assert!(through <= most + 1);
            }
        }
    }

    #[test]
    fn a_1_one_class_does_not_use_up_another_and_the_total_knows_all() {
        let mut rows = rows(10, 1, Enforce::On);
        let mut meter = Meter::new(at(0));
        for _ in 0..20 {
            let _ = meter.pay(at(0), &rows, vote());
        }
        let ping = Toll::of(known(Kind::Ping), 8, Pinged::No).unwrap();
        assert!(!paid(&mut meter, at(0), &rows, vote()) && paid(&mut meter, at(0), &rows, ping));
        rows[TrafficClass::Total.index()].rate = Rate { capacity: 1_000, per_second: 1 };
        let mut meter = Meter::new(at(0));
        let part = Toll::of(known(Kind::BlockPart), 500, Pinged::No).unwrap();
        assert!(paid(&mut meter, at(0), &rows, part));
        let Passage::Over(excess) = meter.pay(at(0), &rows, part) else { panic!("too much") };
        assert_eq!(excess, Excess { class: TrafficClass::Total, news: News::First });
    }

    #[test]
    fn ban_01d_a_pong_is_free_while_a_ping_waits_for_it_and_charged_otherwise() {
        assert_eq!(Toll::of(known(Kind::Pong), 8, Pinged::Waiting), None);
        let unasked = Toll::of(known(Kind::Pong), 8, Pinged::No).and_then(|toll| toll.class);
        assert_eq!(unasked, Some((TrafficClass::Liveness, 1)));
        assert!(Toll::of(known(Kind::Ping), 8, Pinged::Waiting).is_some());
    }

    #[test]
    fn a_2_what_ends_a_link_is_free_and_answers_have_no_class_of_their_own() {
        for kind in [Kind::Hello, Kind::HelloAck, Kind::Goodbye] {
            assert_eq!(Toll::of(known(kind), 64, Pinged::No), None);
        }
        for kind in [Kind::BlockPart, Kind::BlocksEnd] {
            assert_eq!(Toll::of(known(kind), 64, Pinged::No).unwrap().class, None);
        }
        let unknown = Toll::of(FrameKind::Unknown(999), 1_000, Pinged::No).unwrap();
        assert_eq!(unknown.class, Some((TrafficClass::Unknown, frame_cost(1_000))));
    }

    #[test]
    fn a_2_what_is_given_back_can_be_used_again() {
        let rows = rows(10, 1, Enforce::On);
        let mut meter = Meter::new(at(0));
        for _ in 0..5 {
            assert!((0..10).all(|_| paid(&mut meter, at(0), &rows, vote())));
            assert!(!paid(&mut meter, at(0), &rows, vote()));
            meter.give_back(Toll::messages(TrafficClass::Consensus, 10, 10 * frame_cost(150)));
        }
    }

    #[test]
    fn a_1_an_excess_is_news_once_until_the_bucket_was_half_full() {
        let rows = rows(10, 1, Enforce::On);
        let mut meter = Meter::new(at(0));
        let mut news = Vec::new();
        for second in 0..40u64 {
            // Twice the rate for twenty seconds, then silence for ten, then twice the rate again.
            let calm = (20..30).contains(&second);
            for _ in 0..if calm { 0 } else { 2 } {
                if let Passage::Over(excess) = meter.pay(at(second * 1_000), &rows, vote()) {
                    news.push(excess.news);
                }
            }
        }
        assert_eq!(news.iter().filter(|news| **news == News::First).count(), 2);
        assert!(news.len() > 10);
    }

    #[test]
    fn a_1_observed_rates_let_everything_pass_and_recover_like_enforced_ones() {
        let rows = rows(10, 1, Enforce::Observe);
        let mut meter = Meter::new(at(0));
        let observed =
            (0..100).filter(|_| matches!(meter.pay(at(0), &rows, vote()), Passage::Observed(_))).count();
        assert_eq!(observed, 90);
        assert!(paid(&mut meter, at(1_000), &rows, vote()));
        assert_eq!(meter.wait(at(1_000), &rows), Duration::ZERO, "nobody is slowed for it");
    }

    #[test]
    fn a_6_what_is_owed_is_waited_for_within_bounds() {
        let rows = rows(100, 10, Enforce::On);
        let mut meter = Meter::new(at(0));
        assert_eq!(meter.wait(at(0), &rows), Duration::ZERO);
        for _ in 0..130 {
            meter.owe(&rows, vote());
        }
        // 30 beyond the capacity, and a sixteenth of that to go on with: 6.
        assert_eq!(meter.wait(at(0), &rows), Duration::from_millis(3_600));
        assert_eq!(meter.wait(at(3_600), &rows), Duration::ZERO);
        for _ in 0..1_000_000 {
            meter.owe(&rows, vote());
        }
        assert!(meter.wait(at(3_600), &rows) <= SECOND * 11, "no debt takes longer than that");
    }

    #[test]
    fn ban_05b_an_excess_that_lasts_is_told_each_second_and_bursts_never() {
        // A hundred dropped a second for a minute.
        let mut meter = Meter::new(at(0));
        let told: Vec<u64> = (0..6_000).map(|n| n * 10).filter(|t| meter.has_lasted(at(*t))).collect();
        assert_eq!(told.first(), Some(&9_000));
        assert_eq!(told.len(), 51, "once a second");
        // It is over as soon as it stays away for as long as it was there.
        assert!(!meter.has_lasted(at(60_000 + 14_000)));
        // Bursts of four seconds in each ten; one excess every other second.
        let mut meter = Meter::new(at(0));
        let bursts = (0..60_000u64).filter(|t| t % 10_000 < 4_000 && t % 100 == 0);
        assert_eq!(bursts.filter(|t| meter.has_lasted(at(*t))).count(), 0);
        let mut meter = Meter::new(at(0));
        assert_eq!((0..1_000).filter(|n| meter.has_lasted(at(n * 2_000))).count(), 0);
    }

    #[test]
    fn extremes_stay_within_their_numbers() {
        let fast = rows(u64::MAX, u64::MAX, Enforce::On);
        let mut meter = Meter::new(Mono(0));
        for _ in 0..10 {
            let _ = meter.pay(Mono(u64::MAX), &fast, Toll::bytes(TrafficClass::Datagram, u64::MAX));
            meter.owe(&fast, Toll::bytes(TrafficClass::Datagram, u64::MAX));
        }
        // A clock that stands still or goes back gives nothing.
        let slow = rows(1, 1, Enforce::On);
        let mut meter = Meter::new(at(5_000));
        assert!(paid(&mut meter, at(5_000), &slow, vote()));
        assert!(!paid(&mut meter, at(0), &slow, vote()) && !paid(&mut meter, at(5_000), &slow, vote()));
    }
}
