//! `why` on a network, for everybody an operator may ask about: one screen that says which rule holds, since when, what
//! happens next and when, and how the last attempts ended. And `matrix`, which names what is not as it should be.

use crate::network::{Network, SECOND};
use serde_json::Value;

/// The screen of a peer, and what the API said.
fn why(network: &Network, host: u8, peer: &str) -> (String, Value) {
    let done = network.verb(host, &["why", peer]);
    let json = network.verb(host, &["why", peer, "--json"]);
    assert_eq!((done.code, json.code), (0, 0), "{done:?}");
    println!("$ timed why {peer}\n{}", done.out);
    assert!(!done.out.contains(" ms\n"), "no milliseconds for people: {}", done.out);
    (done.out, serde_json::from_str(&json.out).unwrap())
}

fn says(screen: &str, parts: &[&str]) {
    for part in parts {
        assert!(screen.contains(part), "{part:?} is not in\n{screen}");
    }
}

#[test]
fn one_screen_for_whoever_is_asked_about() {
    let mut network = Network::new(&[1, 2, 3]);
    network.configure(1, "peers", "[\"localhost:9\", \"nowhere.invalid\"]");
    network.configure(1, "name", "\"alpha\"");
    network.start_all();
    network.eventually("every link stands", 10 * SECOND, || network.is_meshed(&[1, 2, 3]));
    let id = network.id(2).to_owned();

    // Linked: by every name that it has.
    for name in [id.clone(), id[..8].to_owned(), network.addr(2), network.ip(2).to_string()] {
        let (screen, json) = why(&network, 1, &name);
        says(
            &screen,
            &[
                &id,
                "(masternode, sought by the registry)",
                "connected",
                "P-1: one live link a peer",
                "we dialed",
            ],
        );
        says(&screen, &["since     ", "nothing while the link stands; if it is lost, we dial", "health "]);
        assert_eq!((&json["decision"], &json["masternode"]), (&"connected".into(), &true.into()), "{json}");
        assert!(json["session"]["age_ms"].is_u64(), "{json}");
    }
    let (screen, _) = why(&network, 2, network.id(1));
    says(&screen, &["the peer dialed", "the peer dials, or we knock"]);

    // Itself: by key, address, and its own name.
    for name in [network.id(1).to_owned(), network.addr(1), network.ip(1).to_string(), "alpha".to_owned()] {
        let (screen, json) = why(&network, 1, &name);
        says(&screen, &["self", "D-7", "this is the node itself", "next      nothing\n"]);
        assert!(json["since"].is_string() && json["next"].is_null(), "{json}");
    }

    // Names of the configuration: one that leads somewhere, one that leads nowhere.
    network.eventually("the name is resolved and dialed", 10 * SECOND, || {
        network.get(1, "/why/localhost").1["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty())
    });
    let (screen, _) = why(&network, 1, "localhost:9");
    says(
        &screen,
        &[
            "127.0.0.1:9",
            "sought by a configured name",
            "D-5",
            "we try again in",
            "we dialed",
            "connection_refused, ended by the network: nothing listens",
        ],
    );
    let (screen, json) = why(&network, 1, "nowhere.invalid");
    says(&screen, &["unresolved", "P-8", "could not be resolved", "the name service is asked again in"]);
    assert!(json["next"]["in_ms"].is_u64(), "{json}");

    // Unknown: an answer, and a failure.
    let unknown = network.verb(1, &["why", "10.9.9.9:24100"]);
    println!("{}", unknown.out);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    says(&unknown.out, &["10.9.9.9:24100", "unknown", "knows no such peer", "unless the peer dials"]);
    let json = network.verb(1, &["why", &"ab".repeat(32), "--json"]);
    let answer: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &answer["error"]["code"]), (1, &"unknown_peer".into()), "{answer}");
    let nobody = network.verb(1, &["why", "nobody!"]);
    assert!(nobody.code == 1 && nobody.err.contains("names no peer"), "{nobody:?}");

    // Held apart by the operator, then banned.
    assert_eq!(network.verb(1, &["disconnect", &id]).code, 0);
    let (screen, _) = why(&network, 1, &id);
    says(
        &screen,
        &["operator_hold", "D-8", "the hold ends in 10 min 0 s", "operator_disconnect, ended by us"],
    );
    let (screen, _) = why(&network, 2, network.id(1));
    says(&screen, &["the peer ended the link that it had dialed (operator_disconnect)"]);
    assert_eq!(network.verb(1, &["ban", &id, "2h", "--reason", "under repair"]).code, 0);
    let (screen, json) = why(&network, 1, &network.addr(2));
    says(
        &screen,
        &[
            "banned",
            "A-4",
            "under repair",
            "the ban ends in 2 h 0 min",
            "by the operator, until 2",
            "lifts it",
        ],
    );
    let left = json["next"]["in_ms"].as_u64().unwrap();
    assert!((7_100_000..=7_200_000).contains(&left), "{left}");
    // Its end is the same wherever it is told.
    let listed = network.get(1, "/bans").1[0]["until"].clone();
    for _ in 0..50 {
        assert_eq!(network.get(1, "/bans").1[0]["until"], listed);
        assert_eq!(network.get(1, &format!("/why/{id}")).1["ban"]["until"], listed);
    }
    assert_eq!(network.verb(1, &["unban", &id]).code, 0);
    assert_eq!(network.verb(1, &["connect", &network.addr(2)]).code, 0);
    network.eventually("the link stands again", 5 * SECOND, || network.session(1, 2).is_some());

    // Away: both sides of the rule, and the matrix.
    network.kill(2);
    network.eventually("three attempts were made", 10 * SECOND, || {
        let answer = network.get(1, &format!("/why/{id}")).1;
        answer["attempts"].as_array().is_some_and(|attempts| attempts.len() > 4)
            && answer["text"].as_str().is_some_and(|text| text.contains("in a row"))
    });
    let (screen, _) = why(&network, 1, &id);
    says(
        &screen,
        &[
            "connection_refused",
            "failures in a row",
            "we try again",
            "sought by the registry and an operator's order",
        ],
    );
    let (screen, _) = why(&network, 3, &id);
    says(&screen, &["sought by the registry", "we knock", "next      we "]);
    network.eventually("the matrix tells it", 45 * SECOND, || {
        let verdict = network.get(1, "/matrix").1["verdict"].clone();
        verdict == "1/3 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction"
    });
    let matrix = network.verb(1, &["matrix"]);
    println!("{}", matrix.out);
    let silent = format!("silent: {} ({})", network.addr(2), &id[..12]);
    let missing = format!("missing: {} ({}) - ", network.addr(2), &id[..12]);
    assert!(matrix.out.contains(&silent), "{}", matrix.out);
    assert_eq!(matrix.out.lines().filter(|line| line.starts_with("missing: ")).count(), 2, "{}", matrix.out);
    assert!(matrix.out.contains(&missing) || matrix.out.contains(&missing.replace("missing: ", "")[..20]));
}

