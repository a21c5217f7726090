//! The link matrix as a column beside the nodes: a row's marks stand under the numbers of the others.

use super::super::client::Mark;
use super::view::{Cell, Column, Tone};

/// More nodes than this have no room for their matrix beside them.
const MOST: usize = 40;

/// The column for so many nodes; none where they are too many.
pub(crate) fn links_column(nodes: usize, rank: u8) -> Option<Column> {
    let width = nodes.to_string().len();
    let numbers: Vec<String> = (1..=nodes).map(|number| format!("{number:>width$}")).collect();
    (nodes <= MOST).then(|| Column::words(numbers.join(" "), rank))
}

/// A node's row.
pub(crate) fn links_cell(marks: &[Mark]) -> Cell {
    let width = marks.len().to_string().len();
    Cell::of(marks.iter().enumerate().map(|(index, mark)| {
        let tone = match mark {
            Mark::Own => Tone::Quiet,
            Mark::Dialed | Mark::WasDialed => Tone::Good,
            Mark::OneSided => Tone::Odd,
            Mark::Split | Mark::Missing => Tone::Bad,
        };
        let gap = if index == 0 { "" } else { " " };
        (format!("{gap}{:>width$}", mark.as_str()), tone)
    }))
}
