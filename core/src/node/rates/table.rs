//! How fast a peer may send, derived from what makes an honest one send (rule A-1).
//!
//! Each row states what an honest peer sends of its class at worst: so much at once, and from then on so much in each
//! span of its schedule. [`MARGIN`] times that is the rate. What is meant by "at worst":
//!
//! - the peer forwards everybody's (a line, or a star whose centre it is), so that all masternodes' words come over
//!   one link;
//! - everybody starts, or starts again, at once, and a new link is told what an old one knew;
//! - one of the two processes stood still: what the other sent in that time, until it gave the link up, comes at one
//!   instant, and the receiver's clock has not moved meanwhile (`gathers`);
//! - the round fails again and again, each as soon as its time-out allows;
//! - the peer answers what we asked for. That is given back to it when we ask ([`Rates::entitlement`]), so it only has
//!   to fit beside the rest.
//!
//! Times of others are their own affair within reason (section 13 of `core/PROTOCOL.md`); who has chosen slower ones
//! here still takes the default ones of others.

use std::time::Duration;

use crate::chain::mempool::{PASS, SILENT};
use crate::chain::timeouts::{Timeout, Timer};
use crate::chain::{HELD_A_SLOT, fetch_patience, sync};
use crate::config::{ChainConfig, Timings};
use crate::event::{RateUnit, TrafficClass};
use crate::ids::{Height, Round};
use crate::limits::{
    CHUNK, FRAME_COST, Limits, MAX_ASSEMBLED, MAX_CHUNKS, MAX_FINAL_BLOCK, MAX_OFFERED, PAYLOADS,
    ROUNDS_KEPT, RateLimit, TRANSACTION_COST,
};
use crate::link::rates::{Rate, Row, Rows, Toll, frame_cost};
use crate::masternode::{BURST, SPACINGS};
use crate::wire::message::{Kind, Message};

/// A rate is so many times what an honest peer sends at worst.
const MARGIN: u64 = 4;
/// Slots of a network that makes no blocks.
const NO_SLOTS: Duration = Duration::from_secs(10);
/// What the sockets of both ends hold at most for one direction of a link, in bytes.
const SOCKETS: u64 = 8 * 1024 * 1024;
/// What an application is taken to send: a line of 100 Mbit/s and some more, in bytes a second.
const APPLICATION: u64 = 16 * 1024 * 1024;
/// The least that a class's bucket holds where it is counted in bytes: two of the largest messages.
const LEAST_BYTES: u64 = 2 * (64 * 1024 + FRAME_COST as u64);

/// The rates of all classes, and what our own requests entitle a peer to.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(in crate::node) struct Rates {
    pub(in crate::node) rows: Rows,
    /// For so many masternodes.
    pub(in crate::node) masternodes: usize,
    held: Toll,
}

/// What an honest peer sends of a class at worst, in the class's units.
#[derive(Clone, Copy, Debug)]
struct Worst {
    at_once: u64,
    /// So many in each span from then on.
    count: u64,
    span: Duration,
    /// What can gather while one of the two stands still; none for what waits for our own answer.
    gathers: Option<u64>,
    /// Bytes of one unit, for the total.
    bytes: u64,
}

impl Rates {
    /// Derives every row; so many masternodes may exist, whatever this node knows of them.
    pub(in crate::node) fn new(
        timings: &Timings,
        chain: Option<&ChainConfig>,
        limits: &Limits,
        masternodes: usize,
    ) -> Self {
        let table = Derivation::new(timings, chain, limits, masternodes);
        let mut total = Rate { capacity: 0, per_second: 0 };
        let rows = std::array::from_fn(|index| {
            let class = TrafficClass::ALL.get(index).copied().unwrap_or(TrafficClass::Total);
            let limit = limits.rates.of(class);
            if class == TrafficClass::Total {
                // It comes last, and is what all others allow.
                return Row { rate: chosen(limit, class, total), enforce: limit.enforce };
            }
            let worst = table.worst(class);
            let rate = chosen(limit, class, worst.rate(class));
            total.capacity = total.capacity.saturating_add(rate.capacity.saturating_mul(worst.bytes));
            total.per_second = total.per_second.saturating_add(rate.per_second.saturating_mul(worst.bytes));
            Row { rate, enforce: limit.enforce }
        });
        let answer = table.answer_to_held();
        let held = Toll::messages(TrafficClass::Consensus, answer, answer.saturating_mul(CONSENSUS_BYTES));
        Self { rows, masternodes, held }
    }