/// A peer that only says where it listens may be wrong: an order to dial that address dials it, and says who claims it.
#[test]
fn an_order_to_dial_what_a_linked_peer_only_claims_dials_and_leaves_the_link() {
    let mut network = Network::standing(&[1, 2]);
    let ip = network.ip(200).to_string();
    let guest = network.init(200, &["--local-ip", &ip]);
    network.join(200);
    network.start(200);
    // The lower address dials; so that the guest comes to them, they have to be told of it by itself.
    network.eventually("the guest is linked", 20 * SECOND, || network.session(1, 200).is_some());
    let before = network.session(1, 200).unwrap();
    println!("{before}");
    let (status, answer) = network.connect(1, 200);
    println!("{answer}");
    if before["direction"] == "inbound" {
        assert_eq!((status, &answer["claimed_by"]), (202, &guest.as_str().into()), "{answer}");
    }
    // Whoever is there turns out to be the one who said so: one link, and it never went away.
    std::thread::sleep(3 * SECOND);
    let after = network.session(1, 200).unwrap();
    assert_eq!(before["session"], after["session"], "the link that stood is the one that stands");
    assert_eq!(network.links().iter().filter(|link| link.acceptor == 200 || link.dialer == 200).count(), 2);
    let (screen, _) = why(&network, 1, &guest);
    says(&screen, &["connected", "sought by an operator's order"]);
}
