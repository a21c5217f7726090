//! Files, permissions and exit codes, as an operator meets them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use crate::loopback::quiet_ip;
use crate::operator::{Process, done, eventually, http, lone_node, run, text, timed};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn init_makes_private_files_once_and_never_overwrites() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let first = run(&["init", "--data-dir", text(&dir)]);
    assert_eq!((first.code, first.out.trim().len()), (0, 64), "{first:?}");
    assert_eq!((mode(&dir), mode(&dir.join("node_key"))), (0o700, 0o600));
    fs::write(dir.join("config.toml"), "# mine\n").unwrap();
    let key = fs::read(dir.join("node_key")).unwrap();
    let second = run(&["init", "--data-dir", text(&dir)]);
    assert_eq!((second.code, &second.out), (0, &first.out), "{second:?}");
    assert!(second.err.contains("kept") && !second.err.contains("wrote"), "{second:?}");
    assert_eq!(fs::read(dir.join("node_key")).unwrap(), key);
    assert_eq!(fs::read(dir.join("config.toml")).unwrap(), b"# mine\n");
    assert_eq!(run(&["id", "--data-dir", text(&dir)]).out, first.out);
}

#[test]
fn the_data_directory_follows_flag_then_state_directory_then_home() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let init = done(timed(&["init"]).env("STATE_DIRECTORY", &state).env("HOME", home.path()));
    assert_eq!(init.code, 0, "{init:?}");
    assert!(state.join("node_key").exists());
    let flag = home.path().join("flag");
    let init = done(timed(&["init", "--data-dir", text(&flag)]).env("STATE_DIRECTORY", &state));
    assert!(init.code == 0 && flag.join("node_key").exists(), "{init:?}");
}

#[test]
fn an_over_open_key_is_refused_with_the_command_that_repairs_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    lone_node(&dir, quiet_ip());
    let key = dir.join("node_key");
    for open in [0o640, 0o604, 0o666] {
        fs::set_permissions(&key, Permissions::from_mode(open)).unwrap();
        for verb in ["run", "check-config", "id"] {
            let refused = run(&[verb, "--data-dir", text(&dir)]);
            assert_eq!(refused.code, 77, "{refused:?}");
            assert!(refused.err.contains(&format!("chmod 600 {}", key.display())), "{refused:?}");
        }
    }
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    let refused = run(&["run", "--data-dir", text(&dir)]);
    assert!(refused.code == 77 && refused.err.contains("chmod 700"), "{refused:?}");
}

#[test]
fn mistakes_in_the_configuration_have_place_and_suggestion() {
    let home = tempfile::tempdir().unwrap();
    let (dir, ip) = (home.path().join("node"), quiet_ip());
    lone_node(&dir, ip);
    let config = dir.join("config.toml");
    for (content, told) in [
        ("[network]\nmax_peer = 5\n", ":2:1: network.max_peer: unknown key; did you mean max_peers?"),
        ("[network]\n  listen = 5\n", ":2:12: network.listen: found 5, expected an IP address and a port"),
        ("[masternode]\nheartbeat_interval = \"10\"\n", ":2:22: masternode.heartbeat_interval: found \"10\""),
        ("[node\n", ":1:"),
        ("[node]\nnetwork = \"othernet\"\n", "node.network is \"othernet\""),
        ("", "set network.local_ip to 127."),
        ("[network]\nlocal_ip = \"10.9.9.9\"\n", "network.local_ip and port give 10.9.9.9:24100"),
    ] {
        fs::write(&config, content).unwrap();
        for verb in ["check-config", "run"] {
            let refused = run(&[verb, "--data-dir", text(&dir)]);
            assert_eq!(refused.code, 78, "{content}: {refused:?}");
            assert!(refused.err.contains(told), "{content}: {refused:?}");
        }
    }
    fs::remove_file(&config).unwrap();
    let check = run(&["check-config", "--data-dir", text(&dir), "--local-ip", &ip.to_string()]);
    assert_eq!(check.code, 0, "{check:?}");
    let absent = run(&["run", "--data-dir", text(&dir), "-c", text(&config)]);
    assert!(absent.code == 78 && absent.err.contains("no configuration file"), "{absent:?}");
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let none = run(&["run", "--data-dir", text(&dir)]);
    assert!(none.code == 78 && none.err.contains("timed init --data-dir"), "{none:?}");
    assert_eq!(run(&["init", "--data-dir", text(&dir)]).code, 0);
    let no_genesis = run(&["run", "--data-dir", text(&dir)]);
    assert!(no_genesis.code == 78 && no_genesis.err.contains("genesis.toml"), "{no_genesis:?}");
    fs::write(dir.join("node_key"), "not a key\n").unwrap();
    let damaged = run(&["id", "--data-dir", text(&dir)]);
    assert!(damaged.code == 78 && damaged.err.contains("damaged"), "{damaged:?}");
}

