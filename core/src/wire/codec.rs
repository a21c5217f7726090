//! Message bodies: the only file that knows bincode (rules W-1 and W-7).
//!
//! Fixed-width little-endian integers, one-byte tags, counts of two bytes that are checked against their
//! bound before anything is allocated. Every value has exactly one encoding: what decodes encodes to the same
//! bytes again.

use bincode::de::read::Reader;
use bincode::de::{Decode, Decoder};
use bincode::enc::write::Writer;
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, DialedBecause, Direction};
use crate::ids::{
    BlockHash, BootEpoch, BootNonce, DialOrdinal, GenesisHash, Height, LinkTag, NodeId, SessionHash,
    Signature,
};
use crate::limits::MAX_AGENT;
use crate::registry::{MAX_MASTERNODES, MasternodeIndex};
use crate::time::Wall;
use crate::wire::message::{
    Answer, Ballot, Boot, DialerRank, Goodbye, Heartbeat, Hello, HelloAck, Intent, Introduction, Kind,
    LinkEntry, Message, Ping, Pong, Role, Witness,
};
use crate::wire::preamble::{NetworkId, Version, VersionRange};

/// Why bytes are no body of their kind. The peer is at fault; the link closes with `bad_message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Longer than [`Kind::max_body`].
    #[error("the body is longer than its kind allows")]
    TooLong,
    /// It ends before its last field.
    #[error("the body ends too early")]
    Truncated,
    /// A tag, a count or a character that has no meaning.
    #[error("a field has no meaning")]
    Malformed,
    /// A value in a form that no encoder writes: a mapped address, a list out of order.
    #[error("a field is not in its canonical form")]
    NotCanonical,
    /// Bytes after the last field.
    #[error("bytes follow the last field")]
    TrailingBytes,
}

const MALFORMED: &str = "malformed";
const NOT_CANONICAL: &str = "not canonical";

impl From<DecodeError> for BadBody {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::LimitExceeded => Self::TooLong,
            DecodeError::UnexpectedEnd { .. } => Self::Truncated,
            DecodeError::Other(NOT_CANONICAL) => Self::NotCanonical,
            _ => Self::Malformed,
        }
    }
}

/// Appends the body of `message` to `out`. A message that exceeds a bound (more links than masternodes, a
/// longer agent) is encoded as it is, and refused by whoever decodes it.
pub fn encode_body(message: &Message, out: &mut Vec<u8>) {
    let start = out.len();
    let result = match message {
        Message::Hello(hello) => encode(hello.as_ref(), out),
        Message::HelloAck(ack) => encode(ack.as_ref(), out),
        Message::Goodbye(goodbye) => encode(goodbye, out),
        Message::Ping(ping) => encode(ping, out),
        Message::Pong(pong) => encode(pong, out),
        Message::Heartbeat(beat) => encode(beat.as_ref(), out),
        Message::Datagram(payload) => {
            out.extend_from_slice(payload);
            Ok(())
        }
    };
    // Writing into a vector does not fail; should that ever change, no half body may leave.
    if result.is_err() {
        out.truncate(start);
    }
}

/// Decodes the body of a frame of `kind`.
///
/// # Errors
/// Says what is wrong with the body. Nothing larger than the body itself is ever allocated.
pub fn decode_body(kind: Kind, body: &[u8]) -> Result<Message, BadBody> {
    if body.len() > kind.max_body() {
        return Err(BadBody::TooLong);
    }
    Ok(match kind {
        Kind::Hello => Message::Hello(Box::new(decode::<_, { Kind::Hello.max_body() }>(body)?)),
        Kind::HelloAck => Message::HelloAck(Box::new(decode::<_, { Kind::HelloAck.max_body() }>(body)?)),
        Kind::Goodbye => Message::Goodbye(decode::<_, { Kind::Goodbye.max_body() }>(body)?),
        Kind::Ping => Message::Ping(decode::<_, { Kind::Ping.max_body() }>(body)?),
        Kind::Pong => Message::Pong(decode::<_, { Kind::Pong.max_body() }>(body)?),
        Kind::Heartbeat => Message::Heartbeat(Box::new(decode::<_, { Kind::Heartbeat.max_body() }>(body)?)),
        Kind::Datagram => Message::Datagram(Bytes::copy_from_slice(body)),
    })
}

struct Tail<'a>(&'a mut Vec<u8>);

impl Writer for Tail<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn encode<T: Encode>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let config = bincode::config::standard().with_fixed_int_encoding().with_little_endian();
    bincode::encode_into_writer(value, Tail(out), config)
}

