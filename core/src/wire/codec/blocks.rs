//! Bodies of the messages about blocks, and stored blocks.

use bincode::de::read::Reader;
use bincode::de::{Decode, Decoder};
use bincode::enc::write::Writer;
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};
use bytes::Bytes;

use super::{BadBody, MALFORMED, NOT_CANONICAL, are_there, decode, decode_count, encode, encode_list};
use crate::ids::{CertificateHash, ChunkHash, PayloadRoot, Round, Signature, TxId};
use crate::limits::{CHUNK, MAX_CHUNKS, MAX_FINAL_BLOCK, MAX_OFFERED, MAX_PAYLOAD, PART};
use crate::registry::RegistryHash;
use crate::seats::SeatSet;
use crate::wire::block::{Block, Certificate, Header, Outline, VoteKind};
use crate::wire::message::{
    BlockPart, BlocksEnd, Chunk, GetBlocks, GetPayload, Held, Kind, MAX_ROUNDS_HELD, Proposal, RoundHeld,
    Served, Tip, Vote,
};

/// Bytes of an encoded hash.
const HASH: usize = 32;
/// Bytes of an encoded signature.
const SIGNATURE: usize = 64;
/// Bytes of an encoded [`RoundHeld`].
const ROUND_HELD: usize = 4 + 16 + 16;
/// More than a block's fields take beside its payload and the signatures of two certificates.
const PROVEN_OVERHEAD: usize = 512;

newtypes! { PayloadRoot ChunkHash CertificateHash TxId RegistryHash Round SeatSet }

structs! {
    Header { height, round, slot, parent, certificate, payload, registry, proposer }
    Proposal { header, round, valid_round, certificate, outline, signature }
    Vote { kind, height, round, block, voter, signature }
    RoundHeld { round, prevotes, precommits }
    Tip { height, block }
    GetPayload { height, block, missing }
    GetBlocks { id, from, to, max_bytes }
    BlocksEnd { id, served }
}

enums! {
    VoteKind { 0 => Prevote, 1 => Precommit, }
    Served { 0 => All, 1 => Nothing, 2 => Busy(retry_ms), }
}

/// A certificate of the kind that the message's name says.
pub(super) fn certificate(body: &[u8], kind: VoteKind) -> Result<Certificate, BadBody> {
    let certificate: Certificate = decode::<_, { Kind::Commit.max_body() }>(body)?;
    if certificate.kind == kind { Ok(certificate) } else { Err(BadBody::Malformed) }
}

/// Appends a certificate's canonical bytes.
pub(crate) fn encode_certificate(certificate: &Certificate, out: &mut Vec<u8>) {
    // Writing into a vector does not fail.
    let _ = encode(certificate, out);
}

/// The canonical bytes of a block and of votes that prove something of it.
pub(crate) fn encode_proven_block(block: &Block, proof: &Certificate) -> Bytes {
    let signatures =
        proof.signatures.len() + block.certificate.as_ref().map_or(0, |parent| parent.signatures.len());
    let mut out = Vec::with_capacity(block.payload.len() + 64 * signatures + PROVEN_OVERHEAD);
    let _ = encode(block, &mut out).and_then(|()| encode(proof, &mut out));
    Bytes::from(out)
}

/// Reads the canonical bytes of a block and of a proof of a kind.
pub(crate) fn decode_proven_block(bytes: &[u8], kind: VoteKind) -> Result<(Block, Certificate), BadBody> {
    if bytes.len() > MAX_FINAL_BLOCK {
        return Err(BadBody::TooLong);
    }
    let (block, proof): (Block, Certificate) = decode::<_, MAX_FINAL_BLOCK>(bytes)?;
    if proof.kind == kind { Ok((block, proof)) } else { Err(BadBody::Malformed) }
}

impl Encode for Certificate {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.kind.encode(encoder)?;
        self.height.encode(encoder)?;
        self.round.encode(encoder)?;
        self.block.encode(encoder)?;
        self.signers.encode(encoder)?;
        self.signatures.iter().try_for_each(|signature| signature.encode(encoder))
    }
}

impl<C> Decode<C> for Certificate {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (kind, height, round) =
            (Decode::decode(decoder)?, Decode::decode(decoder)?, Decode::decode(decoder)?);
        let (block, signers) = (Decode::decode(decoder)?, SeatSet::decode(decoder)?);
        let count = signers.len();
        are_there(decoder, count * SIGNATURE)?;
        let mut signatures = Vec::with_capacity(count);
        for _ in 0..count {
            signatures.push(Signature::decode(decoder)?);
        }
        Ok(Self { kind, height, round, block, signers, signatures })
    }
}

