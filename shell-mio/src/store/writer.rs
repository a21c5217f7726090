//! Group commit: whatever waits while one commit is under way goes into the next one together.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::Database;
use timed_core::{RecordKey, Ticket};

use super::open::{JOURNAL, other_error};
use super::{Store, StoreError};

/// Records that wait for the disk at most. The core parks far fewer handshakes behind them.
pub(crate) const QUEUE: usize = 1024;

/// Where records go. Lives on the loop's thread; the disk is on another.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    queue: SyncSender<Write>,
    commits: Receiver<Commit>,
    thread: JoinHandle<()>,
    /// Handed to the thread, not yet answered, oldest first.
    waiting: VecDeque<Ticket>,
    /// How many of the oldest are durable.
    durable: usize,
    health: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// A write failed. Nothing is written any more, so that no later record overtakes a lost one.
    Failed,
}

#[derive(Debug)]
struct Write {
    key: RecordKey,
    bytes: Bytes,
}

/// The thread's word on a group: how many records are durable, or why they and all later ones are not.
type Commit = Result<usize, StoreError>;

/// What became of a record.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is durable, and so is every earlier one.
    Durable(Ticket),
    /// It is lost, as is every later one.
    Lost(Ticket),
    /// Why records are lost; comes once, before them.
    Broken(StoreError),
}

impl Store {
    /// Starts the thread that writes. It calls `wake` whenever [`Writer::next_answer`] has something new.
    pub(crate) fn start(self, wake: impl Fn() + Send + 'static) -> io::Result<Writer> {
        let (queue, writes) = sync_channel(QUEUE);
        let (report, commits) = channel();
        let path = self.path.clone();
        let thread = thread::Builder::new().name("timed-store".into()).spawn(move || {
            // However this thread ends, its report is closed first and the loop woken then.
            let wake = Alarm(wake);
            let report = report;
            write_groups(&self, &writes, &report, &wake.0);
        })?;
        let waiting = VecDeque::new();
        Ok(Writer { path, queue, commits, thread, waiting, durable: 0, health: Health::Sound })
    }
}

struct Alarm<F: Fn()>(F);

impl<F: Fn()> Drop for Alarm<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Writer {
    /// Hands a record to the thread; answered by [`Writer::next_answer`], in order.
    ///
    /// # Errors
    /// If so many records wait that this one, and every later one, is lost.
    pub(crate) fn persist(&mut self, ticket: Ticket, key: RecordKey, bytes: Bytes) -> Result<(), StoreError> {
        self.waiting.push_back(ticket);
        if self.health == Health::Failed {
            return Ok(());
        }
        match self.queue.try_send(Write { key, bytes }) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.health = Health::Failed;
                Err(StoreError::Overloaded { path: self.path.clone(), waiting: self.waiting.len() - 1 })
            }
        }
    }

    /// What became of the oldest record that has not been answered, if that is known.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        while self.durable == 0 && self.health == Health::Sound {
            match self.commits.try_recv() {
                Ok(Ok(records)) => self.durable += records,
                Ok(Err(error)) => {
                    self.health = Health::Failed;
                    return Some(Answer::Broken(error));
                }
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    self.health = Health::Failed;
                    let error = io::Error::other("its thread has ended");
                    return Some(Answer::Broken(StoreError::Io {
                        action: "write to",
                        path: self.path.clone(),
                        error,
                    }));
                }
            }
        }
        let ticket = self.waiting.pop_front()?;
        if self.durable == 0 {
            return Some(Answer::Lost(ticket));
        }
        self.durable -= 1;
        Some(Answer::Durable(ticket))
    }

    /// Writes what still waits and closes the database; gives up after `patience`.
    pub(crate) fn close(self, patience: Duration) {
        let until = Instant::now() + patience;
        drop(self.queue);
        while self.commits.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
        while !self.thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        if self.thread.is_finished() {
            let _ = self.thread.join();
        }
    }
}

/// The thread: ends when the loop has dropped its end of the queue, or with the first failure.
fn write_groups(store: &Store, writes: &Receiver<Write>, report: &Sender<Commit>, wake: &impl Fn()) {
    while let Ok(first) = writes.recv() {
        let mut group = vec![first];
        group.extend(writes.try_iter().take(QUEUE));
        let outcome = commit(&store.db, &group);
        let verdict =
            outcome.map(|()| group.len()).map_err(|error| other_error("write to", &store.path, error));
        let failed = verdict.is_err();
        if report.send(verdict).is_err() || failed {
            return;
        }
        wake();
    }
}

