//! The durable form of the book (rule P-5), little-endian:
//!
//! ```text
//! u16 version 1 ‖ u64 wall time of writing, ms ‖ [16] secret ‖ u16 tried ‖ u16 heard ‖ u16 tombstones
//! ‖ for each of tried and heard: [32] node ‖ addr ‖ [5] source ‖ u32 seen ago, s ‖ u8 failures ‖ u32 retry in, s
//! ‖ for each tombstone: addr ‖ u32 ends in, s
//! ‖ [8] first bytes of the SHA-256 of all that
//! ```
//!
//! Addresses are those of the wire. Times are told by age, so that a clock which is set between two processes
//! shifts them by no more than a bounded time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::addr::CanonicalAddr;
use crate::ids::NodeId;
use crate::net::book::group::Group;
use crate::net::book::table::{Entry, Table};
use crate::net::book::{Book, Moment};
use crate::time::Wall;

const VERSION: u16 = 1;
const CHECKSUM: usize = 8;
/// Bytes before the first entry.
const HEAD: usize = 2 + 8 + 16 + 3 * 2;
/// Bytes of an entry at most.
const ENTRY: usize = 32 + 19 + Group::BYTES + 4 + 1 + 4;
/// Bytes of a tombstone at most.
const TOMBSTONE: usize = 19 + 4;
/// A process is taken to have been down for no longer than this.
const DOWN_AT_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The record does not decode: it is of another version, cut, or not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// A record's content; moments count from the writing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) written: Wall,
    pub(super) secret: [u8; 16],
    pub(super) tried: Vec<Entry>,
    pub(super) heard: Vec<Entry>,
    pub(super) tombstones: Vec<(CanonicalAddr, Moment)>,
}

impl Page {
    /// Moves the moments on by the time that has passed since the writing.
    pub(super) fn aged(mut self, wall: Wall) -> Self {
        let down = wall.since(self.written).min(DOWN_AT_MOST);
        for entry in self.tried.iter_mut().chain(&mut self.heard) {
            entry.seen = entry.seen.before(down);
            entry.retry = entry.retry.before(down);
        }
        for (_, until) in &mut self.tombstones {
            *until = until.before(down);
        }
        self.tombstones.retain(|(_, until)| *until > Moment(0));
        self
    }
}

pub(super) fn encode(book: &Book, now: Moment, wall: Wall) -> Vec<u8> {
    let entries = book.tried.len() + book.heard.len();
    let mut out = Vec::with_capacity(HEAD + entries * ENTRY + book.tombstones.len() * TOMBSTONE + CHECKSUM);
    let count = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    out.extend(VERSION.to_le_bytes());
    out.extend(wall.0.to_le_bytes());
    out.extend(book.secret);
    for length in [book.tried.len(), book.heard.len(), book.tombstones.len()] {
        out.extend(count(length).to_le_bytes());
    }
    for table in [&book.tried, &book.heard] {
        append_table(table, now, &mut out);
    }
    for (addr, until) in book.tombstones.iter().take(usize::from(u16::MAX)) {
        append_addr(addr, &mut out);
        append_span(until.since(now), &mut out);
    }
    let sum = checksum(&out);
    out.extend(sum);
    out
}

fn append_table(table: &Table, now: Moment, out: &mut Vec<u8>) {
    for entry in table.iter().take(usize::from(u16::MAX)) {
        out.extend(entry.id.0);
        append_addr(&entry.addr, out);
        out.extend(entry.source.bytes());
        append_span(now.since(entry.seen), out);
        out.push(entry.failures);
        append_span(entry.retry.since(now), out);
    }
}

fn append_span(span: Duration, out: &mut Vec<u8>) {
    out.extend(u32::try_from(span.as_secs()).unwrap_or(u32::MAX).to_le_bytes());
}

fn append_addr(addr: &CanonicalAddr, out: &mut Vec<u8>) {
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.extend(addr.port().to_le_bytes());
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    Sha256::digest(bytes).first_chunk().copied().unwrap_or_default()
}

/// Reads a record.
///
/// # Errors
/// If anything about it is not as it was written.
pub(super) fn decode(record: &[u8]) -> Result<Page, Damaged> {
    let (bytes, sum) = record.split_last_chunk::<CHECKSUM>().ok_or(Damaged)?;
    if checksum(bytes) != *sum {
        return Err(Damaged);
    }
    let mut input = Input(bytes);
    if u16::from_le_bytes(input.take()?) != VERSION {
        return Err(Damaged);
    }
    let written = Wall(u64::from_le_bytes(input.take()?));
    let secret = input.take()?;
    let mut counts = [0; 3];
    for count in &mut counts {
        *count = u16::from_le_bytes(input.take()?);
    }
    let [tried, heard, tombstones] = counts;
    let page = Page {
        written,
        secret,
        tried: (0..tried).map(|_| input.entry()).collect::<Result<_, _>>()?,
        heard: (0..heard).map(|_| input.entry()).collect::<Result<_, _>>()?,
        tombstones: (0..tombstones)
            .map(|_| Ok((input.addr()?, Moment(0).after(input.span()?))))
            .collect::<Result<_, _>>()?,
    };
    if input.0.is_empty() { Ok(page) } else { Err(Damaged) }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn span(&mut self) -> Result<Duration, Damaged> {
        Ok(Duration::from_secs(u64::from(u32::from_le_bytes(self.take()?))))
    }

    fn addr(&mut self) -> Result<CanonicalAddr, Damaged> {
        let ip = match self.take()? {
            [4] => IpAddr::from(self.take::<4>()?),
            [6] => IpAddr::from(self.take::<16>()?),
            _ => return Err(Damaged),
        };
        CanonicalAddr::new(SocketAddr::new(ip, u16::from_le_bytes(self.take()?))).map_err(|_| Damaged)
    }

    fn entry(&mut self) -> Result<Entry, Damaged> {
        let id = NodeId(self.take()?);
        let addr = self.addr()?;
        let source = Group::from_bytes(self.take()?).ok_or(Damaged)?;
        let seen = Moment(0).before(self.span()?);
        let [failures] = self.take()?;
        let retry = Moment(0).after(self.span()?);
        Ok(Entry { id, addr, source, seen, failures, retry })
    }
}
