//! The link matrix (rule M-5): the whole network's links, computed from what both ends signed.

use std::time::Duration;

use crate::event::{Direction, Matrix, MatrixLink, MatrixNode, Pair};
use crate::registry::{Masternode, MasternodeIndex, Registry};
use crate::wire::message::LinkEntry;

/// What one masternode has said of its links, if it was heard lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    /// How long ago it was verified; zero for this node's own.
    pub(crate) age: Duration,
    /// By ascending index.
    pub(crate) links: &'a [LinkEntry],
    pub(crate) duplicates: u16,
}

/// What the two ends' words make of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Up, and dialed by whom, as the first end says.
    Up(Direction),
    Split,
    OneSided,
    Missing,
}

/// Builds the matrix. `statement` gives each masternode's newest word by its index.
pub(crate) fn matrix<'a>(
    registry: &Registry,
    statement: impl Fn(MasternodeIndex) -> Option<Statement<'a>>,
) -> Matrix {
    let size = registry.size();
    let rows: Vec<(MasternodeIndex, Masternode, Option<Statement<'a>>)> = registry
        .entries()
        .iter()
        .zip((0..=u8::MAX).map(MasternodeIndex))
        .map(|(entry, index)| (index, *entry, statement(index)))
        .collect();
    let mut matrix = Matrix {
        nodes: Vec::with_capacity(size),
        links: Vec::with_capacity(size * (size - 1) / 2),
        expected: size * (size - 1) / 2,
        missing: Vec::new(),
        one_sided: Vec::new(),
        split: Vec::new(),
        duplicate: Vec::new(),
        wrong_direction: Vec::new(),
    };
    for (at, (index, a, said)) in rows.iter().enumerate() {
        let heard = said.as_ref().map(|said| said.age);
        matrix.nodes.push(MatrixNode { node: a.id, addr: a.addr, heard });
        let duplicates = said.as_ref().map_or(0, |said| said.duplicates);
        if duplicates > 0 {
            matrix.duplicate.push((a.id, duplicates));
        }
        for (other, b, replied) in rows.iter().skip(at + 1) {
            let ours = said.as_ref().and_then(|said| entry(said.links, *other));
            let theirs = replied.as_ref().and_then(|said| entry(said.links, *index));
            let pair = Pair { a: a.id, b: b.id };
            match standing(ours, theirs) {
                Standing::Missing => matrix.missing.push(pair),
                Standing::OneSided => matrix.one_sided.push(pair),
                Standing::Split => matrix.split.push(pair),
                Standing::Up(direction) => {
                    let dialer = if direction == Direction::Outbound { a } else { b };
                    matrix.links.push(MatrixLink { a: a.id, b: b.id, dialer: dialer.id });
                    if dialer.id != canonical_dialer(a, b).id {
                        let because = ours.map(|link| link.because);
                        matrix.wrong_direction.extend(because.map(|because| (pair, because)));
                    }
                }
            }
        }
    }
    matrix
}

/// The entry for `peer` in a list by ascending index.
fn entry(links: &[LinkEntry], peer: MasternodeIndex) -> Option<&LinkEntry> {
    links.binary_search_by_key(&peer, |link| link.peer).ok().and_then(|at| links.get(at))
}

/// Judges a pair by both ends' words. An end that is not heard says nothing, so the pair is judged by the
/// other; two ends that name the same session but both claim to have dialed it contradict each other.
fn standing(a: Option<&LinkEntry>, b: Option<&LinkEntry>) -> Standing {
    match (a, b) {
        (Some(a), Some(b)) if a.session == b.session && a.direction != b.direction => {
            Standing::Up(a.direction)
        }
        (Some(_), Some(_)) => Standing::Split,
        (Some(_), None) | (None, Some(_)) => Standing::OneSided,
        (None, None) => Standing::Missing,
    }
}

/// Who dials between two masternodes: the lower address, then the lower key (rule D-1).
fn canonical_dialer<'a>(a: &'a Masternode, b: &'a Masternode) -> &'a Masternode {
    if (a.addr, a.id) <= (b.addr, b.id) { a } else { b }
}
