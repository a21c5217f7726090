//! Which heights are still to be asked for: everything above the tip that is neither here nor asked of
//! somebody.

use std::collections::BTreeMap;

use crate::ids::Height;

/// Consecutive heights, both ends included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Height,
    pub(super) last: Height,
}

impl Span {
    pub(super) fn contains(&self, height: Height) -> bool {
        (self.first..=self.last).contains(&height)
    }

    /// The heights, lowest first.
    pub(super) fn heights(&self) -> impl Iterator<Item = Height> + use<> {
        (self.first.0..=self.last.0).map(Height)
    }
}

/// The heights that nobody is asked for: all from the frontier on, and below it what was given back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) struct Wanted {
    /// First to last of each range given back: disjoint, never adjacent, all below the frontier.
    returned: BTreeMap<Height, Height>,
    frontier: Height,
}

impl Wanted {
    /// Everything above a height.
    pub(super) fn above(tip: Height) -> Self {
        Self { returned: BTreeMap::new(), frontier: tip.next() }
    }

    /// The lowest height wanted.
    pub(super) fn first(&self) -> Height {
        self.returned.first_key_value().map_or(self.frontier, |(first, _)| *first)
    }

    #[cfg(test)]
    pub(super) fn frontier(&self) -> Height {
        self.frontier
    }

    #[cfg(test)]
    pub(super) fn contains(&self, height: Height) -> bool {
        let returned = self.returned.range(..=height).next_back();
        height >= self.frontier || returned.is_some_and(|(_, last)| height <= *last)
    }

    /// Takes the lowest range: at most `count` heights, none above `last`.
    pub(super) fn take(&mut self, count: u64, last: Height) -> Option<Span> {
        let first = self.first();
        let end = Height(first.0.saturating_add(count.checked_sub(1)?)).min(last);
        if end < first {
            return None;
        }
        let Some(stop) = self.returned.remove(&first) else {
            self.frontier = end.next();
            return Some(Span { first, last: end });
        };
        let end = end.min(stop);
        if end < stop {
            self.returned.insert(end.next(), stop);
        }
        Some(Span { first, last: end })
    }

    /// Heights that were taken are wanted again.
    pub(super) fn give_back(&mut self, span: Span) {
        let Span { mut first, mut last } = span;
        // What touches or overlaps it becomes one with it.
        while let Some((&start, &stop)) = self.returned.range(..=last.next()).next_back() {
            if stop.next() < first {
                break;
            }
            self.returned.remove(&start);
            first = first.min(start);
            last = last.max(stop);
        }
        if last.next() >= self.frontier {
            self.frontier = self.frontier.min(first);
        } else {
            self.returned.insert(first, last);
        }
    }

    /// Nothing at or below `tip` is wanted any more.
    pub(super) fn advance(&mut self, tip: Height) {
        let first = tip.next();
        let above = self.returned.split_off(&first);
        let below = std::mem::replace(&mut self.returned, above);
        if let Some((_, &last)) = below.last_key_value()
            && last >= first
        {
            self.returned.insert(first, last);
        }
        self.frontier = self.frontier.max(first);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rng::Rng;

    fn span(first: u64, last: u64) -> Span {
        Span { first: Height(first), last: Height(last) }
    }

    #[test]
    fn ranges_are_taken_lowest_first_and_come_back_whole() {
        let mut wanted = Wanted::above(Height(10));
        assert_eq!(wanted.take(5, Height(100)), Some(span(11, 15)));
        assert_eq!(wanted.take(5, Height(18)), Some(span(16, 18)));
        assert_eq!(wanted.take(5, Height(18)), None);
        wanted.give_back(span(13, 14));
        assert_eq!((wanted.first(), wanted.take(9, Height(100))), (Height(13), Some(span(13, 14))));
        wanted.give_back(span(11, 12));
        wanted.give_back(span(15, 18));
        wanted.give_back(span(13, 14));
        assert_eq!(wanted, Wanted::above(Height(10)));
        assert_eq!(wanted.take(0, Height(100)), None);
    }

    #[test]
    fn what_is_applied_is_not_wanted() {
        let mut wanted = Wanted::above(Height(0));
        let _ = wanted.take(20, Height(100));
        wanted.give_back(span(5, 9));
        wanted.advance(Height(6));
        assert_eq!(wanted.take(9, Height(100)), Some(span(7, 9)));
        wanted.advance(Height(30));
        assert_eq!(wanted.first(), Height(31));
    }

    /// Against a plain set of heights, through thousands of random steps.
    #[test]
    fn it_is_a_set_of_heights() {
        let mut rng = Rng::new([4; 32]);
        let (mut wanted, mut taken, mut tip) = (Wanted::above(Height(0)), BTreeSet::new(), 0);
        for _ in 0..20_000 {
            match rng.below(4) {
                0 => {
                    let last = Height(tip + rng.below(60));
                    let lowest = (tip + 1..).find(|height| !taken.contains(height)).unwrap();
                    assert_eq!(wanted.first(), Height(lowest));
                    let took = wanted.take(1 + rng.below(9), last);
                    assert_eq!(took.is_some(), lowest <= last.0);
                    for height in took.into_iter().flat_map(|span| span.heights()) {
                        assert!(taken.insert(height.0) && height <= last);
                    }
                }
                1 | 2 if !taken.is_empty() => {
                    let nth = rng.below(taken.len() as u64) as usize;
                    let height = *taken.iter().nth(nth).unwrap();
                    assert!(taken.remove(&height));
                    wanted.give_back(span(height, height));
                }
                3 if rng.below(5) == 0 => {
                    tip += rng.below(4);
                    taken.retain(|height| *height > tip);
                    wanted.advance(Height(tip));
                }
                _ => {}
            }
        }
    }
}
