//! Bans as the operator meets them on real daemons: set, listed, explained and lifted over HTTP and at the command
//! line, in force at once and after a restart.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use crate::network::{Network, PORT, SECOND};
use crate::operator::http;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

const HOSTS: [u8; 4] = [1, 2, 3, 4];

fn bans(network: &Network, host: u8) -> Vec<Value> {
    network.get(host, "/bans").1.as_array().cloned().unwrap()
}

/// Whether a connection from an address is closed without a word.
fn is_refused(network: &Network, from: Ipv4Addr, to: u8) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    if socket.connect(&SocketAddr::from((network.ip(to), PORT)).into()).is_err() {
        return true;
    }
    let mut stream = TcpStream::from(socket);
    // The handshake's own time-out is 5 s.
    stream.set_read_timeout(Some(2 * SECOND)).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_4_a_ban_applies_at_once_is_explained_survives_a_restart_and_is_lifted() {
    let mut network = Network::standing(&HOSTS);
    let (peer, me) = (network.id(3).to_owned(), network.id(1).to_owned());

    let body = format!("{{\"target\":\"{peer}\",\"duration\":\"30m\",\"reason\":\"under repair\"}}");
    let (status, answer) = network.ask(1, "POST", "/bans", &body);
    assert_eq!(
        (status, &answer["result"], &answer["masternodes"]),
        (201, &"banned".into(), &1.into()),
        "{answer}"
    );
    assert_eq!(answer["ban"]["target"], peer.as_str());
    assert!(answer["warning"].as_str().unwrap().contains("1 registered masternode "), "{answer}");
    network.eventually("the link ends at both ends", SECOND, || {
        network.session(1, 3).is_none() && network.session(3, 1).is_none()
    });
    let (_, there) = network.get(3, &format!("/why/{me}"));
    let told = there["attempts"].as_array().unwrap();
    assert!(
        told.iter().any(|attempt| attempt["end"]["reason"] == "banned" && attempt["end"]["by"] == "peer"),
        "{there}"
    );

    let list = bans(&network, 1);
    assert_eq!(
        (list.len(), &list[0]["cause"], &list[0]["reason"]),
        (1, &"operator".into(), &"under repair".into())
    );
    let left = list[0]["remaining_s"].as_u64().unwrap();
    assert!((1_700..=1_800).contains(&left), "{left}");
    for name in [peer.clone(), network.addr(3), network.ip(3).to_string(), peer[..8].to_owned()] {
        let (status, why) = network.get(1, &format!("/why/{name}"));
        assert_eq!((status, &why["decision"], &why["rule"]), (200, &"banned".into(), &"A-4".into()), "{why}");
        assert!(why["text"].as_str().unwrap().contains("under repair"), "{why}");
        assert!(why["since"].is_string() && why["ban"]["until"].is_string(), "{why}");
        assert_eq!(why["next"]["action"], "the ban ends", "{why}");
    }
    let (status, refused) = network.connect(1, 3);
    assert_eq!((status, &refused["error"]["code"]), (409, &"refused".into()), "{refused}");
    let metrics = network.get(1, "/metrics").1;
    let metrics = metrics.as_str().unwrap();
    for sample in ["timed_bans{cause=\"operator\"} 1", "timed_bans_total{cause=\"operator\"} 1"] {
        assert!(metrics.contains(sample), "{sample}");
    }
    assert_eq!(network.logged(1, &["banned", "under repair"]), 1, "{}", network.log(1));
    assert_eq!(network.logged(1, &["WARN", "cuts off registered masternodes"]), 1, "{}", network.log(1));

    network.kill(1);
    network.start(1);
    network.eventually("it is back among the others", 10 * SECOND, || {
        network.session(1, 2).is_some() && network.session(1, 4).is_some()
    });
    assert_eq!(bans(&network, 1).len(), 1);
    assert!(network.session(1, 3).is_none());

    let (status, answer) = network.ask(1, "DELETE", &format!("/bans/{peer}"), "");
    assert_eq!((status, &answer["result"]), (200, &"unbanned".into()), "{answer}");
    network.eventually("the link stands again", 10 * SECOND, || network.is_meshed(&HOSTS));
    assert_eq!(bans(&network, 1), Vec::<Value>::new());
    assert_eq!(network.logged(1, &["ban ended", "lifted"]), 1);
}

