//! Where this node is, as others see it: an address that more than two thirds of the other masternodes name
//! (rule P-7).

use std::collections::BTreeMap;
use std::net::IpAddr;

/// What was learned so far. Votes are not kept here: each linked masternode has the one that its handshake
/// brought, so it ends with the link and is replaced by the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Observed {
    learned: Option<IpAddr>,
}

impl Observed {
    /// Looks at the votes that stand, one of each linked registered masternode that has seen this node; `others`
    /// is how many other masternodes are registered. Answers an address that is learned now and was not before.
    ///
    /// What is learned stays until another address is: losing links moves nobody.
    pub fn learn(&mut self, votes: impl IntoIterator<Item = IpAddr>, others: usize) -> Option<IpAddr> {
        let (ip, count) = tally(votes).into_iter().next()?;
        if !is_quorum(count, others) || self.learned == Some(ip) {
            return None;
        }
        self.learned = Some(ip);
        Some(ip)
    }

    /// The address learned last.
    #[must_use]
    pub const fn learned(&self) -> Option<IpAddr> {
        self.learned
    }
}

/// How many name each address, most first.
#[must_use]
pub fn tally(votes: impl IntoIterator<Item = IpAddr>) -> Vec<(IpAddr, usize)> {
    let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for ip in votes {
        *counts.entry(ip.to_canonical()).or_default() += 1;
    }
    let mut counts: Vec<(IpAddr, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// More than two thirds of all that could name it, present or not.
const fn is_quorum(votes: usize, others: usize) -> bool {
    votes > 0 && votes.saturating_mul(3) > others.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn p_7_more_than_two_thirds_of_the_registered_others_decide() {
        let learns =
            |votes: usize, others| Observed::default().learn(vec![ips(&["10.0.0.1"])[0]; votes], others);
        for (others, needed) in [(1, 1), (2, 2), (3, 3), (4, 3), (6, 5), (127, 85)] {
            assert_eq!(learns(needed - 1, others), None, "{others}");
            assert!(learns(needed, others).is_some(), "{others}");
        }
        assert_eq!(learns(0, 0), None);
    }

    #[test]
    fn p_7_a_single_liar_changes_nothing() {
        let mut observed = Observed::default();
        let (liar, true_one) = ("192.0.2.1", "10.0.0.1");
        assert_eq!(observed.learn(ips(&[liar, true_one, true_one]), 3), None, "two of three are no quorum");
        assert!(observed.learn(ips(&[true_one, true_one, true_one]), 3).is_some());
        assert_eq!(observed.learn(ips(&[liar, true_one, true_one]), 3), None);
        assert_eq!(observed.learn(ips(&[liar]), 3), None);
        assert_eq!(observed.learned(), ips(&[true_one]).pop());
    }

    #[test]
    fn each_change_is_told_once_and_outlives_the_links() {
        let mut observed = Observed::default();
        let vote = |text| ips(&[text]);
        assert!(observed.learn(vote("10.0.0.1"), 1).is_some());
        assert_eq!(observed.learn(vote("::ffff:10.0.0.1"), 1), None);
        assert_eq!(observed.learn([], 1), None);
        assert_eq!(observed.learn(vote("10.0.0.1"), 1), None, "nothing new after the links were gone");
        assert_eq!(observed.learn(vote("10.0.0.2"), 1), ips(&["10.0.0.2"]).pop());
    }

    #[test]
    fn the_tally_is_ordered_by_how_many_name_an_address() {
        let counted = tally(ips(&["10.0.0.1", "2001:db8::1", "10.0.0.2", "::ffff:10.0.0.2"]));
        assert_eq!(counted.first(), Some(&("10.0.0.2".parse().unwrap(), 2)));
        assert_eq!(counted.iter().map(|(_, count)| count).sum::<usize>(), 4);
    }
}