impl Encode for Outline {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.length.encode(encoder)?;
        encode_list(&self.chunks, encoder)
    }
}

impl<C> Decode<C> for Outline {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let outline =
            Self { length: Decode::decode(decoder)?, chunks: decode_plain_list(decoder, HASH, MAX_CHUNKS)? };
        if outline.is_consistent() { Ok(outline) } else { Err(DecodeError::Other(MALFORMED)) }
    }
}

impl Encode for Block {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.header.encode(encoder)?;
        self.certificate.encode(encoder)?;
        encode_bytes(&self.payload, encoder)
    }
}

impl<C> Decode<C> for Block {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(Self {
            header: Decode::decode(decoder)?,
            certificate: Decode::decode(decoder)?,
            payload: decode_bytes(decoder, MAX_PAYLOAD)?,
        })
    }
}

impl Encode for Chunk {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.height.encode(encoder)?;
        self.block.encode(encoder)?;
        self.index.encode(encoder)?;
        encode_bytes(&self.bytes, encoder)
    }
}

impl<C> Decode<C> for Chunk {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(Self {
            height: Decode::decode(decoder)?,
            block: Decode::decode(decoder)?,
            index: Decode::decode(decoder)?,
            bytes: decode_bytes(decoder, CHUNK)?,
        })
    }
}

impl Encode for BlockPart {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.id.encode(encoder)?;
        self.height.encode(encoder)?;
        self.index.encode(encoder)?;
        self.count.encode(encoder)?;
        encode_bytes(&self.bytes, encoder)
    }
}

impl<C> Decode<C> for BlockPart {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(Self {
            id: Decode::decode(decoder)?,
            height: Decode::decode(decoder)?,
            index: Decode::decode(decoder)?,
            count: Decode::decode(decoder)?,
            bytes: decode_bytes(decoder, PART)?,
        })
    }
}

impl Encode for Held {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.height.encode(encoder)?;
        self.round.encode(encoder)?;
        self.proposal.encode(encoder)?;
        encode_list(&self.rounds, encoder)
    }
}

impl<C> Decode<C> for Held {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let held = Self {
            height: Decode::decode(decoder)?,
            round: Decode::decode(decoder)?,
            proposal: Decode::decode(decoder)?,
            rounds: decode_plain_list(decoder, ROUND_HELD, MAX_ROUNDS_HELD)?,
        };
        let ascending = held.rounds.iter().zip(held.rounds.iter().skip(1)).all(|(a, b)| a.round < b.round);
        if ascending { Ok(held) } else { Err(DecodeError::Other(NOT_CANONICAL)) }
    }
}

/// Ids of transactions, in any order.
pub(super) struct Ids(pub(super) Vec<TxId>);

impl<C> Decode<C> for Ids {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        decode_plain_list(decoder, HASH, MAX_OFFERED).map(Ids)
    }
}

/// A count, then so many items.
pub(super) fn encode_ids(ids: &[TxId], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    struct List<'a>(&'a [TxId]);
    impl Encode for List<'_> {
        fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
            encode_list(self.0, encoder)
        }
    }
    encode(&List(ids), out)
}

/// A count up to a bound, then so many items of `size` bytes each.
fn decode_plain_list<T, D>(decoder: &mut D, size: usize, bound: usize) -> Result<Vec<T>, DecodeError>
where
    D: Decoder,
    T: Decode<D::Context>,
{
    let count = decode_count(decoder, bound)?;
    are_there(decoder, count * size)?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(T::decode(decoder)?);
    }
    Ok(list)
}

/// A length of four bytes, then the bytes.
fn encode_bytes<E: Encoder>(bytes: &[u8], encoder: &mut E) -> Result<(), EncodeError> {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).encode(encoder)?;
    encoder.writer().write(bytes)
}

fn decode_bytes<D: Decoder>(decoder: &mut D, bound: usize) -> Result<Bytes, DecodeError> {
    let length = usize::try_from(<u32 as Decode<D::Context>>::decode(decoder)?).unwrap_or(usize::MAX);
    if length > bound {
        return Err(DecodeError::Other(MALFORMED));
    }
    decoder.claim_bytes_read(length)?;
    // Nothing is allocated for bytes that are not there.
    let there = decoder.reader().peek_read(length).map(Bytes::copy_from_slice);
    let bytes = there.ok_or(DecodeError::UnexpectedEnd { additional: length })?;
    decoder.reader().consume(length);
    Ok(bytes)
}
