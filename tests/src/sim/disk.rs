//! A host's disk: records become durable in order, some time after they were written; a crash loses the rest.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use timed_core::{Record, RecordKey, Rng, Ticket};

use super::clock::SimTime;

/// Whether durable writes succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskHealth {
    /// They do.
    Sound,
    /// Every write fails when it is to become durable.
    Failing,
}

/// What a data directory holds: give it back with [`Disk::restore`] to play a restored backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<RecordKey, Bytes>);

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Durable(Ticket),
    Failed(Ticket),
}

/// One disk.
#[derive(Debug)]
pub struct Disk {
    durable: BTreeMap<RecordKey, Bytes>,
    waiting: VecDeque<Write>,
    health: DiskHealth,
    latency: (Duration, Duration),
}

#[derive(Debug)]
struct Write {
    ticket: Ticket,
    key: RecordKey,
    record: Bytes,
    done_at: SimTime,
}

impl Disk {
    /// An empty disk whose writes take between `latency.0` and `latency.1` to become durable.
    #[must_use]
    pub const fn new(latency: (Duration, Duration)) -> Self {
        Self { durable: BTreeMap::new(), waiting: VecDeque::new(), health: DiskHealth::Sound, latency }
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
        Snapshot(self.durable.clone())
    }

    /// Replaces the content, as an operator who restores a backup does. The process must be down.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.durable = snapshot.0;
        self.waiting.clear();
    }

    /// What the next start reads.
    #[must_use]
    pub fn journal(&self) -> Vec<Record> {
        self.durable.iter().map(|(key, bytes)| Record { key: *key, bytes: bytes.clone() }).collect()
    }

    /// Takes a write; returns when it ends.
    pub(crate) fn write(
        &mut self,
        now: SimTime,
        rng: &mut Rng,
        (ticket, key, record): (Ticket, RecordKey, Bytes),
    ) -> SimTime {
        let latest = self.waiting.back().map_or(SimTime(0), |write| write.done_at);
        let done_at = (now + rng.between(self.latency.0, self.latency.1)).max(latest);
        self.waiting.push_back(Write { ticket, key, record, done_at });
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
        self.durable.insert(write.key, write.record);
        Some(Written::Durable(write.ticket))
    }

    /// The process or the machine died: any number of the oldest waiting writes got through, nobody knows.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        for _ in 0..rng.below(waiting + 1) {
            if let Some(write) = self.waiting.pop_front()
                && self.health == DiskHealth::Sound
            {
                self.durable.insert(write.key, write.record);
            }
        }
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn put(disk: &mut Disk, rng: &mut Rng, now: SimTime, ticket: u64, content: &'static [u8]) -> SimTime {
        disk.write(now, rng, (Ticket(ticket), RecordKey::Boot, Bytes::from_static(content)))
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
            disk.crash(&mut rng);
            assert_eq!(disk.finished(SimTime(u64::MAX)), None);
            let journal = disk.journal();
            kept[journal.first().map_or(0, |record| if record.bytes == "old" { 1 } else { 2 })] += 1;
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
}
