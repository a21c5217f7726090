use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::ids::{ChunkHash, Round, TxId};
use crate::limits::{CHUNK, MAX_CHUNKS, MAX_FINAL_BLOCK, MAX_OFFERED, MAX_PAYLOAD, PART};
use crate::seats::SeatSet;
use crate::wire::arbitrary;
use crate::wire::block::{Certificate, FinalBlock, Outline};
use crate::wire::message::{BlockPart, Chunk, GetPayload, Held, MAX_ROUNDS_HELD, RoundHeld};

fn encoded(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    encode_body(message, &mut out);
    out
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(message in arbitrary::message()) {
        let body = encoded(&message);
        prop_assert!(body.len() <= message.kind().max_body());
        prop_assert_eq!(decode_body(message.kind(), &body), Ok(message));
    }

    #[test]
    fn a_final_block_decodes_to_the_same(block in arbitrary::blocks::final_block()) {
        let bytes = block.encode();
        prop_assert!(bytes.len() <= MAX_FINAL_BLOCK);
        prop_assert_eq!(FinalBlock::decode(&bytes), Ok(block));
    }

    #[test]
    fn a_final_block_has_one_encoding(
        block in arbitrary::blocks::final_block(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let mut bytes = block.encode().to_vec();
        let at = at.index(bytes.len());
        prop_assert_eq!(FinalBlock::decode(&bytes[..at]), Err(BadBody::Truncated));
        bytes.push(0);
        prop_assert_eq!(FinalBlock::decode(&bytes), Err(BadBody::TrailingBytes));
        bytes.pop();
        bytes[at] ^= 1 << bit;
        if let Ok(other) = FinalBlock::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    /// A change of one bit is refused or is another message, never another form of the same.
    #[test]
    fn every_value_has_one_encoding(
        message in arbitrary::message(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let mut body = encoded(&message);
        prop_assume!(!body.is_empty());
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        if let Ok(other) = decode_body(message.kind(), &body) {
            prop_assert_eq!(encoded(&other), body);
        }
    }

    #[test]
    fn a_body_cut_short_or_continued_is_refused(
        message in arbitrary::message(),
        at in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!matches!(message.kind(), Kind::Datagram | Kind::Transaction));
        let mut body = encoded(&message);
        let cut = at.index(body.len());
        prop_assert_eq!(decode_body(message.kind(), &body[..cut]), Err(BadBody::Truncated));
        body.push(0);
        let full = body.len() > message.kind().max_body();
        let refused = if full { BadBody::TooLong } else { BadBody::TrailingBytes };
        prop_assert_eq!(decode_body(message.kind(), &body), Err(refused));
    }

    #[test]
    fn no_bytes_make_it_fail(body in vec(any::<u8>(), 0..600)) {
        for kind in Kind::ALL {
            let _ = decode_body(*kind, &body);
        }
    }
}

#[test]
fn a_body_over_the_limit_of_its_kind_is_not_looked_at() {
    for kind in Kind::ALL {
        let body = vec![0; kind.max_body() + 1];
        assert_eq!(decode_body(*kind, &body), Err(BadBody::TooLong), "{kind:?}");
    }
    let largest = Bytes::from(vec![7; Kind::Datagram.max_body()]);
    assert_eq!(decode_body(Kind::Datagram, &largest), Ok(Message::Datagram(largest)));
}

#[test]
fn reasons_of_a_later_version_are_unknown_and_keep_their_code() {
    for code in 0..=u16::MAX {
        let body = [&code.to_le_bytes()[..], &[0; 8]].concat();
        let message = decode_body(Kind::Goodbye, &body).unwrap();
        assert_eq!(encoded(&message), body);
        let Message::Goodbye(Goodbye { reason, .. }) = message else { panic!("another kind") };
        let known = CloseReason::ALL.iter().find(|reason| reason.code() == code);
        assert_eq!(known.is_none(), matches!(reason, CloseReason::Unknown(_)), "{code}");
        assert!(known.is_none_or(|known| *known == reason), "{code}");
    }
}

#[test]
fn only_canonical_dialable_addresses_are_read() {
    let read = |parts: &[&[u8]]| decode::<CanonicalAddr, 64>(&parts.concat());
    let port = 24_100u16.to_le_bytes();
    let v6 = |first: &[u8], last: &[u8]| [first, &vec![0; 16 - first.len() - last.len()], last].concat();
    assert_eq!(read(&[&[4, 10, 0, 0, 1], &port]), Ok("10.0.0.1:24100".parse().unwrap()));
    let good = v6(&[0x20, 1, 0xd, 0xb8], &[1]);
    assert_eq!(read(&[&[6], &good, &port]), Ok("[2001:db8::1]:24100".parse().unwrap()));
    let mapped = v6(&[], &[0xff, 0xff, 10, 0, 0, 1]);
    assert_eq!(read(&[&[6], &mapped, &port]), Err(BadBody::NotCanonical));
    for bad in [
        [&[4u8, 0, 0, 0, 0][..], &port].concat(),
        [&[4, 224, 0, 0, 1][..], &port].concat(),
        [&[4, 255, 255, 255, 255][..], &port].concat(),
        [&[4, 10, 0, 0, 1][..], &[0, 0]].concat(),
        [&[6][..], &[0; 16], &port].concat(),
        [&[6][..], &v6(&[0xff, 2], &[1]), &port].concat(),
        [&[5, 10, 0, 0, 1][..], &port].concat(),
    ] {
        assert_eq!(read(&[&bad]), Err(BadBody::Malformed), "{bad:?}");
    }
}

#[test]
fn versions_indices_and_tags_keep_their_ranges() {
    assert_eq!(decode::<VersionRange, 8>(&[2, 0, 1, 0]), Err(BadBody::Malformed));
    assert_eq!(decode::<MasternodeIndex, 8>(&[127]), Ok(MasternodeIndex(127)));
    assert_eq!(decode::<MasternodeIndex, 8>(&[128]), Err(BadBody::Malformed));
    assert_eq!(decode::<Role, 8>(&[2]), Err(BadBody::Malformed));
    assert_eq!(decode::<Direction, 8>(&[2]), Err(BadBody::Malformed));
    assert_eq!(decode::<DialerRank, 8>(&[2]), Err(BadBody::Malformed));
    assert_eq!(decode::<Intent, 8>(&[0, 3]), Err(BadBody::Malformed));
    assert_eq!(decode::<Intent, 8>(&[3]), Err(BadBody::Malformed));
    assert_eq!(decode::<Answer, 8>(&[5]), Err(BadBody::Malformed));
    assert_eq!(decode::<Option<Height>, 16>(&[2, 0, 0, 0, 0, 0, 0, 0, 0]), Err(BadBody::Malformed));
}

struct Agent(String);
impl<C> Decode<C> for Agent {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        decode_agent(decoder).map(Agent)
    }
}

#[test]
fn agents_are_short_and_printable() {
    let read = |count: u16, text: &[u8]| {
        decode::<Agent, 64>(&[&count.to_le_bytes()[..], text].concat()).map(|agent| agent.0)
    };
    assert_eq!(read(0, b""), Ok(String::new()));
    assert_eq!(read(32, &[b'~'; 32]), Ok("~".repeat(32)));
    assert_eq!(read(33, &[b'a'; 33]), Err(BadBody::Malformed));
    assert_eq!(read(u16::MAX, b"a"), Err(BadBody::Malformed));
    assert_eq!(read(2, b"a"), Err(BadBody::Truncated));
    for bad in [0x1f, 0x7f, 0x80, 0xff] {
        assert_eq!(read(1, &[bad]), Err(BadBody::Malformed), "{bad}");
    }
}

struct Witnesses(Vec<Witness>);
impl<C> Decode<C> for Witnesses {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        decode_list(decoder, WITNESS, |witness: &Witness| witness.signer).map(Witnesses)
    }
}

