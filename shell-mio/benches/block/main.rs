//! How long a block takes from its payload to every disk: `cargo bench -p timed-mio --bench block -- [TOPIC]`.
//!
//! Four event loops with their stores on loopback, measured from the moment the leader has its payload until the
//! block is durable at the last of them. The floor is the same path with nothing on it but what nobody can leave
//! out: three messages to everybody, and four durable commits, one after another. Wall time, because it is the
//! disk and the wake-ups that are waited for. Nothing fails here: these are benchmarks, not tests.

mod bare;
#[path = "../../../core/benches/measure/mod.rs"]
mod measure;
mod network;

use std::path::Path;
use std::time::Duration;

use measure::table::{Unit, against, alone, beside, heading};
use measure::{Compared, median, wanted};

use crate::bare::{BarePath, Sizes};
use crate::network::Network;

/// Of the floor, as the issue asks.
const LIMIT: f64 = 2.0;
const AIM: f64 = 1.5;
const ROUNDS: usize = 7;
/// Blocks in a round; and bare ones.
const BLOCKS: usize = 20;
/// Between two blocks: the machine is idle when one begins, as between real slots.
const INTERVAL: Duration = Duration::from_millis(400);

fn main() {
    heading("a block of four nodes, from its payload to the last disk (wall-clock, median of a round)");
    let folder = tempfile::tempdir().expect("a directory for the files");
    let blocks = [("empty", 0), ("with 100 transactions", 100), ("with 4,000 transactions", 4_000)];
    for (what, transactions) in blocks.into_iter().filter(|(what, _)| wanted(what)) {
        print(folder.path(), what, transactions);
    }
}

fn print(folder: &Path, what: &str, transactions: usize) {
    let sizes = Sizes::carrying(transactions);
    let measured: Vec<Measured> = (0..ROUNDS).map(|_| round(folder, sizes, transactions)).collect();
    let over = |floor: fn(&Measured) -> f64| {
        Compared::over(&measured.iter().map(|one| (floor(one), one.ours)).collect::<Vec<_>>())
    };
    against(&format!("{what}, against the bare path"), Unit::Micros, over(|one| one.path), LIMIT, AIM);
    beside("  against its parts, each alone on the machine", Unit::Micros, over(|one| one.parts));
    let of = |part: fn(&Measured) -> f64| median(measured.iter().map(part));
    alone("  one way of a proposal with its block", Unit::Micros, of(|one| one.proposal));
    alone("  one way of a vote", Unit::Micros, of(|one| one.vote));
    alone("  a durable commit of a record", Unit::Micros, of(|one| one.record));
    alone("  a durable commit of the block", Unit::Micros, of(|one| one.block));
    let worst = measured.iter().map(|one| one.worst).fold(0.0, f64::max);
    alone("  the slowest block of all rounds", Unit::Micros, worst);
}

/// One round, in microseconds.
struct Measured {
    /// A block of the real nodes.
    ours: f64,
    /// The slowest of them.
    worst: f64,
    /// The bare path.
    path: f64,
    /// The parts of the path, each by itself.
    parts: f64,
    proposal: f64,
    vote: f64,
    record: f64,
    block: f64,
}

fn round(folder: &Path, sizes: Sizes, transactions: usize) -> Measured {
    let mut bare = BarePath::new(folder, sizes);
    let before = bare.heights(BLOCKS / 2, INTERVAL / 4);
    let blocks = Network::start(transactions, INTERVAL).blocks(BLOCKS);
    let after = bare.heights(BLOCKS / 2, INTERVAL / 4);
    let path = median(before.into_iter().chain(after));
    let (proposal, vote) = (bare::one_way(sizes.proposal), bare::one_way(sizes.vote));
    let (record, block) = (bare.commit(sizes.record), bare.commit(sizes.block));
    // Before the proposal and its leader's prevote; before a prevote; before a precommit, with the block; the block.
    let parts = proposal + 2.0 * vote + 2.0 * record + 2.0 * block;
    let worst = blocks.iter().copied().fold(0.0, f64::max);
    Measured { ours: median(blocks.into_iter()), worst, path, parts, proposal, vote, record, block }
}
