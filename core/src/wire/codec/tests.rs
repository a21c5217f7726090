use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::wire::arbitrary;

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
        prop_assume!(message.kind() != Kind::Datagram);
        let mut body = encoded(&message);
        let cut = at.index(body.len());
        prop_assert_eq!(decode_body(message.kind(), &body[..cut]), Err(BadBody::Truncated));
        body.push(0);
        prop_assert_eq!(decode_body(message.kind(), &body), Err(BadBody::TrailingBytes));
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
    assert_eq!(decode::<Intent, 8>(&[2]), Err(BadBody::Malformed));
    assert_eq!(decode::<Answer, 8>(&[4]), Err(BadBody::Malformed));
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
        decode_list(decoder, |witness: &Witness| witness.signer).map(Witnesses)
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