#[test]
fn lists_ascend_and_end_at_their_bound() {
    let read = |count: u16, indices: &[u8]| {
        let items = indices.iter().flat_map(|index| [&[*index][..], &[0; 16]].concat());
        let body: Vec<u8> = count.to_le_bytes().into_iter().chain(items).collect();
        decode::<Witnesses, 4096>(&body).map(|list| list.0.len())
    };
    let all: Vec<u8> = (0..128).collect();
    assert_eq!(read(128, &all), Ok(128));
    assert_eq!(read(129, &all), Err(BadBody::Malformed));
    assert_eq!(read(u16::MAX, &[]), Err(BadBody::Malformed));
    assert_eq!(read(2, &[1, 1]), Err(BadBody::NotCanonical));
    assert_eq!(read(2, &[2, 1]), Err(BadBody::NotCanonical));
    assert_eq!(read(1, &[128]), Err(BadBody::Malformed));
    assert_eq!(read(2, &[1]), Err(BadBody::Truncated));
}

#[test]
fn what_exceeds_a_bound_is_refused_at_the_other_end() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut beat = arbitrary::heartbeat().new_tree(&mut runner).unwrap().current();
    let witness = Witness { signer: MasternodeIndex(0), sequence: 0, digest: [0; 8] };
    beat.witnessed = vec![witness; MAX_MASTERNODES + 1];
    let body = encoded(&Message::Heartbeat(Box::new(beat)));
    assert_eq!(decode_body(Kind::Heartbeat, &body), Err(BadBody::Malformed));
}

