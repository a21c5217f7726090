//! Message bodies: the only folder that knows bincode (rules W-1 and W-7).
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
    BlockHash, BootEpoch, BootNonce, DialOrdinal, GenesisHash, Height, LinkTag, NodeId, RegistryTag,
    SessionHash, Signature,
};
use crate::limits::MAX_AGENT;
use crate::registry::{MAX_MASTERNODES, MasternodeIndex};
use crate::time::Wall;
use crate::wire::block::VoteKind;
use crate::wire::message::{
    Answer, Ballot, Boot, DialerRank, Goodbye, Heartbeat, Hello, HelloAck, Intent, Introduction, Kind,
    LinkEntry, Message, Ping, Pong, ProvenBoot, Role, Witness,
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

pub(crate) use blocks::{decode_proven_block, encode_certificate, encode_proven_block};

/// Bytes of an encoded [`LinkEntry`].
const LINK_ENTRY: usize = 1 + 1 + 1 + 8;
/// Bytes of an encoded [`Witness`].
const WITNESS: usize = 1 + 8 + 8;

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
        Message::Absence(absence) => encode(absence, out),
        Message::Heartbeat(beat) => encode(beat.as_ref(), out),
        Message::Proposal(proposal) => encode(proposal.as_ref(), out),
        Message::Vote(vote) => encode(vote.as_ref(), out),
        Message::Polka(certificate) | Message::Commit(certificate) => encode(certificate.as_ref(), out),
        Message::Held(held) => encode(held.as_ref(), out),
        Message::Tip(tip) => encode(tip, out),
        Message::GetPayload(get) => encode(get, out),
        Message::Chunk(chunk) => encode(chunk.as_ref(), out),
        Message::GetBlocks(get) => encode(get, out),
        Message::BlockPart(part) => encode(part.as_ref(), out),
        Message::BlocksEnd(end) => encode(end, out),
        Message::GetPeers(get) => encode(get, out),
        Message::Peers(told) => peers::encode_told(told, out),
        Message::TransactionOffer(ids) | Message::TransactionWant(ids) => blocks::encode_ids(ids, out),
        Message::Datagram(bytes) | Message::Transaction(bytes) => {
            out.extend_from_slice(bytes);
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
/// Says what is wrong with the body. Room is made only for what is there, never for what is merely claimed.
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
        Kind::Absence => Message::Absence(decode::<_, { Kind::Absence.max_body() }>(body)?),
        Kind::Heartbeat => Message::Heartbeat(Box::new(decode::<_, { Kind::Heartbeat.max_body() }>(body)?)),
        Kind::Proposal => Message::Proposal(Box::new(decode::<_, { Kind::Proposal.max_body() }>(body)?)),
        Kind::Vote => Message::Vote(Box::new(decode::<_, { Kind::Vote.max_body() }>(body)?)),
        Kind::Polka => Message::Polka(Box::new(blocks::certificate(body, VoteKind::Prevote)?)),
        Kind::Commit => Message::Commit(Box::new(blocks::certificate(body, VoteKind::Precommit)?)),
        Kind::Held => Message::Held(Box::new(decode::<_, { Kind::Held.max_body() }>(body)?)),
        Kind::Tip => Message::Tip(decode::<_, { Kind::Tip.max_body() }>(body)?),
        Kind::GetPayload => Message::GetPayload(decode::<_, { Kind::GetPayload.max_body() }>(body)?),
        Kind::Chunk => Message::Chunk(Box::new(decode::<_, { Kind::Chunk.max_body() }>(body)?)),
        Kind::GetBlocks => Message::GetBlocks(decode::<_, { Kind::GetBlocks.max_body() }>(body)?),
        Kind::BlockPart => Message::BlockPart(Box::new(decode::<_, { Kind::BlockPart.max_body() }>(body)?)),
        Kind::BlocksEnd => Message::BlocksEnd(decode::<_, { Kind::BlocksEnd.max_body() }>(body)?),
        Kind::TransactionOffer => {
            Message::TransactionOffer(decode::<blocks::Ids, { Kind::TransactionOffer.max_body() }>(body)?.0)
        }
        Kind::TransactionWant => {
            Message::TransactionWant(decode::<blocks::Ids, { Kind::TransactionWant.max_body() }>(body)?.0)
        }
        Kind::GetPeers => Message::GetPeers(decode::<_, { Kind::GetPeers.max_body() }>(body)?),
        Kind::Peers => Message::Peers(decode::<peers::Told, { Kind::Peers.max_body() }>(body)?.0),
        Kind::Datagram => Message::Datagram(Bytes::copy_from_slice(body)),
        Kind::Transaction if body.is_empty() => return Err(BadBody::Truncated),
        Kind::Transaction => Message::Transaction(Bytes::copy_from_slice(body)),
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
    NodeId GenesisHash BlockHash SessionHash Signature LinkTag RegistryTag
    Height BootEpoch BootNonce DialOrdinal Wall Version NetworkId
}

structs! {
    Boot { epoch, nonce }
    ProvenBoot { boot, proof }
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
    Intent { 0 => Session(because), 1 => Knock, 2 => Probe, }
    Answer { 0 => Accepted, 1 => WillDial, 2 => HaveSession, 3 => Refused(reason), 4 => Here, }
}

impl Encode for Introduction {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.node.encode(encoder)?;
        self.advertised.encode(encoder)?;
        self.boot.encode(encoder)?;
        self.proof.encode(encoder)?;
        self.seen.encode(encoder)?;
        self.observed.encode(encoder)?;
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
            proof: Decode::decode(decoder)?,
            seen: Decode::decode(decoder)?,
            observed: Decode::decode(decoder)?,
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
        self.registry.encode(encoder)?;
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
            registry: Decode::decode(decoder)?,
            links: decode_list(decoder, LINK_ENTRY, |link: &LinkEntry| link.peer)?,
            duplicates: Decode::decode(decoder)?,
            witnessed: decode_list(decoder, WITNESS, |witness: &Witness| witness.signer)?,
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

/// Whether so many more bytes are there: asked before room is made for what they hold.
fn are_there<D: Decoder>(decoder: &mut D, bytes: usize) -> Result<(), DecodeError> {
    match decoder.reader().peek_read(bytes) {
        Some(_) => Ok(()),
        None => Err(DecodeError::UnexpectedEnd { additional: bytes }),
    }
}

/// A count, then so many items of `size` bytes each in strictly ascending order of their index.
fn decode_list<T, D>(
    decoder: &mut D,
    size: usize,
    index: impl Fn(&T) -> MasternodeIndex,
) -> Result<Vec<T>, DecodeError>
where
    D: Decoder,
    T: Decode<D::Context>,
{
    let count = decode_count(decoder, MAX_MASTERNODES)?;
    are_there(decoder, count * size)?;
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

mod blocks;
mod peers;
pub(crate) mod state;

#[cfg(test)]
mod tests;
