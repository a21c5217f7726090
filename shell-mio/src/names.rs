//! The name service: what the names of bootstrap peers stand for.

use std::fmt::Debug;

use timed_core::{CanonicalAddr, SeedId};

/// Says what the names in [`timed_core::Config::seeds`] stand for.
///
/// Asked on a thread of its own, one question after another, whenever the core wants to know. A slow answer delays
/// the later ones and nothing else; it may take for ever. A panic leaves all further questions without answer.
pub trait NameService: Debug + Send + Sync {
    /// The addresses of the name at this place in the list, at present; none if there are none or it is not known.
    fn resolve(&self, seed: SeedId) -> Vec<CanonicalAddr>;
}
