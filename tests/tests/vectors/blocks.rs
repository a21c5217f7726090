//! A chain of three blocks: hashes, roots, certificates, what is signed, what is stored.

use std::time::Duration;

use timed_core::crypto::{Authenticity, Provider};
use timed_core::limits::CHUNK;
use timed_core::wire::block::{Outline, chunk_hash};
use timed_core::wire::signing;
use timed_core::{Certificate, FinalBlock, Header, MasternodeIndex, Round, Signature, VoteKind};
use timed_tests::chain_auditor::{ChainAuditor, Origin};
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

/// A final block, one step away from a good one, with the rule that it breaks. `None` where its bytes already are
/// no block.
fn spoilt() -> Vec<(&'static str, Vec<u8>, Option<FinalBlock>)> {
    let (_, registry) = masternodes();
    let [_, good, next] = <[FinalBlock; 3]>::try_from(chain()).unwrap();
    let stored = good.encode().to_vec();
    let mut all = vec![
        ("bytes_one_more", [&stored[..], &[0]].concat(), None),
        ("bytes_one_less", stored[..stored.len() - 1].to_vec(), None),
        ("parent_certificate_tag_2", [&stored[..180], &[2], &stored[181..]].concat(), None),
    ];
    let mut put = |name, change: &mut dyn FnMut(&mut FinalBlock)| {
        let mut bad = good.clone();
        change(&mut bad);
        all.push((name, bad.encode().to_vec(), Some(bad)));
    };
    put("c_1_height_skipped", &mut |bad| bad.block.header.height.0 += 1);
    put("c_1_another_parent", &mut |bad| bad.block.header.parent.0[0] ^= 1);
    put("c_2_another_certificate_of_the_parent", &mut |bad| bad.block.header.certificate.0[0] ^= 1);
    put("c_2_without_its_parents_certificate", &mut |bad| bad.block.certificate = None);
    put("c_2_parents_certificate_of_prevotes", &mut |bad| {
        let certificate = bad.block.certificate.as_mut().unwrap();
        certificate.kind = VoteKind::Prevote;
    });
    put("c_3_another_payload", &mut |bad| bad.block.payload = vec![7; 3].into());
    put("c_5_another_proposer", &mut |bad| bad.block.header.proposer = registry.entries()[0].id);
    put("c_6_between_two_slots", &mut |bad| bad.block.header.slot.0 += 1);
    put("c_6_in_its_parents_slot", &mut |bad| bad.block.header.slot.0 -= INTERVAL);
    put("c_7_another_registry", &mut |bad| bad.block.header.registry.0[0] ^= 1);
    put("c_4_certificate_of_the_next_block", &mut |bad| bad.certificate = next.certificate.clone());
    put("c_4_certificate_of_another_round", &mut |bad| bad.certificate.round.0 += 1);
    put("c_4_signature_forged", &mut |bad| bad.certificate.signatures[0].0[0] ^= 1);
    put("c_4_fewer_than_a_quorum", &mut |bad| {
        let two = bad.certificate.signers.iter().take(2).collect();
        bad.certificate.signers = two;
        bad.certificate.signatures.truncate(2);
    });
    put("c_4_signer_beyond_the_registry", &mut |bad| {
        bad.certificate.signers.insert(MasternodeIndex(4));
        bad.certificate.signatures.push(Signature([0x5e; 64]));
    });
    put("c_4_one_beyond_a_quorum_forged", &mut |bad| bad.certificate.signatures[3].0[0] ^= 1);
    all
}

#[test]
fn blocks_that_break_a_rule_are_refused() {
    let mut vectors = Vectors::new(
        "The second block of blocks.toml, each time one step away from it: a node that has the first one refuses it.\n\
         The first words of a name are the rule that it breaks; `bytes` is no final block at all.",
    );
    let (mut providers, registry) = masternodes();
    let origin = Origin {
        genesis: GENESIS,
        genesis_time: GENESIS_TIME,
        interval: Duration::from_millis(INTERVAL),
        registry,
    };
    let [first, good, _] = <[FinalBlock; 3]>::try_from(chain()).unwrap();
    let mut auditor = ChainAuditor::new(origin, Box::new(providers.remove(0)));
    auditor.take(&first, &[]).unwrap();
    for (name, stored, block) in spoilt() {
        let refused = match &block {
            None => format!("{:?}", FinalBlock::decode(&stored).unwrap_err()),
            Some(block) => {
                let refused = auditor.take(block, &[]).unwrap_err();
                let rule = refused.split(':').next().unwrap().to_lowercase().replace('-', "_");
                assert!(name.starts_with(&rule), "{name}: {refused}");
                rule
            }
        };
        vectors.begin(name);
        vectors.bytes("stored", &stored);
        vectors.text("refused", &refused);
    }
    auditor.take(&good, &[]).unwrap();
    vectors.settle("bad_blocks.toml");
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
