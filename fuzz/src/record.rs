//! Streams of records: what was sealed opens, however it is cut; what was changed on the way does not.

use arbitrary::{Arbitrary, Unstructured};
use timed_core::NodeId;
use timed_core::crypto::{Provider, Session, TAG};
use timed_core::wire::message::Lane;
use timed_core::wire::record::{self, RecordReader};
use timed_tests::null_crypto::NullProvider;
use zeroize::Zeroizing;

/// Length prefix, plaintext and tag of the largest record.
const LARGEST: usize = 2 + 16 * 1024 + TAG;

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    sizes: [u8; 6],
    tamper: Tamper,
    at: u16,
    records: Vec<(u8, &'a [u8])>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Tamper {
    Nothing,
    Flip(u8),
    Cut,
    Repeat,
}

type Records = Vec<(Lane, Vec<u8>)>;

/// First the input as it is, as a stream of records; then records that it describes, changed or not.
///
/// # Panics
/// If an honest stream is not read as it was written, or a changed one gives anything but a beginning of it.
pub fn body(input: &[u8]) {
    let (_, mut acceptor) = channel([3; 32]);
    let _ = read(&[input], acceptor.as_mut());

    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(input)) else { return };
    // Null cryptography can be forged, and a fuzzer that sees the comparisons does it: so here each input has
    // a channel of its own.
    let (mut dialer, mut acceptor) = channel(fingerprint(input));
    let mut written: Records = Vec::new();
    let mut stream = Vec::new();
    for (lane, frames) in &case.records {
        let lane = Lane::ALL[usize::from(*lane) % Lane::ALL.len()];
        let start = record::begin(&mut stream, lane);
        let frames = &frames[..frames.len().min(record::room(&stream, start))];
        stream.extend_from_slice(frames);
        record::finish(&mut stream, start, dialer.as_mut());
        written.push((lane, frames.to_vec()));
    }
    let at = usize::from(case.at).checked_rem(stream.len()).unwrap_or(0);
    let honest = stream.clone();
    match case.tamper {
        Tamper::Nothing => {}
        Tamper::Flip(bit) => stream.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (bit % 8)),
        Tamper::Cut => drop(stream.drain(at..(at + 1).min(honest.len()))),
        Tamper::Repeat => stream.extend_from_slice(&honest[at..]),
    }
    let (opened, fault) = read(&crate::pieces(&stream, &case.sizes), acceptor.as_mut());
    if stream == honest {
        assert_eq!((opened, fault), (written, Fault::None));
    } else {
        assert!(written.starts_with(&opened), "something opened that was never sealed");
        assert!(opened.len() < written.len() || fault == Fault::Refused || stream.len() > honest.len());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Refused,
}

fn read(pieces: &[&[u8]], session: &mut dyn Session) -> (Records, Fault) {
    let mut reader = RecordReader::new();
    let mut scratch = Vec::new();
    let mut records = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        let mut input = *piece;
        arrived += piece.len();
        loop {
            match reader.next(&mut input, &mut scratch, session) {
                Ok(Some(lane)) => records.push((lane, record::frames(&scratch).to_vec())),
                Ok(None) => break,
                Err(_) => return (records, Fault::Refused),
            }
        }
        assert!(input.is_empty());
        assert!(reader.held() <= LARGEST.min(2 * arrived), "{} held of {arrived}", reader.held());
    }
    (records, Fault::None)
}

/// FNV-1a, repeated.
fn fingerprint(input: &[u8]) -> [u8; 32] {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325, step);
    let mut key = [0; 32];
    for chunk in key.chunks_exact_mut(8) {
        chunk.copy_from_slice(&hash.to_le_bytes());
    }
    key
}

/// Both ends of a channel that depends on nothing but `ephemeral`.
fn channel(ephemeral: [u8; 32]) -> (Box<dyn Session>, Box<dyn Session>) {
    let mut provider = NullProvider::new(NodeId([1; 32]));
    let mut dialer = provider.initiate(b"", Zeroizing::new([2; 32]));
    let mut acceptor = provider.respond(b"", Zeroizing::new(ephemeral));
    let (mut first, mut second, mut payload) = (Vec::new(), Vec::new(), Vec::new());
    dialer.write(&[], &mut first).expect("the dialer writes first");
    acceptor.read(&first, &mut payload).expect("the acceptor reads it");
    acceptor.write(&[], &mut second).expect("the acceptor answers");
    dialer.read(&second, &mut payload).expect("the dialer reads it");
    let dialer = dialer.finish().expect("the dialer is done").1;
    let acceptor = acceptor.finish().expect("the acceptor is done").1;
    (dialer, acceptor)
}

/// A stream that opens, one that is cut off, and one whose length no record has.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    let (mut dialer, _) = channel([3; 32]);
    for lane in Lane::ALL {
        let start = record::begin(&mut stream, lane);
        stream.extend_from_slice(&[lane as u8; 30]);
        record::finish(&mut stream, start, dialer.as_mut());
    }
    let cut = stream[..stream.len() - 3].to_vec();
    vec![stream, cut, vec![0xff; 40], vec![1; 300]]
}

#[cfg(test)]
mod tests {
    #[test]
    fn record_holds_on_seeds_and_noise() {
        crate::smoke::run("record", &super::seeds(), 10_000, super::body);
    }
}
