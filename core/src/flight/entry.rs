//! What a recording is made of: each call on the node, and what came of it that no input says.
//!
//! A byte that names the kind, then its fields: numbers seven bits a byte, lowest first, and byte strings behind their
//! length. What is rare or has many fields is written as the machine's state is.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use crate::ids::{ConnId, NodeId, SessionHash, Signature, Ticket};
use crate::input::Input;
use crate::time::{Mono, Now, Wall};
use crate::wire::codec::state::{self, NotWritten};

/// Bytes as they are, without a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

/// One piece of a recording, in the order in which things happened: what came of a call follows it.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    /// The clocks of all calls from here on.
    Clocks(Elapsed),
    /// `accept` was called.
    Accept(SocketAddr),
    /// `handle` was called with so many bytes of `Data`, the first of which complete a record of which `begun` bytes
    /// came before. The bytes are not kept: the records that were opened of them follow, and what was none.
    Data { conn: ConnId, length: usize, begun: usize },
    /// `handle` was called with any other input.
    Input(Input<'a>),
    /// `transmit` was called with this budget.
    Transmit(ConnId, usize),
    /// All commands were taken: how many since the last time, and a digest of these and of all that was sent.
    Drained(u32, u32),
    /// A number was drawn.
    Drawn(u64),
    /// The hash of a transaction or a chunk; only in a redacted recording, whose content has another.
    Hashed([u8; 32]),
    /// This node signed.
    Signed(Signature),
    /// A signature was judged: it is its claimed signer's.
    Genuine,
    /// A signature was judged: it is not.
    Forged,
    /// Keys were prepared, or one was refused.
    Trusted(Option<NodeId>),
    /// A handshake message of this length was written.
    Wrote(Option<u16>),
    /// A handshake message with this payload was read.
    Read(Option<Raw<'a>>),
    /// A handshake was done.
    Finished(Option<SessionHash>),
    /// A record was opened.
    Opened(Raw<'a>),
    /// A record did not open.
    OpenFailed,
    /// The call with `Data` is over: what came behind the records that were opened. As much as came in all if the
    /// records do not say how it was cut.
    Rest(Raw<'a>),
    /// What was read next of a lane's plaintext: a frame of this kind with this body, or no whole one; only in a
    /// redacted recording, whose plaintext is blank.
    Frame(Option<(u16, Raw<'a>)>),
    /// What was read next was no frame; only in a redacted recording.
    FrameFault(u16),
    /// What was decoded as a block; only in a redacted recording.
    Block(Raw<'a>),
}

/// How far the clocks went since the last time, from zero at the beginning; backwards too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elapsed {
    mono: i64,
    wall: i64,
}

impl Elapsed {
    pub(super) const fn between(before: Now, now: Now) -> Self {
        Self {
            mono: now.mono.0.wrapping_sub(before.mono.0).cast_signed(),
            wall: now.wall.0.wrapping_sub(before.wall.0).cast_signed(),
        }
    }

    pub(super) const fn since(self, before: Now) -> Now {
        Now {
            mono: Mono(before.mono.0.wrapping_add(self.mono.cast_unsigned())),
            wall: Wall(before.wall.0.wrapping_add(self.wall.cast_unsigned())),
        }
    }
}

/// The kinds, by the byte that names them.
mod kind {
    pub(super) const CLOCKS: u8 = 0;
    pub(super) const ACCEPT: u8 = 1;
    pub(super) const DATA: u8 = 2;
    pub(super) const INPUT: u8 = 3;
    pub(super) const TICK: u8 = 4;
    pub(super) const PERSISTED: u8 = 5;
    pub(super) const TRANSMIT: u8 = 6;
    pub(super) const DRAINED: u8 = 7;
    pub(super) const DRAWN: u8 = 8;
    pub(super) const HASHED: u8 = 9;
    pub(super) const SIGNED: u8 = 10;
    pub(super) const GENUINE: u8 = 11;
    pub(super) const FORGED: u8 = 12;
    pub(super) const TRUSTED: u8 = 13;
    pub(super) const WEAK: u8 = 14;
    pub(super) const WROTE: u8 = 15;
    pub(super) const NOT_WRITTEN: u8 = 16;
    pub(super) const READ: u8 = 17;
    pub(super) const NOT_READ: u8 = 18;
    pub(super) const FINISHED: u8 = 19;
    pub(super) const NOT_FINISHED: u8 = 20;
    pub(super) const OPENED: u8 = 21;
    pub(super) const OPEN_FAILED: u8 = 22;
    pub(super) const REST: u8 = 23;
    pub(super) const FRAME: u8 = 24;
    pub(super) const NO_FRAME: u8 = 25;
    pub(super) const FRAME_FAULT: u8 = 26;
    pub(super) const BLOCK: u8 = 27;
}

impl<'a> Entry<'a> {
    /// Whether it is a call on the node.
    pub(super) const fn is_call(&self) -> bool {
        matches!(self, Self::Accept(_) | Self::Data { .. } | Self::Input(_) | Self::Transmit(..))
    }

    /// Appends it.
    ///
    /// # Errors
    /// If an input cannot be encoded: nothing of it is appended.
    pub(super) fn append(&self, out: &mut Vec<u8>) -> Result<(), NotWritten> {
        match self {
            Self::Clocks(Elapsed { mono, wall }) => {
                out.push(kind::CLOCKS);
                number(zigzag(*mono), out);
                number(zigzag(*wall), out);
            }
            Self::Accept(from) => return Self::append_accept(from, out),
            Self::Data { conn, length, begun } => {
                out.push(kind::DATA);
                connection(*conn, out);
                number(*length as u64, out);
                number(*begun as u64, out);
            }
            Self::Input(Input::Tick) => out.push(kind::TICK),
            Self::Input(Input::Persisted(ticket)) => {
                out.push(kind::PERSISTED);
                number(ticket.0, out);
            }
            Self::Input(input) => return Self::append_input(input, out),
            Self::Transmit(conn, budget) => {
                out.push(kind::TRANSMIT);
                connection(*conn, out);
                number(*budget as u64, out);
            }
            Self::Drained(commands, sum) => {
                out.push(kind::DRAINED);
                number(u64::from(*commands), out);
                out.extend_from_slice(&sum.to_le_bytes());
            }
            Self::Drawn(drawn) => fixed(kind::DRAWN, &drawn.to_le_bytes(), out),
            Self::Hashed(hash) => fixed(kind::HASHED, hash, out),
            Self::Signed(signature) => fixed(kind::SIGNED, &signature.0, out),
            Self::Genuine => out.push(kind::GENUINE),
            Self::Forged => out.push(kind::FORGED),
            Self::Trusted(None) => out.push(kind::TRUSTED),
            Self::Trusted(Some(weak)) => fixed(kind::WEAK, &weak.0, out),
            Self::Wrote(Some(length)) => fixed(kind::WROTE, &length.to_le_bytes(), out),
            Self::Wrote(None) => out.push(kind::NOT_WRITTEN),
            Self::Read(Some(payload)) => string(kind::READ, *payload, out),
            Self::Read(None) => out.push(kind::NOT_READ),
            Self::Finished(Some(hash)) => fixed(kind::FINISHED, &hash.0, out),
            Self::Finished(None) => out.push(kind::NOT_FINISHED),
            Self::Opened(plain) => string(kind::OPENED, *plain, out),
            Self::OpenFailed => out.push(kind::OPEN_FAILED),
            Self::Rest(rest) => string(kind::REST, *rest, out),
            Self::Frame(Some((code, body))) => {
                fixed(kind::FRAME, &code.to_le_bytes(), out);
                number(body.0.len() as u64, out);
                out.extend_from_slice(body.0);
            }
            Self::Frame(None) => out.push(kind::NO_FRAME),
            Self::FrameFault(code) => fixed(kind::FRAME_FAULT, &code.to_le_bytes(), out),
            Self::Block(block) => string(kind::BLOCK, *block, out),
        }
        Ok(())
    }

    /// Appends an [`Entry::Accept`] of what stands for an address.
    pub(super) fn append_accept<T: Serialize + ?Sized>(
        from: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), NotWritten> {
        state::append(&(kind::ACCEPT, from), out)
    }

    /// Appends an [`Entry::Input`] of what stands for an input that has a form of its own.
    pub(super) fn append_input<T: Serialize + ?Sized>(
        input: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), NotWritten> {
        state::append(&(kind::INPUT, input), out)
    }

    /// Reads the first entry of `bytes`, and how long it is.
    ///
    /// # Errors
    /// Says what it is not.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(Self, usize), String> {
        let mut from = Reader(bytes);
        let entry = from.entry()?;
        Ok((entry, bytes.len() - from.0.len()))
    }
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn connection(conn: ConnId, out: &mut Vec<u8>) {
    number(u64::from(conn.index()), out);
    number(u64::from(conn.generation()), out);
}

fn fixed(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn string(kind: u8, Raw(bytes): Raw<'_>, out: &mut Vec<u8>) {
    out.push(kind);
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn entry(&mut self) -> Result<Entry<'a>, String> {
        let [kind] = self.array()?;
        Ok(match kind {
            kind::CLOCKS => {
                let (mono, wall) = (unzigzag(self.number()?), unzigzag(self.number()?));
                Entry::Clocks(Elapsed { mono, wall })
            }
            kind::ACCEPT => Entry::Accept(self.value()?),
            kind::DATA => Entry::Data { conn: self.connection()?, length: self.size()?, begun: self.size()? },
            kind::INPUT => Entry::Input(self.value()?),
            kind::TICK => Entry::Input(Input::Tick),
            kind::PERSISTED => Entry::Input(Input::Persisted(Ticket(self.number()?))),
            kind::TRANSMIT => Entry::Transmit(self.connection()?, self.size()?),
            kind::DRAINED => Entry::Drained(self.small()?, u32::from_le_bytes(self.array()?)),
            kind::DRAWN => Entry::Drawn(u64::from_le_bytes(self.array()?)),
            kind::HASHED => Entry::Hashed(self.array()?),
            kind::SIGNED => Entry::Signed(Signature(self.array()?)),
            kind::GENUINE => Entry::Genuine,
            kind::FORGED => Entry::Forged,
            kind::TRUSTED => Entry::Trusted(None),
            kind::WEAK => Entry::Trusted(Some(NodeId(self.array()?))),
            kind::WROTE => Entry::Wrote(Some(u16::from_le_bytes(self.array()?))),
            kind::NOT_WRITTEN => Entry::Wrote(None),
            kind::READ => Entry::Read(Some(self.string()?)),
            kind::NOT_READ => Entry::Read(None),
            kind::FINISHED => Entry::Finished(Some(SessionHash(self.array()?))),
            kind::NOT_FINISHED => Entry::Finished(None),
            kind::OPENED => Entry::Opened(self.string()?),
            kind::OPEN_FAILED => Entry::OpenFailed,
            kind::REST => Entry::Rest(self.string()?),
            kind::FRAME => Entry::Frame(Some((u16::from_le_bytes(self.array()?), self.string()?))),
            kind::NO_FRAME => Entry::Frame(None),
            kind::FRAME_FAULT => Entry::FrameFault(u16::from_le_bytes(self.array()?)),
            kind::BLOCK => Entry::Block(self.string()?),
            unknown => return Err(format!("there is no kind {unknown}")),
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.first_chunk().copied().ok_or_else(|| "it is cut short".to_owned())
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has too many digits".to_owned())
    }

    fn small(&mut self) -> Result<u32, String> {
        u32::try_from(self.number()?).map_err(|_| "a number is too large".to_owned())
    }

    fn size(&mut self) -> Result<usize, String> {
        usize::try_from(self.number()?).map_err(|_| "a size is too large".to_owned())
    }

    fn connection(&mut self) -> Result<ConnId, String> {
        Ok(ConnId::from_parts(self.small()?, self.small()?))
    }

    fn string(&mut self) -> Result<Raw<'a>, String> {
        let length = self.size()?;
        self.take(length).map(Raw)
    }

    fn value<T: serde::Deserialize<'a>>(&mut self) -> Result<T, String> {
        let (value, length) = state::read(self.0).map_err(|error| error.to_string())?;
        self.take(length)?;
        Ok(value)
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::Request;

    fn back(entry: &Entry<'_>) -> String {
        let mut bytes = Vec::new();
        entry.append(&mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(Entry::read(&bytes[..cut]).is_err(), "{entry:?} cut at {cut}");
        }
        bytes.push(0xaa);
        let (read, length) = Entry::read(&bytes).unwrap();
        assert_eq!(length, bytes.len() - 1);
        format!("{read:?}")
    }

    #[test]
    fn what_is_written_is_read() {
        let conn = ConnId::from_parts(300, u32::MAX);
        for entry in [
            Entry::Accept("[2001:db8::1]:24100".parse().unwrap()),
            Entry::Data { conn, length: 1 << 40, begun: 0 },
            Entry::Input(Input::Tick),
            Entry::Input(Input::Persisted(Ticket(u64::MAX))),
            Entry::Input(Input::PersistFailed(Ticket(3))),
            Entry::Input(Input::Request {
                id: crate::RequestId(7),
                request: Request::Submit(vec![1; 9].into()),
            }),
            Entry::Transmit(conn, usize::MAX),
            Entry::Drained(7, 0x0102_0304),
            Entry::Drawn(5),
            Entry::Hashed([1; 32]),
            Entry::Signed(Signature([2; 64])),
            Entry::Genuine,
            Entry::Forged,
            Entry::Trusted(None),
            Entry::Trusted(Some(NodeId([3; 32]))),
            Entry::Wrote(Some(48)),
            Entry::Wrote(None),
            Entry::Read(Some(Raw(&[]))),
            Entry::Read(None),
            Entry::Finished(Some(SessionHash([4; 32]))),
            Entry::Finished(None),
            Entry::Opened(Raw(&[5; 200])),
            Entry::OpenFailed,
            Entry::Rest(Raw(&[6; 3])),
            Entry::Frame(Some((9, Raw(&[7; 4])))),
            Entry::Frame(None),
            Entry::FrameFault(41),
            Entry::Block(Raw(&[8; 5])),
        ] {
            assert_eq!(back(&entry), format!("{entry:?}"));
        }
    }

    proptest! {
        #[test]
        fn clocks_go_anywhere(before: (u64, u64), now: (u64, u64)) {
            let [before, now] = [before, now].map(|(mono, wall)| Now { mono: Mono(mono), wall: Wall(wall) });
            let elapsed = Elapsed::between(before, now);
            prop_assert_eq!(elapsed.since(before), now);
            prop_assert_eq!(back(&Entry::Clocks(elapsed)), format!("{:?}", Entry::Clocks(elapsed)));
        }

        #[test]
        fn nothing_that_is_read_is_read_without_end(bytes: Vec<u8>) {
            if let Ok((_, length)) = Entry::read(&bytes) {
                prop_assert!((1..=bytes.len()).contains(&length));
            }
        }
    }
}
