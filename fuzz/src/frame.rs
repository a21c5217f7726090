//! Streams of frames: cut anywhere they give the same, and never more is held than has arrived.

use timed_core::CloseReason;
use timed_core::wire::codec;
use timed_core::wire::frame::{FrameKind, FrameReader, append_frame};
use timed_core::wire::message::Lane;
use timed_tests::samples;

type Outcome = (Vec<(FrameKind, Vec<u8>)>, Result<(), CloseReason>);

/// A lane, the number of pieces, their sizes, and the stream that arrives in them; a byte each but the last.
///
/// # Panics
/// If the cuts make a difference, or a reader holds more than it may.
pub fn body(input: &[u8]) {
    let [lane, count, rest @ ..] = input else { return };
    let lane = Lane::ALL[usize::from(*lane) % Lane::ALL.len()];
    let (sizes, stream) = rest.split_at(rest.len().min(usize::from(*count)));
    let whole = read(lane, &[stream]);
    assert_eq!(read(lane, &crate::pieces(stream, sizes)), whole);

    let mut again = Vec::new();
    for (kind, body) in &whole.0 {
        if let FrameKind::Known(kind) = kind
            && let Ok(message) = codec::decode_body(*kind, body)
        {
            again.clear();
            append_frame(&message, &mut again);
            assert_eq!(&again[6..], body);
        }
    }
}

fn read(lane: Lane, pieces: &[&[u8]]) -> Outcome {
    let mut reader = FrameReader::new();
    let mut frames = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        let mut input = *piece;
        arrived += piece.len();
        loop {
            match reader.next(lane, &mut input) {
                Ok(Some((kind, body))) => frames.push((kind, body.to_vec())),
                Ok(None) => break,
                Err(reason) => return (frames, Err(reason)),
            }
        }
        assert!(input.is_empty());
        assert!(reader.held() <= 2 * arrived, "{} held of {arrived}", reader.held());
    }
    (frames, Ok(()))
}

/// Streams of the samples, lane by lane, in several pieces.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for lane in Lane::ALL {
        for sizes in [&[][..], &[1; 40], &[5, 100, 0, 7, 255]] {
            let mut stream = Vec::new();
            for (_, message) in samples::messages() {
                if message.kind().lane() == lane {
                    append_frame(&message, &mut stream);
                }
            }
            // A frame of a kind that nobody knows.
            stream.extend_from_slice(&[3, 0, 0, 0, 0xe7, 3, 1, 2, 3]);
            let count = u8::try_from(sizes.len()).unwrap_or(0);
            seeds.push([&[lane as u8, count][..], sizes, &stream].concat());
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn frame_holds_on_seeds_and_noise() {
        crate::smoke::run("frame", &super::seeds(), 5_000, super::body);
    }
}