    /// What a request of ours entitles the peer to send in answer (rule A-2); none if it is no request, or if its
    /// answer is free of charge or recognised when it comes.
    pub(in crate::node) fn entitlement(&self, request: &Message) -> Option<Toll> {
        let ids = frame_cost(32 * MAX_OFFERED);
        match request {
            Message::Held(_) => Some(self.held),
            Message::GetPayload(wanted) => {
                let chunks = u64::from(wanted.missing.count_ones());
                Some(Toll::bytes(TrafficClass::Payload, chunks * CHUNK_BYTES))
            }
            // At least one block, however large; a part adds little to its bytes.
            Message::GetBlocks(get) => {
                let bytes = u64::from(get.max_bytes).max(MAX_FINAL_BLOCK as u64);
                Some(Toll::total(bytes + bytes / PART_LEAST * frame_cost(64) + frame_cost(64)))
            }
            // The next offer, or what was too much at once offered again.
            Message::TransactionWant(_) => Some(Toll::messages(TrafficClass::TransactionOffer, 1, ids)),
            // What is wanted of it, and that no more is.
            Message::TransactionOffer(_) => Some(Toll::messages(TrafficClass::TransactionOffer, 2, 2 * ids)),
            _ => None,
        }
    }
}

/// A chunk with what surrounds it.
const CHUNK_BYTES: u64 = (CHUNK + 64 + FRAME_COST) as u64;
/// A message about a height, one with another: most are votes, a few are as long as a certificate.
const CONSENSUS_BYTES: u64 = 2 * 1024;
/// Blocks are short when a chain is new, and each is a part by itself.
const PART_LEAST: u64 = 256;

/// The operator's rate, or the derived one.
fn chosen(limit: RateLimit, class: TrafficClass, derived: Rate) -> Rate {
    let Some(per_second) = limit.per_second else { return derived };
    let per_second = per_second.max(1);
    // It allows the same bursts, in proportion.
    let capacity =
        u128::from(derived.capacity) * u128::from(per_second) / u128::from(derived.per_second.max(1));
    let least = match class.unit() {
        RateUnit::Messages => 1,
        RateUnit::Bytes => LEAST_BYTES,
    };
    Rate { capacity: u64::try_from(capacity).unwrap_or(u64::MAX).max(least), per_second }
}

impl Worst {
    fn rate(&self, class: TrafficClass) -> Rate {
        let least = match class.unit() {
            RateUnit::Messages => 1,
            RateUnit::Bytes => LEAST_BYTES,
        };
        let at_once = self.at_once.saturating_add(self.gathers.unwrap_or(0));
        Rate {
            capacity: at_once.saturating_mul(MARGIN).max(least),
            per_second: per_second(self.count.saturating_mul(MARGIN), self.span),
        }
    }
}

/// So many a span, in each second: at least one, and never less than that.
fn per_second(count: u64, span: Duration) -> u64 {
    let nanos = span.as_nanos().max(1);
    u64::try_from((u128::from(count) * 1_000_000_000).div_ceil(nanos)).unwrap_or(u64::MAX).max(1)
}

/// What the rows have in common.
struct Derivation<'a> {
    limits: &'a Limits,
    /// Masternodes.
    n: u64,
    /// Between two heartbeats.
    beat: Duration,
    /// Length of a slot.
    slot: Duration,
    /// Rounds that can fail within a slot.
    rounds: u64,
    /// For so long at most something gathers while one of the two stands still.
    still: Duration,
}

impl<'a> Derivation<'a> {
    fn new(timings: &Timings, chain: Option<&ChainConfig>, limits: &'a Limits, masternodes: usize) -> Self {
        let slot = chain.map_or(NO_SLOTS, |chain| chain.interval);
        let usual = Timings::default();
        Self {
            limits,
            n: masternodes as u64,
            beat: timings.heartbeat.min(usual.heartbeat),
            slot,
            rounds: rounds_a_slot(slot),
            // The one that goes on gives the link up after its own patience; twice ours is beyond everybody's.
            still: timings.silent_after.max(usual.silent_after) * 2,
        }
    }