/// A body up to a field that begins at `at`, then other bytes.
fn cut(message: &Message, at: usize, rest: &[u8]) -> Vec<u8> {
    [&encoded(message)[..at], rest].concat()
}

#[test]
fn a_vote_has_a_kind_and_a_block_or_none() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let vote = arbitrary::blocks::vote().new_tree(&mut runner).unwrap().current();
    let vote = Message::Vote(Box::new(vote));
    let read = |at: usize, byte: u8| {
        let mut body = encoded(&vote);
        body[at] = byte;
        decode_body(Kind::Vote, &body)
    };
    assert_eq!(read(0, 2), Err(BadBody::Malformed));
    let block = 1 + 8 + 4;
    assert_eq!(read(block, 2), Err(BadBody::Malformed));
}

/// A certificate's kind is that of its message; the signatures are as many as the signers, neither more nor fewer.
#[test]
fn stray_signatures_and_signers_are_refused() {
    let certificate = |kind: VoteKind, signers: u128, signatures: usize| Certificate {
        kind,
        height: Height(1),
        round: Round(2),
        block: BlockHash([3; 32]),
        signers: SeatSet(signers),
        signatures: vec![Signature([4; 64]); signatures],
    };
    let read = |kind: Kind, certificate: Certificate| {
        decode_body(kind, &encoded(&Message::Polka(Box::new(certificate)))).map(|_| ())
    };
    let (prevote, precommit) = (VoteKind::Prevote, VoteKind::Precommit);
    assert_eq!(read(Kind::Polka, certificate(prevote, 0b1011, 3)), Ok(()));
    assert_eq!(read(Kind::Commit, certificate(precommit, 0b1011, 3)), Ok(()));
    assert_eq!(read(Kind::Polka, certificate(precommit, 0b1011, 3)), Err(BadBody::Malformed));
    assert_eq!(read(Kind::Commit, certificate(prevote, 0b1011, 3)), Err(BadBody::Malformed));
    assert_eq!(read(Kind::Polka, certificate(prevote, 0b1011, 4)), Err(BadBody::TrailingBytes));
    assert_eq!(read(Kind::Polka, certificate(prevote, 0b1011, 2)), Err(BadBody::Truncated));
    assert_eq!(read(Kind::Polka, certificate(prevote, u128::MAX, 128)), Ok(()));
    assert_eq!(read(Kind::Polka, certificate(prevote, u128::MAX, 127)), Err(BadBody::Truncated));
    assert_eq!(read(Kind::Polka, certificate(prevote, 0, 0)), Ok(()));
}

#[test]
fn outlines_fit_their_length() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let read = |length: usize, chunks: usize| {
        let mut proposal = arbitrary::blocks::proposal().new_tree(&mut runner).unwrap().current();
        let length = u32::try_from(length).unwrap();
        proposal.outline = Outline { length, chunks: vec![ChunkHash([1; 32]); chunks] };
        let message = Message::Proposal(Box::new(proposal));
        decode_body(Kind::Proposal, &encoded(&message)).map(|decoded| assert_eq!(decoded, message))
    };
    let mut read = read;
    for (length, chunks) in [(0, 0), (1, 1), (CHUNK, 1), (CHUNK + 1, 2), (MAX_PAYLOAD, MAX_CHUNKS)] {
        assert_eq!(read(length, chunks), Ok(()), "{length} in {chunks}");
    }
    let wrong = [
        (0, 1),
        (1, 0),
        (CHUNK, 2),
        (CHUNK + 1, 1),
        (MAX_PAYLOAD, MAX_CHUNKS - 1),
        (MAX_PAYLOAD + 1, MAX_CHUNKS),
        (MAX_PAYLOAD + 1, MAX_CHUNKS + 1),
    ];
    for (length, chunks) in wrong {
        assert_eq!(read(length, chunks), Err(BadBody::Malformed), "{length} in {chunks}");
    }
}

#[test]
fn rounds_held_ascend_and_end_at_their_bound() {
    let read = |rounds: &[u32]| {
        let rounds = rounds.iter().map(|round| RoundHeld { round: Round(*round), ..RoundHeld::default() });
        let held = Held { rounds: rounds.collect(), ..Held::default() };
        decode_body(Kind::Held, &encoded(&Message::Held(Box::new(held)))).map(|_| ())
    };
    assert_eq!(read(&[]), Ok(()));
    assert_eq!(read(&[0, 1, 7, u32::MAX]), Ok(()));
    assert_eq!(read(&[1, 1]), Err(BadBody::NotCanonical));
    assert_eq!(read(&[0, 2, 1]), Err(BadBody::NotCanonical));
    let most: Vec<u32> = (0..=u32::try_from(MAX_ROUNDS_HELD).unwrap()).collect();
    assert_eq!(read(&most[1..]), Ok(()));
    // Too long for the kind before its count is looked at.
    assert!(read(&most).is_err());
}

