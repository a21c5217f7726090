//! Bodies of the messages about absences and addresses.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::{NOT_CANONICAL, are_there, decode_count, encode, encode_list};
use crate::limits::MAX_TOLD;
use crate::wire::peers::{Absence, GetPeers, PeerAddress};

/// Bytes of an encoded [`PeerAddress`] at least: one of IPv4.
const SHORTEST: usize = 32 + 7 + 4;

structs! {
    Absence { seconds }
    GetPeers { most }
    PeerAddress { node, addr, age }
}

/// Addresses in ascending order, each once.
pub(super) struct Told(pub(super) Vec<PeerAddress>);

impl<C> Decode<C> for Told {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = decode_count(decoder, MAX_TOLD)?;
        are_there(decoder, count * SHORTEST)?;
        let mut told: Vec<PeerAddress> = Vec::with_capacity(count);
        for _ in 0..count {
            let next = PeerAddress::decode(decoder)?;
            if told.last().is_some_and(|last| last.addr >= next.addr) {
                return Err(DecodeError::Other(NOT_CANONICAL));
            }
            told.push(next);
        }
        Ok(Self(told))
    }
}

/// A count, then so many addresses.
pub(super) fn encode_told(told: &[PeerAddress], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    struct List<'a>(&'a [PeerAddress]);
    impl Encode for List<'_> {
        fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
            encode_list(self.0, encoder)
        }
    }
    encode(&List(told), out)
}