    /// The one table.
    fn worst(&self, class: TrafficClass) -> Worst {
        let Limits { control_lane, payload_lane, relay_lane, mempool, serving_rate, .. } = *self.limits;
        let n = self.n;
        let second = Duration::from_secs(1);
        match class {
            // One when the link becomes live, then one after each silence of `ping_after`, which a peer may have set
            // as low as a second.
            TrafficClass::Liveness => self.messages((3, 1, second), frame_cost(8)),
            // All that are genuine are forwarded, and a receiver takes so many of each signer (rule M-3), whatever
            // sound masternodes sign: nobody is charged for what another signs too often.
            TrafficClass::Heartbeat => {
                let lists = usize::try_from(n).unwrap_or(usize::MAX).saturating_mul(28);
                let each = (n * u64::from(BURST), n * u64::from(SPACINGS), self.beat);
                self.messages(each, frame_cost(180 + lists))
            }
            // A round has two votes of each masternode, twice if it equivocates (rule C-15), a proposal or two, and
            // the polka of the valid block. Beside the rounds a slot has what is held, told by whoever is stuck, and
            // the tip. A new link has all of a round and one answer to what we hold.
            TrafficClass::Consensus => {
                let round = 4 * n + 3;
                let at_once = round + 4 + self.answer_to_held();
                let count = self.rounds * round + u64::from(HELD_A_SLOT) + 2;
                self.messages((at_once, count, self.slot), CONSENSUS_BYTES)
            }
            // Each payload that is put together is asked for again and again, of one source if it has no other.
            TrafficClass::PayloadRequest => {
                let payloads = PAYLOADS as u64;
                self.messages((payloads, payloads, fetch_patience(self.slot)), frame_cost(64))
            }
            // A fresh proposal in each round that the peer leads, and its own again after a restart.
            TrafficClass::Payload => {
                let payload = MAX_CHUNKS as u64 * CHUNK_BYTES;
                let led = self.rounds.div_ceil(n.max(1));
                self.bytes((2 * payload, led * payload, self.slot), payload_lane)
            }
            // One is under way at a time: answered as fast as we serve, or one for each block as it is decided, or
            // again after we were busy. A catch-up that nears its end asks for a little of many.
            TrafficClass::BlockRequest => {
                let ranges = (serving_rate / 2).div_ceil(sync::RANGE) as u64;
                let count = ranges + per_second(1, self.slot) + 4;
                Worst { gathers: None, ..self.messages((64, count, second), frame_cost(64)) }
            }
            // A mempool that was empty fills, and from then on what the blocks take leaves it: a payload of short
            // transactions, with what each costs. What was asked for is given back.
            TrafficClass::Transaction => {
                let least = (MAX_ASSEMBLED + FRAME_COST + TRANSACTION_COST) as u64;
                let mempool = (mempool as u64).max(least);
                let taken = mempool.min(8 * MAX_ASSEMBLED as u64);
                self.bytes((mempool, taken, self.slot), relay_lane)
            }
            // An offer on a new link and one each pass; what is wanted of ours after another source has failed.
            TrafficClass::TransactionOffer => {
                let span = PASS.min(SILENT);
                self.messages((n + 4, n + 2, span), frame_cost(32 * MAX_OFFERED))
            }
            // Asked on a new link and then rarely; the answer is owed to who asks.
            TrafficClass::Addresses => self.messages((4, 1, second), frame_cost(Kind::Ping.max_body())),
            // No schedule makes these.
            TrafficClass::Datagram => self.bytes((relay_lane as u64, APPLICATION, second), relay_lane),
            // Nor those of later versions, which know that this one skips them.
            TrafficClass::Unknown | TrafficClass::Total => {
                self.bytes((control_lane as u64, APPLICATION / 16, second), relay_lane)
            }
        }
    }

    /// A row that is counted in messages of so many bytes.
    fn messages(&self, (at_once, count, span): (u64, u64, Duration), bytes: u64) -> Worst {
        let gathered = u128::from(count) * self.still.as_nanos() / span.as_nanos().max(1);
        let gathers = Some(u64::try_from(gathered).unwrap_or(u64::MAX));
        Worst { at_once, count, span, gathers, bytes }
    }

