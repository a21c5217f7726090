//! The recording under way: segments, each a state of the machine and what happened from there on. When there is no
//! more room the oldest goes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::command::{Command, Transmit};
use crate::crypto::{Authenticity, CryptoError, TAG};
use crate::event::CloseReason;
use crate::flight::digest::Digest;
use crate::flight::entry::{Entry, Raw, append};
use crate::flight::file::Segment;
use crate::ids::{ConnId, NodeId, SessionHash, Signature};
use crate::input::Input;
use crate::limits::RECORD_PREFIX;
use crate::time::{Mono, Now};
use crate::witness::Witness;

/// A segment is over when so much has happened in it, or four times what its state takes.
pub(super) const SEGMENT: usize = 4 << 20;
/// The longest single call and what comes of it, for the room that is made beforehand.
const CALL: usize = 256 << 10;
/// After a state that found no room, the next is tried so much later.
const BLIND_FOR_NANOS: u64 = 60_000_000_000;

/// What is recorded, or why nothing is.
#[derive(Debug)]
enum Stage {
    /// The next time when all commands are taken a segment begins.
    Waiting,
    Recording,
    /// The state alone is too large: nothing is recorded until then.
    Blind(Mono),
}

/// The ring.
#[derive(Debug)]
pub(super) struct Tape {
    room: usize,
    over: VecDeque<Arc<Segment>>,
    stage: Stage,
    /// The state at the beginning of the segment under way.
    state: Vec<u8>,
    log: Vec<u8>,
    now: Option<Now>,
    /// The bytes that arrived in the call under way and are not opened, in the log.
    arrived: Range<usize>,
    /// Whose they are.
    conn: Option<ConnId>,
    /// Bytes of a record that was cut, by connection; a hint where the next one ends.
    cut: BTreeMap<ConnId, usize>,
    digest: Digest,
    checkpoints: u64,
    dropped: u64,
}

impl Tape {
    pub(super) const fn new(room: usize) -> Self {
        Self {
            room,
            over: VecDeque::new(),
            stage: Stage::Waiting,
            state: Vec::new(),
            log: Vec::new(),
            now: None,
            arrived: 0..0,
            conn: None,
            cut: BTreeMap::new(),
            digest: Digest::NONE,
            checkpoints: 0,
            dropped: 0,
        }
    }

    /// Everything from the oldest state that is left, in order.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        let under_way = matches!(self.stage, Stage::Recording)
            .then(|| Arc::new(Segment { state: self.state.clone(), log: self.log.clone() }));
        self.over.iter().cloned().chain(under_way).collect()
    }

    /// Bytes held, states written and segments dropped.
    pub(super) fn holding(&self) -> (usize, u64, u64) {
        (self.held(), self.checkpoints, self.dropped)
    }

    fn held(&self) -> usize {
        let over: usize = self.over.iter().map(|segment| segment.len()).sum();
        over + self.state.len() + self.log.len()
    }

    /// Whether a state is wanted, now that all commands are taken.
    pub(super) fn wants_state(&self, now: Mono) -> bool {
        match self.stage {
            Stage::Waiting => true,
            Stage::Recording => self.log.len() >= SEGMENT.max(4 * self.state.len()).min(self.room / 4),
            Stage::Blind(until) => now >= until,
        }
    }

    /// Begins a segment with this state; without one, if it could not be encoded, nothing is recorded for a while.
    pub(super) fn begin(&mut self, now: Mono, state: Option<Vec<u8>>) {
        if matches!(self.stage, Stage::Recording) {
            let mut log = std::mem::take(&mut self.log);
            log.shrink_to_fit();
            self.over.push_back(Arc::new(Segment { state: std::mem::take(&mut self.state), log }));
        }
        self.now = None;
        self.digest = Digest::NONE;
        self.state = Vec::new();
        self.log = Vec::new();
        match state.filter(|state| state.len() <= self.room / 2) {
            Some(state) => {
                self.log.reserve_exact(SEGMENT.max(4 * state.len()).min(self.room / 4) + CALL);
                self.state = state;
                self.stage = Stage::Recording;
                self.checkpoints += 1;
            }
            None => self.stage = Stage::Blind(Mono(now.0.saturating_add(BLIND_FOR_NANOS))),
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.held() > self.room && self.over.pop_front().is_some() {
            self.dropped += 1;
        }
    }

    fn note(&mut self, entry: &Entry<'_>) {
        if matches!(self.stage, Stage::Recording) && append(entry, &mut self.log).is_err() {
            // Nothing of ours cannot be encoded; what follows would be of no use.
            self.stage = Stage::Waiting;
        }
    }

    fn at(&mut self, now: Now) {
        if self.now != Some(now) {
            self.now = Some(now);
            self.note(&Entry::Now(now));
        }
    }

    /// A call other than one with bytes.
    pub(super) fn call(&mut self, now: Now, call: &Entry<'_>) {
        self.at(now);
        self.note(call);
        self.arrived = self.log.len()..self.log.len();
        self.conn = None;
        if let Entry::Input(Input::Closed { conn, .. }) = call {
            self.cut.remove(conn);
        }
    }

    /// A call with bytes.
    pub(super) fn data(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        self.at(now);
        self.note(&Entry::Data(conn, Raw(bytes)));
        // They are the last that was appended.
        let end = self.log.len();
        self.arrived = match self.stage {
            Stage::Recording => end.saturating_sub(bytes.len())..end,
            Stage::Waiting | Stage::Blind(_) => end..end,
        };
        self.conn = Some(conn);
    }

    /// The call is over.
    pub(super) fn returned(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        match self.arrived.len() {
            0 => self.cut.remove(&conn),
            left => self.cut.insert(conn, left),
        };
    }

    /// How many bytes from the first that is not opened a record of `length` ends, if what was left of the
    /// connection's bytes before is its beginning.
    fn end_of(&self, length: usize) -> usize {
        let before = self.conn.and_then(|conn| self.cut.get(&conn)).copied().unwrap_or(0);
        (RECORD_PREFIX + length).saturating_sub(before)
    }

    pub(super) fn accepted(&mut self, accepted: Result<ConnId, CloseReason>) {
        if matches!(self.stage, Stage::Recording) {
            self.digest.accepted(accepted);
        }
    }

    pub(super) fn transmitted(&mut self, length: usize, left: Transmit) {
        if matches!(self.stage, Stage::Recording) {
            self.digest.transmitted(length, left);
        }
    }

    pub(super) fn command(&mut self, command: &Command) {
        if matches!(self.stage, Stage::Recording) {
            self.digest.command(command);
        }
    }

    /// All commands are taken.
    pub(super) fn drained(&mut self) {
        if !self.digest.is_empty() {
            let (commands, digest) = self.digest.value();
            self.note(&Entry::Drained(commands, digest));
            self.digest = Digest::NONE;
        }
    }
}

