//! What durability costs: `cargo bench -p timed-mio --bench store`.
//!
//! Wall-clock time, not CPU time: it is the disk that is waited for. Every number stands beside a plain file
//! that was written and flushed in the same run. Nothing fails here: these are benchmarks, not tests.

#[path = "../../../core/benches/measure/mod.rs"]
mod measure;
mod samples;
mod through_the_loop;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use measure::allocations::Counting;
use measure::compare;
use measure::table::{Unit, absolute, alone, beside, heading};
use samples::{block, transactions};
use through_the_loop::{Asked, waits};
use timed_core::{CommitPace, FinalBlock};
use timed_mio::Store;
use timed_mio::application::FifoPayload;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 5;
/// Writes in a round.
const WRITES: usize = 40;
/// As many blocks as the core has under way while it catches up.
const UNDER_WAY: usize = 64;

fn main() {
    let folder = tempfile::tempdir().expect("a directory for the files");
    heading("one durable write, from the command to the answer (wall-clock)");
    let mut plain = PlainFile::create(&folder.path().join("plain"));
    let record = vec![7; 600];
    let ours =
        compare(ROUNDS, || plain.each(WRITES, &record), || mean(&waits(WRITES, 1, Asked::Records(600)).0));
    beside("a voting record of 600 bytes", Unit::Micros, ours);
    for (what, carried) in [("empty", 0), ("with 100 transactions", 100), ("with 4,000 transactions", 4000)] {
        let bytes = chain(1, carried)[0].encode();
        let blocks = || Asked::Blocks(CommitPace::Live, chain(WRITES as u64, carried));
        let ours = compare(ROUNDS, || plain.each(WRITES, &bytes), || mean(&waits(WRITES, 1, blocks()).0));
        beside(&format!("a block {what}"), Unit::Micros, ours);
    }

    heading("a block of many, while a node catches up (wall-clock)");
    for (what, carried) in [("empty", 0), ("with 10 transactions", 10)] {
        let bytes = chain(1, carried)[0].encode();
        let count = 40 * UNDER_WAY;
        let catch_up = || {
            let blocks = chain(count as u64, carried);
            let (_, took) = waits(count, UNDER_WAY, Asked::Blocks(CommitPace::CatchUp, blocks));
            micros(took) / count as f64
        };
        let ours = compare(ROUNDS, || plain.in_groups(count, &bytes), catch_up);
        beside(&format!("a block {what}, {UNDER_WAY} under way"), Unit::Micros, ours);
    }

    heading("a chain of 100,000 blocks (wall-clock)");
    long_chain(folder.path());
}

/// Writes a chain as the generator of the tests does, and opens it in the ways that a node may find it.
fn long_chain(folder: &Path) {
    const HEIGHTS: u64 = 100_000;
    let path = folder.join("long.redb");
    let (mut store, _) = Store::open(&path).expect("a new store");
    let application = FifoPayload::new(store.reader());
    let blocks = chain(HEIGHTS, 1);
    let begun = Instant::now();
    store.append_blocks(blocks, &application).expect("room on the disk");
    alone("appending a block", Unit::Micros, micros(begun.elapsed()) / HEIGHTS as f64);
    let size = fs::metadata(folder.join("long.blocks.redb")).expect("it is there").len();
    alone("a block on the disk", Unit::Bytes, size as f64 / HEIGHTS as f64);

    // What a killed process leaves: the files as they are while it runs.
    let killed = folder.join("killed.redb");
    for (from, to) in [("long.redb", "killed.redb"), ("long.blocks.redb", "killed.blocks.redb")] {
        fs::copy(folder.join(from), folder.join(to)).expect("room on the disk");
        let copied = File::open(folder.join(to)).expect("just made");
        copied.sync_all().expect("room on the disk");
    }
    drop(store);
    for (what, path) in [("opening after a stop", &path), ("opening after a kill", &killed)] {
        let begun = Instant::now();
        let (_store, records) = Store::open(path).expect("just written");
        assert_eq!(records.len(), 1, "the tip");
        absolute(what, Unit::Micros, micros(begun.elapsed()), 1e6, 1e5);
    }
}

/// The floor: a file that is appended to and flushed.
struct PlainFile(File);

impl PlainFile {
    fn create(path: &Path) -> Self {
        Self(File::create(path).expect("a file"))
    }

    /// Microseconds to write and flush these bytes, each time by themselves.
    fn each(&mut self, times: usize, bytes: &[u8]) -> f64 {
        let begun = Instant::now();
        for _ in 0..times {
            self.0.write_all(bytes).expect("room on the disk");
            self.0.sync_data().expect("a disk that flushes");
        }
        micros(begun.elapsed()) / times as f64
    }

    /// The same with as many under way as a node has: each flush takes those written since the last one.
    fn in_groups(&mut self, times: usize, bytes: &[u8]) -> f64 {
        let begun = Instant::now();
        for _ in 0..times / UNDER_WAY {
            for _ in 0..UNDER_WAY {
                self.0.write_all(bytes).expect("room on the disk");
            }
            self.0.sync_data().expect("a disk that flushes");
        }
        micros(begun.elapsed()) / times as f64
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A chain of blocks with so many transactions each.
fn chain(heights: u64, carried: u64) -> Vec<FinalBlock> {
    (1..=heights).map(|height| block(height, &transactions(height, carried))).collect()
}

fn mean(waits: &[Duration]) -> f64 {
    waits.iter().copied().map(micros).sum::<f64>() / waits.len() as f64
}
