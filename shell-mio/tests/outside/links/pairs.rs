//! Orders to connect and disconnect, from both sides at once (field failures DUP-01a, DUP-01b, DUP-06b).

use std::sync::Barrier;
use std::time::Instant;

use crate::network::{Network, SECOND, without};

#[test]
fn dup_01a_connect_from_both_sides_at_once_makes_one_link_a_hundred_times() {
    let network = Network::standing(&[1, 2, 3]);
    let others = without(&without(&network.links(), 1), 2);
    let bystander: Vec<_> = network.links().into_iter().filter(|link| link.acceptor == 3).collect();
    let (mut canonical, mut longest) = (0, std::time::Duration::ZERO);
    for round in 0..100 {
        // Both hold it, so that neither dials on its own before the order.
        for (host, other) in [(1, 2), (2, 1)] {
            let (status, answer) = network.ask(host, "DELETE", &format!("/peers/{}", network.id(other)), "");
            assert_eq!(status, 200, "round {round}: {answer}");
        }
        network.eventually("the link is down", SECOND, || {
            network.session(1, 2).is_none() && network.session(2, 1).is_none()
        });
        let both = Barrier::new(2);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for (host, other) in [(1, 2), (2, 1)] {
                let (network, both) = (&network, &both);
                scope.spawn(move || {
                    both.wait();
                    let (status, answer) = network.connect(host, other);
                    assert!(status == 202 || answer["result"] == "already connected", "{status} {answer}");
                });
            }
        });
        let tag = || {
            let (one, two) = (network.session(1, 2)?, network.session(2, 1)?);
            (one["session"] == two["session"]).then_some(one)
        };
        network.eventually("one link, the same at both ends", 2 * SECOND, || tag().is_some());
        longest = longest.max(begun.elapsed());
        // What loses, loses within the two round trips of its handshake.
        network.eventually("one connection", SECOND, || {
            network.links().iter().filter(|link| link.acceptor != 3).count() == 1
        });
        let session = tag().expect("the link still stands");
        canonical += usize::from(session["direction"] == "outbound");
        if round % 10 == 9 {
            std::thread::sleep(SECOND / 2);
            let after = tag().expect("the link still stands");
            assert_eq!(after["session"], session["session"], "round {round}: it moved");
        }
    }
    println!("dialed by the lower address: {canonical} of 100; the slowest took {longest:?}");
    assert!(others.is_empty());
    let now: Vec<_> = network.links().into_iter().filter(|link| link.acceptor == 3).collect();
    assert_eq!(now, bystander, "the links to the third node moved");
    for host in [1, 2] {
        assert_eq!(network.info(host)["links"]["duplicates"], 0);
    }
}

#[test]
fn connect_to_a_live_peer_says_so_and_dials_nobody() {
    let network = Network::standing(&[1, 2]);
    let (links, dials) = (network.links(), [1, 2].map(|host| network.counter(host, "dials")));
    for (host, other) in [(1, 2), (2, 1)] {
        for _ in 0..20 {
            let (status, answer) = network.connect(host, other);
            assert_eq!((status, &answer["result"]), (200, &"already connected".into()));
            assert_eq!(answer["node_id"], network.id(other));
        }
        for by in [network.addr(other), format!("{}@{}", network.id(other), network.addr(other))] {
            let done = network.verb(host, &["connect", &by]);
            assert!(done.code == 0 && done.out.contains("already connected"), "{done:?}");
        }
    }
    assert_eq!(network.links(), links);
    assert_eq!([1, 2].map(|host| network.counter(host, "dials")), dials);
}

#[test]
fn disconnect_holds_until_connect_and_the_other_side_does_not_knock_it_down() {
    let network = Network::standing(&[1, 2, 3]);
    let kept = without(&network.links(), 1);
    // The acceptor of the link holds: the dialer's dials and the knocks of both are in vain.
    let done = network.verb(2, &["disconnect", network.id(1)]);
    assert_eq!(done.code, 0, "{done:?}");
    network.eventually("the link is down at both ends", SECOND, || {
        network.session(1, 2).is_none() && network.session(2, 1).is_none()
    });
    let begun = Instant::now();
    while begun.elapsed() < 12 * SECOND {
        assert!(network.session(1, 2).is_none() && network.session(2, 1).is_none());
        std::thread::sleep(SECOND / 10);
    }
    let why = network.get(2, &format!("/why/{}", network.id(1))).1;
    assert_eq!(why["decision"], "operator_hold", "{why}");
    let done = network.verb(2, &["connect", &network.addr(1)]);
    assert_eq!(done.code, 0, "{done:?}");
    // An address behind which nobody is known.
    assert_eq!(network.connect(2, 99).0, 202);
    let (status, answer) = network.ask(2, "DELETE", &format!("/peers/{}", network.addr(99)), "");
    assert_eq!((status, &answer["node_id"]), (200, &serde_json::Value::Null), "{answer}");
    network.eventually("the link is back", 2 * SECOND, || network.is_meshed(&[1, 2, 3]));
    assert_eq!(without(&network.links(), 1), kept);
}
