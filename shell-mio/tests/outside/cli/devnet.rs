//! `timed devnet` and the verbs that ask its nodes, from outside.

use std::path::Path;
use std::time::Duration;

use crate::loopback::quiet_ip;
use crate::operator::{Done, Process, eventually, http, lives, run, signal, text, timed};
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

/// A running network with its nodes' processes and APIs.
struct Devnet {
    process: Process,
    pids: Vec<u32>,
    base: std::net::Ipv4Addr,
    dir: tempfile::TempDir,
}

impl Devnet {
    fn start(nodes: usize, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = quiet_ip();
        let (count, ip) = (nodes.to_string(), base.to_string());
        let mut arguments = vec!["devnet", "--nodes", &count, "--base-ip", &ip, "--dir", text(dir.path())];
        arguments.extend(more);
        let process = Process::start(&mut timed(&arguments));
        let mut devnet = Self { process, pids: Vec::new(), base, dir };
        eventually("every node's API answers", 30 * SECOND, || {
            (1..=nodes).all(|node| devnet.get(node, "/livez").0 == 200)
        });
        devnet.pids = (1..=nodes)
            .map(|node| {
                std::fs::read_to_string(devnet.node_dir(node).join("LOCK")).unwrap().trim().parse().unwrap()
            })
            .collect();
        devnet
    }

