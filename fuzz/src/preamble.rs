//! The first sixteen bytes: each value has one form, and both sides object to the same.

use timed_core::CloseReason;
use timed_core::wire::preamble::{NetworkId, Opening, PREAMBLE, Preamble, VersionRange, read_opening};

/// Two openings, one after the other.
///
/// # Panics
/// If an opening has a second form, or the two sides disagree on whether they fit.
pub fn body(input: &[u8]) {
    let Some((first, rest)) = input.split_first_chunk::<PREAMBLE>() else { return };
    let first = read(first);
    let Some((second, _)) = rest.split_first_chunk::<PREAMBLE>() else { return };
    if let (Some(a), Some(b)) = (first, read(second)) {
        assert_eq!(a.objection(&b), b.objection(&a));
        assert_eq!(a.versions.common(b.versions), b.versions.common(a.versions));
        if let Some(version) = a.versions.common(b.versions) {
            for range in [a.versions, b.versions] {
                assert!(range.min <= version && version <= range.max);
            }
        }
    }
}

fn read(bytes: &[u8; PREAMBLE]) -> Option<Preamble> {
    match read_opening(bytes) {
        Opening::Preamble(preamble) => {
            assert_eq!(preamble.encode(), *bytes);
            assert_eq!(preamble.objection(&preamble), None);
            Some(preamble)
        }
        Opening::Reject(reason) => {
            assert_eq!(reason.code().to_le_bytes(), bytes[12..14]);
            assert_eq!(CloseReason::from_code(reason.code()), reason);
            None
        }
        Opening::Alien => None,
    }
}

/// Pairs of preambles, a reject, and something else.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let ours = Preamble { network: NetworkId([1, 2, 3, 4]), versions: VersionRange::OURS };
    let foreign = Preamble { network: NetworkId([4, 3, 2, 1]), ..ours };
    let pair = |a: [u8; PREAMBLE], b: [u8; PREAMBLE]| [a, b].concat();
    vec![
        pair(ours.encode(), ours.encode()),
        pair(ours.encode(), foreign.encode()),
        pair(ours.encode_reject(CloseReason::WrongNetwork), ours.encode()),
        pair(*b"GET / HTTP/1.1\r\n", ours.encode()),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn preamble_holds_on_seeds_and_noise() {
        crate::smoke::run("preamble", &super::seeds(), 20_000, super::body);
    }
}
