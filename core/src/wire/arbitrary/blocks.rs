//! Any message about blocks and transactions within the bounds, and any final block.

use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::ids::{
    BlockHash, CertificateHash, ChunkHash, Height, NodeId, PayloadRoot, Round, Signature, TxId,
};
use crate::limits::{CHUNK, MAX_CHUNKS, MAX_OFFERED, MAX_TRANSACTION, PART};
use crate::registry::RegistryHash;
use crate::seats::SeatSet;
use crate::time::Wall;
use crate::wire::block::{Block, Certificate, FinalBlock, Header, Outline, VoteKind};
use crate::wire::message::{
    BlockPart, BlocksEnd, Chunk, GetBlocks, GetPayload, Held, MAX_ROUNDS_HELD, Message, Proposal, RoundHeld,
    Served, Tip, Vote,
};

pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        proposal().prop_map(|proposal| Message::Proposal(Box::new(proposal))),
        vote().prop_map(|vote| Message::Vote(Box::new(vote))),
        certificate(VoteKind::Prevote).prop_map(|polka| Message::Polka(Box::new(polka))),
        certificate(VoteKind::Precommit).prop_map(|commit| Message::Commit(Box::new(commit))),
        held().prop_map(|held| Message::Held(Box::new(held))),
        (height(), block()).prop_map(|(height, block)| Message::Tip(Tip { height, block })),
        (height(), block(), any::<u128>()).prop_map(|(height, block, missing)| {
            Message::GetPayload(GetPayload { height, block, missing })
        }),
        (any::<u64>(), height(), height(), any::<u32>()).prop_map(|(id, from, to, max_bytes)| {
            Message::GetBlocks(GetBlocks { id, from, to, max_bytes })
        }),
        chunk().prop_map(|chunk| Message::Chunk(Box::new(chunk))),
        part().prop_map(|part| Message::BlockPart(Box::new(part))),
        (any::<u64>(), served()).prop_map(|(id, served)| Message::BlocksEnd(BlocksEnd { id, served })),
        transaction(),
        ids().prop_map(Message::TransactionOffer),
        ids().prop_map(Message::TransactionWant),
    ]
}

fn transaction() -> impl Strategy<Value = Message> {
    prop_oneof![8 => vec(any::<u8>(), 1..64), 1 => vec(any::<u8>(), 1..=MAX_TRANSACTION)]
        .prop_map(|bytes| Message::Transaction(Bytes::from(bytes)))
}

fn ids() -> impl Strategy<Value = Vec<TxId>> {
    prop_oneof![8 => vec(any::<[u8; 32]>(), 0..4), 1 => vec(any::<[u8; 32]>(), 0..=MAX_OFFERED)]
        .prop_map(|ids| ids.into_iter().map(TxId).collect())
}

prop_compose! {
    pub(crate) fn header()(
        numbers in any::<[u64; 2]>(),
        round in round(),
        hashes in any::<[[u8; 32]; 5]>(),
    ) -> Header {
        let [height, slot] = numbers;
        let [parent, certificate, payload, registry, proposer] = hashes;
        Header {
            height: Height(height),
            round,
            slot: Wall(slot),
            parent: BlockHash(parent),
            certificate: CertificateHash(certificate),
            payload: PayloadRoot(payload),
            registry: RegistryHash(registry),
            proposer: NodeId(proposer),
        }
    }
}

prop_compose! {
    pub(crate) fn proposal()(
        header in header(),
        round in round(),
        valid_round in option::of(round()),
        certificate in option::of(certificate(VoteKind::Precommit).prop_map(Box::new)),
        outline in outline(),
        signature in signature(),
    ) -> Proposal {
        Proposal { header, round, valid_round, certificate, outline, signature }
    }
}

prop_compose! {
    pub(crate) fn vote()(
        kind in kind(),
        height in height(),
        round in round(),
        block in option::of(block()),
        voter in any::<[u8; 32]>().prop_map(NodeId),
        signature in signature(),
    ) -> Vote {
        Vote { kind, height, round, block, voter, signature }
    }
}

