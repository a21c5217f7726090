//! A height among nodes, traitors and twins, in a storm of which the bytes decide every draw: who is told what and
//! when, what is lost, who crashes, what is lied. Never two final blocks, never a correct node that contradicts
//! itself, and a decision once it is calm.

use timed_tests::rounds::Storm;

/// Bytes that decide at most.
const LONGEST: usize = 4_000;

/// One height.
///
/// # Panics
/// If anything is wrong.
pub fn body(input: &[u8]) {
    let _ = Storm::run_bytes(input.get(..LONGEST).unwrap_or(input));
}

/// Networks of each size, quiet and rough.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    (0..14u8)
        .flat_map(|size| {
            [3u8, 61].map(|stride| {
                let plan = [size, size % 3, 0, 200, 1, size % 8, size, 30];
                plan.into_iter()
                    .chain((0..400u16).map(|at| (at.to_le_bytes()[0]).wrapping_mul(stride)))
                    .collect()
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn round_holds_on_seeds_and_noise() {
        crate::smoke::run("round", &super::seeds(), 300, super::body);
    }
}
