use std::sync::Barrier;

use timed_core::PayloadVerdict;

use super::super::samples::{Disk, application, block, id, store_on};
use super::*;
use crate::application::{ApplicationError, Offer, Wanted};

struct Rig {
    journal: Disk,
    blocks: Disk,
    writer: Writer,
    woken: Receiver<()>,
}

fn started() -> Rig {
    started_with(|store| application(store))
}

fn started_with(carrying: impl FnOnce(&Store) -> Arc<dyn Application>) -> Rig {
    let (journal, blocks) = (Disk::default(), Disk::default());
    let (store, _) = store_on(&journal, &blocks).unwrap();
    let (wake, woken) = channel();
    let carrying = carrying(&store);
    let writer = store.start(carrying, move || wake.send(()).unwrap_or_default()).unwrap();
    Rig { journal, blocks, writer, woken }
}

impl Rig {
    fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.writer.next_answer() {
                return answer;
            }
            self.woken.recv_timeout(Duration::from_secs(10)).expect("no answer and no wake-up");
        }
    }

    /// The next answer in a few characters: `+3` durable, `-3` lost, `^3` committed, `!` broken.
    fn told(&mut self) -> String {
        match self.answer() {
            Answer::Durable { ticket, .. } => format!("+{}", ticket.0),
            Answer::Lost(ticket) => format!("-{}", ticket.0),
            Answer::Committed(height, _) => format!("^{height}"),
            Answer::Broken(_) => "!".to_owned(),
        }
    }

    fn put(&mut self, ticket: u64) -> Result<(), StoreError> {
        self.writer.persist(Ticket(ticket), RecordKey::Voting, Bytes::copy_from_slice(&ticket.to_le_bytes()))
    }

    fn submit(&mut self, ticket: u64, transaction: &'static [u8]) {
        let key = RecordKey::Transaction(id(transaction));
        self.writer.persist(Ticket(ticket), key, Bytes::from_static(transaction)).unwrap();
    }

    fn commit(&mut self, ticket: u64, height: u64, pace: CommitPace) {
        let block = Arc::new(block(height, &[]));
        let bytes = block.encode();
        self.writer.commit(Ticket(ticket), block, bytes, pace).unwrap();
    }

    /// Starts again on what was written.
    fn reopened(self) -> (Store, Vec<(RecordKey, Bytes)>) {
        self.writer.close(Instant::now() + Duration::from_secs(10));
        let (store, records) = store_on(&self.journal, &self.blocks).unwrap();
        (store, records.into_iter().map(|record| (record.key, record.bytes)).collect())
    }
}

#[test]
fn what_waits_is_committed_together_and_answered_in_order() {
    let mut rig = started();
    let held = rig.journal.held.clone();
    let hold = held.lock().unwrap();
    rig.put(1).unwrap();
    thread::sleep(Duration::from_millis(50));
    (2..=500).for_each(|ticket| rig.put(ticket).unwrap());
    assert!(rig.writer.next_answer().is_none(), "answered before it is durable");
    let before = rig.journal.syncs();
    drop(hold);
    for expected in 1..=500 {
        assert_eq!(rig.told(), format!("+{expected}"));
    }
    let syncs = rig.journal.syncs() - before;
    assert!(syncs <= 6, "{syncs} syncs for two groups");
    assert!(rig.writer.next_answer().is_none());
    let (_, records) = rig.reopened();
    assert_eq!(records, [(RecordKey::Voting, Bytes::copy_from_slice(&500_u64.to_le_bytes()))]);
}

#[test]
fn a_live_block_does_not_wait_for_others() {
    let mut rig = started();
    let held = rig.blocks.held.clone();
    let hold = held.lock().unwrap();
    rig.commit(1, 1, CommitPace::Live);
    assert_eq!(rig.told(), "^1", "the application need not wait for the disk");
    thread::sleep(Duration::from_millis(20));
    assert!(rig.writer.next_answer().is_none(), "answered before it is durable");
    drop(hold);
    assert_eq!(rig.told(), "+1");
}

