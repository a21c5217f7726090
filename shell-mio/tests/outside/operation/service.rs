//! What stands around a node: its service manager, and those who watch its numbers.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::loopback::quiet_ip;
use crate::operator::{Process, eventually, http, lone_node, run, signal, text, timed};

const SECOND: Duration = Duration::from_secs(1);

/// What the manager hears within a time, or until something is said.
fn heard(manager: &UnixDatagram, within: Duration, until: &str) -> Vec<String> {
    let (begun, mut all) = (Instant::now(), Vec::new());
    let mut buffer = [0; 1024];
    while let Some(left) = within.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        manager.set_read_timeout(Some(left)).unwrap();
        match manager.recv(&mut buffer) {
            Ok(count) => all.push(String::from_utf8(buffer[..count].to_vec()).unwrap()),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => break,
            Err(error) => panic!("{error}"),
        }
        if all.last().unwrap().lines().any(|line| line == until) {
            break;
        }
    }
    all
}

fn said(news: &[String], line: &str) -> usize {
    news.iter().flat_map(|news| news.lines()).filter(|said| *said == line).count()
}

#[test]
fn a_service_manager_hears_how_the_node_is_and_the_watchdog_misses_a_stuck_one() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let ip = quiet_ip();
    lone_node(&dir, ip);
    let socket = home.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let (listen, api) = (format!("{ip}:24100"), format!("{ip}:8332"));
    let arguments = ["run", "--data-dir", text(&dir), "--listen", &listen, "--api", &api];
    let mut command = timed(&arguments);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "4000000").env_remove("WATCHDOG_PID");
    let node = Process::start(&mut command);

    let start = heard(&manager, 20 * SECOND, "READY=1");
    assert_eq!(said(&start, "READY=1"), 1, "{start:?}");
    let alive = heard(&manager, 5 * SECOND, "");
    assert!((1..=3).contains(&said(&alive, "WATCHDOG=1")), "every two seconds: {alive:?}");
    let status = start.iter().chain(&alive).any(|news| news.starts_with("STATUS=height "));
    assert!(status, "{start:?} {alive:?}");

    signal("HUP", node.pid());
    let reload = heard(&manager, 10 * SECOND, "READY=1");
    let begun = reload.iter().position(|news| news.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(begun.is_some() && reload.last().unwrap() == "READY=1", "{reload:?}");

    signal("STOP", node.pid());
    let _ = heard(&manager, SECOND / 10, "");
    let stuck = heard(&manager, 5 * SECOND, "");
    assert_eq!(said(&stuck, "WATCHDOG=1"), 0, "{stuck:?}");
    signal("CONT", node.pid());
    let again = heard(&manager, 5 * SECOND, "WATCHDOG=1");
    assert_eq!(said(&again, "WATCHDOG=1"), 1, "{again:?}");

    signal("TERM", node.pid());
    let stop = heard(&manager, 10 * SECOND, "STOPPING=1");
    assert_eq!(said(&stop, "STOPPING=1"), 1, "{stop:?}");
    assert_eq!(node.end(10 * SECOND).code, 0);
}

/// Every name of a metric in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("timed_")).collect()
}

#[test]
fn every_metric_of_the_dashboard_and_the_alerts_is_served_and_every_alert_is_in_the_handbook() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let ip = quiet_ip();
    lone_node(&dir, ip);
    let (listen, api) = (format!("{ip}:24100"), format!("{ip}:8332"));
    let arguments = ["run", "--data-dir", text(&dir), "--listen", &listen, "--api", &api];
    let _node = Process::start(&mut timed(&arguments));
    let url = format!("http://{api}/metrics");
    let mut served = String::new();
    eventually("metrics are served", 20 * SECOND, || {
        let (status, answer) = http("GET", &url, None, "");
        served = answer.as_str().unwrap_or_default().to_owned();
        status == 200 && served.contains("\ntimed_masternode_active{")
    });
    // A family without samples yet is announced; a histogram's parts are samples.
    let served = metrics_in(&served);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| fs::read_to_string(here.join(file)).unwrap();
    let alerts = read("monitoring/alerts.yml");
    for (file, text) in [("alerts.yml", &alerts), ("dashboard.json", &read("monitoring/dashboard.json"))] {
        let named = metrics_in(text);
        assert!(named.len() > 20, "{file}: {named:?}");
        let missing: Vec<_> = named.difference(&served).collect();
        assert!(missing.is_empty(), "{file} names what is not served: {missing:?}");
    }
    let (handbook, tried) = (read("HANDBOOK.md"), read("monitoring/alerts_test.yml"));
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(handbook.contains(&format!("| `{alert}` |")), "{alert} is not in the handbook");
        let in_tests = tried.lines().any(|line| line.trim().strip_prefix("alertname: ") == Some(alert));
        assert!(in_tests, "{alert} is not in alerts_test.yml");
    }
}

/// Where Prometheus's own tool is installed.
#[test]
fn every_alert_fires_for_the_node_that_is_bad_alone() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring");
    for arguments in [&["check", "rules", "alerts.yml"][..], &["test", "rules", "alerts_test.yml"]] {
        match Command::new("promtool").args(arguments).current_dir(&here).output() {
            Ok(done) => assert!(done.status.success(), "{arguments:?}: {done:?}"),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("promtool is not installed: not tried");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn every_verb_has_its_page() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "--dir", text(dir.path())]).code, 0);
    let verbs = run(&["--help"]).out;
    let verbs =
        verbs.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<_> = verbs.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.contains(&"run") && verbs.contains(&"why"), "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let page = fs::read_to_string(dir.path().join(format!("timed-{verb}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    let main = fs::read_to_string(dir.path().join("timed.1")).unwrap();
    assert!(main.contains("Exit codes"), "{main}");
    assert_eq!(run(&["man", "--dir", "/nowhere/at/all"]).code, 1);
}