    /// A row that is counted in bytes, of this lane: no more gathers than that and the sockets hold.
    fn bytes(&self, each: (u64, u64, Duration), lane: usize) -> Worst {
        let row = self.messages(each, 1);
        Worst { gathers: row.gathers.map(|gathers| gathers.min(lane as u64 + SOCKETS)), ..row }
    }

    /// Messages in answer to a `Held` of ours (rule C-12): votes of all rounds that are kept, two polkas, a proposal,
    /// a commit.
    fn answer_to_held(&self) -> u64 {
        2 * self.n * ROUNDS_KEPT as u64 + 4
    }
}

/// Rounds that begin within a slot if each fails as soon as it can: when its precommits time out.
fn rounds_a_slot(slot: Duration) -> u64 {
    let mut passed = Duration::ZERO;
    let mut rounds = 0;
    while passed < slot {
        let timer = Timer { height: Height(0), round: Round(rounds), timeout: Timeout::Precommit };
        passed = passed.saturating_add(timer.after(slot).max(Duration::from_nanos(1)));
        rounds += 1;
    }
    u64::from(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MinPeers;
    use crate::event::Enforce;
    use crate::registry::MAX_MASTERNODES;
    use crate::time::Wall;

    const SECOND: Duration = Duration::from_secs(1);
    const INTERVALS: [u64; 4] = [50, 1_000, 10_000, 600_000];

    fn rates(interval: u64, masternodes: usize, limits: &Limits) -> Rates {
        let chain = ChainConfig {
            genesis_time: Wall(0),
            interval: Duration::from_millis(interval),
            max_bytes: MAX_ASSEMBLED,
            min_peers: MinPeers::Auto,
        };
        Rates::new(&Timings::default(), Some(&chain), limits, masternodes)
    }

    fn rate(rates: &Rates, class: TrafficClass) -> Rate {
        rates.rows[class.index()].rate
    }

    fn every_network(mut check: impl FnMut(u64, usize, &Rates)) {
        for interval in INTERVALS {
            for masternodes in [1, 2, 4, 14, 50, MAX_MASTERNODES] {
                check(interval, masternodes, &rates(interval, masternodes, &Limits::default()));
            }
        }
    }

    /// What comes in `span` of a schedule that makes `count` each `each`, beginning with so many at once.
    fn made(at_once: u64, count: u64, each: Duration, span: Duration) -> u64 {
        at_once + u64::try_from(u128::from(count) * span.as_nanos() / each.as_nanos()).unwrap()
    }

    fn allowed(rate: Rate, span: Duration) -> u64 {
        rate.capacity + u64::try_from(u128::from(rate.per_second) * span.as_millis() / 1_000).unwrap()
    }

    #[test]
    fn ban_01a_every_rate_is_four_times_what_the_schedules_make_over_any_span() {
        every_network(|interval, n, rates| {
            let slot = Duration::from_millis(interval);
            let n = n as u64;
            for span in [SECOND / 100, SECOND, SECOND * 10, SECOND * 60, SECOND * 86_400] {
                for (class, honest) in [
                    (TrafficClass::Liveness, made(1, 1, SECOND * 5, span)),
                    // Three a masternode and interval, all through one link.
                    (TrafficClass::Heartbeat, made(2 * n, 3 * n, SECOND * 10, span)),
                    // Three rounds a slot, and what is held five times.
                    (TrafficClass::Consensus, made(2 * n + 4, 3 * (2 * n + 1) + 6, slot, span)),
                    (TrafficClass::PayloadRequest, made(1, 1, fetch_patience(slot), span)),
                    (TrafficClass::Payload, made(0, 70 * 15_424, slot * u32::try_from(n).unwrap(), span)),
                    (TrafficClass::BlockRequest, made(1, 1, slot, span)),
                    (TrafficClass::Transaction, made(8 << 20, MAX_ASSEMBLED as u64, slot, span)),
                    (TrafficClass::TransactionOffer, made(1, 1, SECOND * 5, span)),
                ] {
                    let most = allowed(rate(rates, class), span);
                    assert!(
                        most >= 4 * honest,
                        "{} of {n} with slots of {interval} ms in {span:?}: {most} for {honest}",
                        class.as_str()
                    );
                }
            }
        });
    }

    #[test]
    fn ban_01c_what_gathers_while_one_stands_still_fits_at_once() {
        let rates = rates(10_000, 14, &Limits::default());
        // Fifteen seconds of everybody's heartbeats and rounds, at one instant.
        assert!(rate(&rates, TrafficClass::Heartbeat).capacity >= 4 * 14 * 5);
        assert!(rate(&rates, TrafficClass::Consensus).capacity >= 4 * 2 * 3 * 14 * 2);
        assert!(rate(&rates, TrafficClass::Datagram).capacity >= 4 * 8 * 1024 * 1024);
    }

    #[test]
    fn rates_follow_the_network_and_not_only_its_largest() {
        let limits = Limits::default();
        let (small, large) = (rates(10_000, 4, &limits), rates(10_000, 128, &limits));
        for class in [TrafficClass::Heartbeat, TrafficClass::Consensus] {
            let (small, large) = (rate(&small, class), rate(&large, class));
            assert!(small.capacity * 20 < large.capacity && small.per_second * 20 < large.per_second);
        }
        // A hundred a second are a flood in a small network (BAN-05b).
        assert!(rate(&small, TrafficClass::Heartbeat).per_second < 50);
        assert!(rate(&small, TrafficClass::Consensus).per_second < 50);
        assert!(rate(&small, TrafficClass::Liveness).per_second < 10);
    }

    #[test]
    fn the_total_has_room_for_all_classes_together() {
        every_network(|_, _, rates| {
            let total = rate(rates, TrafficClass::Total);
            for class in TrafficClass::ALL.iter().filter(|class| class.unit() == RateUnit::Bytes) {
                let rate = rate(rates, *class);
                assert!(total.capacity >= rate.capacity && total.per_second >= rate.per_second);
                assert!(rate.capacity >= LEAST_BYTES, "the largest message passes");
            }
        });
    }

    #[test]
    fn a_2_an_answer_to_what_is_held_fits_four_times() {
        every_network(|_, n, rates| {
            let Some((class, count)) = rates.held.class else { panic!("no class") };
            assert!(count >= 2 * n as u64 * 8 && rate(rates, class).capacity >= 4 * count);
        });
    }

    #[test]
    fn a_2_each_request_entitles_to_its_answer() {
        use crate::ids::{BlockHash, Height};
        use crate::wire::message::{GetBlocks, GetPayload};
        let rates = rates(10_000, 4, &Limits::default());
        let entitled = |message| rates.entitlement(&message).map(|toll| (toll.class, toll.bytes));
        let wanted = GetPayload { height: Height(1), block: BlockHash::default(), missing: 0b1011 };
        let bytes = 3 * CHUNK_BYTES;
        assert_eq!(
            entitled(Message::GetPayload(wanted)),
            Some((Some((TrafficClass::Payload, bytes)), bytes))
        );
        let get = GetBlocks { id: 1, from: Height(1), to: Height(9), max_bytes: 4 << 20 };
        let (class, bytes) = entitled(Message::GetBlocks(get)).unwrap();
        assert!(class.is_none() && bytes > 4 << 20);
        assert!(entitled(Message::TransactionWant(vec![])).is_some());
        assert!(entitled(Message::TransactionOffer(vec![])).is_some());
        assert!(entitled(Message::Datagram(bytes::Bytes::new())).is_none());
    }

    #[test]
    fn an_operators_rate_keeps_the_proportion_of_the_burst() {
        let mut limits = Limits::default();
        let derived = rate(&rates(10_000, 4, &limits), TrafficClass::Heartbeat);
        let limit = |per_second| RateLimit { per_second: Some(per_second), enforce: Enforce::Observe };
        limits.rates.set(TrafficClass::Heartbeat, limit(derived.per_second * 3));
        limits.rates.set(TrafficClass::Datagram, limit(0));
        let rates = rates(10_000, 4, &limits);
        let heartbeat = rates.rows[TrafficClass::Heartbeat.index()];
        assert_eq!(heartbeat.enforce, Enforce::Observe);
        assert_eq!(heartbeat.rate.capacity, derived.capacity * 3);
        let datagram = rate(&rates, TrafficClass::Datagram);
        assert_eq!((datagram.per_second, datagram.capacity), (1, LEAST_BYTES), "one large message at least");
    }

    #[test]
    fn slots_have_few_rounds() {
        assert_eq!(INTERVALS.map(|interval| rounds_a_slot(Duration::from_millis(interval))), [4; 4]);
        assert_eq!(rounds_a_slot(Duration::ZERO), 0);
    }
}
