//! x
/// x
pub fn body(_: &[u8]) {}