#[test]
fn blocks_of_a_node_that_catches_up_share_their_flushes() {
    let mut rig = started();
    let held = rig.blocks.held.clone();
    let hold = held.lock().unwrap();
    rig.commit(1, 1, CommitPace::CatchUp);
    assert_eq!(rig.told(), "^1");
    thread::sleep(Duration::from_millis(50));
    (2..=200).for_each(|height| rig.commit(height, height, CommitPace::CatchUp));
    let before = rig.blocks.syncs();
    drop(hold);
    let told: Vec<_> = (0..399).map(|_| rig.told()).collect();
    let syncs = rig.blocks.syncs() - before;
    // Two groups of two flushes each; a machine under load may cut the second one in pieces.
    assert!(syncs <= 12, "{syncs} syncs for two groups");
    let of = |sign| told.iter().filter(move |word| word.starts_with(sign)).cloned().collect::<Vec<_>>();
    assert_eq!(of('+'), (1..=200).map(|height| format!("+{height}")).collect::<Vec<_>>());
    assert_eq!(of('^'), (2..=200).map(|height| format!("^{height}")).collect::<Vec<_>>());
    let (store, records) = rig.reopened();
    assert_eq!(records, [(RecordKey::Tip, block(200, &[]).encode())]);
    assert_eq!(store.reader().range(Height(1), 1000, usize::MAX).unwrap().len(), 200);
}

#[test]
fn records_and_blocks_become_durable_in_the_order_asked_for() {
    let mut rig = started();
    let held = rig.blocks.held.clone();
    let hold = held.lock().unwrap();
    rig.put(1).unwrap();
    rig.commit(2, 1, CommitPace::CatchUp);
    rig.put(3).unwrap();
    rig.commit(4, 2, CommitPace::Live);
    rig.put(5).unwrap();
    assert_eq!((rig.told(), rig.told()), ("+1".to_owned(), "^1".to_owned()));
    thread::sleep(Duration::from_millis(50));
    assert!(rig.writer.next_answer().is_none(), "a record overtook the block before it");
    let image = rig.journal.image();
    let (_, records) = store_on(&Disk::with(&image), &Disk::default()).unwrap();
    assert_eq!(records[0].bytes, 1_u64.to_le_bytes()[..], "a record overtook the block before it");
    drop(hold);
    let rest: Vec<_> = (0..5).map(|_| rig.told()).collect();
    assert_eq!(rest, ["+2", "+3", "^2", "+4", "+5"]);
}

/// A node whose blocks are beside no voting record has lost it (rule C-13): its first record comes before them.
#[test]
fn no_block_is_written_before_the_record_in_front_of_it_is_durable() {
    let mut rig = started();
    let held = rig.journal.held.clone();
    let hold = held.lock().unwrap();
    rig.put(1).unwrap();
    rig.commit(2, 1, CommitPace::CatchUp);
    thread::sleep(Duration::from_millis(50));
    assert!(rig.writer.next_answer().is_none(), "answered before it is durable");
    let (_, records) = store_on(&Disk::default(), &Disk::with(&rig.blocks.image())).unwrap();
    assert_eq!(records, [], "the block overtook the record before it");
    drop(hold);
    let rest: Vec<_> = (0..3).map(|_| rig.told()).collect();
    assert_eq!(rest, ["+1", "^1", "+2"]);
}

#[test]
fn closing_writes_what_still_waits() {
    let mut rig = started();
    (1..=100).for_each(|ticket| rig.put(ticket).unwrap());
    (1..=100).for_each(|height| rig.commit(100 + height, height, CommitPace::CatchUp));
    let (_, records) = rig.reopened();
    let voting = (RecordKey::Voting, Bytes::copy_from_slice(&100_u64.to_le_bytes()));
    assert_eq!(records, [voting, (RecordKey::Tip, block(100, &[]).encode())]);
}

#[test]
fn after_a_failed_write_everything_is_lost() {
    let mut rig = started();
    rig.put(1).unwrap();
    assert_eq!(rig.told(), "+1");
    rig.journal.set_broken(true);
    rig.put(2).unwrap();
    let Answer::Broken(error) = rig.answer() else { panic!("not told why") };
    assert_eq!(error.to_string(), "cannot write to database memory: disk on fire");
    rig.journal.set_broken(false);
    rig.put(3).unwrap();
    rig.commit(4, 1, CommitPace::Live);
    assert_eq!([rig.told(), rig.told(), rig.told()], ["-2", "-3", "-4"]);
    assert!(rig.writer.next_answer().is_none());
}

#[test]
fn after_a_block_that_could_not_be_flushed_no_record_is_written() {
    let mut rig = started();
    rig.blocks.set_broken(true);
    rig.commit(1, 1, CommitPace::Live);
    rig.put(2).unwrap();
    assert_eq!([rig.told(), rig.told(), rig.told(), rig.told()], ["^1", "!", "-1", "-2"]);
    let (_, records) = store_on(&Disk::with(&rig.journal.image()), &Disk::default()).unwrap();
    assert_eq!(records, []);
}

