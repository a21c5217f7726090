//! Blocks: who proposes, the votes that decide, what is kept until then, and catching up (rules C-1 to C-16,
//! Y-1 to Y-5, X-1 to X-4 of `core/PROTOCOL.md`).

pub(crate) mod assembly;
pub(crate) mod certificates;
pub(crate) mod committing;
pub(crate) mod consensus;
pub(crate) mod durable;
pub(crate) mod effects;
pub(crate) mod evidence_log;
pub(crate) mod mempool;
pub(crate) mod pacing;
pub(crate) mod producing;
pub(crate) mod proposer;
pub(crate) mod registries;
pub(crate) mod round;
pub(crate) mod slots;
pub(crate) mod sync;
pub(crate) mod timeouts;
pub(crate) mod validity;
pub(crate) mod votes;
pub(crate) mod voting_record;
