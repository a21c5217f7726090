//! Blocks of real daemons: one a slot, the same everywhere, with what was submitted (field failures PROD-01,
//! PROD-03a, PROD-04a). `TIMED_SOAK=1` runs the long versions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use crate::network::chain::{slot, usually_or_soaking};
use crate::network::{Network, SECOND};

const HOSTS: [u8; 4] = [1, 2, 3, 4];

#[test]
fn four_nodes_make_a_block_a_slot_and_all_have_the_same() {
    let network = Network::with_a_chain(&HOSTS, SECOND);
    network.await_producing(&HOSTS, 5 * SECOND);
    let (begun, before) = (Instant::now(), network.heights(&HOSTS).0);
    let slots = usually_or_soaking(15, 60);
    network.let_slots_pass(slots);
    let (low, high) = network.heights(&HOSTS);
    let passed = begun.elapsed().as_secs_f64();
    println!("heights {before} to {low}..{high} in {passed:.1} s");
    // 58 of 60, or one less than each of a few.
    let expected = u64::from(slots - slots.div_ceil(30));
    assert!(low - before >= expected, "{} blocks in {slots} slots", low - before);
    assert!(high - low <= 1, "heights {low} to {high}");

    let chain = network.assert_one_chain(&HOSTS);
    let mut led: BTreeMap<String, usize> = BTreeMap::new();
    for block in &chain {
        *led.entry(block["proposer"].as_str().unwrap().to_owned()).or_default() += 1;
        let since_epoch = slot(block).duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since_epoch.as_millis() % 1000, 0, "no start of a slot: {block}");
    }
    assert_eq!(led.len(), HOSTS.len(), "every masternode leads in its turn: {led:?}");
    network.assert_no_evidence(&HOSTS);
    for host in HOSTS {
        let lines = network.logged(host, &["INFO"]);
        assert!(lines < 25, "{lines} lines at node {host}:\n{}", network.log(host));
        assert_eq!(network.logged(host, &["WARN"]), 0, "{}", network.log(host));
    }
}

#[test]
fn what_is_submitted_anywhere_is_in_one_block_everywhere() {
    let network = Network::with_a_chain(&HOSTS, SECOND);
    network.await_producing(&HOSTS, 5 * SECOND);
    let ids: Vec<String> = HOSTS
        .iter()
        .map(|host| {
            let transaction = format!("by node {host}").into_bytes();
            let begun = Instant::now();
            let id = network.taken(*host, &transaction);
            // The same again, here and elsewhere, is the same transaction.
            assert_eq!(network.taken(*host, &transaction), id);
            assert_eq!(network.taken(HOSTS[usize::from(*host) % 4], &transaction), id);
            network.eventually("in a block everywhere", 2 * network.interval(), || {
                network.is_committed(&HOSTS, &id)
            });
            println!("after {:?}", begun.elapsed());
            assert_eq!(network.taken(*host, &transaction), id, "once more after it was committed");
            id
        })
        .collect();
    // Time for what was submitted again to come into a block again, if it could.
    network.let_slots_pass(3);
    let chain = network.assert_one_chain(&HOSTS);
    for id in &ids {
        let times: usize = chain
            .iter()
            .map(|block| {
                block["transaction_ids"].as_array().unwrap().iter().filter(|found| *found == id).count()
            })
            .sum();
        assert_eq!(times, 1, "{id}");
        let found = network.get(1, &format!("/tx/{id}")).1;
        let (height, index) = (found["height"].as_u64().unwrap(), found["index"].as_u64().unwrap());
        let block = network.block(2, height);
        assert_eq!(block["transaction_ids"][usize::try_from(index).unwrap()], id.as_str(), "{block}");
    }
}

