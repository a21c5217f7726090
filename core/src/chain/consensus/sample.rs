//! Statements of a registry of any size, for the tests of votes and of the consensus. Signatures are not real,
//! but two different statements never have the same.

use std::sync::Arc;

use crate::chain::proposer::leader;
use crate::event::SignedProposal;
use crate::ids::{BlockHash, Height, NodeId, Round, Signature};
use crate::registry::{Masternode, MasternodeIndex, Registry};
use crate::wire::block::{Certificate, VoteKind};
use crate::wire::message::Vote;

pub(crate) const HEIGHT: Height = Height(7);
pub(crate) const X: BlockHash = BlockHash([0xaa; 32]);
pub(crate) const Y: BlockHash = BlockHash([0xbb; 32]);

pub(crate) fn registry(size: u8) -> Arc<Registry> {
    let entry = |i: u8| Masternode { id: id(i), addr: format!("10.0.0.{i}:1").parse().unwrap() };
    Arc::new(Registry::new((0..size).map(entry).collect()).unwrap())
}

pub(crate) fn id(seat: u8) -> NodeId {
    NodeId([seat; 32])
}

pub(crate) fn prevote(seat: u8, round: u32, block: Option<BlockHash>) -> Vote {
    vote(VoteKind::Prevote, seat, round, block)
}

pub(crate) fn precommit(seat: u8, round: u32, block: Option<BlockHash>) -> Vote {
    vote(VoteKind::Precommit, seat, round, block)
}

pub(crate) fn vote(kind: VoteKind, seat: u8, round: u32, block: Option<BlockHash>) -> Vote {
    let mut signature = [seat; 64];
    signature[0] = kind as u8;
    signature[1..5].copy_from_slice(&round.to_le_bytes());
    signature[5] = block.map_or(0, |block| block.0[0]);
    Vote {
        kind,
        height: HEIGHT,
        round: Round(round),
        block,
        voter: id(seat),
        signature: Signature(signature),
    }
}

pub(crate) fn certificate(kind: VoteKind, seats: &[u8], round: u32, block: BlockHash) -> Certificate {
    let signatures = seats.iter().map(|seat| vote(kind, *seat, round, Some(block)).signature).collect();
    let signers = seats.iter().map(|seat| MasternodeIndex(*seat)).collect();
    Certificate { kind, height: HEIGHT, round: Round(round), block, signers, signatures }
}

pub(crate) fn proposal(
    registry: &Registry,
    round: u32,
    block: BlockHash,
    valid_round: Option<u32>,
) -> SignedProposal {
    let seat = leader(HEIGHT, Round(round), registry);
    let mut signature = [seat.0; 64];
    signature[0] = block.0[0];
    signature[1] = valid_round.map_or(0xff, |round| round as u8);
    SignedProposal {
        height: HEIGHT,
        round: Round(round),
        valid_round: valid_round.map(Round),
        block,
        proposer: id(seat.0),
        signature: Signature(signature),
    }
}