#[test]
fn a_4_addresses_are_banned_by_prefix_and_refused_without_a_word() {
    let network = Network::standing(&[1, 2]);
    let stranger = network.ip(130);
    assert!(!is_refused(&network, stranger, 1));
    let net = format!("{}/25", network.ip(128));
    let body = format!("{{\"target\":\"{net}\",\"duration\":3600}}");
    assert_eq!(network.ask(1, "POST", "/bans", &body).0, 201);
    let quiet = network.ip(131);
    for _ in 0..50 {
        assert!(is_refused(&network, quiet, 1));
    }
    assert!(!is_refused(&network, network.ip(99), 1), "its neighbours are not concerned");
    let metrics = network.get(1, "/metrics").1.as_str().unwrap().to_owned();
    assert!(metrics.contains("\ntimed_inbound_banned_total 50\n"), "{metrics}");
    assert_eq!(network.logged(1, &[&quiet.to_string()]), 0, "{}", network.log(1));
    let (_, why) = network.get(1, &format!("/why/{stranger}"));
    assert_eq!((&why["decision"], &why["ban"]["target"]), (&"banned".into(), &net.as_str().into()), "{why}");
    // Lifted by its name, with the slash as it is or encoded, and by nothing else.
    let (status, answer) = network.ask(1, "DELETE", &format!("/bans/{stranger}"), "");
    assert_eq!((status, &answer["error"]["code"]), (404, &"not_banned".into()), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains(&net), "{answer}");
    assert_eq!(network.ask(1, "DELETE", &format!("/bans/{}", net.replace('/', "%2F")), "").0, 200);
    assert!(!is_refused(&network, stranger, 1));
    assert_eq!(network.ask(1, "POST", "/bans", &body).0, 201);
    assert_eq!(network.ask(1, "DELETE", &format!("/bans/{net}"), "").0, 200);
    assert_eq!(bans(&network, 1), Vec::<Value>::new());
}

#[test]
fn the_verbs_ban_list_and_lift_and_mistakes_are_named() {
    let network = Network::standing(&[1, 2]);
    let peer = network.id(2).to_owned();
    let ban = network.verb(1, &["ban", &peer, "10m", "--reason", "a test"]);
    assert_eq!(ban.code, 0, "{ban:?}");
    assert!(
        ban.out.contains(&format!("banned {peer} for 10m")) && ban.out.contains("warning: "),
        "{}",
        ban.out
    );
    let forever = network.verb(1, &["ban", "2001:db8::/32"]);
    assert!(forever.code == 0 && forever.out.contains("until it is lifted"), "{forever:?}");
    let list = network.verb(1, &["bans"]);
    assert!(
        list.out.contains(&peer) && list.out.contains("a test") && list.out.contains("until lifted"),
        "{}",
        list.out
    );
    let json: Value = serde_json::from_str(&network.verb(1, &["bans", "--json"]).out).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    let why = network.verb(1, &["why", &peer]);
    assert!(
        why.out.contains("banned") && why.out.contains("a test") && why.out.contains("A-4"),
        "{}",
        why.out
    );
    for target in [peer.as_str(), "2001:db8::/32"] {
        let unban = network.verb(1, &["unban", target]);
        assert!(unban.code == 0 && unban.out.contains(&format!("unbanned {target}")), "{unban:?}");
    }
    assert_eq!(network.verb(1, &["bans"]).out, "no bans\n");
    network.eventually("the link stands again", 10 * SECOND, || network.is_meshed(&[1, 2]));

    let own = network.verb(1, &["ban", network.id(1)]);
    assert!(own.code == 1 && own.err.contains("does not ban itself"), "{own:?}");
    let wide = network.verb(1, &["ban", "0.0.0.0/0"]);
    assert!(wide.code == 2 && wide.err.contains("too much"), "{wide:?}");
    let unknown = network.verb(1, &["unban", "10.0.0.1"]);
    assert!(unknown.code == 1 && unknown.err.contains("no ban is on 10.0.0.1"), "{unknown:?}");
    let url = network.url(1, "/bans");
    assert_eq!(http("POST", &url, None, "{\"target\":\"10.0.0.1\"}").0, 401, "a write needs the token");
    for body in ["", "{}", "{\"target\":\"nobody\"}", "{\"target\":\"10.0.0.1\",\"duration\":0}"] {
        let (status, answer) = network.ask(1, "POST", "/bans", body);
        assert_eq!((status, &answer["error"]["code"]), (400, &"bad_request".into()), "{body}: {answer}");
    }
}
