//! Frames: length ‖ kind ‖ body, and their reassembly from the records of one lane (rule W-4).

use crate::event::CloseReason;
use crate::limits::FRAME_HEADER;
use crate::wire::codec;
use crate::wire::message::{Kind, Lane, MAX_UNKNOWN_BODY, Message};

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the body.
    pub length: usize,
    /// What the body is.
    pub kind: FrameKind,
}

/// The kind of a frame, known to this version or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// To be decoded.
    Known(Kind),
    /// To be skipped and counted (rule W-6).
    Unknown(u16),
}

/// Appends `message` as a frame to `out`.
pub fn append_frame(message: &Message, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&message.kind().code().to_le_bytes());
    let body = out.len();
    codec::encode_body(message, out);
    let length = u32::try_from(out.len() - body).unwrap_or(u32::MAX);
    for (place, byte) in out.iter_mut().skip(start).zip(length.to_le_bytes()) {
        *place = byte;
    }
}

/// Appends a frame whose body is encoded already.
pub fn append_encoded(kind: Kind, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&kind.code().to_le_bytes());
    out.extend_from_slice(body);
}

/// Reads a header; `None` while `bytes` has fewer than [`FRAME_HEADER`] bytes.
#[must_use]
pub fn read_header(bytes: &[u8]) -> Option<FrameHeader> {
    let (&[l0, l1, l2, l3, k0, k1], _) = bytes.split_first_chunk::<FRAME_HEADER>()?;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let code = u16::from_le_bytes([k0, k1]);
    let kind = Kind::from_code(code).map_or(FrameKind::Unknown(code), FrameKind::Known);
    Some(FrameHeader { length, kind })
}

/// Whether such a frame may arrive on `lane`.
///
/// # Errors
/// `BadFrame` if the body is over the limit of its kind, `UnexpectedMessage` if the kind is known and belongs
/// to another lane.
pub fn check(header: &FrameHeader, lane: Lane) -> Result<(), CloseReason> {
    let limit = match header.kind {
        FrameKind::Known(kind) if kind.lane() != lane => return Err(CloseReason::UnexpectedMessage),
        FrameKind::Known(kind) => kind.max_body(),
        FrameKind::Unknown(_) => MAX_UNKNOWN_BODY,
    };
    if header.length <= limit { Ok(()) } else { Err(CloseReason::BadFrame) }
}

/// Finds the frames in the plaintext of one lane's records, in order, however the stream is cut.
///
/// A frame that lies whole in the input is borrowed from it; only one that is cut is copied, into a buffer
/// that grows with what has arrived, never beyond the frame, and is freed once the frame is taken.
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    /// Header and body of the frame that was cut, as far as they have arrived.
    partial: Vec<u8>,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Reading,
    /// The frame in the buffer was handed out; the buffer goes with the next call.
    Taken,
}

impl FrameReader {
    /// A reader at the start of a lane's stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: Vec::new(), progress: Progress::Reading }
    }

    /// Takes bytes from `input` and returns the next frame, its kind and its body. `None` means that `input`
    /// is used up. Call it until then, for each record in the order of arrival.
    ///
    /// # Errors
    /// See [`check`]; the link must close. The header is judged before anything is allocated for its body.
    pub fn next<'r, 'i: 'r>(
        &'r mut self,
        lane: Lane,
        input: &mut &'i [u8],
    ) -> Result<Option<(FrameKind, &'r [u8])>, CloseReason> {
        if self.progress == Progress::Taken {
            *self = Self::new();
        }
        if self.partial.is_empty() {
            if let Some(header) = read_header(input) {
                check(&header, lane)?;
                if let Some((frame, rest)) = input.split_at_checked(FRAME_HEADER + header.length) {
                    *input = rest;
                    return Ok(Some((header.kind, frame.get(FRAME_HEADER..).unwrap_or_default())));
                }
            } else if input.is_empty() {
                return Ok(None);
            }
        }
        self.fill(FRAME_HEADER, input);
        let Some(header) = read_header(&self.partial) else { return Ok(None) };
        check(&header, lane)?;
        let total = FRAME_HEADER + header.length;
        self.fill(total, input);
        if self.partial.len() < total {
            return Ok(None);
        }
        self.progress = Progress::Taken;
        Ok(Some((header.kind, self.partial.get(FRAME_HEADER..).unwrap_or_default())))
    }

    /// Bytes held for a frame that was cut.
    #[must_use]
    pub fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// Moves bytes from `input` until the buffer has `total` of them.
    fn fill(&mut self, total: usize, input: &mut &[u8]) {
        let missing = total.saturating_sub(self.partial.len()).min(input.len());
        let Some((bytes, rest)) = input.split_at_checked(missing) else { return };
        *input = rest;
        let arrived = self.partial.len() + missing;
        if arrived > self.partial.capacity() {
            // Doubling, as a vector does by itself, but never past the end of the frame.
            let room = arrived.max(total.min(2 * self.partial.capacity()));
            self.partial.reserve_exact(room - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }
}
