//! The form of the chain's own records on disk: fixed widths, little-endian, a version in front, one form only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::addr::CanonicalAddr;
use crate::event::{SignedProposal, Statement};
use crate::ids::{BlockHash, BootEpoch, Height, NodeId, Round, Signature};
use crate::wire::block::VoteKind;
use crate::wire::message::Vote;

/// A record that nothing here can have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Reads a record from its front.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins to read a record of a version.
    pub(crate) fn new(bytes: &'a [u8], version: u8) -> Result<Self, Damaged> {
        let mut reader = Self(bytes);
        if reader.u8()? == version { Ok(reader) } else { Err(Damaged) }
    }

    /// Ends the reading: nothing may follow.
    pub(crate) const fn end(self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damaged> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Damaged> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn epoch(&mut self) -> Result<BootEpoch, Damaged> {
        self.u64().map(BootEpoch)
    }

    pub(crate) fn height(&mut self) -> Result<Height, Damaged> {
        self.u64().map(Height)
    }

    pub(crate) fn round(&mut self) -> Result<Round, Damaged> {
        self.u32().map(Round)
    }

    pub(crate) fn node(&mut self) -> Result<NodeId, Damaged> {
        self.array().map(NodeId)
    }

    pub(crate) fn block(&mut self) -> Result<BlockHash, Damaged> {
        self.array().map(BlockHash)
    }

    /// A count of one byte, up to its bound.
    pub(crate) fn count(&mut self, bound: usize) -> Result<usize, Damaged> {
        let count = usize::from(self.u8()?);
        if count <= bound { Ok(count) } else { Err(Damaged) }
    }

    /// A value that may be absent.
    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Option<T>, Damaged> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Damaged),
        }
    }

    /// A count, then so many items.
    pub(crate) fn list<T>(
        &mut self,
        bound: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Damaged> {
        let count = self.count(bound)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    pub(crate) fn addr(&mut self) -> Result<CanonicalAddr, Damaged> {
        let ip = match self.u8()? {
            4 => IpAddr::V4(Ipv4Addr::from(self.array::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.array::<16>()?)),
            _ => return Err(Damaged),
        };
        let addr = CanonicalAddr::new(SocketAddr::new(ip, self.u16()?)).map_err(|_| Damaged)?;
        if addr.ip() == ip { Ok(addr) } else { Err(Damaged) }
    }

    pub(crate) fn statement(&mut self) -> Result<Statement, Damaged> {
        let kind = match self.u8()? {
            0 => None,
            1 => Some(VoteKind::Prevote),
            2 => Some(VoteKind::Precommit),
            _ => return Err(Damaged),
        };
        let (height, round, author) = (self.height()?, self.round()?, self.node()?);
        let statement = match kind {
            None => Statement::Proposal(SignedProposal {
                height,
                round,
                valid_round: self.option(Self::round)?,
                block: self.block()?,
                proposer: author,
                signature: self.array().map(Signature)?,
            }),
            Some(kind) => Statement::Vote(Vote {
                kind,
                height,
                round,
                block: self.option(Self::block)?,
                voter: author,
                signature: self.array().map(Signature)?,
            }),
        };
        Ok(statement)
    }
}

/// Appends a count of one byte. Nothing here has more than 255 items.
pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    out.push(u8::try_from(count).unwrap_or(u8::MAX));
}

/// Appends a value that may be absent.
pub(crate) fn put_option<T>(value: Option<T>, put: impl FnOnce(T, &mut Vec<u8>), out: &mut Vec<u8>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(value, out);
        }
    }
}

pub(crate) fn put_epoch(epoch: BootEpoch, out: &mut Vec<u8>) {
    out.extend_from_slice(&epoch.0.to_le_bytes());
}

pub(crate) fn put_height(height: Height, out: &mut Vec<u8>) {
    out.extend_from_slice(&height.0.to_le_bytes());
}

pub(crate) fn put_round(round: Round, out: &mut Vec<u8>) {
    out.extend_from_slice(&round.0.to_le_bytes());
}

pub(crate) fn put_block(block: BlockHash, out: &mut Vec<u8>) {
    out.extend_from_slice(&block.0);
}

/// Appends an address.
pub(crate) fn put_addr(addr: CanonicalAddr, out: &mut Vec<u8>) {
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

/// Appends a signed statement.
pub(crate) fn put_statement(statement: &Statement, out: &mut Vec<u8>) {
    out.push(match statement {
        Statement::Proposal(_) => 0,
        Statement::Vote(Vote { kind: VoteKind::Prevote, .. }) => 1,
        Statement::Vote(Vote { kind: VoteKind::Precommit, .. }) => 2,
    });
    put_height(statement.height(), out);
    put_round(statement.round(), out);
    out.extend_from_slice(&statement.author().0);
    match statement {
        Statement::Proposal(proposal) => {
            put_option(proposal.valid_round, put_round, out);
            put_block(proposal.block, out);
        }
        Statement::Vote(vote) => put_option(vote.block, put_block, out),
    }
    out.extend_from_slice(&statement.signature().0);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whatever one record is changed into is refused, or is another record in its only form.
    pub(crate) fn assert_strict<T: PartialEq + std::fmt::Debug>(
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, Damaged>,
        encode: impl Fn(&T) -> Vec<u8>,
    ) {
        let value = decode(bytes).unwrap();
        assert_eq!(encode(&value), bytes);
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Err(Damaged), "cut to {length}");
        }
        assert_eq!(decode(&[bytes, &[0]].concat()), Err(Damaged));
        let version = [&[bytes[0] + 1], &bytes[1..]].concat();
        assert_eq!(decode(&version), Err(Damaged));
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = decode(&changed) {
                assert_eq!(encode(&other), changed, "bit {bit}");
                assert_ne!(other, value, "bit {bit}");
            }
        }
    }

    #[test]
    fn only_canonical_addresses_are_read() {
        let read = |bytes: &[u8]| Reader(bytes).addr();
        for text in ["10.0.0.1:24100", "[2001:db8::1]:1"] {
            let mut out = Vec::new();
            put_addr(text.parse().unwrap(), &mut out);
            assert_eq!(read(&out), Ok(text.parse().unwrap()));
        }
        let mapped = [&[6][..], &[0; 10], &[0xff, 0xff, 10, 0, 0, 1], &[1, 0]].concat();
        assert_eq!(read(&mapped), Err(Damaged));
        assert_eq!(read(&[4, 0, 0, 0, 0, 1, 0]), Err(Damaged));
        assert_eq!(read(&[5, 10, 0, 0, 1, 1, 0]), Err(Damaged));
    }

    #[test]
    fn counts_end_at_their_bound() {
        assert_eq!(Reader(&[4]).count(4), Ok(4));
        assert_eq!(Reader(&[5]).count(4), Err(Damaged));
    }
}
