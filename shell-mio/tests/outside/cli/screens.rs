//! The live screens of `timed devnet` and `timed watch`, on a terminal and without one.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::loopback::quiet_ip;
use crate::operator::{Process, eventually, http, lives, lone_node, run, signal, text, timed};
use crate::pty::OnTerminal;
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

/// The number after a name in the figures.
fn figure(lines: &[String], name: &str) -> Option<u64> {
    let figures = lines.get(1..3)?.join(" ");
    let rest = figures.split_once(&format!("{name} "))?.1;
    rest.split([' ', '/']).next()?.parse().ok()
}

fn shows(lines: &[String], text: &str) -> bool {
    lines.iter().any(|line| line.contains(text))
}

fn devnet(dir: &Path, base: Ipv4Addr, interval: &str) -> Command {
    let ip = base.to_string();
    timed(&["devnet", "--nodes", "4", "--base-ip", &ip, "--dir", text(dir), "--block-interval", interval])
}

fn pid(dir: &Path, node: usize) -> u32 {
    let lock = dir.join(format!("node{node}")).join("LOCK");
    std::fs::read_to_string(lock).unwrap().trim().parse().unwrap()
}

#[test]
fn a_network_is_shown_at_every_size_and_leaves_the_terminal_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut screen = OnTerminal::start(&devnet(dir.path(), quiet_ip(), "1s"), 100, 30);
    screen.eventually("every link", 60 * SECOND, |lines| {
        lines[0].starts_with("timed devnet  network up") && figure(lines, "links") == Some(6)
    });
    assert!(screen.is_taken());
    let told = screen.bytes();
    let before = told.split("\x1b[?1049h").next().unwrap();
    for node in 1..=4 {
        assert!(before.contains(&format!("node {node}: api http://")), "{before}");
        assert!(before.contains(&format!("pid {} ", pid(dir.path(), node))), "{before}");
    }
    assert!(before.contains("dashboard: http://"), "{before}");
    screen.eventually("it is told", SECOND, |lines| shows(lines, "network up: 6/6 links, 0 duplicate"));

    let height = figure(&screen.lines(), "height").unwrap();
    screen.eventually("heights grow", 20 * SECOND, |lines| figure(lines, "height") >= Some(height + 3));
    screen
        .eventually("a rate is known", 20 * SECOND, |lines| shows(lines, "traffic ") && shows(lines, "B/s"));
    screen.eventually("the links of all are beside them", 20 * SECOND, |lines| {
        shows(lines, "1 2 3 4") && shows(lines, "< < . >")
    });
    assert!(shows(&screen.lines(), "by node ") || shows(&screen.lines(), "  node "), "blocks are listed");

    screen.resize(40, 10);
    screen.eventually("a small screen", 5 * SECOND, |lines| {
        lines.len() == 10
            && lines[0].starts_with("timed devnet  network up")
            && lines[2].starts_with("NODE  ")
            && lines[6].starts_with("   4  ")
            && lines[9].starts_with("Ctrl-C")
    });
    screen.resize(9, 3);
    screen.eventually("one that is hardly there", 5 * SECOND, |lines| lines[0].starts_with("timed dev"));
    screen.resize(160, 50);
    screen.eventually("a large screen", 5 * SECOND, |lines| {
        shows(lines, "LAST EVENT") && lines[49].starts_with("Ctrl-C stops all nodes")
    });

    let pids: Vec<u32> = (1..=4).map(|node| pid(dir.path(), node)).collect();
    signal("KILL", pids[1]);
    screen.eventually("a killed node", 20 * SECOND, |lines| {
        shows(lines, "node 2 (pid ")
            && shows(lines, "was killed by signal 9")
            && figure(lines, "links") == Some(3)
    });
    assert!(screen.lines()[0].contains("1 of 4 nodes silent"), "{:#?}", screen.lines());

    screen.press("\x03");
    assert_eq!(screen.end(20 * SECOND), Some(0), "{:#?}", screen.lines());
    assert!(screen.is_given_back());
    let left = screen.lines().join("").replace('\n', "");
    for line in
        ["network up: 6/6 links", "was killed by signal 9", "the network ended healthy: 3 nodes, 3/3 links"]
    {
        assert!(left.contains(line), "{line}: {left}");
    }
    assert!(pids.iter().all(|pid| !lives(*pid)), "a node is left");
}

