//! The bytes that are signed (rule W-8): written by hand, field by field, never the encoder's output.
//!
//! Each begins with its domain; every field has a fixed width or a length in front, so two different values
//! never give the same bytes. All integers are little-endian.

use sha2::{Digest, Sha256};
use std::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::event::{DialedBecause, Direction, Statement};
use crate::ids::{BlockHash, GenesisHash, Height, NodeId, Round, SessionHash};
use crate::wire::block::VoteKind;
use crate::wire::message::{
    Answer, Ballot, Boot, DialerRank, Heartbeat, Hello, HelloAck, Intent, Introduction, Role,
};

const DOMAIN_BOOT: &[u8] = b"timed-boot-v1";
const DOMAIN_HELLO: &[u8] = b"timed-hello-v1";
const DOMAIN_HEARTBEAT: &[u8] = b"timed-heartbeat-v1";
const DOMAIN_PROPOSAL: &[u8] = b"timed-proposal-v1";
const DOMAIN_VOTE: &[u8] = b"timed-vote-v1";
const DIALER: u8 = 0;
const ACCEPTOR: u8 = 1;

/// What a process signs once, at its start: domain ‖ genesis hash ‖ its key ‖ boot epoch ‖ boot nonce.
#[must_use]
pub fn boot(genesis: &GenesisHash, node: &NodeId, boot: Boot) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(DOMAIN_BOOT);
    out.extend_from_slice(&genesis.0);
    out.extend_from_slice(&node.0);
    put_boot(&mut out, boot);
    out
}

/// What the dialer signs: domain ‖ 0 ‖ handshake hash ‖ every field of the `Hello` but the signature.
#[must_use]
pub fn hello(session: &SessionHash, hello: &Hello) -> Vec<u8> {
    let mut out = Vec::with_capacity(640);
    out.extend_from_slice(DOMAIN_HELLO);
    out.push(DIALER);
    out.extend_from_slice(&session.0);
    put_hello(&mut out, hello);
    out
}

/// What the acceptor signs: domain ‖ 1 ‖ handshake hash ‖ every field of the `HelloAck` but the signature ‖
/// every field of the `Hello` that it answers, its signature included.
#[must_use]
pub fn hello_ack(session: &SessionHash, hello: &Hello, ack: &HelloAck) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(DOMAIN_HELLO);
    out.push(ACCEPTOR);
    out.extend_from_slice(&session.0);
    put_introduction(&mut out, &ack.from);
    put_u64(&mut out, ack.highest.0);
    match ack.answer {
        Answer::Accepted => out.push(0),
        Answer::WillDial => out.push(1),
        Answer::HaveSession => out.push(2),
        Answer::Refused(reason) => {
            out.push(3);
            out.extend_from_slice(&reason.code().to_le_bytes());
        }
        Answer::Here => out.push(4),
    }
    put_hello(&mut out, hello);
    out.extend_from_slice(&hello.signature.0);
    out
}

/// What a masternode signs in its heartbeat: domain ‖ every field but the signature.
#[must_use]
pub fn heartbeat(beat: &Heartbeat) -> Vec<u8> {
    let mut out = Vec::with_capacity(192 + 11 * beat.links.len() + 17 * beat.witnessed.len());
    append_heartbeat(beat, &mut out);
    out
}

/// As [`heartbeat`], appended to the caller's buffer.
pub fn append_heartbeat(beat: &Heartbeat, out: &mut Vec<u8>) {
    out.extend_from_slice(DOMAIN_HEARTBEAT);
    out.extend_from_slice(&beat.network.0);
    out.extend_from_slice(&beat.signer.0);
    put_u64(out, beat.epoch.0);
    put_u64(out, beat.sequence);
    put_u64(out, beat.wall.0);
    put_u64(out, beat.height.0);
    out.extend_from_slice(&beat.tip.0);
    out.extend_from_slice(&beat.registry.0);
    put_length(out, beat.links.len());
    for link in &beat.links {
        out.push(link.peer.0);
        out.push(match link.direction {
            Direction::Inbound => 0,
            Direction::Outbound => 1,
        });
        out.push(because(link.because));
        out.extend_from_slice(&link.session.0);
    }
    out.extend_from_slice(&beat.duplicates.to_le_bytes());
    put_length(out, beat.witnessed.len());
    for witness in &beat.witnessed {
        out.push(witness.signer.0);
        put_u64(out, witness.sequence);
        out.extend_from_slice(&witness.digest);
    }
}

