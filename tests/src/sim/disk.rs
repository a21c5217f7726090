//! A host's disk: records and final blocks become durable in one order, some time after they were written; a
//! crash loses the rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use timed_core::{Height, Record, RecordKey, Rng, StoredBlock, Ticket, TxId};

use super::application::transactions_of;
use super::clock::SimTime;

/// Whether durable writes succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskHealth {
    /// They do.
    Sound,
    /// Every write fails when it is to become durable.
    Failing,
}

/// What a data directory holds: give it back with [`World::restore`](super::World::restore) to play a restored
/// backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    records: BTreeMap<RecordKey, Bytes>,
    blocks: BTreeMap<Height, Bytes>,
    /// Of the transactions in these blocks.
    transactions: BTreeSet<TxId>,
}

impl Snapshot {
    /// Without the records of a kind, as after a partial loss.
    #[must_use]
    pub fn without(mut self, key: RecordKey) -> Self {
        self.records.remove(&key);
        self
    }

    /// Without its blocks.
    #[must_use]
    pub fn without_blocks(mut self) -> Self {
        self.blocks.clear();
        self.transactions.clear();
        self
    }
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A record of the core's.
    Record(RecordKey, Bytes),
    /// A final block; the transactions that it carries wait no longer.
    Block { height: Height, bytes: Bytes, included: Vec<TxId> },
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Durable(Ticket),
    Failed(Ticket),
}

/// One disk.
#[derive(Debug)]
pub struct Disk {
    durable: Snapshot,
    waiting: VecDeque<Write>,
    health: DiskHealth,
    latency: (Duration, Duration),
}

#[derive(Debug)]
struct Write {
    ticket: Ticket,
    content: Content,
    done_at: SimTime,
}

impl Disk {
    /// An empty disk whose writes take between `latency.0` and `latency.1` to become durable.
    #[must_use]
    pub fn new(latency: (Duration, Duration)) -> Self {
        Self { durable: Snapshot::default(), waiting: VecDeque::new(), health: DiskHealth::Sound, latency }
    }

    /// Sets how long writes take from now on.
    pub const fn set_latency(&mut self, latency: (Duration, Duration)) {
        self.latency = latency;
    }

    /// Sets whether writes succeed from now on.
    pub const fn set_health(&mut self, health: DiskHealth) {
        self.health = health;
    }