fn decode<T: Decode<()>, const LIMIT: usize>(body: &[u8]) -> Result<T, BadBody> {
    let config =
        bincode::config::standard().with_fixed_int_encoding().with_little_endian().with_limit::<LIMIT>();
    let (value, consumed) = bincode::decode_from_slice(body, config)?;
    if consumed == body.len() { Ok(value) } else { Err(BadBody::TrailingBytes) }
}

/// A struct is its fields in the order given here.
macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Encode for $name {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                $(self.$field.encode(encoder)?;)*
                Ok(())
            }
        }
        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Decode::decode(decoder)?,)* })
            }
        }
    )*};
}

/// A newtype is what it wraps.
macro_rules! newtypes {
    ($($name:ident)*) => {$(
        impl Encode for $name {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.0.encode(encoder)
            }
        }
        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Decode::decode(decoder).map($name)
            }
        }
    )*};
}

/// An enum is a tag of one byte, then the variant's value if it has one.
macro_rules! enums {
    ($($name:ident { $($tag:literal => $variant:ident $(($inner:ident))?,)* })*) => {$(
        impl Encode for $name {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                match self {
                    $(Self::$variant $(($inner))? => {
                        <u8 as Encode>::encode(&$tag, encoder)?;
                        $($inner.encode(encoder)?;)?
                    })*
                }
                Ok(())
            }
        }
        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                match <u8 as Decode<C>>::decode(decoder)? {
                    $($tag => Ok(Self::$variant $(({
                        let $inner = Decode::decode(decoder)?;
                        $inner
                    }))?),)*
                    _ => Err(DecodeError::Other(MALFORMED)),
                }
            }
        }
    )*};
}

newtypes! {
    NodeId GenesisHash BlockHash SessionHash Signature LinkTag
    Height BootEpoch BootNonce DialOrdinal Wall Version NetworkId
}

structs! {
    Boot { epoch, nonce }
    Hello { from, to, ordinal, intent, register, signature }
    HelloAck { from, highest, answer, signature }
    Goodbye { reason, highest }
    Ping { token }
    Pong { token }
    LinkEntry { peer, direction, because, session }
    Witness { signer, sequence, digest }
    Ballot { epochs, ordinal, dialer, session }
}

enums! {
    Role { 0 => Masternode, 1 => Observer, }
    Direction { 0 => Inbound, 1 => Outbound, }
    DialedBecause { 0 => Canonical, 1 => Fallback, 2 => Manual, }
    DialerRank { 0 => Other, 1 => Canonical, }
    Intent { 0 => Session(because), 1 => Knock, }
    Answer { 0 => Accepted, 1 => WillDial, 2 => HaveSession, 3 => Refused(reason), }
}

impl Encode for Introduction {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.node.encode(encoder)?;
        self.advertised.encode(encoder)?;
        self.boot.encode(encoder)?;
        self.seen.encode(encoder)?;
        self.versions.encode(encoder)?;
        self.chosen.encode(encoder)?;
        self.features.encode(encoder)?;
        self.network.encode(encoder)?;
        self.genesis.encode(encoder)?;
        self.height.encode(encoder)?;
        self.tip.encode(encoder)?;
        self.role.encode(encoder)?;
        encode_count(self.agent.len(), encoder)?;
        encoder.writer().write(self.agent.as_bytes())
    }
}

impl<C> Decode<C> for Introduction {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(Self {
            node: Decode::decode(decoder)?,
            advertised: Decode::decode(decoder)?,
            boot: Decode::decode(decoder)?,
            seen: Decode::decode(decoder)?,
            versions: Decode::decode(decoder)?,
            chosen: Decode::decode(decoder)?,
            features: Decode::decode(decoder)?,
            network: Decode::decode(decoder)?,
            genesis: Decode::decode(decoder)?,
            height: Decode::decode(decoder)?,
            tip: Decode::decode(decoder)?,
            role: Decode::decode(decoder)?,
            agent: decode_agent(decoder)?,
        })
    }
}

impl Encode for Heartbeat {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.network.encode(encoder)?;
        self.signer.encode(encoder)?;
        self.epoch.encode(encoder)?;
        self.sequence.encode(encoder)?;
        self.wall.encode(encoder)?;
        self.height.encode(encoder)?;
        self.tip.encode(encoder)?;
        encode_list(&self.links, encoder)?;
        self.duplicates.encode(encoder)?;
        encode_list(&self.witnessed, encoder)?;
        self.signature.encode(encoder)
    }
}

