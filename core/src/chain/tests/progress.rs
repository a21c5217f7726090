//! Blocks are made, a slot each, whoever is missing.

use super::*;

#[test]
fn prod_01_networks_of_any_size_make_a_block_a_slot() {
    for size in [1, 2, 3, 4, 7] {
        let mut net = Net::new(size);
        net.run(SECOND * 59);
        assert_eq!(net.heights(), vec![6; size], "{size} masternodes");
        for host in 0..size {
            let committed = net.committed(host);
            let expected: Vec<_> = (0..6)
                .map(|slot| {
                    let start = Wall(NOON + 10_000 * slot);
                    (slot + 1, Round(0), start, CommittedVia::Consensus)
                })
                .collect();
            assert_eq!(committed, expected);
        }
    }
}