/// What a leader signs: domain ‖ genesis hash ‖ height ‖ round ‖ valid round ‖ block. The block's hash stands
/// for its header, and the header's root for the payload.
#[must_use]
pub fn proposal(
    genesis: &GenesisHash,
    height: Height,
    round: Round,
    valid: Option<Round>,
    block: &BlockHash,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(DOMAIN_PROPOSAL);
    out.extend_from_slice(&genesis.0);
    put_u64(&mut out, height.0);
    out.extend_from_slice(&round.0.to_le_bytes());
    match valid {
        None => out.push(0),
        Some(valid) => {
            out.push(1);
            out.extend_from_slice(&valid.0.to_le_bytes());
        }
    }
    out.extend_from_slice(&block.0);
    out
}

/// What a masternode signs in a vote: domain ‖ genesis hash ‖ kind ‖ height ‖ round ‖ block. Two votes of one
/// kind, height, round and block have the same bytes, whoever signs, so that certificates need only signatures.
#[must_use]
pub fn vote(
    genesis: &GenesisHash,
    kind: VoteKind,
    height: Height,
    round: Round,
    block: Option<&BlockHash>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(DOMAIN_VOTE);
    out.extend_from_slice(&genesis.0);
    out.push(match kind {
        VoteKind::Prevote => 0,
        VoteKind::Precommit => 1,
    });
    put_u64(&mut out, height.0);
    out.extend_from_slice(&round.0.to_le_bytes());
    match block {
        None => out.push(0),
        Some(block) => {
            out.push(1);
            out.extend_from_slice(&block.0);
        }
    }
    out
}

/// The bytes under a statement's signature: with them anybody can verify a proof of equivocation (rule C-16).
#[must_use]
pub fn statement(genesis: &GenesisHash, statement: &Statement) -> Vec<u8> {
    match statement {
        Statement::Vote(said) => vote(genesis, said.kind, said.height, said.round, said.block.as_ref()),
        Statement::Proposal(said) => {
            proposal(genesis, said.height, said.round, said.valid_round, &said.block)
        }
    }
}

/// By what a witness names a heartbeat: the first eight bytes of the SHA-256 of its signing bytes.
#[must_use]
pub fn heartbeat_digest(beat: &Heartbeat) -> [u8; 8] {
    digest(&heartbeat(beat))
}

/// As [`heartbeat_digest`], of signing bytes that the caller has already.
#[must_use]
pub fn digest(signing_bytes: &[u8]) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(signing_bytes).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    [a, b, c, d, e, f, g, h]
}

fn put_hello(out: &mut Vec<u8>, hello: &Hello) {
    put_introduction(out, &hello.from);
    match hello.to {
        None => out.push(0),
        Some(node) => {
            out.push(1);
            out.extend_from_slice(&node.0);
        }
    }
    put_u64(out, hello.ordinal.0);
    match hello.intent {
        Intent::Session(why) => out.extend_from_slice(&[0, because(why)]),
        Intent::Knock => out.push(1),
        Intent::Probe => out.push(2),
    }
    match &hello.register {
        None => out.push(0),
        Some(ballot) => {
            out.push(1);
            put_ballot(out, ballot);
        }
    }
}

fn put_introduction(out: &mut Vec<u8>, from: &Introduction) {
    out.extend_from_slice(&from.node.0);
    put_addr(out, from.advertised);
    put_boot(out, from.boot);
    out.extend_from_slice(&from.proof.0);
    match from.seen {
        None => out.push(0),
        Some(seen) => {
            out.push(1);
            put_boot(out, seen.boot);
            out.extend_from_slice(&seen.proof.0);
        }
    }
    put_addr(out, from.observed);
    for version in [from.versions.min, from.versions.max, from.chosen] {
        out.extend_from_slice(&version.0.to_le_bytes());
    }
    put_u64(out, from.features);
    out.extend_from_slice(&from.network.0);
    out.extend_from_slice(&from.genesis.0);
    put_u64(out, from.height.0);
    out.extend_from_slice(&from.tip.0);
    out.push(match from.role {
        Role::Masternode => 0,
        Role::Observer => 1,
    });
    put_length(out, from.agent.len());
    out.extend_from_slice(from.agent.as_bytes());
}

fn put_addr(out: &mut Vec<u8>, addr: Option<CanonicalAddr>) {
    let Some(addr) = addr else { return out.push(0) };
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&addr.port().to_le_bytes());
}

fn put_boot(out: &mut Vec<u8>, boot: Boot) {
    put_u64(out, boot.epoch.0);
    put_u64(out, boot.nonce.0);
}