impl<C> Decode<C> for Heartbeat {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(Self {
            network: Decode::decode(decoder)?,
            signer: Decode::decode(decoder)?,
            epoch: Decode::decode(decoder)?,
            sequence: Decode::decode(decoder)?,
            wall: Decode::decode(decoder)?,
            height: Decode::decode(decoder)?,
            tip: Decode::decode(decoder)?,
            links: decode_list(decoder, |link: &LinkEntry| link.peer)?,
            duplicates: Decode::decode(decoder)?,
            witnessed: decode_list(decoder, |witness: &Witness| witness.signer)?,
            signature: Decode::decode(decoder)?,
        })
    }
}

impl Encode for MasternodeIndex {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for MasternodeIndex {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let index = u8::decode(decoder)?;
        if usize::from(index) < MAX_MASTERNODES {
            Ok(Self(index))
        } else {
            Err(DecodeError::Other(MALFORMED))
        }
    }
}

impl Encode for VersionRange {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.min.encode(encoder)?;
        self.max.encode(encoder)
    }
}

impl<C> Decode<C> for VersionRange {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let range = Self { min: Decode::decode(decoder)?, max: Decode::decode(decoder)? };
        if range.min <= range.max { Ok(range) } else { Err(DecodeError::Other(MALFORMED)) }
    }
}

impl Encode for CloseReason {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.code().encode(encoder)
    }
}

impl<C> Decode<C> for CloseReason {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        u16::decode(decoder).map(Self::from_code)
    }
}

impl Encode for CanonicalAddr {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match self.ip() {
            IpAddr::V4(ip) => {
                4u8.encode(encoder)?;
                ip.octets().encode(encoder)?;
            }
            IpAddr::V6(ip) => {
                6u8.encode(encoder)?;
                ip.octets().encode(encoder)?;
            }
        }
        self.port().encode(encoder)
    }
}

impl<C> Decode<C> for CanonicalAddr {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let ip = match u8::decode(decoder)? {
            4 => IpAddr::from(<[u8; 4]>::decode(decoder)?),
            6 => IpAddr::from(<[u8; 16]>::decode(decoder)?),
            _ => return Err(DecodeError::Other(MALFORMED)),
        };
        let addr = Self::new(SocketAddr::new(ip, u16::decode(decoder)?))
            .map_err(|_| DecodeError::Other(MALFORMED))?;
        if addr.ip() == ip { Ok(addr) } else { Err(DecodeError::Other(NOT_CANONICAL)) }
    }
}

fn encode_count<E: Encoder>(count: usize, encoder: &mut E) -> Result<(), EncodeError> {
    u16::try_from(count).unwrap_or(u16::MAX).encode(encoder)
}

fn decode_count<D: Decoder>(decoder: &mut D, bound: usize) -> Result<usize, DecodeError> {
    let count = usize::from(<u16 as Decode<D::Context>>::decode(decoder)?);
    if count <= bound { Ok(count) } else { Err(DecodeError::Other(MALFORMED)) }
}

/// A length, then so many printable ASCII characters.
fn decode_agent<D: Decoder>(decoder: &mut D) -> Result<String, DecodeError> {
    let length = decode_count(decoder, MAX_AGENT)?;
    let mut buffer = [0; MAX_AGENT];
    let bytes = buffer.get_mut(..length).ok_or(DecodeError::Other(MALFORMED))?;
    decoder.claim_bytes_read(length)?;
    decoder.reader().read(bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Other(MALFORMED))?;
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        Ok(text.to_owned())
    } else {
        Err(DecodeError::Other(MALFORMED))
    }
}

fn encode_list<T: Encode, E: Encoder>(list: &[T], encoder: &mut E) -> Result<(), EncodeError> {
    encode_count(list.len(), encoder)?;
    list.iter().try_for_each(|item| item.encode(encoder))
}

/// A count, then so many items in strictly ascending order of their index.
fn decode_list<T, D>(decoder: &mut D, index: impl Fn(&T) -> MasternodeIndex) -> Result<Vec<T>, DecodeError>
where
    D: Decoder,
    T: Decode<D::Context>,
{
    let count = decode_count(decoder, MAX_MASTERNODES)?;
    let mut list: Vec<T> = Vec::with_capacity(count);
    for _ in 0..count {
        let item = T::decode(decoder)?;
        if list.last().is_some_and(|last| index(last) >= index(&item)) {
            return Err(DecodeError::Other(NOT_CANONICAL));
        }
        list.push(item);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
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
}
