//! Who writes a recording: one for a node, and with the node alone while it is called. What it has noted goes to the
//! tape, which others may look at, once a call: a lock an entry would cost more than the entry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::command::{Command, Transmit};
use crate::crypto::{Authenticity, CryptoError, TAG};
use crate::event::CloseReason;
use crate::flight::digest::Digest;
use crate::flight::entry::{Elapsed, Entry, Raw};
use crate::flight::tape::{Seam, Tape};
use crate::ids::{ConnId, NodeId, SessionHash, Signature};
use crate::input::Input;
use crate::limits::RECORD_PREFIX;
use crate::time::{Mono, Now, Wall};
use crate::witness::Witness;

/// After a state that found no room, the next is tried so much later.
const BLIND_FOR_NANOS: u64 = 60_000_000_000;
/// Memory that is kept for what is not on the tape yet: a block is rare, and larger than all else.
const KEPT: usize = 64 << 10;
/// Where the clocks of a segment begin.
pub(super) const EPOCH: Now = Now { mono: Mono(0), wall: Wall(0) };

/// What is recorded, or why nothing is.
#[derive(Debug)]
enum Stage {
    /// The next time when all commands are taken a segment begins.
    Waiting,
    /// The next segment begins when so many bytes are written.
    Recording { left: usize },
    /// The state alone is too large: nothing is recorded until then.
    Blind(Mono),
}

/// The call with bytes that is under way.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    conn: ConnId,
    /// Bytes of its first record that came before.
    begun: usize,
}

/// Writes what a node does.
#[derive(Debug)]
pub(super) struct Scribe {
    tape: Arc<Mutex<Tape>>,
    stage: Stage,
    /// What is not on the tape yet.
    noted: Vec<u8>,
    now: Now,
    arrival: Option<Arrival>,
    /// Tag and sealed length of the records that were opened in that call.
    opened: Vec<([u8; TAG], usize)>,
    /// Bytes of a record that has not arrived whole, by connection. A supposition: each record is looked up in the
    /// bytes by its tag.
    cut: BTreeMap<ConnId, usize>,
    digest: Digest,
}

impl Scribe {
    pub(super) const fn new(tape: Arc<Mutex<Tape>>) -> Self {
        Self {
            tape,
            stage: Stage::Waiting,
            noted: Vec::new(),
            now: EPOCH,
            arrival: None,
            opened: Vec::new(),
            cut: BTreeMap::new(),
            digest: Digest::NONE,
        }
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn is_recording(&self) -> bool {
        matches!(self.stage, Stage::Recording { .. })
    }

    /// Whether a state is wanted, now that all commands are taken.
    pub(super) fn wants_state(&self, now: Mono) -> bool {
        match self.stage {
            Stage::Waiting => true,
            Stage::Recording { left } => left == 0,
            Stage::Blind(until) => now >= until,
        }
    }

    /// Memory for it.
    pub(super) fn state(&self) -> Vec<u8> {
        self.tape().take_state()
    }

    /// Begins a segment with this state; without one, if it could not be encoded, nothing is recorded for a while.
    pub(super) fn begin(&mut self, now: Mono, state: Option<Vec<u8>>) {
        let seam = if self.is_recording() { Seam::Continuous } else { Seam::Gap };
        self.publish();
        let mut tape = self.tape();
        let stage = match state.filter(|state| tape.has_room_for(state.len())) {
            Some(state) => {
                let left = tape.segment(state.len());
                tape.begin(now, seam, state);
                Stage::Recording { left }
            }
            None => Stage::Blind(Mono(now.0.saturating_add(BLIND_FOR_NANOS))),
        };
        drop(tape);
        self.stage = stage;
        self.now = EPOCH;
        self.digest = Digest::NONE;
    }

    fn note(&mut self, entry: &Entry<'_>) {
        if self.is_recording() && entry.append(&mut self.noted).is_err() {
            // Nothing of ours cannot be encoded; what follows would be of no use.
            self.stage = Stage::Waiting;
        }
    }

    /// Puts what is noted on the tape.
    fn publish(&mut self) {
        if self.noted.is_empty() {
            return;
        }
        self.tape().append(self.now.mono, &self.noted);
        if let Stage::Recording { left } = &mut self.stage {
            *left = left.saturating_sub(self.noted.len());
        }
        self.noted.clear();
        self.noted.shrink_to(KEPT);
    }

    fn at(&mut self, now: Now) {
        if self.now != now {
            self.note(&Entry::Clocks(Elapsed::between(self.now, now)));
            self.now = now;
        }
    }

    /// A call other than one with bytes. It is on the tape before it is made: what a call that never returns was told
    /// is the most wanted.
    pub(super) fn call(&mut self, now: Now, call: &Entry<'_>) {
        self.at(now);
        self.note(call);
        if let Entry::Input(Input::Closed { conn, .. }) = call {
            self.cut.remove(conn);
        }
        self.publish();
    }

    /// A call with so many bytes.
    pub(super) fn data(&mut self, now: Now, conn: ConnId, length: usize) {
        self.at(now);
        let begun = self.cut.get(&conn).copied().unwrap_or(0);
        self.note(&Entry::Data { conn, length, begun });
        self.arrival = self.is_recording().then_some(Arrival { conn, begun });
    }

    /// The call with these bytes is over, or has failed.
    pub(super) fn returned(&mut self, bytes: &[u8]) {
        let Some(Arrival { conn, begun }) = self.arrival.take() else { return };
        let (rest, left) = match behind(bytes, begun, &self.opened) {
            Some(rest) if self.opened.is_empty() => (rest, begun + rest.len()),
            Some(rest) => (rest, rest.len()),
            // It began with an opening, or a record did not open: such calls are rare.
            None => (bytes, after_last(bytes, &self.opened)),
        };
        self.opened.clear();
        if left == 0 {
            self.cut.remove(&conn);
        } else {
            self.cut.insert(conn, left);
        }
        if !rest.is_empty() {
            self.note(&Entry::Rest(Raw(rest)));
        }
    }

    pub(super) fn accepted(&mut self, accepted: Result<ConnId, CloseReason>) {
        if self.is_recording() {
            self.digest.accepted(accepted);
        }
    }

    pub(super) fn transmitted(&mut self, length: usize, left: Transmit) {
        if self.is_recording() {
            self.digest.transmitted(length, left);
        }
    }

    pub(super) fn command(&mut self, command: &Command) {
        if self.is_recording() {
            self.digest.command(command);
        }
    }

    /// All commands are taken.
    pub(super) fn drained(&mut self) {
        if let Some((commands, sum)) = self.digest.look() {
            self.note(&Entry::Drained(commands, sum));
        }
        self.publish();
    }
}

/// What comes behind the records that were opened; `None` if they are not what the bytes begin with.
fn behind<'a>(bytes: &'a [u8], begun: usize, opened: &[([u8; TAG], usize)]) -> Option<&'a [u8]> {
    let (mut rest, mut begun) = (bytes, begun);
    for (tag, sealed) in opened {
        let (record, others) = rest.split_at_checked((RECORD_PREFIX + sealed).checked_sub(begun)?)?;
        if !record.ends_with(tag) {
            return None;
        }
        (rest, begun) = (others, 0);
    }
    Some(rest)
}

