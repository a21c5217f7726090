//! The flight recorder of a running daemon: written by signal and by order, replayed to the same events, redacted.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::network::Network;
use crate::operator::{run, signal, text};

const SECOND: Duration = Duration::from_secs(1);

fn recordings(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("flight-") && name.ends_with(".timed")
        })
        .collect();
    found.sort();
    found
}

/// Every event that `/events` of a node tells from now on: its name and what it says.
fn events(network: &Network, host: u8) -> Receiver<(String, serde_json::Value)> {
    let addr = format!("{}:8332", network.ip(host));
    let mut stream = TcpStream::connect(&addr).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut name = String::new();
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            if let Some(said) = line.strip_prefix("event: ") {
                name = said.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let _ = tell.send((name.clone(), serde_json::from_str(data).unwrap()));
            }
        }
    });
    told
}

fn without_time(mut data: serde_json::Value) -> serde_json::Value {
    data.as_object_mut().unwrap().remove("at");
    data
}

#[test]
fn what_a_daemon_did_is_written_by_signal_and_replayed_to_the_same_events() {
    let mut network = Network::with_blocks(&[1, 2, 3, 4], SECOND);
    network.start_all();
    network.eventually("the mesh", 20 * SECOND, || network.is_meshed(&[1, 2, 3, 4]));
    let dir = network.path(1);
    let heard = events(&network, 1);
    thread::sleep(SECOND);
    let payload = b"not for everybody's eyes: 4711 pieces of eight".repeat(5);
    fs::write(dir.join("cargo"), &payload).unwrap();
    assert_eq!(network.verb(2, &["submit", text(&dir.join("cargo"))]).code, 0);
    network.kill(4);
    thread::sleep(4 * SECOND);

    signal("USR2", network.pid(1));
    network.eventually("the file", 5 * SECOND, || recordings(&dir).len() == 1);
    let file = recordings(&dir).remove(0);
    assert!(file.to_str().unwrap().ends_with("-signal.timed"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    network.eventually("a line in the log", 5 * SECOND, || network.logged(1, &["recording written"]) == 1);

    // The same events, in the same order.
    let replay = run(&["replay", "--json", text(&file)]);
    assert_eq!(replay.code, 0, "{}", replay.err);
    assert!(replay.err.contains("are the recorded ones"), "{}", replay.err);
    let printed: Vec<(String, serde_json::Value)> = replay
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (line["event"].as_str().unwrap().to_owned(), without_time(line["data"].clone())))
        .collect();
    let heard: Vec<(String, serde_json::Value)> =
        heard.try_iter().map(|(name, data)| (name, without_time(data))).collect();
    let down = heard.iter().position(|(name, _)| name == "link_down").expect("the death was heard");
    let until = heard.len().min(down + 3);
    let mut rest = printed.iter();
    for event in &heard[..until] {
        assert!(rest.any(|printed| printed == event), "{event:?} is not printed in its place");
    }
    assert!(printed.len() > until);

    // No key, and what was said only until it is redacted.
    let bytes = fs::read(&file).unwrap();
    let key = fs::read_to_string(dir.join("node_key")).unwrap();
    let hex: String = key.chars().filter(char::is_ascii_hexdigit).collect();
    let secret: Vec<u8> =
        (0..hex.len() / 2).filter_map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).ok()).collect();
    let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(secret.len() >= 32 && !holds(&bytes, &secret[..32]) && !holds(&bytes, hex.as_bytes()));
    assert!(holds(&bytes, &payload));
    let redacted = dir.join("redacted");
    let made = run(&["replay", "--redact", "--output", text(&redacted), text(&file)]);
    assert_eq!(made.code, 0, "{}", made.err);
    let again = run(&["replay", "--commands", text(&redacted)]);
    assert_eq!(again.code, 0, "{}", again.err);
    let bytes = fs::read(&redacted).unwrap();
    assert!(!holds(&bytes, &payload[..20]));
    for host in [1, 2, 3, 4] {
        let ip = network.ip(host);
        assert!(!holds(&bytes, &ip.octets()), "{ip} is in the redacted file");
        assert!(!again.out.contains(&ip.to_string()), "{ip} is printed");
    }
    assert!(again.out.contains("link_down") && again.out.lines().count() > 50);

    // A file that is damaged is refused with the place; one that is there already is kept.
    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(dir.join("damaged"), &damaged).unwrap();
    let refused = run(&["replay", text(&dir.join("damaged"))]);
    assert_eq!((refused.code, refused.err.contains("offset")), (78, true), "{}", refused.err);
    fs::write(dir.join("cut"), &damaged[..damaged.len() / 3]).unwrap();
    let refused = run(&["replay", text(&dir.join("cut"))]);
    assert_eq!((refused.code, refused.err.contains("it ends within")), (78, true), "{}", refused.err);
    assert_eq!(run(&["replay", "--output", text(&redacted), text(&file)]).code, 1);
    for missing_or_foreign in ["node_key", "missing"] {
        let refused = run(&["replay", text(&dir.join(missing_or_foreign))]);
        assert_eq!((refused.code, refused.err.contains(missing_or_foreign)), (78, true), "{}", refused.err);
    }

    // By order, and no more of them than are kept.
    for _ in 0..6 {
        let done = network.verb(1, &["record"]);
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.out.contains("-order.timed"), "{}", done.out);
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(recordings(&dir).len(), 4);
    network.kill_all();
}

#[test]
fn without_a_recorder_the_order_is_refused_and_the_signal_only_logged() {
    let mut network = Network::new(&[1]);
    let mut command = network.command(1, &network.path(1));
    network.adopt(1, command.env("TIMED_RECORDER__ENABLED", "false"));
    network.eventually("the API", 10 * SECOND, || network.get(1, "/livez").0 == 200);
    let done = network.verb(1, &["record"]);
    assert!(done.code == 1 && done.err.contains("recorder.enabled"), "{}", done.err);
    signal("USR2", network.pid(1));
    network.eventually("a warning", 5 * SECOND, || network.logged(1, &["no recording is written"]) == 1);
    assert!(!network.has_ended(1));
    assert_eq!(recordings(&network.path(1)), [] as [PathBuf; 0]);
    assert_eq!(network.terminate(1), 0);
}