#[test]
fn a_disk_that_does_not_keep_up_is_an_error_and_not_a_wait() {
    for record in [Bytes::new(), Bytes::from(vec![0; 1 << 20])] {
        let mut rig = started();
        let held = rig.journal.held.clone();
        let hold = held.lock().unwrap();
        let mut put = |ticket| rig.writer.persist(Ticket(ticket), RecordKey::ValidBlock, record.clone());
        let (ticket, error) = (1..).find_map(|ticket| Some((ticket, put(ticket).err()?))).unwrap();
        let held = usize::try_from(ticket).unwrap() - 1;
        assert!(held == QUEUE || held * record.len() == QUEUE_BYTES, "{held} records are held");
        assert!(matches!(error, StoreError::Overloaded { .. }), "{error}");
        drop(hold);
        let mut lost = 0;
        while !rig.writer.waiting.is_empty() {
            lost += usize::from(matches!(rig.answer(), Answer::Lost(_)));
        }
        assert!(lost > 0 && rig.writer.waiting_bytes == 0);
    }
}

#[test]
fn a_block_that_does_not_follow_is_refused() {
    let mut other = block(3, &[]);
    other.certificate.block.0[31] ^= 1;
    for wrong in [block(0, &[]), block(1, &[]), other, block(5, &[])] {
        let mut rig = started();
        for height in 1..=3 {
            rig.commit(height, height, CommitPace::Live);
            assert_eq!([rig.told(), rig.told()], [format!("^{height}"), format!("+{height}")]);
        }
        let bytes = wrong.encode();
        rig.writer.commit(Ticket(4), Arc::new(wrong), bytes, CommitPace::Live).unwrap();
        let Answer::Broken(error) = rig.answer() else { panic!("taken") };
        assert!(matches!(error, StoreError::NotNext { newest: Height(3), .. }), "{error}");
        assert_eq!(rig.told(), "-4");
    }
}

#[test]
fn the_two_newest_blocks_are_handed_to_the_application_again() {
    let mut rig = started();
    (1..=3).for_each(|height| rig.commit(height, height, CommitPace::CatchUp));
    [2, 3, 4].into_iter().for_each(|height| rig.commit(2 + height, height, CommitPace::Live));
    let told: Vec<_> = (0..12).map(|_| rig.told()).collect();
    let committed: Vec<_> = told.iter().filter(|word| word.starts_with('^')).collect();
    assert_eq!(committed, ["^1", "^2", "^3", "^2", "^3", "^4"]);
    let (store, records) = rig.reopened();
    assert_eq!(records, [(RecordKey::Tip, block(4, &[]).encode())]);
    assert_eq!(store.reader().range(Height(1), 10, usize::MAX).unwrap().len(), 4);
}

/// Takes blocks in only as far as a test says.
#[derive(Debug)]
struct Unwilling {
    at: Height,
    panics: bool,
}

impl Application for Unwilling {
    fn produce(&self, _: &Wanted) -> Result<Offer, ApplicationError> {
        Ok(Offer::default())
    }
    fn validate(&self, _: Height, _: &Bytes) -> Result<PayloadVerdict, ApplicationError> {
        Ok(PayloadVerdict::Valid)
    }
    fn commit(&self, block: &FinalBlock) -> Result<Commitment, ApplicationError> {
        match block.block.header.height {
            height if height < self.at => Ok(Commitment::default()),
            _ if self.panics => panic!("as the test wants"),
            _ => Err("it will not".into()),
        }
    }
}

#[test]
fn a_block_that_the_application_cannot_take_in_is_not_stored() {
    for panics in [false, true] {
        let mut rig = started_with(|_| Arc::new(Unwilling { at: Height(3), panics }));
        for height in [1, 2] {
            rig.commit(height, height, CommitPace::Live);
            assert_eq!([rig.told(), rig.told()], [format!("^{height}"), format!("+{height}")]);
        }
        rig.commit(3, 3, CommitPace::Live);
        let Answer::Broken(error) = rig.answer() else { panic!("taken") };
        let expected = if panics { "thread has ended" } else { "block of height 3: it will not" };
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(rig.told(), "-3");
        let (_, records) = rig.reopened();
        assert_eq!(records, [(RecordKey::Tip, block(2, &[]).encode())]);
    }
}