/// Of any signers: a few, a quorum, or all of the largest registry.
pub(crate) fn certificate(kind: VoteKind) -> impl Strategy<Value = Certificate> {
    let signers = prop_oneof![btree_set(0..128u32, 0..8), btree_set(0..128u32, 0..=128)];
    (height(), round(), block(), signers, any::<[u8; 32]>()).prop_map(
        move |(height, round, block, signers, seed)| Certificate {
            kind,
            height,
            round,
            block,
            signers: SeatSet(signers.iter().map(|seat| 1 << seat).sum()),
            signatures: signers.iter().map(|seat| Signature(spread(seed, *seat))).collect(),
        },
    )
}

/// A different value for each seat, without a random number for each.
fn spread(seed: [u8; 32], seat: u32) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = seed[at % 32] ^ (seat as u8) ^ (at / 32) as u8;
    }
    bytes
}

fn outline() -> impl Strategy<Value = Outline> {
    let chunks = prop_oneof![8 => vec(any::<[u8; 32]>(), 0..4), 1 => vec(any::<[u8; 32]>(), 0..=MAX_CHUNKS)];
    (chunks, 1..=CHUNK).prop_map(|(chunks, last)| {
        let length = chunks.len().checked_sub(1).map_or(0, |whole| whole * CHUNK + last);
        Outline {
            length: u32::try_from(length).unwrap(),
            chunks: chunks.into_iter().map(ChunkHash).collect(),
        }
    })
}

fn held() -> impl Strategy<Value = Held> {
    let rounds = btree_set(any::<u32>(), 0..=MAX_ROUNDS_HELD);
    (height(), round(), option::of(block()), rounds, any::<[u128; 2]>()).prop_map(
        |(height, round, proposal, rounds, [prevotes, precommits])| {
            let (prevotes, precommits) = (SeatSet(prevotes), SeatSet(precommits));
            let of = |round| RoundHeld { round: Round(round), prevotes, precommits };
            Held { height, round, proposal, rounds: rounds.into_iter().map(of).collect() }
        },
    )
}

prop_compose! {
    fn chunk()(height in height(), block in block(), index in any::<u16>(), bytes in bytes(CHUNK)) -> Chunk {
        Chunk { height, block, index, bytes }
    }
}

prop_compose! {
    fn part()(
        id in any::<u64>(),
        height in height(),
        index in any::<u16>(),
        count in any::<u16>(),
        bytes in bytes(PART),
    ) -> BlockPart {
        BlockPart { id, height, index, count, bytes }
    }
}

prop_compose! {
    pub(crate) fn final_block()(
        header in header(),
        before in option::of(certificate(VoteKind::Precommit).prop_map(Box::new)),
        payload in bytes(2_000),
        certificate in certificate(VoteKind::Precommit),
    ) -> FinalBlock {
        FinalBlock { block: Block { header, certificate: before, payload }, certificate }
    }
}

fn served() -> impl Strategy<Value = Served> {
    prop_oneof![Just(Served::All), Just(Served::Nothing), any::<u32>().prop_map(Served::Busy)]
}

fn kind() -> impl Strategy<Value = VoteKind> {
    prop_oneof![Just(VoteKind::Prevote), Just(VoteKind::Precommit)]
}

fn height() -> impl Strategy<Value = Height> {
    any::<u64>().prop_map(Height)
}

fn round() -> impl Strategy<Value = Round> {
    any::<u32>().prop_map(Round)
}

fn block() -> impl Strategy<Value = BlockHash> {
    any::<[u8; 32]>().prop_map(BlockHash)
}

fn signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 64]>().prop_map(Signature)
}

/// Mostly short.
fn bytes(bound: usize) -> impl Strategy<Value = Bytes> {
    prop_oneof![8 => vec(any::<u8>(), 0..64), 1 => vec(any::<u8>(), 0..=bound)].prop_map(Bytes::from)
}
