//! Who leads a round (rule C-5): the same at everybody, whoever is present.

use crate::ids::{Height, Round};
use crate::registry::{MasternodeIndex, Registry};

/// The leader of a round: the masternodes take turns, by position in the registry in force at the height.
pub(crate) fn leader(height: Height, round: Round, registry: &Registry) -> MasternodeIndex {
    let size = registry.size().max(1) as u64;
    let turn = (height.0 % size + u64::from(round.0) % size) % size;
    MasternodeIndex(u8::try_from(turn).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::registry::Masternode;

    fn registry(size: u8) -> Registry {
        let entry =
            |i: u8| Masternode { id: NodeId([i; 32]), addr: format!("10.0.0.{i}:1").parse().unwrap() };
        Registry::new((0..size).map(entry).collect()).unwrap()
    }

    #[test]
    fn everybody_leads_in_turn_by_height_and_by_round() {
        let registry = registry(4);
        let turns = |height, round| leader(Height(height), Round(round), &registry).0;
        assert_eq!([1, 2, 3, 4, 5].map(|height| turns(height, 0)), [1, 2, 3, 0, 1]);
        assert_eq!([0, 1, 2, 3, 4].map(|round| turns(7, round)), [3, 0, 1, 2, 3]);
    }

    #[test]
    fn the_largest_numbers_have_a_leader() {
        for size in [1, 3, 128] {
            assert!(
                usize::from(leader(Height(u64::MAX), Round(u32::MAX), &registry(size)).0) < usize::from(size)
            );
        }
    }
}
