use super::schema::{KEYS, Standard};
use super::*;

fn file(text: &str) -> Result<Config, Vec<SettingProblem>> {
    Config::read(Sources { file: Some(("config.toml", text)), ..Sources::default() })
}

fn complaint(text: &str) -> String {
    lines(&file(text).unwrap_err())
}

#[test]
fn an_empty_file_is_the_defaults_of_core_and_schema() {
    let config = file("").unwrap();
    assert_eq!(config, Config::read(Sources::default()).unwrap());
    assert_eq!(config.timings(), Timings::default());
    assert_eq!(config.limits.bounds, Limits { ..Limits::default() });
    assert_eq!(config.core_limits(4), Limits::for_registry(4));
    assert_eq!(config.network.listen, "0.0.0.0:24100".parse().unwrap());
    assert_eq!((config.network.port, config.advertised()), (24100, None));
}

#[test]
fn the_commented_file_states_the_defaults() {
    let written = commented(&[]);
    assert_eq!(file(&written).unwrap(), file("").unwrap());
    let uncommented: String = written
        .lines()
        .filter(|line| !line.contains("# not set"))
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let mut read = file(&uncommented).unwrap();
    assert_eq!(read.node.network.take().as_ref().map(NetworkName::as_str), Some("testnet"));
    assert_eq!(read, file("").unwrap());
    let stated = KEYS.iter().filter(|key| matches!(key.standard, Standard::Value(_))).count();
    assert_eq!(
        uncommented.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count(),
        stated
    );
}

#[test]
fn every_key_is_read() {
    // A value of a kind that no key accepts must be complained of for each of them.
    for key in KEYS {
        let text = format!("[{}]\n{} = 1979-05-27\n", key.section, key.name);
        let complaint = complaint(&text);
        let expected = format!(
            "config.toml:2:{}: {}.{}: found 1979-05-27, expected ",
            key.name.len() + 4,
            key.section,
            key.name
        );
        assert!(complaint.starts_with(&expected), "{complaint}");
    }
}

#[test]
fn unknown_keys_name_place_and_suggestion() {
    assert_eq!(
        complaint("[network]\n  max_peer = 5\n"),
        "config.toml:2:3: network.max_peer: unknown key; did you mean max_peers?"
    );
    assert_eq!(
        complaint("[node]\nlisten = \"0.0.0.0:1\"\n"),
        "config.toml:2:1: node.listen: unknown key; did you mean network.listen?"
    );
    assert_eq!(
        complaint("[netwrok]\n"),
        "config.toml:1:2: netwrok: unknown section; did you mean [network]?"
    );
    assert_eq!(
        complaint("port = 5\n"),
        "config.toml:1:1: port: unknown section; the key port belongs in [network]"
    );
    assert!(complaint("[api]\nzzzzzzzz = 1\n").ends_with("unknown key; [api] has enabled, listen, hosts"));
}

#[test]
fn all_problems_are_told_at_once_in_order() {
    let complaint = complaint(
        "[network]\ndial_timeout = 5\nlocal_ip = \"0.0.0.0\"\nport = 70000\n[masternode]\nenabled = \"yes\"\n",
    );
    let lines: Vec<&str> = complaint.lines().collect();
    assert_eq!(lines.len(), 4, "{complaint}");
    assert!(lines[0].starts_with("config.toml:2:16: network.dial_timeout: found 5, expected a duration"));
    assert!(lines[1].starts_with("config.toml:3:12: network.local_ip: found \"0.0.0.0\""));
    assert!(lines[2].starts_with("config.toml:4:8: network.port: found 70000, expected a port"));
    assert!(lines[3].contains("expected \"auto\" or true or false"));
}

#[test]
fn flags_win_over_environment_over_file() {
    let flags =
        [Flag { flag: "--listen", section: "network", name: "listen", value: "127.0.0.3:3".to_owned() }];
    let environment = [
        ("TIMED_NETWORK__LISTEN".to_owned(), "127.0.0.2:2".to_owned()),
        ("TIMED_NETWORK__MAX_PEERS".to_owned(), "77".to_owned()),
        ("TIMED_LIMITS__DIALING".to_owned(), "9".to_owned()),
        ("TIMED_LOG".to_owned(), "ignored".to_owned()),
    ];
    let text = "[network]\nlisten = \"127.0.0.1:1\"\nmax_peers = 60\nwrite_timeout = \"9s\"\n";
    let sources = Sources { flags: &flags, environment: &environment, file: Some(("c", text)) };
    let config = Config::read(sources).unwrap();
    assert_eq!(config.network.listen, "127.0.0.3:3".parse().unwrap());
    assert_eq!(config.network.max_peers, Auto::Set(77));
    assert_eq!(config.network.write_timeout, Duration::from_secs(9));
    assert_eq!(config.limits.bounds.dialing, 9);
    let config = Config::read(Sources { flags: &[], ..sources }).unwrap();
    assert_eq!(config.network.listen, "127.0.0.2:2".parse().unwrap());
}

