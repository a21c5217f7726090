//! Proof of uptime: exported by running nodes and from their files, checked by somebody who has nothing but the
//! genesis file.

use std::fs;
use std::path::Path;

use crate::network::{Network, SECOND};
use crate::operator::{Done, run, text};
use serde_json::Value;

const FOUR: [u8; 4] = [1, 2, 3, 4];
/// A sample every thirty heartbeat intervals.
const PERIOD_MS: u64 = 9_000;

fn verify(file: &Path, genesis: &Path, more: &[&str]) -> Done {
    let mut arguments = vec!["attest", "verify", text(file), "--genesis", text(genesis)];
    arguments.extend(more);
    run(&arguments)
}

fn shown(file: &Path, genesis: &Path) -> Value {
    let done = verify(file, genesis, &["--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    serde_json::from_str(&done.out).unwrap()
}

/// What a proof shows of the node at this address.
fn node<'a>(shown: &'a Value, addr: &str) -> &'a Value {
    shown["nodes"].as_array().unwrap().iter().find(|node| node["address"] == addr).unwrap()
}

/// Waits until so many more samples have begun, and the last of them is complete.
fn pass(periods: u64) {
    let now = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_millis()).unwrap()
    };
    let until = (now() / PERIOD_MS + periods) * PERIOD_MS + 2_000;
    while now() < until {
        std::thread::sleep(SECOND / 10);
    }
}

#[test]
fn who_was_there_is_proven_offline_and_every_change_of_a_proof_is_found() {
    let mut network = Network::new(&FOUR);
    FOUR.iter().for_each(|host| network.configure(*host, "heartbeat_interval", "\"300ms\""));
    network.start_all();
    network.eventually("every link stands", 10 * SECOND, || network.is_meshed(&FOUR));
    pass(3);
    network.kill(4);
    pass(2);
    network.start(4);
    network.eventually("it is back", 10 * SECOND, || network.is_meshed(&FOUR));
    pass(3);

    let home = tempfile::tempdir().unwrap();
    let genesis = network.path(1).join("genesis.toml");
    let (one, two) = (home.path().join("one"), home.path().join("two"));
    let exported = run(&[
        "attest",
        "export",
        "--data-dir",
        text(&network.path(1)),
        "--out",
        text(&one),
        "--from",
        "2026-01-01",
    ]);
    assert_eq!(run(&["attest", "export", "--from", "yesterday"]).code, 2);
    assert_eq!(exported.code, 0, "{exported:?}");
    let exported = run(&["attest", "export", "--api", &network.url(2, ""), "--out", text(&two), "--json"]);
    let summary: Value = serde_json::from_str(&exported.out).unwrap_or_else(|_| panic!("{exported:?}"));
    assert!(summary["heartbeats"].as_u64() > Some(30), "{summary}");
    for file in [&one, &two] {
        let shown = shown(file, &genesis);
        let periods = shown["periods"].as_u64().unwrap();
        assert!(periods >= 7 && shown["witnesses_needed"] == 2, "{shown}");
        for host in [1, 2, 3] {
            let there = node(&shown, &network.addr(host));
            assert!(there["attested_fraction"].as_f64() > Some(0.8), "{host}: {shown}");
            assert_eq!(there["witnesses"].as_array().unwrap().len(), 3);
        }
        let away = node(&shown, &network.addr(4));
        let longest = away["gaps"].as_array().unwrap().iter().map(|gap| {
            let time = |end: &str| humantime::parse_rfc3339_weak(gap[end].as_str().unwrap()).unwrap();
            time("to").duration_since(time("from")).unwrap().as_millis()
        });
        assert!(longest.max() >= Some(u128::from(PERIOD_MS)), "{away}");
        assert!(away["attested_fraction"].as_f64() < Some(0.9), "{away}");
    }
    let both = run(&["attest", "verify", text(&one), text(&two), "--genesis", text(&genesis)]);
    println!("{}", both.out);
    assert!(both.code == 0 && both.out.contains("WITNESSES") && both.out.contains("gap: "), "{both:?}");

    // One digit of one line.
    let sound = fs::read_to_string(&one).unwrap();
    let mut lines: Vec<String> = sound.lines().map(str::to_owned).collect();
    let digit = if lines[6].ends_with('0') { "1" } else { "0" };
    let end = lines[6].len() - 1;
    lines[6].replace_range(end.., digit);
    fs::write(&two, lines.join("\n")).unwrap();
    let changed = verify(&two, &genesis, &[]);
    assert_eq!(changed.code, 1, "{changed:?}");
    assert!(changed.err.contains(&format!("{}:7: the signature is not that of", text(&two))), "{changed:?}");
    fs::write(&two, sound.replacen("timed-attestations", "attestations", 1)).unwrap();
    assert_eq!(verify(&two, &genesis, &[]).code, 1, "without its first line");

    // Another network's genesis, none, and one that is none.
    let other = Network::new(&[1, 2]);
    let refused = verify(&one, &other.path(1).join("genesis.toml"), &[]);
    assert!(refused.code == 78 && refused.err.contains("genesis hash"), "{refused:?}");
    assert_eq!(verify(&one, &home.path().join("nothing"), &[]).code, 78);
    fs::write(&two, "network = 7").unwrap();
    assert_eq!(verify(&one, &two, &[]).code, 78);
    assert_eq!(verify(&home.path().join("nothing"), &genesis, &[]).code, 1);
    assert_eq!(run(&["attest", "verify", text(&one)]).code, 2, "without a genesis file");

    // A node that may keep less forgets the oldest when it starts to write again.
    network.kill(2);
    network.configure(2, "attestations", "\"16KiB\"");
    network.start(2);
    pass(3);
    let sizes = ["attestations", "attestations.old"]
        .map(|name| fs::metadata(network.path(2).join(name)).map_or(0, |m| m.len()));
    println!("kept in 16 KiB: {sizes:?}");
    assert!(sizes[0] <= 8_192 && sizes[0] > 0, "{sizes:?}");
    let bounded = run(&["attest", "export", "--api", &network.url(2, ""), "--out", text(&two)]);
    assert_eq!(bounded.code, 0, "{bounded:?}");
    shown(&two, &genesis);

    // The node's own file may end in the middle of a line: that is left out.
    network.kill(1);
    let kept = network.path(1).join("attestations");
    let whole = fs::read(&kept).unwrap();
    fs::write(&kept, &whole[..whole.len() - 9]).unwrap();
    let torn = run(&["attest", "export", "--data-dir", text(&network.path(1)), "--out", text(&two)]);
    assert_eq!(torn.code, 0, "{torn:?}");
    shown(&two, &genesis);
}