#[test]
fn genesis_files_are_checked_and_their_hash_ignores_formatting() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for number in 1..=3 {
        let dir = home.path().join(number.to_string());
        let id = run(&["init", "--data-dir", text(&dir)]).out.trim().to_owned();
        nodes.push(format!("{id}@10.0.0.{number}:24100"));
    }
    let build = |out: &std::path::Path, order: [usize; 3]| {
        let mut arguments = vec!["genesis", "--out", text(out), "--network", "a", "--block-interval", "1s"];
        for index in order {
            arguments.extend(["--masternode", &nodes[index]]);
        }
        run(&arguments)
    };
    let (a, b) = (home.path().join("a.toml"), home.path().join("b.toml"));
    let (first, second) = (build(&a, [0, 1, 2]), build(&b, [2, 0, 1]));
    assert_eq!((first.code, first.out.trim().len()), (0, 64), "{first:?}");
    assert_eq!(first.out, second.out);
    let again = build(&a, [0, 1, 2]);
    assert!(again.code == 1 && again.err.contains("stays as it is"), "{again:?}");
    for wrong in ["x@10.0.0.1:1", "10.0.0.1:1", &nodes[0].replace(":24100", "")] {
        assert_eq!(run(&["genesis", "--masternode", wrong]).code, 2, "{wrong}");
    }
    let twice = run(&["genesis", "--masternode", &nodes[0], "--masternode", &nodes[0]]);
    assert!(twice.code == 2 && twice.err.contains("registered twice"), "{twice:?}");
}

#[test]
fn a_data_directory_and_an_address_have_one_user() {
    let home = tempfile::tempdir().unwrap();
    let ip = quiet_ip();
    let (dir, other) = (home.path().join("node"), home.path().join("other"));
    lone_node(&dir, ip);
    lone_node(&other, ip);
    let listen = format!("{ip}:24100");
    let api = |port: u16| format!("{ip}:{port}");
    let arguments = ["run", "--data-dir", text(&dir), "--listen", &listen, "--api", &api(8332)];
    let node = Process::start(&mut timed(&arguments));
    let url = format!("http://{}", api(8332));
    eventually("the API answers", Duration::from_secs(20), || {
        http("GET", &format!("{url}/livez"), None, "").0 == 200
    });
    let second = run(&arguments);
    assert_eq!(second.code, 75, "{second:?}");
    assert!(second.err.contains(&format!("process {}", node.pid())) && second.err.contains(text(&dir)));

    let in_use = run(&["run", "--data-dir", text(&other), "--listen", &listen, "--api", &api(8333)]);
    assert!(in_use.code == 1 && in_use.err.contains(&listen) && in_use.err.contains("in use"), "{in_use:?}");
    let free = format!("{ip}:24101");
    let arguments = ["run", "--data-dir", text(&other), "--listen", &free, "--api", &api(8332)];
    let in_use = done(timed(&arguments).env("TIMED_NETWORK__PORT", "24100"));
    assert!(in_use.code == 1 && in_use.err.contains("api.listen"), "{in_use:?}");

    crate::operator::signal("TERM", node.pid());
    let ended = node.end(Duration::from_secs(10));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!dir.join(".cookie").exists());
}

#[test]
fn help_version_completions_and_usage() {
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for verb in "devnet run init genesis id check-config version status peers matrix masternodes why connect \
                 disconnect stop health completions man"
        .split_whitespace()
    {
        assert!(help.out.lines().any(|line| line.trim_start().starts_with(&format!("{verb} "))), "{verb}");
    }
    assert_eq!(run(&["no-such-verb"]).code, 2);
    assert_eq!(run(&["run", "--no-such-flag"]).code, 2);
    assert_eq!(run(&["devnet", "--nodes", "0"]).code, 2);
    assert!(run(&["version"]).out.contains(env!("CARGO_PKG_VERSION")));
    assert!(run(&["completions", "bash"]).out.contains("check-config"));
    assert!(run(&["man"]).out.contains("devnet"));
}
