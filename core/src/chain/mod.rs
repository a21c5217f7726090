//! Blocks: who proposes, the votes that decide, what is kept until then, and catching up (rules C-1 to C-16,
//! Y-1 to Y-5, X-1 to X-4 of `core/PROTOCOL.md`).

#[allow(dead_code, unused_imports)]
pub(crate) mod consensus;
#[allow(dead_code)]
pub(crate) mod effects;
#[allow(dead_code)]
pub(crate) mod proposer;
#[allow(dead_code)]
pub(crate) mod round;
#[allow(dead_code)]
pub(crate) mod timeouts;
#[allow(dead_code)]
pub(crate) mod votes;