fn commit(db: &Database, group: &[Write]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut journal = txn.open_table(JOURNAL)?;
        for write in group {
            journal.insert(write.key.name(), &write.bytes[..])?;
        }
    }
    txn.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use redb::backends::InMemoryBackend;
    use redb::{ReadableDatabase, StorageBackend};

    use super::*;

    /// A disk that counts, can be held up, and can break.
    #[derive(Clone, Debug)]
    struct Disk {
        memory: Arc<InMemoryBackend>,
        syncs: Arc<AtomicUsize>,
        broken: Arc<AtomicBool>,
        held: Arc<Mutex<()>>,
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.memory.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.memory.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.memory.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            drop(self.held.lock().unwrap());
            self.syncs.fetch_add(1, Ordering::Relaxed);
            if self.broken.load(Ordering::Relaxed) {
                return Err(io::Error::other("disk on fire"));
            }
            self.memory.sync_data()
        }
        fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.memory.write(offset, bytes)
        }
    }

    fn started() -> (Disk, Writer, Receiver<()>) {
        let disk = Disk {
            memory: Arc::new(InMemoryBackend::new()),
            syncs: Arc::default(),
            broken: Arc::default(),
            held: Arc::default(),
        };
        let db = Database::builder().create_with_backend(disk.clone()).unwrap();
        let (wake, woken) = channel();
        let store = Store { db, path: "memory".into() };
        (disk, store.start(move || wake.send(()).unwrap_or_default()).unwrap(), woken)
    }

    fn answer(writer: &mut Writer, woken: &Receiver<()>) -> Answer {
        loop {
            if let Some(answer) = writer.next_answer() {
                return answer;
            }
            woken.recv_timeout(Duration::from_secs(10)).expect("no answer and no wake-up");
        }
    }

    fn put(writer: &mut Writer, ticket: u64) -> Result<(), StoreError> {
        writer.persist(Ticket(ticket), RecordKey::Boot, Bytes::copy_from_slice(&ticket.to_le_bytes()))
    }

    #[test]
    fn what_waits_is_committed_together_and_answered_in_order() {
        let (disk, mut writer, woken) = started();
        let hold = disk.held.lock().unwrap();
        put(&mut writer, 1).unwrap();
        thread::sleep(Duration::from_millis(50));
        (2..=500).for_each(|ticket| put(&mut writer, ticket).unwrap());
        assert!(writer.next_answer().is_none(), "answered before it is durable");
        let before = disk.syncs.load(Ordering::Relaxed);
        drop(hold);
        for expected in 1..=500 {
            let Answer::Durable(Ticket(ticket)) = answer(&mut writer, &woken) else {
                panic!("{expected} is lost")
            };
            assert_eq!(ticket, expected);
        }
        let syncs = disk.syncs.load(Ordering::Relaxed) - before;
        assert!(syncs <= 6, "{syncs} syncs for two groups");
        assert!(writer.next_answer().is_none());
    }

    #[test]
    fn closing_writes_what_still_waits() {
        let (disk, mut writer, _woken) = started();
        (1..=100).for_each(|ticket| put(&mut writer, ticket).unwrap());
        writer.close(Duration::from_secs(10));
        let db = Database::builder().create_with_backend(disk).unwrap();
        let table = db.begin_read().unwrap().open_table(JOURNAL).unwrap();
        assert_eq!(table.get(RecordKey::Boot.name()).unwrap().unwrap().value(), 100_u64.to_le_bytes());
    }

    #[test]
    fn after_a_failed_write_everything_is_lost() {
        let (disk, mut writer, woken) = started();
        put(&mut writer, 1).unwrap();
        assert!(matches!(answer(&mut writer, &woken), Answer::Durable(Ticket(1))));
        disk.broken.store(true, Ordering::Relaxed);
        put(&mut writer, 2).unwrap();
        let Answer::Broken(error) = answer(&mut writer, &woken) else { panic!("not told why") };
        assert_eq!(error.to_string(), "cannot write to database memory: disk on fire");
        disk.broken.store(false, Ordering::Relaxed);
        put(&mut writer, 3).unwrap();
        assert!(matches!(answer(&mut writer, &woken), Answer::Lost(Ticket(2))));
        assert!(matches!(answer(&mut writer, &woken), Answer::Lost(Ticket(3))));
        assert!(writer.next_answer().is_none());
    }

    #[test]
    fn a_disk_that_does_not_keep_up_is_an_error_and_not_a_wait() {
        let (disk, mut writer, woken) = started();
        let hold = disk.held.lock().unwrap();
        let refused = (1..).find_map(|ticket| put(&mut writer, ticket).err().map(|error| (ticket, error)));
        let (ticket, error) = refused.unwrap();
        assert!(usize::try_from(ticket).unwrap() <= QUEUE * 2 + 2, "{ticket} records are held");
        assert!(matches!(error, StoreError::Overloaded { .. }), "{error}");
        drop(hold);
        let mut lost = 0;
        while !writer.waiting.is_empty() {
            lost += usize::from(matches!(answer(&mut writer, &woken), Answer::Lost(_)));
        }
        assert!(lost > 0);
    }
}