    /// What is durable at present.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.durable.clone()
    }

    /// Replaces the content, as an operator who restores a backup does. The process must be down.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.durable = snapshot;
        self.waiting.clear();
    }

    /// What the next start reads.
    #[must_use]
    pub fn journal(&self) -> Vec<Record> {
        let tip = self.durable.blocks.last_key_value().map(|(_, bytes)| (RecordKey::Tip, bytes));
        let records = self.durable.records.iter().map(|(key, bytes)| (*key, bytes));
        records.chain(tip).map(|(key, bytes)| Record { key, bytes: bytes.clone() }).collect()
    }

    /// A durable record.
    #[must_use]
    pub fn record(&self, key: RecordKey) -> Option<&[u8]> {
        self.durable.records.get(&key).map(|bytes| &bytes[..])
    }

    /// Height of the newest durable block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.durable.blocks.last_key_value().map_or(Height(0), |(height, _)| *height)
    }

    /// How many blocks are durable.
    #[must_use]
    pub fn count(&self) -> usize {
        self.durable.blocks.len()
    }

    /// A durable block, encoded.
    #[must_use]
    pub fn block(&self, height: Height) -> Option<&Bytes> {
        self.durable.blocks.get(&height)
    }

    /// Whether a durable block carries a transaction.
    #[must_use]
    pub fn carries(&self, id: &TxId) -> bool {
        self.durable.transactions.contains(id)
    }

    /// Puts blocks there that no process of this disk has written. The process must be down.
    pub fn append(&mut self, blocks: impl IntoIterator<Item = StoredBlock>) {
        for StoredBlock { height, bytes } in blocks {
            self.durable.transactions.extend(transactions_of(&bytes));
            self.durable.blocks.insert(height, bytes);
        }
    }

    /// Puts a record there that no process of this disk has written. The process must be down.
    pub fn keep(&mut self, key: RecordKey, record: Bytes) {
        self.durable.records.insert(key, record);
    }

    /// Durable blocks of consecutive heights from one to another: as many as fit, one at least if it is there.
    #[must_use]
    pub fn load(&self, from: Height, to: Height, max_bytes: usize) -> Vec<StoredBlock> {
        let mut blocks = Vec::new();
        let mut room = max_bytes;
        for (next, (height, bytes)) in (from.0..).zip(self.durable.blocks.range(from..=to.max(from))) {
            if height.0 != next || (!blocks.is_empty() && bytes.len() > room) {
                break;
            }
            room = room.saturating_sub(bytes.len());
            blocks.push(StoredBlock { height: *height, bytes: bytes.clone() });
        }
        blocks
    }

    /// Takes a write; returns when it ends.
    pub(crate) fn write(&mut self, now: SimTime, rng: &mut Rng, ticket: Ticket, content: Content) -> SimTime {
        let latest = self.waiting.back().map_or(SimTime(0), |write| write.done_at);
        let done_at = (now + rng.between(self.latency.0, self.latency.1)).max(latest);
        self.waiting.push_back(Write { ticket, content, done_at });
        done_at
    }

    /// The next write that has ended by `now`.
    pub(crate) fn finished(&mut self, now: SimTime) -> Option<Written> {
        if self.waiting.front()?.done_at > now {
            return None;
        }
        let write = self.waiting.pop_front()?;
        if self.health == DiskHealth::Failing {
            return Some(Written::Failed(write.ticket));
        }
        self.durable.put(write.content);
        Some(Written::Durable(write.ticket))
    }

    /// The process or the machine died: any number of the oldest waiting writes got through. Returns which;
    /// the next process learns it from the content alone.
    pub(crate) fn crash(&mut self, rng: &mut Rng) -> Vec<Ticket> {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        let through = usize::try_from(rng.below(waiting + 1)).unwrap_or(0);
        let mut tickets = Vec::new();
        for write in self.waiting.drain(..).take(through) {
            if self.health == DiskHealth::Sound {
                self.durable.put(write.content);
                tickets.push(write.ticket);
            }
        }
        tickets
    }
}

