//! Records: length ‖ sealed(lane ‖ frames), the unit of encryption and of interleaving (rule W-2).

use crate::crypto::{Session, TAG};
use crate::event::CloseReason;
use crate::limits::{MAX_RECORD_PLAINTEXT, RECORD_PREFIX};
use crate::wire::message::Lane;
use crate::wire::partial::fill;

/// Where a record begins in the buffer that it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct RecordStart(usize);

/// Begins a record at the end of `out`: append the bytes of the lane's frames, at most [`room`] of them, then
/// [`finish`] it.
pub fn begin(out: &mut Vec<u8>, lane: Lane) -> RecordStart {
    let start = RecordStart(out.len());
    out.extend_from_slice(&[0; RECORD_PREFIX]);
    out.push(lane as u8);
    start
}

/// How many more bytes fit in the record that began at `start`.
#[must_use]
pub fn room(out: &[u8], start: RecordStart) -> usize {
    (start.0 + RECORD_PREFIX + MAX_RECORD_PLAINTEXT).saturating_sub(out.len())
}

/// Seals the record in place. One that was filled beyond [`room`] is refused by the peer.
pub fn finish(out: &mut Vec<u8>, start: RecordStart, session: &mut dyn Session) {
    let sealed = start.0 + RECORD_PREFIX;
    session.seal(out, sealed);
    let prefix = prefix(out.len().saturating_sub(sealed));
    for (place, byte) in out.iter_mut().skip(start.0).zip(prefix) {
        *place = byte;
    }
}

/// What stands before a sealed part of this length.
pub(crate) fn prefix(sealed: usize) -> [u8; RECORD_PREFIX] {
    u16::try_from(sealed).unwrap_or(u16::MAX).to_le_bytes()
}

/// The length of the sealed part that follows a prefix.
///
/// # Errors
/// `BadRecord` if no record can be that short or that long.
pub fn sealed_length(prefix: [u8; RECORD_PREFIX]) -> Result<usize, CloseReason> {
    let length = usize::from(u16::from_le_bytes(prefix));
    if length > TAG && length <= MAX_RECORD_PLAINTEXT + TAG {
        Ok(length)
    } else {
        Err(CloseReason::BadRecord)
    }
}

/// The frames' bytes in the plaintext that [`RecordReader::next`] left in `scratch`: all but the lane.
#[must_use]
pub fn frames(scratch: &[u8]) -> &[u8] {
    scratch.get(1..).unwrap_or_default()
}

/// Cuts a connection's bytes into records and opens them. Holds bytes only while a record is incomplete.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct RecordReader {
    /// Prefix and sealed part, as far as they have arrived.
    #[serde(with = "crate::recorded::buffer")]
    partial: Vec<u8>,
    /// The largest sealed part that is taken.
    largest: usize,
}

impl RecordReader {
    /// A reader at the start of a connection's records.
    #[must_use]
    pub const fn new() -> Self {
        Self::up_to(MAX_RECORD_PLAINTEXT)
    }

    /// As [`RecordReader::new`], for a peer that has no cause for a record of more than `plaintext` bytes yet.
    #[must_use]
    pub const fn up_to(plaintext: usize) -> Self {
        Self { partial: Vec::new(), largest: plaintext + TAG }
    }

    /// From now on records may be as large as any.
    pub const fn widen(&mut self) {
        self.largest = MAX_RECORD_PLAINTEXT + TAG;
    }

    fn sealed_length(&self, prefix: [u8; RECORD_PREFIX]) -> Result<usize, CloseReason> {
        sealed_length(prefix)
            .and_then(|length| if length <= self.largest { Ok(length) } else { Err(CloseReason::BadRecord) })
    }

    /// Takes bytes from `input`; once a record is complete, opens it into `scratch` (whose content is
    /// replaced) and returns its lane: [`frames`] of `scratch` are its frames' bytes. `None` means that
    /// `input` is used up. `scratch` serves all connections of a thread, so a record that arrives whole costs
    /// no allocation.
    ///
    /// # Errors
    /// `BadRecord` for an impossible length, a record that does not open, and a lane that does not exist. The
    /// link must close.
    pub fn next(
        &mut self,
        input: &mut &[u8],
        scratch: &mut Vec<u8>,
        session: &mut dyn Session,
    ) -> Result<Option<Lane>, CloseReason> {
        scratch.clear();
        if self.partial.is_empty() {
            if let Some((&prefix, rest)) = input.split_first_chunk::<RECORD_PREFIX>() {
                if let Some((sealed, rest)) = rest.split_at_checked(self.sealed_length(prefix)?) {
                    *input = rest;
                    scratch.extend_from_slice(sealed);
                    return open(scratch, session).map(Some);
                }
            } else if input.is_empty() {
                return Ok(None);
            }
        }
        fill(&mut self.partial, RECORD_PREFIX, input);
        let Some((&prefix, _)) = self.partial.split_first_chunk::<RECORD_PREFIX>() else { return Ok(None) };
        let total = RECORD_PREFIX + self.sealed_length(prefix)?;
        fill(&mut self.partial, total, input);
        if self.partial.len() < total {
            return Ok(None);
        }
        scratch.extend_from_slice(self.partial.get(RECORD_PREFIX..).unwrap_or_default());
        self.partial = Vec::new();
        open(scratch, session).map(Some)
    }

