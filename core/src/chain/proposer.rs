//! Who leads a round (rule C-5): the same at everybody, whoever is present.

use crate::ids::{Height, Round};
use crate::registry::{MasternodeIndex, Registry};

/// The leader of a round: the masternodes take turns, by position in the registry in force at the height.
pub(crate) fn leader(height: Height, round: Round, registry: &Registry) -> MasternodeIndex {
    let size = registry.size().max(1) as u64;
    let turn = (height.0 % size + u64::from(round.0) % size) % size;
    MasternodeIndex(u8::try_from(turn).unwrap_or(0))
}
