//! The newest blocks, as the last part of a screen.

use super::super::client::thousands;
use super::view::{Cell, Column, Grid, Row, Tone, time_of_day};

/// A block of which one line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockCells {
    pub(crate) height: u64,
    /// When its slot began, in RFC 3339.
    pub(crate) slot: String,
    /// Who proposed it, in a few letters.
    pub(crate) by: String,
    pub(crate) round: u64,
    pub(crate) transactions: usize,
    /// In a few letters.
    pub(crate) hash: String,
}

/// Lines of blocks; one that took more than a round stands out.
pub(crate) fn blocks_grid(blocks: impl Iterator<Item = BlockCells>) -> Grid {
    let columns = vec![
        Column::numbers("BLOCK", 0),
        Column::words("SLOT", 1),
        Column::words("BY", 0),
        Column::numbers("ROUND", 0),
        Column::numbers("TRANSACTIONS", 2),
        Column::words("HASH", 3),
    ];
    let rows = blocks.map(|block| {
        let tone = if block.round > 0 { Tone::Odd } else { Tone::Plain };
        let cells = vec![
            thousands(block.height).into(),
            time_of_day(&block.slot).into(),
            block.by.into(),
            Cell::new(block.round.to_string(), tone),
            block.transactions.to_string().into(),
            Cell::new(block.hash, Tone::Quiet),
        ];
        Row { tone, cells }
    });
    Grid { rows: rows.collect(), columns }
}