    /// Bytes held for an incomplete record.
    #[must_use]
    pub fn held(&self) -> usize {
        self.partial.capacity()
    }
}

impl Default for RecordReader {
    fn default() -> Self {
        Self::new()
    }
}

fn open(scratch: &mut Vec<u8>, session: &mut dyn Session) -> Result<Lane, CloseReason> {
    let length = session.open(scratch).map_err(|_| CloseReason::BadRecord)?;
    scratch.truncate(length);
    scratch.first().copied().and_then(Lane::from_byte).ok_or(CloseReason::BadRecord)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::noise::tests::channel;

    fn sealed(records: &[(Lane, Vec<u8>)], session: &mut dyn Session) -> Vec<u8> {
        let mut out = Vec::new();
        for (lane, frames) in records {
            let start = begin(&mut out, *lane);
            assert!(room(&out, start) >= frames.len());
            out.extend_from_slice(frames);
            finish(&mut out, start, session);
        }
        out
    }

    fn opened(pieces: &[&[u8]], session: &mut dyn Session) -> Result<Vec<(Lane, Vec<u8>)>, CloseReason> {
        let mut reader = RecordReader::new();
        let mut scratch = Vec::new();
        let mut records = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(lane) = reader.next(&mut input, &mut scratch, session)? {
                records.push((lane, frames(&scratch).to_vec()));
            }
            assert!(input.is_empty());
            assert!(reader.held() <= RECORD_PREFIX + MAX_RECORD_PLAINTEXT + TAG);
        }
        assert_eq!(reader.held(), 0, "nothing is held between records");
        Ok(records)
    }

    fn records() -> impl Strategy<Value = Vec<(Lane, Vec<u8>)>> {
        let frames =
            prop_oneof![6 => vec(any::<u8>(), 0..50), 1 => vec(any::<u8>(), MAX_RECORD_PLAINTEXT - 1)];
        vec((proptest::sample::select(&Lane::ALL[..]), frames), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn frame_01a_records_cut_anywhere_open_the_same(
            records in records(),
            sizes in vec(1..400usize, 1..40),
        ) {
            let (mut dialer, mut acceptor) = channel();
            let stream = sealed(&records, &mut *dialer);
            let mut rest = &stream[..];
            let mut pieces = Vec::new();
            for size in sizes {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(opened(&pieces, &mut *acceptor), Ok(records));
        }
    }

    #[test]
    fn every_single_cut_is_harmless() {
        let records = vec![(Lane::Control, vec![1; 20]), (Lane::Bulk, vec![]), (Lane::Relay, vec![2; 9])];
        let length = sealed(&records, &mut *channel().0).len();
        for cut in 0..=length {
            let (mut dialer, mut acceptor) = channel();
            let stream = sealed(&records, &mut *dialer);
            let (first, second) = stream.split_at(cut);
            assert_eq!(opened(&[first, second], &mut *acceptor).as_ref(), Ok(&records), "{cut}");
        }
    }

    #[test]
    fn lengths_that_no_record_has_are_refused_at_the_prefix() {
        let largest = u16::try_from(MAX_RECORD_PLAINTEXT + TAG).unwrap();
        assert_eq!(sealed_length(17u16.to_le_bytes()), Ok(17));
        assert_eq!(sealed_length(largest.to_le_bytes()), Ok(usize::from(largest)));
        for length in [0, 1, 16, largest + 1, u16::MAX] {
            let prefix = length.to_le_bytes();
            assert_eq!(sealed_length(prefix), Err(CloseReason::BadRecord), "{length}");
            let (_, mut acceptor) = channel();
            let (whole, bytewise) = ([&prefix[..]], [&prefix[..1], &prefix[1..]]);
            assert_eq!(opened(&whole, &mut *acceptor), Err(CloseReason::BadRecord), "{length}");
            assert_eq!(opened(&bytewise, &mut *acceptor), Err(CloseReason::BadRecord), "{length}");
        }
    }

    #[test]
    fn a_full_record_fits_and_the_room_is_counted() {
        let (mut dialer, mut acceptor) = channel();
        let mut out = b"earlier".to_vec();
        let start = begin(&mut out, Lane::Payload);
        assert_eq!(room(&out, start), MAX_RECORD_PLAINTEXT - 1);
        out.resize(out.len() + MAX_RECORD_PLAINTEXT - 1, 5);
        assert_eq!(room(&out, start), 0);
        finish(&mut out, start, &mut *dialer);
        let expected = vec![(Lane::Payload, vec![5; MAX_RECORD_PLAINTEXT - 1])];
        assert_eq!(opened(&[&out[7..]], &mut *acceptor), Ok(expected));
    }

    #[test]
    fn a_changed_record_and_an_unknown_lane_are_bad_records() {
        let (mut dialer, mut acceptor) = channel();
        let mut stream = sealed(&[(Lane::Relay, vec![1; 8])], &mut *dialer);
        *stream.last_mut().unwrap() ^= 1;
        assert_eq!(opened(&[&stream], &mut *acceptor), Err(CloseReason::BadRecord));

        let (mut dialer, mut acceptor) = channel();
        let mut out = vec![0, 0, 4];
        dialer.seal(&mut out, RECORD_PREFIX);
        out[0] = 17;
        assert_eq!(opened(&[&out], &mut *acceptor), Err(CloseReason::BadRecord));
    }
}