#[test]
fn the_journal_lets_go_of_what_a_block_carries_and_takes_it_no_more() {
    let mut rig = started();
    for (ticket, transaction) in [(1, &b"first"[..]), (2, b"second"), (3, b"third")] {
        rig.submit(ticket, transaction);
    }
    let block = Arc::new(block(1, &[b"second", b"foreign"]));
    rig.writer.commit(Ticket(4), Arc::clone(&block), block.encode(), CommitPace::Live).unwrap();
    // Known to be in the block, and known to wait.
    rig.submit(5, b"second");
    rig.submit(6, b"first");
    let told: Vec<_> = (0..7).map(|_| rig.told()).collect();
    assert_eq!(told, ["+1", "+2", "+3", "^1", "+4", "+5", "+6"]);
    let transaction = |bytes: &'static [u8]| (RecordKey::Transaction(id(bytes)), Bytes::from_static(bytes));
    let (_, records) = rig.reopened();
    assert_eq!(records[1..], [transaction(b"first"), transaction(b"third")]);
}

/// A record that the core takes back, and one that it takes back before it is written.
#[test]
fn a_transaction_that_will_never_be_in_a_block_goes() {
    let mut rig = started();
    rig.submit(1, b"kept");
    rig.submit(2, b"dropped");
    for (ticket, transaction) in [(3, &b"dropped"[..]), (4, b"unknown")] {
        let key = RecordKey::Transaction(id(transaction));
        rig.writer.persist(Ticket(ticket), key, Bytes::new()).unwrap();
    }
    rig.submit(5, b"dropped");
    rig.writer.persist(Ticket(6), RecordKey::Transaction(id(b"dropped")), Bytes::new()).unwrap();
    assert_eq!((1..=6).map(|_| rig.told()).collect::<String>(), "+1+2+3+4+5+6");
    let (_, records) = rig.reopened();
    assert_eq!(records, [(RecordKey::Transaction(id(b"kept")), Bytes::from_static(b"kept"))]);
}

/// What is put off is done in idle moments, and costs nothing where there are none.
#[test]
fn an_idle_store_prepares_for_a_crash() {
    let mut rig = started();
    rig.submit(1, b"carried");
    let block = Arc::new(block(1, &[b"carried"]));
    rig.writer.commit(Ticket(2), Arc::clone(&block), block.encode(), CommitPace::Live).unwrap();
    assert_eq!([rig.told(), rig.told(), rig.told()], ["+1", "^1", "+2"]);
    let (journal, blocks) = (rig.journal.syncs(), rig.blocks.syncs());
    let begun = Instant::now();
    while rig.journal.syncs() == journal || rig.blocks.syncs() == blocks {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing was done");
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(10 * IDLE);
    let (journal, blocks) = (rig.journal.syncs(), rig.blocks.syncs());
    thread::sleep(10 * IDLE);
    assert_eq!((rig.journal.syncs(), rig.blocks.syncs()), (journal, blocks), "it does not come to rest");
}

#[test]
fn readers_see_durable_blocks_only_and_never_wait() {
    let (journal, blocks) = (Disk::default(), Disk::default());
    let (store, _) = store_on(&journal, &blocks).unwrap();
    let reader = store.reader();
    let carrying = application(&store);
    let mut writer = store.start(carrying, || {}).unwrap();
    let begun = Arc::new(Barrier::new(2));
    let reading = thread::spawn({
        let (reader, begun) = (reader.clone(), Arc::clone(&begun));
        move || {
            begun.wait();
            let mut newest = 0;
            let mut reads = 0;
            while newest < 2000 {
                let tip = reader.latest().unwrap().map_or(0, |tip| tip.height.0);
                assert!(tip >= newest);
                newest = tip;
                let from = newest.saturating_sub(5).max(1);
                let range = reader.range(Height(from), 10, usize::MAX).unwrap();
                assert!(range.iter().zip(from..).all(|(block, height)| block.height.0 == height));
                assert!(newest == 0 || range.len() as u64 > newest - from);
                reads += 1;
            }
            reads
        }
    });
    begun.wait();
    for height in 1..=2000 {
        let block = Arc::new(block(height, &[&height.to_le_bytes()]));
        let bytes = block.encode();
        writer.commit(Ticket(height), block, bytes, CommitPace::CatchUp).unwrap();
        while writer.waiting.len() > 64 {
            let _ = writer.next_answer();
        }
    }
    assert!(reading.join().unwrap() > 10);
    // A reader goes on while the disk stands still.
    let hold = blocks.held.lock().unwrap();
    let last = Arc::new(block(2001, &[]));
    writer.commit(Ticket(2001), Arc::clone(&last), last.encode(), CommitPace::Live).unwrap();
    thread::sleep(Duration::from_millis(30));
    assert_eq!(reader.latest().unwrap().map(|tip| tip.height), Some(Height(2000)));
    drop(hold);
    writer.close(Instant::now() + Duration::from_secs(10));
    assert!(matches!(reader.latest(), Err(StoreError::Closed { .. })));
}