/// Where a recorder hears what its node decides by.
impl Witness for Tape {
    fn drawn(&mut self, fresh: u64) -> u64 {
        self.note(&Entry::Drawn(fresh));
        fresh
    }

    fn hashed(&mut self, fresh: [u8; 32]) -> [u8; 32] {
        // The content is in the recording.
        fresh
    }

    fn signed(&mut self, fresh: Option<Signature>) -> Signature {
        let signature = fresh.unwrap_or_default();
        self.note(&Entry::Signed(signature));
        signature
    }

    fn verified(&mut self, fresh: Option<Authenticity>) -> Authenticity {
        let verdict = fresh.unwrap_or(Authenticity::Forged);
        self.note(match verdict {
            Authenticity::Genuine => &Entry::Genuine,
            Authenticity::Forged => &Entry::Forged,
        });
        verdict
    }

    fn trusted(&mut self, fresh: Option<Option<NodeId>>) -> Option<NodeId> {
        let weak = fresh.flatten();
        self.note(&Entry::Trusted(weak));
        weak
    }

    fn wrote(&mut self, fresh: Option<Result<usize, CryptoError>>) -> Result<usize, CryptoError> {
        let written = fresh.unwrap_or(Err(CryptoError));
        self.note(&Entry::Wrote(written.ok().map(|length| u16::try_from(length).unwrap_or(u16::MAX))));
        written
    }

    fn read(&mut self, fresh: Option<Result<&[u8], CryptoError>>) -> Result<Vec<u8>, CryptoError> {
        let payload = fresh.unwrap_or(Err(CryptoError));
        self.note(&Entry::Read(payload.ok().map(Raw)));
        // Whoever has the payload needs no copy.
        payload.map(|_| Vec::new())
    }

    fn finished(
        &mut self,
        fresh: Option<Result<SessionHash, CryptoError>>,
    ) -> Result<SessionHash, CryptoError> {
        let hash = fresh.unwrap_or(Err(CryptoError));
        self.note(&Entry::Finished(hash.ok()));
        hash
    }

    fn arrived(&mut self, sealed: &[u8]) -> Option<usize> {
        let waiting = self.log.get(self.arrived.clone())?;
        let tag = sealed.last_chunk::<TAG>()?;
        let expected = self.end_of(sealed.len());
        // Where it ends, from the first byte that is not opened. Without the hint it is sought.
        let ends = waiting.get(..expected).is_some_and(|bytes| bytes.ends_with(tag)).then_some(expected);
        let end = ends.or_else(|| Some(waiting.windows(TAG).position(|bytes| bytes == tag)? + TAG))?;
        let whole = waiting.get(..end).is_some_and(|bytes| bytes.ends_with(sealed));
        self.arrived.start += end;
        if let Some(conn) = self.conn {
            self.cut.remove(&conn);
        }
        whole.then(|| self.arrived.start.saturating_sub(sealed.len()))
    }

    fn opened(
        &mut self,
        place: Option<usize>,
        record: &mut [u8],
        fresh: Option<Result<usize, CryptoError>>,
    ) -> Result<usize, CryptoError> {
        let opened = fresh.unwrap_or(Err(CryptoError));
        let plain = opened.ok().and_then(|length| record.get(..length));
        let there = place.and_then(|place| self.log.get_mut(place..place + record.len()));
        match (plain, there) {
            (None, _) => self.note(&Entry::OpenFailed),
            (Some(plain), None) => self.note(&Entry::Opened(Raw(plain))),
            (Some(plain), Some(there)) => {
                if let Some((text, tag)) = there.split_at_mut_checked(plain.len()) {
                    text.copy_from_slice(plain);
                    tag.fill(0);
                }
                self.note(&Entry::OpenedThere);
            }
        }
        opened
    }

    fn sealing(&mut self, plain: &[u8]) {
        if matches!(self.stage, Stage::Recording) {
            self.digest.plain(plain);
        }
    }
}
