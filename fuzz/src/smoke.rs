//! Runs a body without a fuzzer: deterministic, bounded, on stable.

use std::path::Path;

/// Runs `body` on every seed, on every file of `fuzz/seeds/<target>`, on `rounds` changed ones of both and on
/// `rounds` inputs of noise.
///
/// With `TIMED_CORPUS` set the seeds are also written to `fuzz/corpus/<target>`, where cargo-fuzz finds them.
///
/// # Panics
/// If the body does; the message says which input it was.
pub fn run(target: &str, seeds: &[Vec<u8>], rounds: u64, body: fn(&[u8])) {
    if std::env::var_os("TIMED_CORPUS").is_some() {
        lay_out(target, seeds);
    }
    let mut seeds = seeds.to_vec();
    seeds.extend(kept(target));
    let mut draw = Draw(0x0074_696d_6564);
    let attempt = |input: &[u8]| {
        if std::panic::catch_unwind(|| body(input)).is_err() {
            panic!("{target} fails on {input:02x?}");
        }
    };
    attempt(&[]);
    for seed in &seeds {
        attempt(seed);
    }
    for _ in 0..rounds {
        if let Some(seed) = seeds.get(draw.below(seeds.len())) {
            attempt(&changed(seed, &mut draw));
        }
        let magnitude = draw.below(12);
        let length = draw.below(1 << magnitude);
        let noise: Vec<u8> = std::iter::repeat_with(|| draw.byte()).take(length).collect();
        attempt(&noise);
    }
}

/// What is kept of earlier runs of the fuzzer: inputs that reach far, and those that once failed.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed can be read")).collect()
}

fn lay_out(target: &str, seeds: &[Vec<u8>]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder).expect("the corpus folder can be made");
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("a seed can be written");
    }
}

/// A seed with one to four changes: a bit, a byte, a piece cut out, repeated or put in.
fn changed(seed: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=draw.below(4) {
        let at = draw.below(input.len());
        let end = at + draw.below(input.len() - at).min(32);
        match draw.below(6) {
            0 if !input.is_empty() => input[at] ^= 1 << draw.below(8),
            1 if !input.is_empty() => input[at] = [0, 1, 0x7f, 0x80, 0xff][draw.below(5)],
            2 => drop(input.drain(at..end)),
            3 => input.extend_from_within(at..end),
            4 => input.insert(at, draw.byte()),
            _ => input.truncate(at),
        }
    }
    input
}

/// splitmix64.
struct Draw(u64);

impl Draw {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.word().to_le_bytes()[0]
    }

    /// A number below `bound`, 0 if that is 0.
    fn below(&mut self, bound: usize) -> usize {
        let word = usize::try_from(self.word() >> 32).unwrap_or(0);
        word.checked_rem(bound).unwrap_or(0)
    }
}