fn put_ballot(out: &mut Vec<u8>, ballot: &Ballot) {
    put_u64(out, ballot.epochs.0.0);
    put_u64(out, ballot.epochs.1.0);
    put_u64(out, ballot.ordinal.0);
    out.push(match ballot.dialer {
        DialerRank::Other => 0,
        DialerRank::Canonical => 1,
    });
    out.extend_from_slice(&ballot.session.0);
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

const fn because(why: DialedBecause) -> u8 {
    match why {
        DialedBecause::Canonical => 0,
        DialedBecause::Fallback => 1,
        DialedBecause::Manual => 2,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    use super::*;
    use crate::event::SignedProposal;
    use crate::ids::{BootEpoch, BootNonce, Signature};
    use crate::wire::arbitrary;
    use crate::wire::block::Outline;
    use crate::wire::codec::{decode_body, encode_body};
    use crate::wire::message::{Kind, Message, Proposal};

    const UNSIGNED: Signature = Signature([0; 64]);
    const GENESIS: GenesisHash = GenesisHash([9; 32]);

    /// All values one bit away in the encoding, as long as they are values at all.
    fn neighbours(message: &Message) -> Vec<Message> {
        let mut body = Vec::new();
        encode_body(message, &mut body);
        let mut all = Vec::new();
        for bit in 0..8 * body.len() {
            let mut changed = body.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            all.extend(decode_body(message.kind(), &changed).ok().filter(|other| other != message));
        }
        all
    }

    fn signed(session: &SessionHash, answered: &Hello, message: &Message) -> Vec<u8> {
        match message {
            Message::Hello(hello) => super::hello(session, hello),
            Message::HelloAck(ack) => hello_ack(session, answered, ack),
            Message::Heartbeat(beat) => heartbeat(beat),
            Message::Proposal(said) => {
                let block = said.header.hash(&GENESIS);
                proposal(&GENESIS, said.header.height, said.round, said.valid_round, &block)
            }
            Message::Vote(said) => vote(&GENESIS, said.kind, said.height, said.round, said.block.as_ref()),
            _ => panic!("not signed"),
        }
    }

    /// The message as far as it is signed: without its signature; a vote without its voter, whose key stands for
    /// it; a proposal without what its header's hashes stand for.
    fn unsigned(mut message: Message) -> Message {
        match &mut message {
            Message::Hello(hello) => hello.signature = UNSIGNED,
            Message::HelloAck(ack) => ack.signature = UNSIGNED,
            Message::Heartbeat(beat) => beat.signature = UNSIGNED,
            Message::Proposal(proposal) => {
                proposal.signature = UNSIGNED;
                proposal.certificate = None;
                proposal.outline = Outline::default();
            }
            Message::Vote(vote) => {
                vote.signature = UNSIGNED;
                vote.voter = NodeId::default();
            }
            _ => panic!("not signed"),
        }
        message
    }

    fn signed_message() -> impl Strategy<Value = Message> {
        prop_oneof![
            arbitrary::hello().prop_map(|hello| Message::Hello(Box::new(hello))),
            arbitrary::hello_ack().prop_map(|ack| Message::HelloAck(Box::new(ack))),
            arbitrary::heartbeat().prop_map(|beat| Message::Heartbeat(Box::new(beat))),
            small_proposal().prop_map(|proposal| Message::Proposal(Box::new(proposal))),
            arbitrary::blocks::vote().prop_map(|vote| Message::Vote(Box::new(vote))),
        ]
    }

    /// Every bit of a body is tried, so what is not signed is left out.
    fn small_proposal() -> impl Strategy<Value = Proposal> {
        arbitrary::blocks::proposal().prop_map(|mut proposal| {
            proposal.certificate = None;
            proposal.outline = Outline::default();
            proposal
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80))]

        /// Every field counts: no value near another has its signing bytes.
        #[test]
        fn two_values_never_give_the_same_bytes(
            message in signed_message(),
            answered in arbitrary::hello(),
            session in any::<[u8; 32]>().prop_map(SessionHash),
        ) {
            let bytes = signed(&session, &answered, &message);
            for other in neighbours(&message) {
                let same = signed(&session, &answered, &other) == bytes;
                prop_assert_eq!(same, unsigned(other) == unsigned(message.clone()));
            }
        }

        #[test]
        fn any_two_values_differ(a in signed_message(), b in signed_message(), answered in arbitrary::hello()) {
            let session = SessionHash([0; 32]);
            let same = signed(&session, &answered, &a) == signed(&session, &answered, &b);
            prop_assert_eq!(same, unsigned(a) == unsigned(b));
        }

        #[test]
        fn the_answer_is_bound_to_the_channel_and_to_what_it_answers(
            answered in arbitrary::hello(),
            ack in arbitrary::hello_ack(),
        ) {
            let session = SessionHash([0; 32]);
            let bytes = hello_ack(&session, &answered, &ack);
            prop_assert_ne!(&hello_ack(&SessionHash([1; 32]), &answered, &ack), &bytes);
            prop_assert_ne!(hello(&SessionHash([1; 32]), &answered), hello(&session, &answered));
            // Every neighbour of the hello, one that differs in the signature alone included.
            for other in neighbours(&Message::Hello(Box::new(answered))) {
                let Message::Hello(other) = other else { panic!("another kind") };
                prop_assert_ne!(&hello_ack(&session, &other, &ack), &bytes);
            }
        }

        #[test]
        fn the_digest_names_the_signing_bytes(beat in arbitrary::heartbeat()) {
            let mut bytes = b"before".to_vec();
            append_heartbeat(&beat, &mut bytes);
            prop_assert_eq!(&bytes[6..], &heartbeat(&beat)[..]);
            prop_assert_eq!(&heartbeat_digest(&beat)[..], &Sha256::digest(&bytes[6..])[..8]);
        }
    }

    /// Votes of two networks, and a vote and a proposal of the same values, are different words.
    #[test]
    fn what_is_said_about_blocks_is_bound_to_its_network_and_kind() {
        let (height, round, block) = (Height(7), Round(1), BlockHash([3; 32]));
        let other = GenesisHash([8; 32]);
        let mut words = Vec::new();
        for genesis in [GENESIS, other] {
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                for block in [None, Some(&block), Some(&BlockHash::default())] {
                    words.push(vote(&genesis, kind, height, round, block));
                }
            }
            for valid in [None, Some(Round(0)), Some(Round(1))] {
                words.push(proposal(&genesis, height, round, valid, &block));
            }
        }
        let count = words.len();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    /// A start of another network, key, epoch or process is another word.
    #[test]
    fn a_boot_is_bound_to_its_network_key_epoch_and_nonce() {
        let start = |epoch, nonce| Boot { epoch: BootEpoch(epoch), nonce: BootNonce(nonce) };
        let node = NodeId([4; 32]);
        let mut words = vec![
            boot(&GENESIS, &node, start(1, 2)),
            boot(&GENESIS, &node, start(2, 1)),
            boot(&GENESIS, &node, start(1, 1)),
            boot(&GENESIS, &NodeId([5; 32]), start(1, 2)),
            boot(&GenesisHash([8; 32]), &node, start(1, 2)),
        ];
        assert!(words.iter().all(|word| word.starts_with(b"timed-boot-v1")));
        words.sort();
        words.dedup();
        assert_eq!(words.len(), 5);
    }

    #[test]
    fn a_statement_is_what_its_message_signs() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let said = arbitrary::blocks::vote().new_tree(&mut runner).unwrap().current();
        let bytes = vote(&GENESIS, said.kind, said.height, said.round, said.block.as_ref());
        assert_eq!(statement(&GENESIS, &Statement::Vote(said)), bytes);
        let said = SignedProposal {
            height: Height(7),
            round: Round(2),
            valid_round: Some(Round(1)),
            block: BlockHash([3; 32]),
            proposer: NodeId([4; 32]),
            signature: UNSIGNED,
        };
        let bytes = proposal(&GENESIS, said.height, said.round, said.valid_round, &said.block);
        assert_eq!(statement(&GENESIS, &Statement::Proposal(said)), bytes);
    }

    #[test]
    fn domains_and_roles_come_first() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut any = |kind| loop {
            let message = arbitrary::message().new_tree(&mut runner).unwrap().current();
            if message.kind() == kind {
                return message;
            }
        };
        let session = SessionHash([7; 32]);
        let Message::Hello(answered) = any(Kind::Hello) else { panic!("another kind") };
        let begins = |bytes: Vec<u8>, domain: &[u8], rest: &[u8]| {
            assert_eq!(bytes.get(..domain.len() + rest.len()), Some(&[domain, rest].concat()[..]));
        };
        let bound = |role: u8| Bytes::from([&[role][..], &[7; 32]].concat());
        begins(hello(&session, &answered), b"timed-hello-v1", &bound(0));
        begins(signed(&session, &answered, &any(Kind::HelloAck)), b"timed-hello-v1", &bound(1));
        begins(signed(&session, &answered, &any(Kind::Heartbeat)), b"timed-heartbeat-v1", &[]);
        begins(signed(&session, &answered, &any(Kind::Proposal)), b"timed-proposal-v1", &GENESIS.0);
        begins(signed(&session, &answered, &any(Kind::Vote)), b"timed-vote-v1", &GENESIS.0);
    }
}
