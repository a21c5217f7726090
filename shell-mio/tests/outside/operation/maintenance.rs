//! A network of real daemons whose nodes are taken down on purpose, one by one, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

use crate::network::{Network, SECOND};
use crate::operator::http_bytes;
use serde_json::{Value, json};

const SEVEN: [u8; 7] = [1, 2, 3, 4, 5, 6, 7];
const INTERVAL_MS: u64 = 2_000;

/// Hands transactions to whoever is not the host in `spared`, until it is told to stop; returns the ids that were
/// accepted.
fn load(
    network: &Network,
    spared: Arc<AtomicU8>,
    stop: Arc<AtomicBool>,
) -> thread::JoinHandle<Vec<(u8, String)>> {
    let nodes: Vec<(u8, String, std::path::PathBuf)> = SEVEN
        .iter()
        .map(|host| (*host, network.url(*host, "/tx"), network.path(*host).join(".cookie")))
        .collect();
    thread::spawn(move || {
        let (mut accepted, mut turn) = (Vec::new(), 0_usize);
        while !stop.load(Ordering::Relaxed) {
            let (host, url, cookie) = &nodes[turn % nodes.len()];
            turn += 1;
            if *host == spared.load(Ordering::Relaxed) {
                continue;
            }
            let token = std::fs::read_to_string(cookie).unwrap_or_default();
            let body = format!("transaction {turn}");
            let (status, answer) = http_bytes("POST", url, Some(&token), body.as_bytes());
            if status == 202 {
                accepted.push((*host, answer["id"].as_str().unwrap().to_owned()));
            }
            thread::sleep(SECOND / 20);
        }
        accepted
    })
}

fn time(block: &Value) -> u64 {
    let text = block["time"].as_str().unwrap_or_else(|| panic!("{block}"));
    let time = humantime::parse_rfc3339_weak(text).unwrap();
    u64::try_from(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn l_5_seven_are_restarted_one_by_one_under_load_and_no_slot_is_missed() {
    let mut network = Network::with_blocks(&SEVEN, SECOND * 2);
    network.start_all();
    network.eventually("every link stands", 10 * SECOND, || network.is_meshed(&SEVEN));
    network.eventually("blocks come", 10 * SECOND, || network.info(1)["height"].as_u64() > Some(1));
    let first = network.info(1)["height"].as_u64().unwrap() + 1;
    let (spared, stop) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicBool::new(false)));
    let loading = load(&network, Arc::clone(&spared), Arc::clone(&stop));
    for host in SEVEN {
        spared.store(host, Ordering::Relaxed);
        let rest: Vec<u8> = SEVEN.into_iter().filter(|other| *other != host).collect();
        let drained = network.verb(host, &["drain", "--for", "5m"]);
        assert_eq!(drained.code, 0, "{drained:?}");
        assert!(
            drained.out.contains("6 masternodes are left, 5 decide blocks: it is safe to stop it"),
            "{drained:?}"
        );
        // A snapshot is a quarter of a second old at most.
        network.eventually("it is not ready any more", SECOND, || network.get(host, "/readyz").0 == 503);
        let (status, refused) = network.ask(host, "POST", "/tx", "too late");
        assert_eq!((status, &refused["error"]["code"]), (503, &json!("draining")), "{refused}");
        let dials = |network: &Network| -> Vec<u64> {
            rest.iter().map(|other| network.counter(*other, "dials")).collect()
        };
        let before = dials(&network);
        assert_eq!(network.terminate(host), 0);
        for other in &rest {
            let what = format!("{other} knows that {host} is away");
            network.eventually(&what, 2 * SECOND, || {
                let matrix = network.get(*other, "/matrix").1;
                let links = &network.info(*other)["links"];
                matrix["absent"] == json!([network.id(host)])
                    && matrix["missing"] == json!([])
                    && matrix["one_sided"] == json!([])
                    && (&links["expected"], &links["up"], &links["absent"])
                        == (&json!(5), &json!(5), &json!(1))
            });
            let health = network.verb(*other, &["health"]);
            assert_eq!((health.code, health.out.trim()), (0, "healthy"), "{health:?}");
        }
        let why = network.get(rest[0], &format!("/why/{}", network.id(host))).1;
        assert_eq!((&why["decision"], &why["rule"]), (&json!("absent"), &json!("L-5")), "{why}");
        // For longer than anybody waits before it dials a peer that is lost for the first time, twice.
        thread::sleep(SECOND * 4);
        assert_eq!(dials(&network), before, "nobody dials {host} while it is away");
        network.start(host);
        network.eventually("it is back", 5 * SECOND, || network.is_meshed(&SEVEN));
        network.eventually("it is ready", 10 * SECOND, || network.get(host, "/readyz").0 == 200);
    }
    stop.store(true, Ordering::Relaxed);
    let accepted = loading.join().unwrap();
    thread::sleep(SECOND * 5);
    let last = network.info(1)["height"].as_u64().unwrap();
    let times: Vec<u64> =
        (first..=last).map(|height| time(&network.get(1, &format!("/blocks/{height}")).1)).collect();
    println!("{} transactions, blocks {first} to {last}", accepted.len());
    assert!(accepted.len() > 100 && times.len() > 20, "{} {}", accepted.len(), times.len());
    for (height, pair) in (first..).zip(times.windows(2)) {
        assert_eq!(pair[1] - pair[0], INTERVAL_MS, "a slot was missed after height {height}");
    }
    for (host, id) in &accepted {
        let state = network.get(1, &format!("/tx/{id}")).1;
        assert_eq!(state["state"], "committed", "what {host} took is lost: {id} {state}");
    }
    let bans: Vec<Value> = SEVEN.iter().map(|host| network.get(*host, "/bans").1).collect();
    assert!(bans.iter().all(|bans| *bans == json!([])), "{bans:?}");
}

#[test]
fn l_5_the_last_of_a_quorum_is_not_drained_unless_somebody_insists() {
    let network = Network::standing(&[1, 2, 3]);
    let refused = network.verb(3, &["drain"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("2 masternodes are left") && refused.err.contains("3 decide blocks"),
        "{refused:?}"
    );
    assert_eq!(network.get(3, "/status").1["draining_s"], Value::Null);
    let forced = network.verb(3, &["drain", "--force", "--for", "90s"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    assert!(forced.out.contains("warning: only 2 masternodes are left"), "{forced:?}");
    assert_eq!(network.get(3, "/status").1["draining_s"], 90);
    thread::sleep(SECOND);
    let stays = network.verb(3, &["drain", "--cancel", "--json"]);
    let answer: Value = serde_json::from_str(&stays.out).unwrap_or_else(|_| panic!("{stays:?}"));
    assert_eq!((&answer["result"], &answer["told"]), (&json!("not draining"), &json!(2)));
    assert_eq!(network.get(3, "/status").1["draining_s"], Value::Null);
    for (body, status) in
        [("{\"for\":0}", 400), ("{\"for\":\"2d\"}", 400), ("nonsense", 400), ("{\"of\":1}", 400)]
    {
        assert_eq!(network.ask(3, "POST", "/drain", body).0, status, "{body}");
    }
    assert_eq!(
        crate::operator::http("POST", &network.url(3, "/drain"), None, "").0,
        401,
        "an order needs the token"
    );
    for arguments in [&["drain", "--for", "0s"][..], &["drain", "--cancel", "--force"]] {
        assert_eq!(network.verb(3, arguments).code, 2, "{arguments:?}");
    }
}
