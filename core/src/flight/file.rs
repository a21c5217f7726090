//! A recording as a file: a header, then the segments, each with a check sum.
//!
//! ```text
//! "timed flight\n" ‖ u16 format ‖ u8 + version of timed-core ‖ u8 redacted ‖ [32] node ‖ u64 wall time, ms ‖ u32 segments
//! a segment: u64 bytes of the state ‖ u64 bytes of the log ‖ [8] SHA-256 of both, cut ‖ state ‖ log
//! ```
//!
//! The state is the machine's own, so only the version of the program that wrote it reads it.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::ids::NodeId;
use crate::time::Wall;

const MAGIC: &[u8] = b"timed flight\n";
const FORMAT: u16 = 2;
/// The version whose recordings are read.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A state and what happened from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) state: Vec<u8>,
    pub(super) log: Vec<u8>,
}

impl Segment {
    /// Bytes before a segment's state in a file: two lengths and the check sum.
    pub(super) const HEADER: usize = 8 + 8 + 8;

    /// Nothing.
    pub(super) const EMPTY: Self = Self { state: Vec::new(), log: Vec::new() };

    pub(super) fn len(&self) -> usize {
        self.state.len() + self.log.len()
    }

    fn sum(&self) -> [u8; 8] {
        let hash = Sha256::new().chain_update(&self.state).chain_update(&self.log).finalize();
        hash.first_chunk().copied().unwrap_or_default()
    }
}

/// Whether a recording shows what was said and where from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// As it was.
    Original,
    /// Addresses, payloads and names are replaced.
    Redacted,
}

/// A recording: what a node did since the oldest state in it, to be replayed or written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Whose it is.
    pub node: NodeId,
    /// When it was taken.
    pub taken: Wall,
    /// Whether anything is replaced.
    pub content: Content,
    pub(super) segments: Vec<Arc<Segment>>,
}

/// Why bytes are no recording that can be replayed here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlightError {
    /// They do not begin like one.
    #[error("not a flight recording: it does not begin with \"timed flight\"")]
    NotAFlight,
    /// Another version wrote them.
    #[error(
        "recorded by timed {version}, format {format}; this is {VERSION}, format {FORMAT}, and reads no other"
    )]
    OtherVersion {
        /// The version.
        version: String,
        /// The format, which changes between versions too.
        format: u16,
    },
    /// They are cut short or changed.
    #[error("damaged at offset {offset}: {what}")]
    Damaged {
        /// Where, in bytes from the beginning.
        offset: usize,
        /// What is wrong there.
        what: String,
    },
    /// There is nothing in it: it was taken before anything was recorded, or there was no room for the state.
    #[error("nothing is recorded in it")]
    Empty,
}

impl Flight {
    /// Whether there is nothing in it to be replayed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The file's content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self.segments.iter().map(|segment| segment.len() + Segment::HEADER).sum();
        let mut out = Vec::with_capacity(size + 128);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.push(u8::try_from(VERSION.len()).unwrap_or(0));
        out.extend_from_slice(VERSION.as_bytes());
        out.push(u8::from(self.content == Content::Redacted));
        out.extend_from_slice(&self.node.0);
        out.extend_from_slice(&self.taken.0.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.segments.len()).unwrap_or(u32::MAX).to_le_bytes());
        for segment in &self.segments {
            out.extend_from_slice(&(segment.state.len() as u64).to_le_bytes());
            out.extend_from_slice(&(segment.log.len() as u64).to_le_bytes());
            out.extend_from_slice(&segment.sum());
            out.extend_from_slice(&segment.state);
            out.extend_from_slice(&segment.log);
        }
        out
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn decode(bytes: &[u8]) -> Result<Self, FlightError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(FlightError::NotAFlight)?;
        let mut input = Input { all: bytes.len(), rest };
        let format = u16::from_le_bytes(input.array("the format")?);
        let [length] = input.array("the version")?;
        let version = String::from_utf8_lossy(input.take(usize::from(length), "the version")?).into_owned();
        if format != FORMAT || version != VERSION {
            return Err(FlightError::OtherVersion { version, format });
        }
        let content = match input.array("the header")? {
            [0] => Content::Original,
            [1] => Content::Redacted,
            [_] => return Err(input.damaged("a flag has no meaning")),
        };
        let node = NodeId(input.array("the header")?);
        let taken = Wall(u64::from_le_bytes(input.array("the header")?));
        let count = u32::from_le_bytes(input.array("the header")?);
        let mut segments = Vec::new();
        for _ in 0..count {
            let state = input.length()?;
            let log = input.length()?;
            let sum: [u8; 8] = input.array("a check sum")?;
            let at = input.offset();
            let state = input.take(state, "a state")?.to_vec();
            let log = input.take(log, "a log")?.to_vec();
            let segment = Segment { state, log };
            if segment.sum() != sum {
                return Err(FlightError::Damaged { offset: at, what: "the check sum is wrong".to_owned() });
            }
            segments.push(Arc::new(segment));
        }
        if !input.rest.is_empty() {
            return Err(input.damaged("bytes follow the last segment"));
        }
        if segments.is_empty() {
            return Err(FlightError::Empty);
        }
        Ok(Self { node, taken, content, segments })
    }

    /// Bytes of the header: where the first segment begins.
    pub(super) fn header() -> usize {
        MAGIC.len() + 2 + 1 + VERSION.len() + 1 + 32 + 8 + 4
    }
}

/// What is left to be read.
struct Input<'a> {
    all: usize,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn offset(&self) -> usize {
        self.all.saturating_sub(self.rest.len())
    }

    fn damaged(&self, what: &str) -> FlightError {
        FlightError::Damaged { offset: self.offset(), what: what.to_owned() }
    }

    fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], FlightError> {
        let taken = self.rest.split_at_checked(length);
        let (taken, rest) = taken.ok_or_else(|| self.damaged(&format!("it ends within {what}")))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], FlightError> {
        let taken = self.take(N, what)?;
        taken.first_chunk().copied().ok_or_else(|| self.damaged(what))
    }

    fn length(&mut self) -> Result<usize, FlightError> {
        let length = u64::from_le_bytes(self.array("a length")?);
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }
}
