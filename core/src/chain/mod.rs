//! Blocks: who proposes, the votes that decide, what is kept until then, and catching up (rules C-1 to C-16,
//! Y-1 to Y-5, X-1 to X-4 of `core/PROTOCOL.md`).

pub(crate) mod effects;
pub(crate) mod mempool;
pub(crate) mod producing;
pub(crate) mod sync;
