//! The application in the simulated shell: builds payloads of the transactions that wait, judges those of others,
//! takes final blocks in; well or badly, soon or late.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use timed_core::limits::MAX_TRANSACTION;
use timed_core::{
    BlockHash, CanonicalAddr, FinalBlock, Height, Input, LoadId, PayloadVerdict, RegistryChange, Rng, Round,
    SeedId, StoredBlock, TxId,
};

use super::clock::SimTime;
use super::disk::Disk;

/// What an application offers for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The transactions that wait, oldest first.
    Waiting,
    /// Transactions of its own, this many bytes in all, or as many as it is asked for.
    Filler(usize),
    /// Bytes that other applications refuse.
    Wrong,
    /// A payload longer than was asked for.
    TooLong,
    /// Nothing, and it says so.
    None,
    /// It never answers.
    Silence,
}

/// What an application says of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// What is right.
    Fair,
    /// That it is valid.
    Blind,
    /// That it is invalid.
    Refusal,
    /// It never answers.
    Silence,
}

/// How an application behaves.
#[derive(Clone, Debug)]
pub struct Conduct {
    /// What it offers.
    pub offer: Offer,
    /// What it says of payloads.
    pub judgement: Judgement,
    /// How long it builds or judges a payload.
    pub thinking: (Duration, Duration),
    /// How long it takes a final block in; beside the disk's time for it, so that either may end first.
    pub committing: (Duration, Duration),
    /// How long stored blocks take to be read.
    pub loading: (Duration, Duration),
}

impl Default for Conduct {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            offer: Offer::Waiting,
            judgement: Judgement::Fair,
            thinking: (Duration::ZERO, ms(1)),
            committing: (Duration::ZERO, ms(4)),
            loading: (Duration::ZERO, ms(2)),
        }
    }
}

/// How long its name service takes.
const RESOLVES_WITHIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(300));

/// Something to tell the core.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Produced { height: Height, round: Round, payload: Option<Bytes>, stale: Vec<TxId> },
    Validated { block: BlockHash, verdict: PayloadVerdict },
    Committed { height: Height, registry_changes: Vec<RegistryChange>, included: Vec<TxId> },
    Loaded { load: LoadId, blocks: Vec<StoredBlock> },
    Resolved { seed: SeedId, addrs: Vec<CanonicalAddr> },
}

impl Answer {
    /// The answer as the core takes it.
    pub(crate) fn into_input(self) -> Input<'static> {
        match self {
            Self::Produced { height, round, payload, stale } => {
                Input::Produced { height, round, payload, stale }
            }
            Self::Validated { block, verdict } => Input::Validated { block, verdict },
            Self::Committed { height, registry_changes, included } => {
                Input::Committed { height, registry_changes, included }
            }
            Self::Loaded { load, blocks } => Input::Loaded { load, blocks },
            Self::Resolved { seed, addrs } => Input::Resolved { seed, addrs },
        }
    }
}

/// What is asked of an application for a block of its own.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) max_bytes: usize,
    pub(crate) transactions: Vec<Bytes>,
}

/// One host's application.
#[derive(Debug, Default)]
pub struct Application {
    /// How it behaves.
    pub conduct: Conduct,
    /// What blocks change in the registry: the same at every honest host.
    pub changes: BTreeMap<Height, Vec<RegistryChange>>,
    /// What its name service says of the names of bootstrap peers at present.
    pub names: Vec<Vec<CanonicalAddr>>,
    /// Transactions in blocks that this process was given: its disk may not have them yet.
    given: BTreeSet<TxId>,
    /// What is to be told, by time and order.
    answers: BTreeMap<(SimTime, u64), Answer>,
    asked: u64,
    /// When the newest final block is taken in: no later one is before it.
    committed_at: SimTime,
}

impl Application {
    /// The process died: what it was about to say is lost, and what it knows is what the disk has.
    pub(crate) fn restart(&mut self) {
        self.answers.clear();
        self.given.clear();
        self.committed_at = SimTime(0);
    }

    /// The next answer that is due.
    pub(crate) fn due(&mut self, now: SimTime) -> Option<Answer> {
        let entry = self.answers.first_entry()?;
        if entry.key().0 > now { None } else { Some(entry.remove()) }
    }