impl Snapshot {
    fn put(&mut self, content: Content) {
        match content {
            Content::Record(key, bytes) => {
                self.records.insert(key, bytes);
            }
            Content::Block { height, bytes, included } => {
                self.blocks.insert(height, bytes);
                for id in included {
                    self.records.remove(&RecordKey::Transaction(id));
                    self.transactions.insert(id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn put(disk: &mut Disk, rng: &mut Rng, now: SimTime, ticket: u64, content: &'static [u8]) -> SimTime {
        let content = Content::Record(RecordKey::Boot, Bytes::from_static(content));
        disk.write(now, rng, Ticket(ticket), content)
    }

    fn put_block(disk: &mut Disk, rng: &mut Rng, height: u64, included: Vec<TxId>) {
        let bytes = Bytes::from(vec![7; 100]);
        let content = Content::Block { height: Height(height), bytes, included };
        disk.write(SimTime(0), rng, Ticket(height), content);
    }

    #[test]
    fn writes_end_in_order_and_not_at_once() {
        let (mut disk, mut rng) = (Disk::new((MS, 9 * MS)), Rng::new([1; 32]));
        let mut last = SimTime(0);
        for ticket in 1..50 {
            let done = put(&mut disk, &mut rng, SimTime(0), ticket, b"x");
            assert!(done >= last && done >= SimTime(0) + MS);
            last = done;
        }
        assert_eq!(disk.finished(SimTime(0)), None);
        assert!(disk.journal().is_empty());
        for ticket in 1..50 {
            assert_eq!(disk.finished(last), Some(Written::Durable(Ticket(ticket))));
        }
    }

    #[test]
    fn a_crash_keeps_a_prefix_and_a_failing_disk_nothing() {
        let mut rng = Rng::new([2; 32]);
        let mut kept = [0; 3];
        for _ in 0..100 {
            let mut disk = Disk::new((MS, MS));
            put(&mut disk, &mut rng, SimTime(0), 1, b"old");
            put(&mut disk, &mut rng, SimTime(0), 2, b"new");
            let through = disk.crash(&mut rng).len();
            assert_eq!(disk.finished(SimTime(u64::MAX)), None);
            let journal = disk.journal();
            let content = journal.first().map_or(0, |record| if record.bytes == "old" { 1 } else { 2 });
            assert_eq!(through, content);
            kept[content] += 1;
        }
        assert!(kept.iter().all(|count| *count > 10), "{kept:?}");

        let mut disk = Disk::new((MS, MS));
        disk.set_health(DiskHealth::Failing);
        let done = put(&mut disk, &mut rng, SimTime(0), 1, b"x");
        assert_eq!(disk.finished(done), Some(Written::Failed(Ticket(1))));
        assert!(disk.journal().is_empty());
    }

    #[test]
    fn a_backup_comes_back() {
        let (mut disk, mut rng) = (Disk::new((MS, MS)), Rng::new([3; 32]));
        let done = put(&mut disk, &mut rng, SimTime(0), 1, b"old");
        let _ = disk.finished(done);
        let backup = disk.snapshot();
        let done = put(&mut disk, &mut rng, done, 2, b"new");
        let _ = disk.finished(done);
        assert_ne!(disk.snapshot(), backup);
        disk.restore(backup.clone());
        assert_eq!(disk.snapshot(), backup);
    }

    #[test]
    fn a_block_comes_behind_the_records_before_it_and_takes_its_transactions_along() {
        let (mut disk, mut rng) = (Disk::new((MS, MS)), Rng::new([4; 32]));
        let (waits, included) = (TxId([1; 32]), TxId([2; 32]));
        for (ticket, id) in [(1, waits), (2, included)] {
            let content = Content::Record(RecordKey::Transaction(id), Bytes::from_static(b"tx"));
            disk.write(SimTime(0), &mut rng, Ticket(ticket), content);
        }
        put_block(&mut disk, &mut rng, 1, vec![included]);
        let end = SimTime(u64::MAX);
        let _ = (disk.finished(end), disk.finished(end));
        assert_eq!((disk.height(), disk.journal().len()), (Height(0), 2));
        assert_eq!(disk.finished(end), Some(Written::Durable(Ticket(1))));
        let keys: Vec<RecordKey> = disk.journal().iter().map(|record| record.key).collect();
        assert_eq!(keys, [RecordKey::Transaction(waits), RecordKey::Tip]);
    }

    #[test]
    fn blocks_are_loaded_in_a_row_within_the_bytes_asked_for() {
        let (mut disk, mut rng) = (Disk::new((MS, MS)), Rng::new([5; 32]));
        for height in [1, 2, 3, 5] {
            put_block(&mut disk, &mut rng, height, vec![]);
            let _ = disk.finished(SimTime(u64::MAX));
        }
        let heights = |from, to, max_bytes| -> Vec<u64> {
            disk.load(Height(from), Height(to), max_bytes).iter().map(|block| block.height.0).collect()
        };
        assert_eq!(heights(1, 9, 10_000), [1, 2, 3]);
        assert_eq!(heights(1, 9, 200), [1, 2]);
        assert_eq!(heights(1, 2, 10_000), [1, 2]);
        assert_eq!(heights(2, 9, 1), [2]);
        assert_eq!(heights(4, 9, 10_000), [0; 0]);
        assert_eq!(heights(6, 9, 10_000), [0; 0]);
    }
}