/// A count or length above its bound is refused before its items, or memory for them, are looked for.
#[test]
fn claims_are_checked_before_anything_is_allocated() {
    let offer = Message::TransactionOffer(vec![]);
    let too_many = u16::try_from(MAX_OFFERED).unwrap() + 1;
    for count in [too_many, u16::MAX] {
        let body = cut(&offer, 0, &count.to_le_bytes());
        assert_eq!(decode_body(Kind::TransactionOffer, &body), Err(BadBody::Malformed));
        assert_eq!(decode_body(Kind::TransactionWant, &body), Err(BadBody::Malformed));
    }
    let full = Message::TransactionWant(vec![TxId([1; 32]); MAX_OFFERED]);
    assert_eq!(decode_body(Kind::TransactionWant, &encoded(&full)), Ok(full));

    let chunk = Chunk { height: Height(1), block: BlockHash([2; 32]), index: 3, bytes: Bytes::new() };
    let chunk = Message::Chunk(Box::new(chunk));
    let part = BlockPart { id: 1, height: Height(2), index: 3, count: 4, bytes: Bytes::new() };
    let part = Message::BlockPart(Box::new(part));
    for (message, length_at, bound) in [(&chunk, 8 + 32 + 2, CHUNK), (&part, 8 + 8 + 2 + 2, PART)] {
        let read = |claimed: usize, there: usize| {
            let length = u32::try_from(claimed).unwrap().to_le_bytes();
            let body = cut(message, length_at, &[&length[..], &vec![7; there]].concat());
            decode_body(message.kind(), &body).map(|_| ())
        };
        assert_eq!(read(bound, bound), Ok(()));
        assert_eq!(read(bound + 1, bound + 1), Err(BadBody::Malformed));
        assert_eq!(read(u32::MAX as usize, 0), Err(BadBody::Malformed));
        assert_eq!(read(bound, bound - 1), Err(BadBody::Truncated));
        assert_eq!(read(1, 2), Err(BadBody::TrailingBytes));
    }

    let held = Message::Held(Box::default());
    let body = cut(&held, 8 + 4 + 1, &[5, 0]);
    assert_eq!(decode_body(Kind::Held, &body), Err(BadBody::Malformed));
}

#[test]
fn a_transaction_has_at_least_a_byte() {
    assert_eq!(decode_body(Kind::Transaction, &[]), Err(BadBody::Truncated));
    assert_eq!(decode_body(Kind::Transaction, &[0]), Ok(Message::Transaction(Bytes::from_static(&[0]))));
}

#[test]
fn any_mask_may_be_asked_for() {
    for missing in [0, 1, u128::MAX] {
        let get = Message::GetPayload(GetPayload { height: Height(1), block: BlockHash([2; 32]), missing });
        assert_eq!(decode_body(Kind::GetPayload, &encoded(&get)), Ok(get));
    }
}

#[test]
fn a_final_block_is_proven_by_precommits_and_within_its_bound() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut block = arbitrary::blocks::final_block().new_tree(&mut runner).unwrap().current();
    block.certificate.kind = VoteKind::Prevote;
    assert_eq!(FinalBlock::decode(&block.encode()), Err(BadBody::Malformed));
    assert_eq!(FinalBlock::decode(&vec![0; MAX_FINAL_BLOCK + 1]), Err(BadBody::TooLong));
    // The largest of all.
    let everybody = Certificate {
        kind: VoteKind::Precommit,
        signers: SeatSet(u128::MAX),
        signatures: vec![Signature([1; 64]); MAX_MASTERNODES],
        ..block.certificate
    };
    block.block.certificate = Some(Box::new(everybody.clone()));
    block.certificate = everybody;
    block.block.payload = Bytes::from(vec![1; MAX_PAYLOAD]);
    let bytes = block.encode();
    assert!(bytes.len() <= MAX_FINAL_BLOCK);
    assert_eq!(FinalBlock::decode(&bytes).as_ref(), Ok(&block));
    block.block.payload = Bytes::from(vec![1; MAX_PAYLOAD + 1]);
    assert_eq!(FinalBlock::decode(&block.encode()), Err(BadBody::Malformed));
}
