//! One node, its shell and scripted peers: every byte is something that happens. What must hold after each of
//! them is checked by the driver.

use timed_tests::driver::{Crypto, Driver};

/// Bytes that one life may have: beyond that nothing new happens.
const LONGEST: usize = 4_000;

/// Lives the life that the bytes describe.
///
/// # Panics
/// If the node breaks a promise.
pub fn body(input: &[u8]) {
    let life = input.get(..LONGEST).unwrap_or(input);
    Driver::new(Crypto::Null, [1; 32]).run(life);
}

/// Lives in which something happens: links come up by either side's dial, are used, cut and frozen.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let durable = [220];
    let accepted = |player| [36, player, 1, 95, 0, 0, 95, 0, 1, 3, 100, 0];
    let dialed = [55, 0, 95, 0, 0, 95, 0, 0, 0];
    let mut inbound = durable.to_vec();
    for player in [0, 3, 4] {
        inbound.extend(accepted(player));
    }
    let mut outbound = durable.to_vec();
    for _ in 0..3 {
        outbound.extend([25, 25]);
        outbound.extend(dialed);
    }
    let mut used = [inbound.clone(), outbound.clone()].concat();
    for what in 0..12 {
        used.extend([180, 0, 1, what, 7, 7, 7, 7, 95, 0]);
    }
    let mut frozen = inbound.clone();
    frozen.extend([35, 12, 0, 25, 25, 35, 255, 207]);
    let mut ended = used.clone();
    ended.extend([231, 23, 250, 207, 0]);
    let mut failed = outbound.clone();
    failed.extend([230, 250, 0, 207, 0]);
    vec![inbound, outbound, used, frozen, ended, failed]
}

#[cfg(test)]
mod tests {
    #[test]
    fn node_holds_on_seeds_and_noise() {
        crate::smoke::run("node", &super::seeds(), 400, super::body);
    }
}