#[test]
fn what_cannot_be_taken_is_refused_in_clear_words() {
    let network = Network::with_a_chain(&[1], SECOND / 2);
    assert_eq!(network.submit(1, &vec![7; 65_536]).0, 202);
    for (bytes, status, words) in
        [(0, 400, "at least one byte"), (65_537, 413, "at most 65536 bytes"), (700_000, 413, "at most 65536")]
    {
        let (found, answer) = network.submit(1, &vec![7; bytes]);
        assert_eq!(found, status, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
    let url = network.url(1, "/tx");
    assert_eq!(crate::operator::http("POST", &url, None, "x").0, 401);
    assert_eq!(network.get(1, &format!("/tx/{}", "0".repeat(64))).0, 404);
    assert_eq!(network.get(1, "/tx/xyz").0, 400);
    assert_eq!(network.get(1, "/blocks/1000000").0, 404);

    let file = network.path(1).join("transaction");
    std::fs::write(&file, "by hand").unwrap();
    let submitted = network.verb(1, &["submit", crate::operator::text(&file)]);
    let id = submitted.out.trim().to_owned();
    assert_eq!((submitted.code, id.len()), (0, 64), "{submitted:?}");
    network.eventually("it is committed", 2 * network.interval(), || {
        let tx = network.verb(1, &["tx", &id]);
        assert_eq!(tx.code, 0, "{tx:?}");
        tx.out.starts_with("committed in block ")
    });
    let height = network.get(1, &format!("/tx/{id}")).1["height"].to_string();
    let block = network.verb(1, &["block", &height]);
    assert!(block.code == 0 && block.out.contains(&id), "{block:?}");
    let latest = network.verb(1, &["block", "latest", "--json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&latest.out).unwrap()["height"].as_u64() > Some(0));
    assert_eq!(network.verb(1, &["evidence"]).out, "0 contradictions\n");
    for (verb, code) in [
        (&["block", "1000000"][..], 1),
        (&["block", "x"], 2),
        (&["tx", "x"], 2),
        (&["tx", &"0".repeat(64)], 1),
        (&["submit", "/no/such/file"], 1),
        (&["submit", "/dev/null"], 1),
        (&["submit", "/dev/zero"], 1),
    ] {
        let done = network.verb(1, verb);
        assert!(done.code == code && !done.err.is_empty() && done.out.is_empty(), "{verb:?}: {done:?}");
    }
}

/// More than can wait at once: what is not taken is put off, what is taken is committed.
#[test]
fn a_flood_is_put_off_and_nothing_acknowledged_is_lost() {
    let network = Network::with_a_chain(&HOSTS, SECOND);
    let count = usually_or_soaking(200_u32, 3_000);
    let (mut taken, mut put_off) = (Vec::new(), 0);
    for number in 0..count {
        let mut transaction = vec![0; 60_000];
        transaction[..4].copy_from_slice(&number.to_le_bytes());
        match network.submit(1, &transaction) {
            (202, answer) => taken.push(answer["id"].as_str().unwrap().to_owned()),
            (503, answer) => {
                let code = answer["error"]["code"].as_str().unwrap();
                assert!(["mempool_full", "busy"].contains(&code), "{answer}");
                put_off += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    println!("{} taken, {put_off} put off", taken.len());
    assert!(!taken.is_empty());
    // A block takes a mebibyte: seventeen of these.
    let slots = u32::try_from(taken.len() / 10 + 5).unwrap();
    network.eventually("all are committed", network.interval() * slots, || {
        taken.iter().rev().all(|id| network.is_committed(&[1], id))
    });
    network.assert_one_chain(&HOSTS);
}

#[test]
fn networks_of_one_two_and_three_make_blocks() {
    for hosts in [&[1][..], &[1, 2], &[1, 2, 3]] {
        let mut network = Network::with_a_chain(hosts, SECOND / 2);
        let from = network.heights(hosts).1;
        network.await_height(hosts, from + 5, 6);
        network.assert_one_chain(hosts);
        if hosts.len() == 1 {
            continue;
        }
        // Two and three need all.
        let last = hosts[hosts.len() - 1];
        let rest = &hosts[..hosts.len() - 1];
        network.kill(last);
        network.eventually("the others say why", 2 * SECOND, || {
            rest.iter().all(|host| network.why_not(*host).as_deref() == Some("no_quorum"))
        });
        let stopped_at = network.heights(rest);
        network.let_slots_pass(6);
        assert_eq!(network.heights(rest), stopped_at, "blocks without a quorum");
        network.start(last);
        network.eventually("every link stands", 3 * SECOND, || network.is_meshed(hosts));
        network.await_height(hosts, stopped_at.1 + 1, 3);
        network.assert_one_chain(hosts);
    }
}

/// Fifty milliseconds a slot: as fast as a genesis may ask for.
#[test]
fn the_shortest_interval_works() {
    let network = Network::with_a_chain(&HOSTS, Duration::from_millis(50));
    let (begun, from) = (Instant::now(), network.heights(&HOSTS).0);
    network.let_slots_pass(usually_or_soaking(60, 600));
    let (low, high) = network.heights(&HOSTS);
    println!("{} blocks in {:?}", low - from, begun.elapsed());
    // Loaded machines miss slots of this length; they go on all the same.
    assert!(low - from >= 10, "heights {low} to {high}");
    network.assert_one_chain(&HOSTS);
    network.assert_no_evidence(&HOSTS);
}
