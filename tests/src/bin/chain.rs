//! Writes a chain of any length into data directories, so that a long catch-up needs no waiting:
//!
//! ```text
//! cargo run -p timed-tests --bin chain -- BLOCKS [--transactions N] DIR...
//! ```
//!
//! The directories are those of a quorum of a network's masternodes, as `timed init` and `timed genesis` leave
//! them, without blocks. Whoever is not named has signed nothing, and has everything to fetch. The chain begins
//! at the network's `genesis_time`, one block a slot, and should end before the present: without a
//! `genesis_time` any length does. Each block carries N transactions of 250 bytes (0).

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bytes::Bytes;
use timed_core::Height;
use timed_mio::application::FifoPayload;
use timed_tests::chain_stores::give_chain;

fn main() -> ExitCode {
    let mut transactions = 0;
    let mut rest = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--transactions" {
            transactions = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0);
        } else {
            rest.push(argument);
        }
    }
    let mut rest = rest.into_iter();
    let (blocks, dirs) = (rest.next().and_then(|count| count.parse().ok()), rest.map(PathBuf::from));
    let dirs: Vec<PathBuf> = dirs.collect();
    let Some(blocks) = blocks.filter(|_| !dirs.is_empty()) else {
        eprintln!("usage: chain BLOCKS [--transactions N] DIR...");
        return ExitCode::from(2);
    };
    let begun = Instant::now();
    match give_chain(&dirs, blocks, move |height| payload(height, transactions)) {
        Ok(()) => {
            println!("{blocks} blocks in {} stores, in {:.1} s", dirs.len(), begun.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn payload(height: Height, transactions: u32) -> Bytes {
    let transaction = |index: u32| {
        let mut bytes = vec![0; 250];
        for (to, from) in bytes.iter_mut().zip(height.0.to_le_bytes().into_iter().chain(index.to_le_bytes()))
        {
            *to = from;
        }
        Bytes::from(bytes)
    };
    FifoPayload::assemble(&(0..transactions).map(transaction).collect::<Vec<_>>())
}
