//! Blocks with a clock that is wrong (rule C-6; field failures PROD-03c, PROD-08). Needs
//! libfaketime, and says so where it is missing.

use std::time::Duration;

use crate::network::chain::slot;
use crate::network::{Network, SECOND, with_clock};

const HOSTS: [u8; 4] = [1, 2, 3, 4];
const WRONG: u8 = 4;
/// A proposal may be a second ahead then.
const INTERVAL: Duration = Duration::from_secs(4);

#[test]
fn a_clock_within_tolerance_costs_nothing_and_one_beyond_costs_only_its_own_blocks() {
    let mut network = Network::with_a_chain(&HOSTS, INTERVAL);
    let right = [1, 2, 3];
    for (offset, blames_itself) in [("+0.6s", false), ("-0.6s", false), ("+1h", true), ("-1h", true)] {
        network.kill(WRONG);
        let mut command = network.command(WRONG, &network.path(WRONG));
        if !with_clock(&mut command, offset) {
            return;
        }
        network.adopt(WRONG, &mut command);
        network.eventually("its links are back", 5 * SECOND, || network.is_meshed(&HOSTS));
        if blames_itself {
            network.eventually("it blames its clock", 20 * SECOND, || {
                network.why_not(WRONG).as_deref() == Some("clock")
            });
            assert!(network.info(WRONG)["not_producing_text"].as_str().unwrap().contains("your clock"));
            assert_eq!(network.verb(WRONG, &["health"]).code, 2);
        } else {
            network.await_producing(&HOSTS, 10 * SECOND);
        }
        let from = network.heights(&right).0;
        network.let_slots_pass(5);
        let (low, _) = network.heights(&right);
        println!("{offset}: {} blocks in 5 slots", low - from);
        assert!(low - from >= 4, "{offset}: {} blocks in 5 slots", low - from);
        let recent = network.assert_one_chain(&right).split_off(usize::try_from(from).unwrap());
        let own = recent.iter().filter(|block| block["proposer"] == network.id(WRONG)).count();
        assert_eq!(own == 0, blames_itself, "{offset}: it has proposed {own} of {}", recent.len());
        for block in &recent {
            // Everybody reads slots off the same grid.
            let since_epoch = slot(block).duration_since(std::time::UNIX_EPOCH).unwrap();
            assert_eq!(since_epoch.as_millis() % INTERVAL.as_millis(), 0, "{block}");
        }
    }
    network.assert_no_evidence(&right);
}