    /// Asked for a payload. Returns when the answer is due, as all of these do.
    pub(crate) fn produce(
        &mut self,
        now: SimTime,
        rng: &mut Rng,
        disk: &Disk,
        wanted: Wanted,
    ) -> Option<SimTime> {
        let Wanted { height, round, max_bytes, transactions } = wanted;
        let mut stale = Vec::new();
        let payload = match self.conduct.offer {
            Offer::Waiting => {
                let known = Known { given: &self.given, disk };
                let (old, fresh): (Vec<_>, Vec<_>) =
                    transactions.into_iter().partition(|bytes| known.has(&tx_id(bytes)));
                stale = old.iter().map(|bytes| tx_id(bytes)).collect();
                Some(assemble(&fresh, max_bytes))
            }
            Offer::Filler(bytes) => Some(filler(height, round, bytes.min(max_bytes))),
            Offer::Wrong => Some(Bytes::from_static(b"\xff\xff\xff\xff no list of transactions")),
            Offer::TooLong => Some(filler(height, round, max_bytes + 1_024)),
            Offer::None => None,
            Offer::Silence => return None,
        };
        let at = now + rng.between(self.conduct.thinking.0, self.conduct.thinking.1);
        Some(self.enter(at, Answer::Produced { height, round, payload, stale }))
    }

    /// Asked for its word on a payload.
    pub(crate) fn validate(
        &mut self,
        now: SimTime,
        rng: &mut Rng,
        disk: &Disk,
        block: BlockHash,
        payload: &Bytes,
    ) -> Option<SimTime> {
        let verdict = match self.conduct.judgement {
            Judgement::Fair => judge(&Known { given: &self.given, disk }, payload),
            Judgement::Blind => PayloadVerdict::Valid,
            Judgement::Refusal => PayloadVerdict::Invalid,
            Judgement::Silence => return None,
        };
        let at = now + rng.between(self.conduct.thinking.0, self.conduct.thinking.1);
        Some(self.enter(at, Answer::Validated { block, verdict }))
    }

    /// Given a final block. Also returns the transactions that it carries.
    pub(crate) fn commit(&mut self, now: SimTime, rng: &mut Rng, block: &FinalBlock) -> (SimTime, Vec<TxId>) {
        let height = block.block.header.height;
        let transactions = disassemble(&block.block.payload).unwrap_or_default();
        let included: Vec<TxId> = transactions.iter().map(|bytes| tx_id(bytes)).collect();
        self.given.extend(included.iter().copied());
        let registry_changes = self.changes.get(&height).cloned().unwrap_or_default();
        let at = now + rng.between(self.conduct.committing.0, self.conduct.committing.1);
        self.committed_at = self.committed_at.max(at);
        let answer = Answer::Committed { height, registry_changes, included: included.clone() };
        (self.enter(self.committed_at, answer), included)
    }

    /// Asked for stored blocks.
    pub(crate) fn load(
        &mut self,
        now: SimTime,
        rng: &mut Rng,
        load: LoadId,
        blocks: Vec<StoredBlock>,
    ) -> SimTime {
        let at = now + rng.between(self.conduct.loading.0, self.conduct.loading.1);
        self.enter(at, Answer::Loaded { load, blocks })
    }

    /// Asked about a name.
    pub(crate) fn resolve(&mut self, now: SimTime, rng: &mut Rng, seed: SeedId) -> SimTime {
        let place = usize::try_from(seed.0).expect("a small number");
        let addrs = self.names.get(place).cloned().unwrap_or_default();
        self.enter(now + rng.between(RESOLVES_WITHIN.0, RESOLVES_WITHIN.1), Answer::Resolved { seed, addrs })
    }

    fn enter(&mut self, at: SimTime, answer: Answer) -> SimTime {
        self.asked += 1;
        self.answers.insert((at, self.asked), answer);
        at
    }
}

/// The transactions that are in final blocks, as far as an application knows.
struct Known<'a> {
    given: &'a BTreeSet<TxId>,
    disk: &'a Disk,
}

impl Known<'_> {
    fn has(&self, id: &TxId) -> bool {
        self.given.contains(id) || self.disk.carries(id)
    }
}

/// The ids of the transactions in an encoded final block; none if it is not one.
pub(crate) fn transactions_of(block: &Bytes) -> Vec<TxId> {
    let payload = FinalBlock::decode(block).ok().and_then(|block| disassemble(&block.block.payload));
    payload.unwrap_or_default().iter().map(|bytes| tx_id(bytes)).collect()
}

/// Whether a payload is a list of transactions that are new, each once.
fn judge(known: &Known<'_>, payload: &Bytes) -> PayloadVerdict {
    let mut ids = BTreeSet::new();
    let mut is_new = |bytes: &Bytes| {
        let id = tx_id(bytes);
        !known.has(&id) && ids.insert(id)
    };
    match disassemble(payload) {
        Some(transactions) if transactions.iter().all(&mut is_new) => PayloadVerdict::Valid,
        _ => PayloadVerdict::Invalid,
    }
}

