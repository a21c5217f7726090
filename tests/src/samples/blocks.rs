//! Messages about blocks and transactions, and a small chain with real signatures.

use std::collections::BTreeMap;

use bytes::Bytes;
use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::wire::block::Outline;
use timed_core::wire::message::{
    BlockPart, BlocksEnd, Chunk, GetBlocks, GetPayload, Held, Message, Proposal, RoundHeld, Served, Tip, Vote,
};
use timed_core::wire::signing;
use timed_core::{
    Block, BlockHash, Certificate, CertificateHash, FinalBlock, GenesisHash, Header, Height, Masternode,
    MasternodeIndex, NodeId, Registry, RegistryHash, Round, SeatSet, Signature, TxId, VoteKind, Wall,
};
use zeroize::Zeroizing;

/// The network of these samples.
pub const GENESIS: GenesisHash = GenesisHash([0xb1; 32]);
/// The genesis time of these samples.
pub const GENESIS_TIME: Wall = Wall(1_795_000_000_000);
/// The length of its slots in milliseconds.
pub const INTERVAL: u64 = 10_000;

/// One message of every form.
#[must_use]
pub fn messages() -> Vec<(String, Message)> {
    let (height, round, block) = (Height(1235), Round(2), BlockHash([0xc2; 32]));
    let voter = NodeId([0x11; 32]);
    let signature = Signature([0x5e; 64]);
    let vote = |kind, block| Vote { kind, height, round, block, voter, signature };
    let certificate = |kind, seats: &[u8]| Certificate {
        kind,
        height,
        round,
        block,
        signers: seats.iter().copied().map(MasternodeIndex).collect(),
        signatures: seats.iter().map(|seat| Signature([*seat; 64])).collect(),
    };
    let parent = Certificate {
        height: Height(1234),
        round: Round(0),
        block: BlockHash([0xc1; 32]),
        ..certificate(VoteKind::Precommit, &[0, 1, 3])
    };
    let payload = Bytes::from(vec![0xda; 20_000]);
    let outline = Outline::of(&payload);
    let header = Header {
        height,
        round: Round(1),
        slot: Wall(1_795_012_350_000),
        parent: BlockHash([0xc1; 32]),
        certificate: parent.hash(),
        payload: outline.root(),
        registry: RegistryHash([0xc3; 32]),
        proposer: NodeId([0x22; 32]),
    };
    let again = Proposal {
        header: header.clone(),
        round,
        valid_round: Some(Round(1)),
        certificate: Some(Box::new(parent)),
        outline,
        signature,
    };
    let fresh = Proposal {
        round: Round(1),
        valid_round: None,
        outline: Outline::default(),
        header: Header { payload: Outline::default().root(), ..header },
        ..again.clone()
    };
    let first = Proposal {
        header: Header {
            height: Height(1),
            parent: BlockHash::default(),
            certificate: CertificateHash::default(),
            ..fresh.header.clone()
        },
        certificate: None,
        ..fresh.clone()
    };
    let held_round = |round, prevotes, precommits| RoundHeld {
        round: Round(round),
        prevotes: SeatSet(prevotes),
        precommits: SeatSet(precommits),
    };
    let held = Held {
        height,
        round,
        proposal: Some(block),
        rounds: vec![held_round(1, 0b1011, 0b0001), held_round(2, u128::MAX, 1 << 127)],
    };
    let chunk = |index, bytes| Chunk { height, block, index, bytes };
    let ids = vec![TxId([0xe1; 32]), TxId([0xe0; 32])];
    let part = BlockPart { id: 9, height, index: 1, count: 3, bytes: Bytes::from_static(b"part") };
    let end = |served| Message::BlocksEnd(BlocksEnd { id: 9, served });
    [
        ("proposal_first", Message::Proposal(Box::new(first))),
        ("proposal_fresh", Message::Proposal(Box::new(fresh))),
        ("proposal_again", Message::Proposal(Box::new(again))),
        ("vote_prevote", Message::Vote(Box::new(vote(VoteKind::Prevote, Some(block))))),
        ("vote_precommit_nil", Message::Vote(Box::new(vote(VoteKind::Precommit, None)))),
        ("polka", Message::Polka(Box::new(certificate(VoteKind::Prevote, &[0, 2, 127])))),
        ("commit", Message::Commit(Box::new(certificate(VoteKind::Precommit, &[1, 2, 3])))),
        ("held", Message::Held(Box::new(held))),
        ("held_nothing", Message::Held(Box::new(Held { height, round, ..Held::default() }))),
        ("tip", Message::Tip(Tip { height, block })),
        ("get_payload", Message::GetPayload(GetPayload { height, block, missing: 0b10 | 1 << 69 })),
        (
            "get_blocks",
            Message::GetBlocks(GetBlocks { id: 9, from: Height(3), to: Height(99), max_bytes: 1 << 20 }),
        ),
        ("chunk", Message::Chunk(Box::new(chunk(1, payload.slice(19_990..))))),
        ("chunk_empty", Message::Chunk(Box::new(chunk(u16::MAX, Bytes::new())))),
        ("transaction", Message::Transaction(Bytes::from_static(b"transaction"))),
        ("transaction_offer", Message::TransactionOffer(ids.clone())),
        ("transaction_offer_none", Message::TransactionOffer(vec![])),
        ("transaction_want", Message::TransactionWant(ids)),
        ("block_part", Message::BlockPart(Box::new(part))),
        ("blocks_end_all", end(Served::All)),
        ("blocks_end_nothing", end(Served::Nothing)),
        ("blocks_end_busy", end(Served::Busy(750))),
    ]
    .map(|(name, message)| (name.to_owned(), message))
    .into()
}