/// How many bytes come after the last record, wherever it is.
fn after_last(bytes: &[u8], opened: &[([u8; TAG], usize)]) -> usize {
    let last = opened.last().and_then(|(tag, _)| bytes.windows(TAG).rposition(|window| window == tag));
    last.map_or(0, |place| bytes.len().saturating_sub(place + TAG))
}

/// What a call noted that failed is wanted the most.
impl Drop for Scribe {
    fn drop(&mut self) {
        self.publish();
    }
}

/// Where a recorder hears what its node decides by.
impl Witness for Scribe {
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

    fn opened(
        &mut self,
        tag: [u8; TAG],
        record: &mut [u8],
        fresh: Option<Result<usize, CryptoError>>,
    ) -> Result<usize, CryptoError> {
        let opened = fresh.unwrap_or(Err(CryptoError));
        match opened.ok().and_then(|length| record.get(..length)) {
            Some(plain) => self.note(&Entry::Opened(Raw(plain))),
            None => self.note(&Entry::OpenFailed),
        }
        if self.arrival.is_some() {
            // One that did not open is no record that a replay could be told the length of.
            self.opened.push((tag, if opened.is_ok() { record.len() } else { usize::MAX / 2 }));
        }
        // Before it is acted upon.
        self.publish();
        opened
    }

    fn sealing(&mut self, plain: &[u8]) {
        if self.is_recording() {
            self.digest.plain(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; TAG] = [0xa; TAG];
    const B: [u8; TAG] = [0xb; TAG];

    /// A record as it arrives, with so many bytes of text.
    fn record(tag: [u8; TAG], text: usize) -> Vec<u8> {
        let mut bytes = vec![0; RECORD_PREFIX + text];
        bytes.extend(tag);
        bytes
    }

    #[test]
    fn what_is_behind_the_records_is_found_however_they_are_cut() {
        let whole = [record(A, 5), record(B, 200), vec![1; 7]].concat();
        let opened = [(A, 5 + TAG), (B, 200 + TAG)];
        for begun in 0..record(A, 5).len() {
            // With a part of the tag alone it would be a guess.
            let found = (begun <= RECORD_PREFIX + 5).then_some(&[1; 7][..]);
            assert_eq!(behind(&whole[begun..], begun, &opened), found, "{begun} came before");
        }
        assert_eq!(behind(&whole, 0, &[]), Some(&whole[..]));
    }

    #[test]
    fn bytes_that_do_not_begin_with_the_records_are_kept_as_they_are() {
        let opening = [vec![9; 48], record(A, 5), vec![1; 7]].concat();
        for begun in [0, 3, 48, 1000] {
            assert_eq!(behind(&opening, begun, &[(A, 5 + TAG)]), None);
        }
        assert_eq!(after_last(&opening, &[(A, 5 + TAG)]), 7);
        assert_eq!(after_last(&opening, &[(B, 5 + TAG)]), 0);
        assert_eq!(behind(&record(A, 5), 0, &[(A, usize::MAX / 2)]), None);
    }
}
