//! Frames: length ‖ kind ‖ body, and their reassembly from the records of one lane (rule W-4).

use crate::event::CloseReason;
use crate::limits::FRAME_HEADER;
use crate::wire::codec;
use crate::wire::message::{Kind, Lane, MAX_UNKNOWN_BODY, Message};
use crate::wire::partial::fill;

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

impl FrameKind {
    /// The kind of a code.
    #[must_use]
    pub fn of(code: u16) -> Self {
        Kind::from_code(code).map_or(Self::Unknown(code), Self::Known)
    }
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
    append_raw(kind.code(), body, out);
}

/// Appends a frame of any kind, known or not.
pub fn append_raw(kind: u16, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(body);
}

/// Reads a header; `None` while `bytes` has fewer than six bytes.
#[must_use]
pub fn read_header(bytes: &[u8]) -> Option<FrameHeader> {
    let (&[l0, l1, l2, l3, k0, k1], _) = bytes.split_first_chunk::<FRAME_HEADER>()?;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let code = u16::from_le_bytes([k0, k1]);
    Some(FrameHeader { length, kind: FrameKind::of(code) })
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
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct FrameReader {
    /// Header and body of the frame that was cut, as far as they have arrived.
    #[serde(with = "crate::recorded::buffer")]
    partial: Vec<u8>,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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
        fill(&mut self.partial, FRAME_HEADER, input);
        let Some(header) = read_header(&self.partial) else { return Ok(None) };
        check(&header, lane)?;
        let total = FRAME_HEADER + header.length;
        fill(&mut self.partial, total, input);
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
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::limits::MAX_DATAGRAM;
    use crate::wire::arbitrary;

    type Frame = (FrameKind, Vec<u8>);

    /// Reads a stream that arrives in these pieces, and watches what the reader holds.
    fn read(lane: Lane, pieces: &[&[u8]]) -> Result<Vec<Frame>, CloseReason> {
        let mut reader = FrameReader::new();
        let mut frames = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some((kind, body)) = reader.next(lane, &mut input)? {
                frames.push((kind, body.to_vec()));
            }
            assert!(input.is_empty());
            assert!(reader.held() <= FRAME_HEADER + MAX_DATAGRAM);
        }
        assert_eq!(reader.held(), 0, "nothing is held between frames");
        Ok(frames)
    }

    fn cut<'a>(mut stream: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut points: Vec<usize> = at.iter().map(|index| index.index(stream.len() + 1)).collect();
        points.sort_unstable();
        let mut pieces = Vec::new();
        let mut before = 0;
        for point in points {
            let (piece, rest) = stream.split_at(point - before);
            pieces.push(piece);
            (stream, before) = (rest, point);
        }
        pieces.push(stream);
        pieces
    }

    fn header(length: u32, code: u16) -> [u8; FRAME_HEADER] {
        let [a, b, c, d] = length.to_le_bytes();
        let [e, f] = code.to_le_bytes();
        [a, b, c, d, e, f]
    }

    /// Known frames of the relay lane and unknown ones, as (kind, body) and as bytes.
    fn stream() -> impl Strategy<Value = (Vec<Frame>, Vec<u8>)> {
        let known = arbitrary::datagram().prop_map(|message| {
            let mut body = Vec::new();
            codec::encode_body(&message, &mut body);
            (FrameKind::Known(message.kind()), body)
        });
        let unknown = (1000..u16::MAX, vec(any::<u8>(), 0..40))
            .prop_map(|(code, body)| (FrameKind::Unknown(code), body));
        vec(prop_oneof![2 => known, 1 => unknown], 0..12).prop_map(|frames| {
            let mut bytes = Vec::new();
            for (kind, body) in &frames {
                let code = match kind {
                    FrameKind::Known(kind) => kind.code(),
                    FrameKind::Unknown(code) => *code,
                };
                bytes.extend_from_slice(&header(u32::try_from(body.len()).unwrap(), code));
                bytes.extend_from_slice(body);
            }
            (frames, bytes)
        })
    }

    proptest! {
        #[test]
        fn frame_01a_a_stream_cut_anywhere_gives_the_same_frames(
            (frames, bytes) in stream(),
            at in vec(any::<prop::sample::Index>(), 0..20),
        ) {
            prop_assert_eq!(read(Lane::Relay, &cut(&bytes, &at)), Ok(frames));
        }

        #[test]
        fn frame_02_a_header_over_the_limit_costs_nothing(
            code in any::<u16>(),
            length in any::<u32>(),
            at in vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let bytes = header(length, code);
            let limit = Kind::from_code(code).map_or(MAX_UNKNOWN_BODY, Kind::max_body);
            let lane = Kind::from_code(code).map_or(Lane::Bulk, Kind::lane);
            prop_assume!(usize::try_from(length).unwrap() > limit);
            let mut reader = FrameReader::new();
            let mut result = Ok(());
            for piece in cut(&bytes, &at) {
                let mut input = piece;
                result = result.and_then(|()| reader.next(lane, &mut input).map(|frame| assert!(frame.is_none())));
            }
            prop_assert_eq!(result, Err(CloseReason::BadFrame));
            prop_assert!(reader.held() <= FRAME_HEADER);
        }
    }

    fn frames_of(messages: &[Message]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            append_frame(message, &mut bytes);
        }
        bytes
    }

    #[test]
    fn frame_01a_every_pair_of_cuts_is_harmless() {
        let ping = |token| Message::Ping(crate::wire::message::Ping { token });
        let bytes = frames_of(&[ping(1), ping(2), ping(3)]);
        let whole = read(Lane::Control, &[&bytes]).unwrap();
        assert_eq!(whole.len(), 3);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(read(Lane::Control, &pieces).as_ref(), Ok(&whole), "{first} {second}");
            }
        }
    }

    #[test]
    fn frame_01b_many_in_one_piece_and_one_in_many() {
        let datagram = |length| Message::Datagram(vec![b'}'; length].into());
        let messages: Vec<Message> = (0..200).map(datagram).chain([datagram(MAX_DATAGRAM)]).collect();
        let bytes = frames_of(&messages);
        let decoded = |frames: Vec<Frame>| -> Vec<Message> {
            frames
                .into_iter()
                .map(|(kind, body)| match kind {
                    FrameKind::Known(kind) => codec::decode_body(kind, &body).unwrap(),
                    FrameKind::Unknown(code) => panic!("{code}"),
                })
                .collect()
        };
        assert_eq!(decoded(read(Lane::Relay, &[&bytes]).unwrap()), messages);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decoded(read(Lane::Relay, &single).unwrap()), messages);
    }

    #[test]
    fn frame_02_a_claim_reserves_nothing_before_its_bytes_are_there() {
        let mut reader = FrameReader::new();
        let claim = header(u32::try_from(MAX_DATAGRAM).unwrap(), Kind::Datagram.code());
        for (number, piece) in (1..).zip([&claim[..], &[0; 10], &[0; 10], &[0; 1000]]) {
            let mut input = piece;
            assert_eq!(reader.next(Lane::Relay, &mut input), Ok(None));
            assert!(reader.held() <= 2 * (6 + 1020), "{number}: {}", reader.held());
        }
    }

    #[test]
    fn each_kind_has_its_limit_and_its_lane() {
        for kind in Kind::ALL {
            let at = |length| FrameHeader { length, kind: FrameKind::Known(*kind) };
            for lane in Lane::ALL {
                let fits = check(&at(kind.max_body()), lane);
                let over = check(&at(kind.max_body() + 1), lane);
                if lane == kind.lane() {
                    assert_eq!((fits, over), (Ok(()), Err(CloseReason::BadFrame)), "{kind:?}");
                } else {
                    assert_eq!(fits, Err(CloseReason::UnexpectedMessage), "{kind:?} on {lane:?}");
                }
            }
        }
        for lane in Lane::ALL {
            let at = |length| FrameHeader { length, kind: FrameKind::Unknown(999) };
            assert_eq!(check(&at(MAX_UNKNOWN_BODY), lane), Ok(()));
            assert_eq!(check(&at(MAX_UNKNOWN_BODY + 1), lane), Err(CloseReason::BadFrame));
        }
    }

    #[test]
    fn a_body_encoded_before_makes_the_same_frame() {
        let bytes = frames_of(&[Message::Datagram(vec![1; 100].into())]);
        let mut again = Vec::new();
        append_encoded(Kind::Datagram, &bytes[FRAME_HEADER..], &mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn a_whole_frame_is_borrowed_from_the_input() {
        let bytes = frames_of(&[Message::Datagram(vec![1; 100].into())]);
        let mut reader = FrameReader::new();
        let mut input = &bytes[..];
        let (_, body) = reader.next(Lane::Relay, &mut input).unwrap().unwrap();
        assert_eq!(body.as_ptr(), bytes[FRAME_HEADER..].as_ptr());
        assert_eq!(reader.held(), 0);
    }

    #[test]
    fn an_error_stays_an_error() {
        let bytes = header(17, Kind::Ping.code());
        let mut reader = FrameReader::new();
        let mut input = &bytes[..3];
        assert_eq!(reader.next(Lane::Control, &mut input), Ok(None));
        let mut input = &bytes[3..];
        for _ in 0..3 {
            assert_eq!(reader.next(Lane::Control, &mut input), Err(CloseReason::BadFrame));
        }
    }
}