#[test]
fn a_terminal_gets_no_more_than_it_can_show() {
    let dir = tempfile::tempdir().unwrap();
    let base = quiet_ip();
    let with = |name: &str, value: &str| {
        let mut command = devnet(dir.path(), base, "1s");
        command.args(["--for", "6s"]).env(name, value);
        let mut screen = OnTerminal::start(&command, 100, 30);
        assert_eq!(screen.end(60 * SECOND), Some(0), "{}", screen.bytes());
        assert!(screen.is_given_back());
        let told = screen.bytes();
        assert!(told.contains("network up: 6/6 links"), "{told}");
        told
    };
    let colourless = with("NO_COLOR", "1");
    assert!(colourless.contains("\x1b[?1049h") && !colourless.contains("\x1b[38"), "{colourless:?}");
    let plain = with("TERM", "dumb");
    assert!(!plain.contains('\x1b'), "{plain:?}");
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_the_program_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let base = quiet_ip();
    let mut screen = OnTerminal::start(&devnet(dir.path(), base, "1s"), 80, 24);
    screen.eventually("every link", 60 * SECOND, |lines| figure(lines, "links") == Some(6));
    screen.press("\x1a");
    let stat = format!("/proc/{}/stat", screen.process.id());
    let stopped = || std::fs::read_to_string(&stat).unwrap().contains(") T ");
    eventually("it stops", 10 * SECOND, stopped);
    eventually("the terminal is the shell's", SECOND, || screen.is_given_back());
    signal("CONT", screen.process.id());
    screen.eventually("it is drawn again", 10 * SECOND, |lines| figure(lines, "links") == Some(6));
    assert!(screen.is_taken());
    screen.press("\x03");
    assert_eq!(screen.end(20 * SECOND), Some(0));
    assert!(screen.is_given_back());
}

#[test]
fn a_node_is_watched_on_a_terminal_and_in_lines() {
    let dir = tempfile::tempdir().unwrap();
    let ip = quiet_ip();
    lone_node(dir.path(), ip);
    let url = format!("http://{ip}:8332");
    let watch = |more: &[&str]| {
        let mut arguments = vec!["watch", "--api", &url, "--data-dir", text(dir.path())];
        arguments.extend(more);
        timed(&arguments)
    };
    let nobody = crate::operator::done(&mut watch(&[]));
    assert!(nobody.code == 1 && nobody.err.contains("is it running?"), "{nobody:?}");

    let listen = format!("{ip}:24100");
    let api = format!("{ip}:8332");
    let start = || {
        let arguments = ["run", "--data-dir", text(dir.path()), "--listen", &listen, "--api", &api];
        let node = Process::start(&mut timed(&arguments));
        eventually("the API answers", 20 * SECOND, || {
            http("GET", &format!("{url}/livez"), None, "").0 == 200
        });
        node
    };
    let node = start();
    let mut screen = OnTerminal::start(&watch(&[]), 100, 24);
    screen.eventually("the node is shown", 20 * SECOND, |lines| {
        figure(lines, "height").is_some() && shows(lines, &format!("{ip}:24100")) && shows(lines, "this node")
    });
    assert!(screen.is_taken());
    screen.resize(40, 10);
    screen.eventually("a small screen", 5 * SECOND, |lines| lines[9].starts_with("q or Ctrl-C ends"));
    let lines = Process::start(&mut watch(&[]));
    let facts = Process::start(&mut watch(&["--json"]));
    screen.resize(100, 24);
    screen.eventually("a block", 30 * SECOND, |lines| {
        figure(lines, "height") >= Some(1) && shows(lines, "block ")
    });

    signal("KILL", node.pid());
    screen.eventually("silence is told", 20 * SECOND, |lines| {
        lines[0].contains("no answer for") && shows(lines, "the node does not answer")
    });
    drop(node);
    let _node = start();
    screen.eventually("and its end", 30 * SECOND, |lines| {
        shows(lines, "the node answers again") && !lines[0].contains("no answer")
    });
    screen.press("q");
    assert_eq!(screen.end(5 * SECOND), Some(0));
    assert!(screen.is_given_back());

    for process in [&lines, &facts] {
        signal("INT", process.pid());
    }
    let told = lines.end(5 * SECOND);
    assert!(told.code == 0 && !told.out.contains('\x1b'), "{told:?}");
    for words in [" links, ", " block ", "the node does not answer", "the node answers again"] {
        assert!(told.out.contains(words), "{words}: {told:?}");
    }
    let told = facts.end(5 * SECOND);
    assert_eq!(told.code, 0, "{told:?}");
    let events: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events[0]["event"] == "status" && events[0]["node_id"].is_string(), "{told:?}");
    assert!(events.iter().any(|event| event["event"] == "block" && event["height"].is_u64()), "{told:?}");
    assert_eq!(run(&["watch", "--api", "http://"]).code, 2);
}
