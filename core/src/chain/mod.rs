//! Blocks: who proposes, the votes that decide, what is kept until then, and catching up (rules C-1 to C-16,
//! Y-1 to Y-5, X-1 to X-4 of `core/PROTOCOL.md`).

#[allow(dead_code)]
pub(crate) mod assembly;
#[allow(dead_code)]
pub(crate) mod certificates;
#[allow(dead_code, unused_imports)]
pub(crate) mod consensus;
#[allow(dead_code)]
pub(crate) mod durable;
#[allow(dead_code)]
pub(crate) mod effects;
#[allow(dead_code)]
pub(crate) mod evidence_log;
#[allow(dead_code)]
pub(crate) mod proposer;
#[allow(dead_code)]
pub(crate) mod registries;
#[allow(dead_code)]
pub(crate) mod round;
#[allow(dead_code)]
pub(crate) mod slots;
#[allow(dead_code)]
pub(crate) mod sync;
#[allow(dead_code)]
pub(crate) mod timeouts;
#[allow(dead_code)]
pub(crate) mod validity;
#[allow(dead_code)]
pub(crate) mod votes;
#[allow(dead_code)]
pub(crate) mod voting_record;

#[cfg(test)]
pub(crate) mod fixture;