/// The four masternodes of [`chain`], by position, and their registry. Their keys have seeds of 32 equal bytes:
/// 1 to 4, in another order.
#[must_use]
pub fn masternodes() -> (Vec<NoiseProvider>, Registry) {
    let mut providers = BTreeMap::new();
    for seed in 1..=4 {
        let provider = NoiseProvider::new(Zeroizing::new([seed; 32]));
        providers.insert(provider.node_id(), provider);
    }
    let entries = providers.keys().zip(1..).filter_map(|(id, host)| {
        let addr = format!("10.0.0.{host}:24100").parse().ok()?;
        Some(Masternode { id: *id, addr })
    });
    let registry = Registry::new(entries.collect()).unwrap_or_else(|error| panic!("{error}"));
    (providers.into_values().collect(), registry)
}

/// The leader of a round (rule C-5).
#[must_use]
pub fn leader(height: Height, round: Round, registry: &Registry) -> NodeId {
    let seat = (height.0 + u64::from(round.0)) % registry.size() as u64;
    let entry = registry.entries().get(usize::try_from(seat).unwrap_or_default());
    entry.map_or_else(NodeId::default, |entry| entry.id)
}

/// Precommits of the masternodes at some positions.
#[must_use]
pub fn sign(
    providers: &mut [NoiseProvider],
    seats: &[u8],
    (height, round): (Height, Round),
    block: BlockHash,
) -> Certificate {
    let kind = VoteKind::Precommit;
    let message = signing::vote(&GENESIS, kind, height, round, Some(&block));
    let mut signatures = Vec::new();
    for seat in seats {
        signatures.extend(providers.get_mut(usize::from(*seat)).map(|provider| provider.sign(&message)));
    }
    let signers = seats.iter().copied().map(MasternodeIndex).collect();
    Certificate { kind, height, round, block, signers, signatures }
}

/// Three final blocks: an empty one, one decided in its third round by all and made in the second, and one of
/// two chunks after an outage.
#[must_use]
pub fn chain() -> Vec<FinalBlock> {
    let (mut providers, registry) = masternodes();
    let mut blocks: Vec<FinalBlock> = Vec::new();
    let long: Vec<u8> = (0..20_000u32).map(|at| (at % 251) as u8).collect();
    for (slot, made, decided, seats, payload) in [
        (0, 0, 0, &[0, 1, 2][..], vec![]),
        (1, 1, 2, &[0, 1, 2, 3][..], b"a transaction".to_vec()),
        (360, 0, 0, &[0, 2, 3][..], long),
    ] {
        let before = blocks.last().map(|block| block.certificate.clone());
        let height = before.as_ref().map_or(Height(1), |certificate| certificate.height.next());
        let header = Header {
            height,
            round: Round(made),
            slot: Wall(GENESIS_TIME.0 + slot * INTERVAL),
            parent: before.as_ref().map_or_else(BlockHash::default, |certificate| certificate.block),
            certificate: before.as_ref().map_or_else(CertificateHash::default, Certificate::hash),
            payload: Outline::of(&payload).root(),
            registry: registry.hash(),
            proposer: leader(height, Round(made), &registry),
        };
        let certificate = sign(&mut providers, seats, (height, Round(decided)), header.hash(&GENESIS));
        let block = Block { header, certificate: before.map(Box::new), payload: payload.into() };
        blocks.push(FinalBlock { block, certificate });
    }
    blocks
}
