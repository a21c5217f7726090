//! The link matrix (rule M-5): the whole network's links, computed from what both ends signed.

use std::time::Duration;

use crate::event::{Direction, Matrix, MatrixLink, MatrixNode, Pair};
use crate::net::direction::{Dialer, End, dialer_of};
use crate::registry::{Masternode, MasternodeIndex, Registry};
use crate::seats::SeatSet;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum Standing {
    /// Up, and dialed by whom, as the first end says.
    Up(Direction),
    Split,
    OneSided,
    Missing,
    /// Not up, and an end is away on purpose (rule L-5).
    Excused,
}

impl Standing {
    /// Nobody misses a link to whoever is away on purpose.
    const fn unless(self, excused: bool) -> Self {
        match self {
            Self::Missing | Self::OneSided if excused => Self::Excused,
            other => other,
        }
    }
}

/// Builds the matrix. `statement` gives each masternode's newest word by its index; `absent` are away on purpose.
pub(crate) fn matrix<'a>(
    registry: &Registry,
    absent: SeatSet,
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
        absent: absent.iter().filter_map(|seat| Some(registry.at(seat)?.id)).collect(),
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
            let excused = absent.contains(*index) || absent.contains(*other);
            match standing(ours, theirs).unless(excused) {
                Standing::Excused => matrix.expected -= 1,
                Standing::Missing => matrix.missing.push(pair),
                Standing::OneSided => matrix.one_sided.push(pair),
                Standing::Split => matrix.split.push(pair),
                Standing::Up(direction) => {
                    let dialer = if direction == Direction::Outbound { a } else { b };
                    matrix.links.push(MatrixLink { a: a.id, b: b.id, dialer: dialer.id });
                    if !rightly_dialed(a, b, direction) {
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

/// Whether the end that should have dialed did.
fn rightly_dialed(a: &Masternode, b: &Masternode, direction: Direction) -> bool {
    let end = |entry: &Masternode| End { id: entry.id, addr: Some(entry.addr) };
    match dialer_of(&end(a), &end(b)) {
        Dialer::First => direction == Direction::Outbound,
        Dialer::Second => direction == Direction::Inbound,
        Dialer::Nobody => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DialedBecause;
    use crate::ids::{LinkTag, NodeId};

    const IN: Direction = Direction::Inbound;
    const OUT: Direction = Direction::Outbound;

    /// Keys ascend, addresses descend: of a pair the later one dials.
    fn registry(size: u8) -> Registry {
        let entry =
            |n| Masternode { id: NodeId([n; 32]), addr: format!("10.0.0.{}:1", 200 - n).parse().unwrap() };
        Registry::new((0..size).map(entry).collect()).unwrap()
    }

    fn link(peer: u8, direction: Direction, tag: u8) -> LinkEntry {
        LinkEntry {
            peer: MasternodeIndex(peer),
            direction,
            because: DialedBecause::Canonical,
            session: LinkTag([tag; 8]),
        }
    }

    fn pair(a: u8, b: u8) -> Pair {
        Pair { a: NodeId([a; 32]), b: NodeId([b; 32]) }
    }

    /// `None` in `said` is a masternode that was not heard.
    fn judge(said: &[Option<&[LinkEntry]>]) -> Matrix {
        judge_without(SeatSet::EMPTY, said)
    }

    fn judge_without(absent: SeatSet, said: &[Option<&[LinkEntry]>]) -> Matrix {
        matrix(&registry(u8::try_from(said.len()).unwrap()), absent, |index| {
            let links = said[usize::from(index.0)]?;
            Some(Statement { age: Duration::from_secs(u64::from(index.0)), links, duplicates: 0 })
        })
    }

    #[test]
    fn m_5_up_is_when_both_ends_name_the_same_session() {
        let up = judge(&[Some(&[link(1, IN, 7)]), Some(&[link(0, OUT, 7)])]);
        let [found] = up.links[..] else { panic!("{up:?}") };
        assert_eq!((found.a, found.b, found.dialer), (NodeId([0; 32]), NodeId([1; 32]), NodeId([1; 32])));
        assert_eq!(up.verdict(), "1/1 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction");
        assert_eq!(up.nodes[1].heard, Some(Duration::from_secs(1)));
    }

    #[test]
    fn m_5_different_sessions_or_contradicting_ends_are_split() {
        for (a, b) in [(link(1, IN, 7), link(0, OUT, 8)), (link(1, OUT, 7), link(0, OUT, 7))] {
            let split = judge(&[Some(&[a]), Some(&[b])]);
            assert_eq!((split.split.clone(), split.links.len()), (vec![pair(0, 1)], 0));
            assert!(split.missing.is_empty() && split.one_sided.is_empty());
        }
    }

    #[test]
    fn m_5_a_pair_with_an_unheard_end_is_judged_by_the_other() {
        let said = judge(&[Some(&[link(1, IN, 7)]), None, Some(&[]), None]);
        assert_eq!(said.one_sided, [pair(0, 1)]);
        assert_eq!(said.missing, [pair(0, 2), pair(0, 3), pair(1, 2), pair(1, 3), pair(2, 3)]);
        assert_eq!((said.expected, said.nodes[1].heard), (6, None));
        let contradicted = judge(&[Some(&[]), Some(&[link(0, OUT, 7)])]);
        assert_eq!(contradicted.one_sided, [pair(0, 1)]);
    }

    #[test]
    fn m_5_wrong_direction_is_a_link_that_the_higher_address_dialed() {
        let mut dialed = [link(1, OUT, 7)];
        dialed[0].because = DialedBecause::Fallback;
        let wrong = judge(&[Some(&dialed), Some(&[link(0, IN, 7)])]);
        assert_eq!(wrong.wrong_direction, [(pair(0, 1), DialedBecause::Fallback)]);
        assert_eq!((wrong.links.len(), wrong.links[0].dialer), (1, NodeId([0; 32])), "it is up all the same");
    }

    #[test]
    fn l_5_who_is_away_on_purpose_is_named_and_its_links_are_not_missed() {
        let away = SeatSet::from_iter([MasternodeIndex(1)]);
        let said: &[Option<&[LinkEntry]>] =
            &[Some(&[link(1, IN, 7), link(2, IN, 8)]), None, Some(&[link(0, OUT, 8)]), None];
        let excused = judge_without(away, said);
        assert_eq!((excused.expected, excused.absent.clone()), (3, vec![NodeId([1; 32])]));
        assert_eq!(excused.missing, [pair(0, 3), pair(2, 3)], "another one that is gone is missed");
        assert!(excused.one_sided.is_empty());
        assert_eq!(
            excused.verdict(),
            "1/3 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction; absent by announcement: 01010101"
        );
        // A link to it that stands counts all the same.
        let up = judge_without(away, &[Some(&[link(1, IN, 7)]), Some(&[link(0, OUT, 7)])]);
        assert_eq!((up.expected, up.links.len()), (1, 1));
    }

    #[test]
    fn m_5_duplicates_are_as_signed() {
        let counted = matrix(&registry(3), SeatSet::EMPTY, |index| {
            Some(Statement { age: Duration::ZERO, links: &[], duplicates: u16::from(index.0) })
        });
        assert_eq!(counted.duplicate, [(NodeId([1; 32]), 1), (NodeId([2; 32]), 2)]);
    }

    #[test]
    fn m_5_one_masternode_alone_expects_no_link() {
        let alone = judge(&[Some(&[])]);
        assert_eq!((alone.expected, alone.nodes.len(), alone.missing.len()), (0, 1, 0));
    }
}
