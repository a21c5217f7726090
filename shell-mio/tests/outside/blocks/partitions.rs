//! Networks that fall apart and come together again (field failures PROD-02, FORK-01a, FORK-02a). Needs root,
//! `ip` and `nft`. `TIMED_SOAK=1` runs the long version.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::network::SECOND;
use crate::network::chain::usually_or_soaking;
use crate::network::hosts::Hosts;

const HOSTS: [u8; 4] = [1, 2, 3, 4];

fn height(hosts: &Hosts, host: u8) -> u64 {
    hosts.json(host, "block latest")["height"].as_u64().unwrap_or(0)
}

fn heights(hosts: &Hosts, of: &[u8]) -> (u64, u64) {
    let heights: BTreeSet<u64> = of.iter().map(|host| height(hosts, *host)).collect();
    (heights.first().copied().unwrap_or(0), heights.last().copied().unwrap_or(0))
}

/// Nothing passes from one side to the other; whether the machine can do that.
fn part(hosts: &Hosts, side: &[u8]) -> bool {
    HOSTS.iter().all(|host| {
        let same_side = |other: &&u8| side.contains(other) == side.contains(host);
        let others: Vec<String> = HOSTS
            .iter()
            .filter(|other| !same_side(other))
            .map(|other| hosts.network.ip(*other).to_string())
            .collect();
        hosts.filter(*host, "input", &format!("ip saddr {{ {} }} drop", others.join(", ")))
    })
}

#[test]
fn prod_02_no_side_without_a_quorum_makes_a_block_and_healing_makes_one_chain() {
    let Some(hosts) = Hosts::with_blocks(&HOSTS, SECOND) else { return };
    hosts.network.eventually("blocks", 5 * SECOND, || heights(&hosts, &HOSTS).0 >= 2);
    for side in [&[1, 2][..], &[4], &[1]] {
        if !part(&hosts, side) {
            return;
        }
        let rest: Vec<u8> = HOSTS.into_iter().filter(|host| !side.contains(host)).collect();
        // A link that went silent is given up after 15 s.
        hosts.network.eventually("the smaller side says why", 20 * SECOND, || {
            side.iter().all(|host| hosts.json(*host, "status")["not_producing_reason"] == "no_quorum")
        });
        let at = heights(&hosts, side);
        let began = heights(&hosts, &rest);
        std::thread::sleep(SECOND * usually_or_soaking(6, 60));
        assert_eq!(heights(&hosts, side), at, "blocks on the side of {side:?}");
        let now = heights(&hosts, &rest);
        if rest.len() == 3 {
            assert!(now.0 >= began.0 + 4, "the quorum's side stands still: {began:?} to {now:?}");
        } else {
            assert_eq!(now, began, "blocks on the side of {rest:?}");
        }
        HOSTS.iter().for_each(|host| hosts.unfilter(*host));
        // Longest wait between two dials of masternodes, and a dial under way.
        hosts.await_mesh(&HOSTS, 16);
        let healed = Instant::now();
        let goal = heights(&hosts, &HOSTS).1 + 1;
        hosts.network.eventually("a block everywhere", 3 * SECOND, || heights(&hosts, &HOSTS).0 >= goal);
        println!("{:?} after the links", healed.elapsed());
    }
    let common = heights(&hosts, &HOSTS).0;
    for height in 1..=common {
        let hashes: BTreeSet<String> = HOSTS
            .iter()
            .map(|host| hosts.json(*host, &format!("block {height}"))["hash"].to_string())
            .collect();
        assert_eq!(hashes.len(), 1, "height {height}: {hashes:?}");
    }
    for host in HOSTS {
        assert_eq!(hosts.json(host, "evidence"), serde_json::json!([]), "node {host}");
    }
}