/// The id of a transaction.
#[must_use]
pub fn tx_id(bytes: &[u8]) -> TxId {
    TxId(Sha256::digest(bytes).into())
}

/// The payload of as many transactions as fit, in this order: each with its length in front.
#[must_use]
pub fn assemble(transactions: &[Bytes], max_bytes: usize) -> Bytes {
    let mut payload = Vec::new();
    for bytes in transactions {
        if payload.len() + 4 + bytes.len() > max_bytes {
            break;
        }
        payload.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        payload.extend_from_slice(bytes);
    }
    Bytes::from(payload)
}

/// The transactions of a payload; `None` if it is not made as [`assemble`] makes it.
#[must_use]
pub fn disassemble(payload: &Bytes) -> Option<Vec<Bytes>> {
    let mut transactions = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let length = payload.get(at..at + 4)?.try_into().map(u32::from_le_bytes).ok()?;
        let length = usize::try_from(length).ok().filter(|length| (1..=MAX_TRANSACTION).contains(length))?;
        at += 4;
        if payload.len() - at < length {
            return None;
        }
        transactions.push(payload.slice(at..at + length));
        at += length;
    }
    Some(transactions)
}

/// A valid payload of about this many bytes that no other block has.
fn filler(height: Height, round: Round, bytes: usize) -> Bytes {
    const PIECE: usize = 60_000;
    let mut transactions = Vec::new();
    let mut left = bytes;
    while left > 4 + 20 {
        let length = left.min(PIECE) - 4;
        let mut transaction = vec![0; length.max(20)];
        transaction[..8].copy_from_slice(&height.0.to_le_bytes());
        transaction[8..12].copy_from_slice(&round.0.to_le_bytes());
        transaction[12..20].copy_from_slice(&(left as u64).to_le_bytes());
        left = left.saturating_sub(4 + transaction.len());
        transactions.push(Bytes::from(transaction));
    }
    assemble(&transactions, usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_its_transactions_again() {
        let transactions = vec![Bytes::from_static(b"a"), Bytes::from(vec![1; MAX_TRANSACTION])];
        let payload = assemble(&transactions, 1 << 20);
        assert_eq!(disassemble(&payload), Some(transactions.clone()));
        assert_eq!(disassemble(&assemble(&transactions, 100)), Some(transactions[..1].to_vec()));
        assert_eq!(disassemble(&Bytes::new()), Some(vec![]));
        for cut in [1, 4, payload.len() - 1] {
            assert_eq!(disassemble(&payload.slice(..cut)), None, "{cut}");
        }
    }

    #[test]
    fn fillers_are_valid_and_differ() {
        for bytes in [0, 100, 70_000, 1 << 20] {
            let a = filler(Height(3), Round(0), bytes);
            assert!(a.len() <= bytes && bytes - a.len() <= 24, "{}", a.len());
            assert!(disassemble(&a).is_some());
            assert!(bytes == 0 || a != filler(Height(4), Round(0), bytes));
        }
    }

    #[test]
    fn what_is_in_a_block_is_stale_and_refused() {
        let (mut app, mut rng) = (Application::default(), Rng::new([1; 32]));
        let disk = Disk::new((Duration::ZERO, Duration::ZERO));
        let (old, new) = (Bytes::from_static(b"old"), Bytes::from_static(b"new"));
        app.given.insert(tx_id(&old));
        let wanted = Wanted {
            height: Height(2),
            round: Round(0),
            max_bytes: 100,
            transactions: vec![old.clone(), new.clone()],
        };
        let at = app.produce(SimTime(0), &mut rng, &disk, wanted).expect("an answer");
        match app.due(at) {
            Some(Answer::Produced { payload, stale, .. }) => {
                assert_eq!(payload, Some(assemble(&[new], 100)));
                assert_eq!(stale, [tx_id(&old)]);
            }
            other => panic!("{other:?}"),
        }
        let block = BlockHash([1; 32]);
        for (payload, verdict) in [
            (assemble(std::slice::from_ref(&old), 100), PayloadVerdict::Invalid),
            (Bytes::from_static(b"???"), PayloadVerdict::Invalid),
            (Bytes::new(), PayloadVerdict::Valid),
        ] {
            let at = app.validate(SimTime(0), &mut rng, &disk, block, &payload).expect("an answer");
            match app.due(at) {
                Some(Answer::Validated { verdict: given, .. }) => assert_eq!(given, verdict),
                other => panic!("{other:?}"),
            }
        }
    }
}
