//! Stored final blocks: nothing fails, what decodes has this one encoding, and what is hashed is all there is.

use timed_core::wire::block::Outline;
use timed_core::{FinalBlock, GenesisHash};
use timed_tests::samples::blocks::chain;

const GENESIS: GenesisHash = GenesisHash([7; 32]);

/// The bytes of a final block.
///
/// # Panics
/// If bytes that decode are not what their block encodes to, or another block has its hashes.
pub fn body(input: &[u8]) {
    let Ok(block) = FinalBlock::decode(input) else { return };
    assert_eq!(block.encode(), input, "{block:?} has two encodings");
    let outline = Outline::of(&block.block.payload);
    assert!(outline.is_consistent());
    assert_eq!(block.certificate.signers.len(), block.certificate.signatures.len());

    // One more byte of payload and one bit of a signature are another block and another certificate.
    let mut longer = block.block.payload.to_vec();
    longer.push(0);
    assert_ne!(Outline::of(&longer).root(), outline.root());
    let mut other = block.certificate.clone();
    if let Some(signature) = other.signatures.last_mut() {
        signature.0[0] ^= 1;
        assert_ne!(other.hash(), block.certificate.hash());
    }
    let mut header = block.block.header.clone();
    header.slot.0 ^= 1;
    assert_ne!(header.hash(&GENESIS), block.block.header.hash(&GENESIS));
}

/// A small chain.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    chain().iter().map(|block| block.encode().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn block_holds_on_seeds_and_noise() {
        crate::smoke::run("block", &super::seeds(), 5_000, super::body);
    }
}
