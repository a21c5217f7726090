//! Fuzz bodies as plain functions.
//!
//! `cargo test -p timed-fuzz` runs each of them some thousand times on stable, on seeds, on seeds that were
//! changed, and on noise, the same ones every time. `cargo +nightly fuzz run <target> --features libfuzzer`
//! runs them for as long as one likes; `TIMED_CORPUS=1 cargo test -p timed-fuzz` lays out the seeds for it.
//!
//! A body takes any bytes, and panics if what it checks does not hold.

pub mod api;
pub mod ballot;
pub mod block;
pub mod cluster;
pub mod config;
pub mod dialer;
pub mod duplicates;
pub mod frame;
pub mod gate;
pub mod handshake;
pub mod heartbeat;
pub mod hello;
pub mod msg;
pub mod node;
pub mod noise;
pub mod preamble;
pub mod record;
pub mod round;
pub mod smoke;
pub mod sync;

/// Cuts `stream` into pieces, whose lengths are the bytes of `sizes` in turn, and the rest.
pub(crate) fn pieces<'a>(stream: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut rest = stream;
    let mut pieces = Vec::new();
    for size in sizes {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(*size)));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}
