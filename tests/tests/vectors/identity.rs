//! Who is who: keys, network ids, the hashes of registries and genesis files, and who dials whom.

use std::time::Duration;

use timed_core::crypto::Provider;
use timed_core::wire::preamble::NetworkId;
use timed_core::{CanonicalAddr, Masternode, NetworkName, NodeId, Registry, Wall};
use timed_tests::conformance::Genesis;

use super::{Vectors, provider};

#[test]
fn identities_are_as_ever() {
    let mut vectors = Vectors::new(
        "Keys of seeds of 32 equal bytes (N-1), network ids (G-3), hashes of registries and genesis files (G-1, G-2),\n\
         and addresses in ascending order: of two nodes the one with the earlier address dials (D-1).",
    );
    for seed in 1..=4 {
        vectors.begin(&format!("key_{seed}"));
        vectors.bytes("seed", &[seed; 32]);
        vectors.bytes("key", &provider(seed).node_id().0);
    }
    for name in ["testnet", "mainnet", "a-network-of-thirty-two-letters-"] {
        let name = NetworkName::new(name).unwrap();
        vectors.begin(&format!("network_{}", name.as_str()));
        vectors.text("name", name.as_str());
        vectors.bytes("id", &NetworkId::of(&name).0);
    }
    let entry = |seed, addr: &str| Masternode { id: provider(seed).node_id(), addr: addr.parse().unwrap() };
    let one = vec![entry(1, "10.0.0.1:24100")];
    let two = vec![entry(1, "10.0.0.1:24100"), entry(2, "[2001:db8::1]:24100")];
    let weak = vec![Masternode { id: NodeId([0x11; 32]), addr: "10.0.0.1:24100".parse().unwrap() }];
    for (name, entries, interval, time) in [
        ("of_one", one, 50, None),
        ("of_two", two.clone(), 10_000, None),
        ("of_two_with_a_time", two, 10_000, Some(Wall(1_795_000_000_000))),
        ("in_the_document", weak, 10_000, None),
    ] {
        let genesis = Genesis {
            network: NetworkName::new("testnet").unwrap(),
            interval: Duration::from_millis(interval),
            time,
            registry: Registry::new(entries).unwrap(),
        };
        vectors.begin(&format!("genesis_{name}"));
        vectors.text("network", genesis.network.as_str());
        vectors.number("block_interval_ms", interval);
        if let Some(time) = time {
            vectors.number("genesis_time_ms", time.0);
        }
        for (index, entry) in genesis.registry.entries().iter().enumerate() {
            vectors.text(&format!("masternode_{index}"), &format!("{}@{}", entry.id, entry.addr));
        }
        vectors.bytes("registry_hash", &genesis.registry.hash().0);
        vectors.bytes("genesis_hash", &genesis.hash().0);
    }
    let addrs = [
        "50.0.0.9:24100",
        "165.0.0.1:80",
        "165.0.0.1:24100",
        "165.0.0.2:1",
        "[::2]:1",
        "[2001:db8::1]:24100",
    ];
    let addrs: Vec<CanonicalAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    assert!(addrs.is_sorted());
    for (index, addr) in addrs.iter().enumerate() {
        vectors.begin(&format!("address_{index}"));
        vectors.text("addr", &addr.to_string());
    }
    vectors.settle("identity.toml");
}