    fn node_dir(&self, node: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    fn url(&self, node: usize) -> String {
        let ip = u32::from(self.base) + u32::try_from(node).unwrap() - 1;
        format!("http://{}:8332", std::net::Ipv4Addr::from(ip))
    }

    fn get(&self, node: usize, path: &str) -> (u16, Value) {
        http("GET", &format!("{}{path}", self.url(node)), None, "")
    }

    fn links(&self, node: usize) -> Value {
        self.get(node, "/consensus_info").1["links"].clone()
    }

    fn complete(&self, nodes: impl IntoIterator<Item = usize>, links: usize) -> bool {
        nodes.into_iter().all(|node| self.links(node)["up"] == links)
    }

    fn verb(&self, node: usize, verb: &[&str]) -> Done {
        let dir = self.node_dir(node);
        let mut arguments = verb.to_vec();
        arguments.extend(["--data-dir", text(&dir)]);
        run(&arguments)
    }

    fn token(&self, node: usize) -> String {
        std::fs::read_to_string(self.node_dir(node).join(".cookie")).unwrap()
    }

    /// Interrupts the network as Ctrl-C does, and sees that nothing of it is left.
    fn interrupt(self) -> Done {
        signal("INT", self.process.pid());
        let done = self.process.end(15 * SECOND);
        for pid in self.pids {
            assert!(!lives(pid), "process {pid} is left");
        }
        done
    }
}

fn node_id(dir: &Path) -> String {
    run(&["id", "--data-dir", text(dir)]).out.trim().to_owned()
}

#[test]
fn four_nodes_form_six_links_and_end_without_a_trace() {
    let devnet = Devnet::start(4, &[]);
    eventually("six links", 10 * SECOND, || devnet.complete(1..=4, 3));
    eventually("the matrix is whole", 30 * SECOND, || {
        (1..=4).all(|node| {
            let verdict = devnet.get(node, "/matrix").1["verdict"].clone();
            verdict == "6/6 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction"
        })
    });
    for node in 1..=4 {
        let info = devnet.get(node, "/consensus_info").1;
        assert_eq!((&info["active_masternodes"], &info["connected_peers"]), (&4.into(), &3.into()));
        assert!(info["height"].is_u64() && info["producing"].is_boolean(), "{info}");
        let peers = devnet.get(node, "/peers").1;
        let outbound =
            peers.as_array().unwrap().iter().filter(|peer| peer["direction"] == "outbound").count();
        // The lower address dials: node 1 all others, node 4 nobody.
        assert_eq!((peers.as_array().unwrap().len(), outbound), (3, 4 - node));
        assert_eq!(devnet.get(node, "/readyz").0, 200);
        assert_eq!(devnet.get(node, "/masternodes").1.as_array().unwrap().len(), 4);
    }
    for verb in
        [&["status"][..], &["peers"], &["matrix"], &["masternodes"], &["why", "127.0.0.0"], &["health"]]
    {
        let done = devnet.verb(2, verb);
        assert_eq!(done.code, i32::from(verb[0] == "why"), "{done:?}");
    }
    let why = devnet.verb(2, &["why", &node_id(&devnet.node_dir(3))[..12]]);
    assert!(why.code == 0 && why.out.contains("connected"), "{why:?}");
    assert!(devnet.verb(2, &["matrix"]).out.contains("6/6 links, 0 duplicate"));
    let json = devnet.verb(2, &["peers", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap().as_array().unwrap().len(), 3);

    let done = devnet.interrupt();
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.out.matches("network up").count(), 1, "{done:?}");
    assert!(!done.out.contains('\x1b'), "{done:?}");
}

#[test]
fn orders_need_the_token_and_do_what_they_say() {
    let devnet = Devnet::start(3, &[]);
    eventually("three links", 10 * SECOND, || devnet.complete(1..=3, 2));
    let peers = format!("{}/peers", devnet.url(1));
    let id = node_id(&devnet.node_dir(2));
    let ip = std::net::Ipv4Addr::from(u32::from(devnet.base) + 1);
    let body = format!("{{\"addr\":\"{ip}:24100\"}}");
    assert_eq!(http("POST", &peers, None, &body).0, 401);
    assert_eq!(http("POST", &peers, Some("wrong"), &body).0, 401);
    let token = devnet.token(1);
    let (status, answer) = http("POST", &peers, Some(&token), &body);
    assert_eq!(
        (status, &answer["result"], &answer["node_id"]),
        (200, &"already connected".into(), &id.clone().into())
    );
    for wrong in ["", "{}", "{\"addr\":5}", "{\"addr\":\"x\"}", "{\"addr\":\"10.0.0.1:1\",\"extra\":1}"] {
        let (status, answer) = http("POST", &peers, Some(&token), wrong);
        assert_eq!((status, answer["error"]["code"].as_str()), (400, Some("bad_request")), "{wrong}");
    }
    let large = format!("{{\"addr\":\"{}\"}}", "1".repeat(70_000));
    assert_eq!(http("POST", &peers, Some(&token), &large).0, 413);

    let (status, _) = http("DELETE", &format!("{peers}/{id}"), Some(&token), "");
    assert_eq!(status, 200);
    eventually("the link is down at both ends", 5 * SECOND, || devnet.complete(1..=2, 1));
    let why = devnet.get(1, &format!("/why/{id}")).1;
    assert!(why["attempts"][0]["end"]["reason"] == "operator_disconnect", "{why}");
    let connect = devnet.verb(1, &["connect", &format!("{ip}:24100")]);
    assert!(connect.code == 0 && connect.out.starts_with("dialing"), "{connect:?}");
    eventually("the link is back", 10 * SECOND, || devnet.complete(1..=3, 2));
    let unknown = devnet.verb(1, &["disconnect", "10.9.8.7"]);
    assert!(unknown.code == 1 && unknown.err.contains("404"), "{unknown:?}");

    assert_eq!(devnet.verb(3, &["stop"]).code, 0);
    eventually("node 3 has ended", 10 * SECOND, || !lives(devnet.pids[2]));
    let status = devnet.verb(3, &["status"]);
    assert!(status.code == 1 && status.err.contains(&devnet.url(3)), "{status:?}");
    assert_eq!(devnet.verb(3, &["health"]).code, 2);
    let done = devnet.interrupt();
    assert!(done.code == 0 && done.out.contains("node 3 "), "{done:?}");
}

#[test]
fn a_killed_node_stays_dead_and_its_restart_by_hand_is_welcome() {
    let devnet = Devnet::start(4, &[]);
    eventually("six links", 10 * SECOND, || devnet.complete(1..=4, 3));
    let kept: Vec<Value> = (2..=4).map(|node| devnet.get(node, "/peers").1).collect();
    signal("KILL", devnet.pids[0]);
    eventually("the others have lost one link each", 20 * SECOND, || devnet.complete(2..=4, 2));
    std::thread::sleep(SECOND);
    assert_eq!(devnet.get(1, "/livez").0, 0, "the child was revived");
    let again = Process::start(&mut timed(&["run", "--data-dir", text(&devnet.node_dir(1))]));
    eventually("the restarted node is linked to all", 5 * SECOND, || devnet.complete(1..=4, 3));
    let sessions = |peers: &Value| -> Vec<Value> {
        peers.as_array().unwrap().iter().map(|peer| peer["session"].clone()).collect()
    };
    for (node, before) in (2..=4).zip(&kept) {
        let now = sessions(&devnet.get(node, "/peers").1);
        let still = sessions(before).into_iter().filter(|session| now.contains(session)).count();
        assert_eq!(still, 2, "node {node}: links among the others moved");
    }
    signal("TERM", again.pid());
    assert_eq!(again.end(10 * SECOND).code, 0);
    let done = devnet.interrupt();
    assert!(done.code == 0 && done.out.contains("was killed by signal 9"), "{done:?}");
}

#[test]
fn nothing_outlives_a_killed_parent() {
    let devnet = Devnet::start(3, &[]);
    signal("KILL", devnet.process.pid());
    eventually("all nodes are gone", 5 * SECOND, || devnet.pids.iter().all(|pid| !lives(*pid)));
}

#[test]
fn a_network_can_be_used_again_but_not_changed_by_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let ip = quiet_ip().to_string();
    let network = |more: &[&str]| {
        let mut arguments = vec!["devnet", "--base-ip", &ip, "--dir", text(dir.path())];
        arguments.extend(more);
        run(&arguments)
    };
    let first = network(&["--nodes", "2", "--for", "2s"]);
    assert!(first.code == 0 && first.out.contains("network up"), "{first:?}");
    let id = node_id(&dir.path().join("node1"));
    for (change, told) in [
        (&["--nodes", "3"][..], "--nodes 2"),
        (&["--nodes", "2", "--block-interval", "1s"], "--block-interval 10s"),
        (&["--nodes", "2", "--port", "24200"], "--port"),
        (&["--nodes", "2", "--api-port", "8400"], "--api-port"),
    ] {
        let refused = network(change);
        assert!(refused.code == 2 && refused.err.contains(told), "{refused:?}");
    }
    let again = network(&["--nodes", "2", "--for", "2s"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(node_id(&dir.path().join("node1")), id);
    // The directory says by itself what it holds.
    let bare = run(&["devnet", "--dir", text(dir.path()), "--for", "2s"]);
    assert!(bare.code == 0 && bare.out.starts_with("2 nodes, block interval 10s"), "{bare:?}");
    assert_eq!(node_id(&dir.path().join("node1")), id);

    let _taken = std::net::TcpListener::bind(format!("{ip}:24100")).unwrap();
    let refused = network(&["--nodes", "2", "--for", "2s"]);
    assert!(refused.code == 1 && refused.err.contains(&format!("{ip}:24100 is in use")), "{refused:?}");
    assert!(!refused.out.contains("pid"), "{refused:?}");
}

/// The heights of the lines about blocks.
fn told(done: &Done) -> Vec<u64> {
    let blocks = done.out.lines().filter_map(|line| line.strip_prefix("block ")?.split_once(':'));
    blocks.map(|(height, _)| height.parse().unwrap()).collect()
}

#[test]
fn a_network_makes_blocks_and_goes_on_from_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let ip = quiet_ip().to_string();
    let first = run(&[
        "devnet",
        "--nodes",
        "3",
        "--base-ip",
        &ip,
        "--dir",
        text(dir.path()),
        "--block-interval",
        "500ms",
        "--for",
        "8s",
    ]);
    assert_eq!(first.code, 0, "{first:?}");
    let blocks = told(&first);
    assert!(blocks.len() >= 8, "{first:?}");
    assert!(blocks.iter().copied().eq(1..=blocks.len() as u64), "each once, in order: {first:?}");
    let summary = first.out.lines().last().unwrap();
    assert!(
        summary.contains("ended healthy: 3 nodes, 3/3 links") && summary.contains("height "),
        "{summary}"
    );

    let again = run(&["devnet", "--dir", text(dir.path()), "--for", "6s"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains("the chain of the earlier run goes on after height "), "{again:?}");
    let more = told(&again);
    assert!(!more.is_empty() && more[0] > blocks[blocks.len() - 1], "{again:?}");
    assert!(more.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{again:?}");
}