#[test]
fn environment_and_flags_are_named_in_complaints() {
    let environment = [("TIMED_NETWORK__MAX_PEER".to_owned(), "7".to_owned())];
    let sources = Sources { environment: &environment, ..Sources::default() };
    assert_eq!(
        lines(&Config::read(sources).unwrap_err()),
        "environment TIMED_NETWORK__MAX_PEER: no such key; did you mean TIMED_NETWORK__MAX_PEERS?"
    );
    let flags = [Flag { flag: "--api", section: "api", name: "listen", value: "nowhere".to_owned() }];
    let problems = Config::read(Sources { flags: &flags, ..Sources::default() }).unwrap_err();
    assert!(
        lines(&problems).starts_with("flag --api: api.listen: found \"nowhere\", expected an IP address")
    );
}

#[test]
fn port_and_listen_follow_each_other() {
    let network = |text: &str| file(text).unwrap().network;
    assert_eq!(network("[network]\nport = 7\n").listen, "0.0.0.0:7".parse().unwrap());
    assert_eq!(network("[network]\nlisten = \"10.0.0.1:9\"\n").port, 9);
    let both = network("[network]\nport = 7\nlisten = \"10.0.0.1:9\"\n");
    assert_eq!((both.port, both.listen.port()), (7, 9));
}

#[test]
fn masternode_slots_follow_the_rule() {
    let slots = |text: &str, registry| file(text).unwrap().core_limits(registry).masternode_slots;
    assert_eq!(slots("", 4), 20);
    assert_eq!(slots("[network]\nmax_peers = 70\n", 4), 28);
    assert_eq!(slots("[network]\nmax_peers = 200\n", 4), 30);
    assert_eq!(slots("[network]\nmax_peers = 200\n", 100), 100);
    assert_eq!(slots("[network]\nmax_peers = 10\n", 4), 10);
    assert_eq!(slots("[network]\nmax_peers = 10\nmasternode_slots = 6\n", 4), 6);
    assert!(complaint("[network]\nmax_peers = 10\nmasternode_slots = 11\n").contains("more than max_peers"));
}

#[test]
fn private_addresses_are_believed_where_they_are_allowed_or_our_own_is_one() {
    let addresses = |text: &str| file(&format!("[network]\n{text}\n")).unwrap().addresses();
    for (scope, text) in [
        (AddrScope::Global, ""),
        (AddrScope::Global, "local_ip = \"9.9.9.9\""),
        (AddrScope::Private, "local_ip = \"127.0.0.2\""),
        (AddrScope::Private, "local_ip = \"fd00::2\""),
        (AddrScope::Private, "allow_private = true"),
        (AddrScope::Global, "allow_private = false\nlocal_ip = \"10.0.0.2\""),
    ] {
        assert_eq!(addresses(text), scope, "{text}");
    }
}

#[test]
fn the_conduct_of_peers_may_be_only_observed() {
    let limits = |text: &str| file(text).unwrap().core_limits(4);
    assert_eq!(limits("").punish, timed_core::Enforce::On);
    let observed = limits("[limits]\nscores = { max = 10, enforce = \"observe\" }\nbans = 20\n");
    assert_eq!((observed.punish, observed.scores, observed.bans), (timed_core::Enforce::Observe, 10, 20));
}

#[test]
fn rates_are_numbers_sizes_or_auto_and_may_be_observed() {
    let config = file(
        "[limits]\nrate_heartbeat = 50\nrate_datagram = \"2MiB\"\nrate_consensus = { enforce = \"observe\" }\n\
         rate_total = { max = \"auto\", enforce = \"observe\" }\n",
    )
    .unwrap();
    let rates = config.core_limits(4).rates;
    let of = |class| (rates.of(class).per_second, rates.of(class).enforce);
    assert_eq!(of(TrafficClass::Heartbeat), (Some(50), timed_core::Enforce::On));
    assert_eq!(of(TrafficClass::Datagram), (Some(2 << 20), timed_core::Enforce::On));
    for class in [TrafficClass::Consensus, TrafficClass::Total] {
        assert_eq!(of(class), (None, timed_core::Enforce::Observe));
    }
    assert_eq!(config.limits.observed, Vec::<&str>::new(), "it has its effect: nothing to warn of");
    assert_eq!(RATES.len(), TrafficClass::ALL.len());
    assert!(RATES.iter().all(|(name, class)| name.strip_prefix("rate_") == Some(class.as_str())));
    let wrong = complaint("[limits]\nrate_heartbeat = \"2MiB\"\nrate_datagram = 7\n");
    assert_eq!(wrong.lines().count(), 2, "{wrong}");
}
