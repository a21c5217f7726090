//! A chain of three blocks: hashes, roots, certificates, what is signed, what is stored.

use timed_core::crypto::{Authenticity, Provider};
use timed_core::limits::CHUNK;
use timed_core::wire::block::{Outline, chunk_hash};
use timed_core::wire::signing;
use timed_core::{Certificate, FinalBlock, Header, Round, VoteKind};
use timed_tests::samples::blocks::{GENESIS, GENESIS_TIME, INTERVAL, chain, leader, masternodes};

use super::Vectors;

#[test]
fn blocks_are_hashed_signed_and_stored_as_ever() {
    let mut vectors = Vectors::new(
        "Three final blocks of a network of four: an empty one; one made in round 1 and decided in round 2; one of\n\
         two chunks after an outage. Keys are ed25519 seeds of 32 equal bytes; masternodes in the registry's order.\n\
         `header` is what a hash is made of, without domain and genesis hash. `stored` is the whole final block.",
    );
    let (mut providers, registry) = masternodes();
    vectors.begin("network");
    vectors.bytes("genesis", &GENESIS.0);
    vectors.number("genesis_time_ms", GENESIS_TIME.0);
    vectors.number("interval_ms", INTERVAL);
    vectors.bytes("registry_hash", &registry.hash().0);
    for (index, entry) in registry.entries().iter().enumerate() {
        vectors.begin(&format!("masternode_{index}"));
        vectors.bytes("key", &entry.id.0);
        vectors.text("addr", &entry.addr.to_string());
    }
    for block in chain() {
        let FinalBlock { block: inner, certificate } = &block;
        let (header, outline) = (&inner.header, Outline::of(&inner.payload));
        let hash = header.hash(&GENESIS);
        assert_eq!((header.payload, certificate.block), (outline.root(), hash));
        assert_eq!(header.proposer, leader(header.height, header.round, &registry));
        assert_eq!(header.registry, registry.hash());

        vectors.begin(&format!("block_{}", header.height));
        describe(&mut vectors, header);
        vectors.number("payload_length", u64::from(outline.length));
        for (index, chunk) in inner.payload.chunks(CHUNK).enumerate() {
            assert_eq!(chunk_hash(chunk), outline.chunks[index]);
            vectors.bytes(&format!("chunk_{index}_hash"), &outline.chunks[index].0);
        }
        vectors.bytes("hash", &hash.0);

        let message = precommit(certificate);
        vectors.bytes("precommit_signing_bytes", &message);
        for (seat, signature) in certificate.signers.iter().zip(&certificate.signatures) {
            let voter = registry.at(seat).unwrap().id;
            let verdict = providers[0].verify(&voter, &message, signature);
            assert_eq!(verdict, Authenticity::Genuine);
            vectors.bytes(&format!("precommit_of_{}", seat.0), &signature.0);
        }
        vectors.number("decided_in_round", certificate.round.0.into());
        vectors.bytes("certificate_hash", &certificate.hash().0);
        vectors.bytes("stored", &block.encode());
        assert_eq!(FinalBlock::decode(&block.encode()), Ok(block));
    }
    vectors.settle("blocks.toml");
}

fn describe(vectors: &mut Vectors, header: &Header) {
    vectors.number("height", header.height.0);
    vectors.number("round", header.round.0.into());
    vectors.number("slot_ms", header.slot.0);
    vectors.bytes("parent", &header.parent.0);
    vectors.bytes("parent_certificate", &header.certificate.0);
    vectors.bytes("payload_root", &header.payload.0);
    vectors.bytes("registry", &header.registry.0);
    vectors.bytes("proposer", &header.proposer.0);
}

fn precommit(certificate: &Certificate) -> Vec<u8> {
    let Certificate { height, round, block, .. } = certificate;
    signing::vote(&GENESIS, VoteKind::Precommit, *height, *round, Some(block))
}

/// Appended to the vectors of all that is signed.
pub(super) fn signed(vectors: &mut Vectors) {
    let (mut providers, registry) = masternodes();
    let blocks = chain();
    let header = &blocks[1].block.header;
    let (height, hash) = (header.height, header.hash(&GENESIS));
    let mut put = |name: &str, signer, message: &[u8]| {
        let provider = providers.iter_mut().find(|provider| provider.node_id() == signer).unwrap();
        vectors.begin(name);
        vectors.bytes("genesis", &GENESIS.0);
        vectors.bytes("key", &signer.0);
        vectors.bytes("signing_bytes", message);
        vectors.bytes("signature", &provider.sign(message).0);
    };
    for (name, round, valid) in [("proposal_fresh", 1, None), ("proposal_again", 2, Some(Round(1)))] {
        let message = signing::proposal(&GENESIS, height, Round(round), valid, &hash);
        put(name, leader(height, Round(round), &registry), &message);
    }
    let voter = registry.entries()[0].id;
    for (name, kind, block) in [
        ("prevote", VoteKind::Prevote, Some(&hash)),
        ("prevote_nil", VoteKind::Prevote, None),
        ("precommit", VoteKind::Precommit, Some(&hash)),
        ("precommit_nil", VoteKind::Precommit, None),
    ] {
        put(name, voter, &signing::vote(&GENESIS, kind, height, Round(2), block));
    }
}
