//! The kinds of values a configuration holds, and how each is read from TOML or from plain text.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use timed_core::{CanonicalAddr, NetworkName, NodeId};
use toml::de::DeValue;

use super::document::shown;
use super::problem::did_you_mean;

/// A value as it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    /// In a file.
    Toml(&'a DeValue<'a>),
    /// In the environment or on the command line: the text without quotes.
    Text(&'a str),
}

impl<'a> Given<'a> {
    /// A text, if it is one.
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    /// A whole number that is not negative, if it is one.
    fn number(self) -> Option<u64> {
        match self {
            Self::Toml(value) => {
                let number = value.as_integer()?;
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toml(value) => f.write_str(&shown(value)),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// What was expected instead of the value that was given.
pub(crate) type Expected = String;

/// A type that a setting can have.
pub(crate) trait Setting: Sized {
    /// Reads a value; the error says what is expected.
    fn read(given: Given<'_>) -> Result<Self, Expected>;

    /// The part of a value in a file that cannot be read, where it is not the whole.
    fn part_at_fault(_: Given<'_>) -> Option<Range<usize>> {
        None
    }
}

/// One of these words, with the one that was probably meant.
fn one_of(given: Given<'_>, words: &[&'static str]) -> Expected {
    let listed = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ");
    match given.text().and_then(|text| did_you_mean(text, words.iter().copied())) {
        Some(meant) => format!("one of {listed}; did you mean {meant:?}?"),
        None => format!("one of {listed}"),
    }
}

fn parsed<T: FromStr>(given: Given<'_>, expected: &str) -> Result<T, Expected> {
    given.text().and_then(|text| text.parse().ok()).ok_or_else(|| expected.to_owned())
}

impl Setting for bool {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        match given {
            Given::Toml(value) => value.as_bool(),
            Given::Text(text) => text.parse().ok(),
        }
        .ok_or_else(|| "true or false".to_owned())
    }
}

impl Setting for String {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let text = given.text().filter(|text| !text.is_empty() && text.len() <= 64);
        text.filter(|text| !text.chars().any(char::is_control))
            .map(ToOwned::to_owned)
            .ok_or_else(|| "a text of 1 to 64 bytes without control characters".to_owned())
    }
}

impl Setting for NetworkName {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let expected = "a name of 1 to 32 characters of a-z, 0-9 and '-'";
        given.text().and_then(|text| Self::new(text).ok()).ok_or_else(|| expected.to_owned())
    }
}

impl Setting for IpAddr {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let expected = "an IP address that others can dial, such as \"203.0.113.7\"";
        let ip: Self = parsed(given, expected)?;
        match CanonicalAddr::new(SocketAddr::new(ip, 1)) {
            Ok(canonical) => Ok(canonical.ip()),
            Err(error) => Err(format!("{expected}; {error}")),
        }
    }
}

impl Setting for SocketAddr {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        parsed(given, "an IP address and a port, such as \"0.0.0.0:24100\"")
    }
}

/// A port that can be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) u16);

impl Setting for Port {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let port = given.number().and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
        port.map(Self).ok_or_else(|| "a port from 1 to 65535".to_owned())
    }
}

/// How many of something.
impl Setting for usize {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let count = given.number().and_then(|number| Self::try_from(number).ok());
        count
            .filter(|count| (1..=100_000).contains(count))
            .ok_or_else(|| "a number from 1 to 100000".to_owned())
    }
}

impl Setting for Duration {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let expected = "a duration from 1ms to 24h with its unit, such as \"10s\" or \"2m\"";
        let duration = given.text().and_then(|text| humantime::parse_duration(text).ok());
        duration
            .filter(|it| (Self::from_millis(1)..=Self::from_secs(86_400)).contains(it))
            .ok_or_else(|| expected.to_owned())
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub(crate) usize);

impl Setting for ByteSize {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        given
            .text()
            .and_then(parse_size)
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| "a size with its unit, such as \"512KiB\" or \"1MiB\"".to_owned())
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit: usize = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

/// A value, or `"auto"`: derived from what is known at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auto<T> {
    /// Derived.
    Auto,
    /// Given.
    Set(T),
}

impl<T> Auto<T> {
    /// The given value, or the derived one.
    pub(crate) fn or_else(self, derive: impl FnOnce() -> T) -> T {
        match self {
            Self::Auto => derive(),
            Self::Set(value) => value,
        }
    }
}

impl<T: Setting> Setting for Auto<T> {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        if given.text() == Some("auto") {
            return Ok(Self::Auto);
        }
        T::read(given).map(Self::Set).map_err(|expected| {
            let meant = given.text().and_then(|text| did_you_mean(text, ["auto"]));
            let hint = if meant.is_some() { "; did you mean \"auto\"?" } else { "" };
            format!("\"auto\" or {expected}{hint}")
        })
    }
}

/// A peer to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PeerEntry {
    /// By address, and by key if the entry names one.
    Addr {
        /// The key that it must prove.
        id: Option<NodeId>,
        /// Where it listens.
        addr: CanonicalAddr,
    },
    /// By a name to be resolved.
    Dns {
        /// The key that it must prove.
        id: Option<NodeId>,
        /// The host's name.
        host: String,
        /// The port; the network's default if the entry names none.
        port: Option<u16>,
    },
}

impl FromStr for PeerEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "IP:PORT, NODE_ID@IP:PORT, or a host name with or without a port".to_owned();
        let (id, place) = match text.split_once('@') {
            Some((id, place)) => {
                (Some(id.parse::<NodeId>().map_err(|error| format!("a node id before '@': {error}"))?), place)
            }
            None => (None, text),
        };
        if let Ok(socket) = place.parse::<SocketAddr>() {
            let addr = CanonicalAddr::new(socket).map_err(|error| format!("{}; {error}", expected()))?;
            return Ok(Self::Addr { id, addr });
        }
        if place.parse::<IpAddr>().is_ok() {
            return Err(format!("{}; the port is missing", expected()));
        }
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => {
                (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(expected)?))
            }
            None => (place, None),
        };
        let label = |label: &str| {
            (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let named = host.len() <= 253
            && host.trim_end_matches('.').split('.').all(label)
            && host.bytes().any(|b| b.is_ascii_alphabetic());
        if named { Ok(Self::Dns { id, host: host.to_owned(), port }) } else { Err(expected()) }
    }
}

impl Setting for PeerEntry {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        given.text().ok_or_else(|| "a text such as \"203.0.113.7:24100\"".to_owned())?.parse()
    }
}

/// A host name that the API answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(pub(crate) String);

impl Setting for HostName {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let good = |text: &&str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        };
        let text = given.text().filter(good).ok_or_else(|| "a host name without a port".to_owned())?;
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let named = |shown: String, expected: String| format!("{expected} in place of {shown}");
        match given {
            Given::Toml(DeValue::Array(items)) => items
                .iter()
                .map(|item| T::read(Given::Toml(item.get_ref())).map_err(|e| named(shown(item.get_ref()), e)))
                .collect(),
            Given::Toml(_) => Err("a list such as [\"...\", \"...\"]".to_owned()),
            Given::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| {
                    T::read(Given::Text(item)).map_err(|expected| named(format!("{item:?}"), expected))
                })
                .collect(),
        }
    }

    fn part_at_fault(given: Given<'_>) -> Option<Range<usize>> {
        let Given::Toml(DeValue::Array(items)) = given else { return None };
        let wrong = items.iter().find(|item| T::read(Given::Toml(item.get_ref())).is_err());
        wrong.map(toml::Spanned::span)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The word in files and on the command line.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl Setting for $name {
            fn read(given: Given<'_>) -> Result<Self, Expected> {
                match given.text() {
                    $(Some($text) => Ok(Self::$variant),)*
                    _ => Err(one_of(given, &[$($text),*])),
                }
            }
        }
    };
}

words! {
    /// How much is logged.
    LogLevel {
        /// Only what stops the node or needs the operator.
        Error = "error",
        /// Also what an operator should know.
        Warn = "warn",
        /// Also one line a state change.
        Info = "info",
        /// Also every heartbeat.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

words! {
    /// How log lines are written.
    LogFormat {
        /// Lines for people, on standard error.
        Text = "text",
        /// One JSON object a line, on standard error.
        Json = "json",
        /// Native fields to the systemd journal.
        Journald = "journald",
    }
}

/// Whether a limit acts, or is only watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enforce {
    /// It acts.
    On,
    /// What it would have done is counted and logged.
    Observe,
}

impl Setting for Enforce {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        match given.text() {
            Some("on") => Ok(Self::On),
            Some("observe") => Ok(Self::Observe),
            _ => Err(one_of(given, &["on", "observe"])),
        }
    }
}

/// A limit: its bound, and whether it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit<T> {
    /// The bound; `None` where only `enforce` was given.
    pub(crate) max: Option<T>,
    /// Whether it acts.
    pub(crate) enforce: Enforce,
}

impl<T: Setting> Setting for Limit<T> {
    fn read(given: Given<'_>) -> Result<Self, Expected> {
        let Given::Toml(DeValue::Table(table)) = given else {
            return T::read(given)
                .map(|max| Self { max: Some(max), enforce: Enforce::On })
                .map_err(|expected| format!("{expected}, or a table {{ max = …, enforce = \"on\" }}"));
        };
        let mut limit = Self { max: None, enforce: Enforce::On };
        for (key, value) in table {
            let given = Given::Toml(value.get_ref());
            let in_place = |expected| format!("{}: {expected} in place of {given}", key.get_ref());
            match key.get_ref().as_ref() {
                "max" => limit.max = Some(T::read(given).map_err(in_place)?),
                "enforce" => limit.enforce = Enforce::read(given).map_err(in_place)?,
                other => {
                    let meant = did_you_mean(other, ["max", "enforce"]);
                    let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                    return Err(format!("the keys max and enforce only, not {other:?}{hint}"));
                }
            }
        }
        Ok(limit)
    }

    fn part_at_fault(given: Given<'_>) -> Option<Range<usize>> {
        let Given::Toml(DeValue::Table(table)) = given else { return None };
        table.iter().find_map(|(key, value)| {
            let given = Given::Toml(value.get_ref());
            match key.get_ref().as_ref() {
                "max" => T::read(given).is_err().then(|| value.span()),
                "enforce" => Enforce::read(given).is_err().then(|| value.span()),
                _ => Some(key.span()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T: Setting>(text: &str) -> Result<T, Expected> {
        T::read(Given::Text(text))
    }

    #[test]
    fn units_are_required_and_exact() {
        assert_eq!(text::<ByteSize>("1MiB"), Ok(ByteSize(1_048_576)));
        assert_eq!(text::<ByteSize>("256 KiB"), Ok(ByteSize(262_144)));
        assert_eq!(text::<Duration>("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "", "0KiB", "1mib", "99999999999GiB", "-1KiB"] {
            assert!(text::<ByteSize>(wrong).is_err(), "{wrong}");
        }
        for wrong in ["10", "", "0s", "25h", "5 parsecs", "-1s"] {
            assert!(text::<Duration>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn peers_have_three_forms() {
        let id = NodeId([7; 32]);
        let addr = "10.0.0.1:24100".parse().unwrap();
        assert_eq!("10.0.0.1:24100".parse(), Ok(PeerEntry::Addr { id: None, addr }));
        assert_eq!("[::ffff:10.0.0.1]:24100".parse(), Ok(PeerEntry::Addr { id: None, addr }));
        assert_eq!(format!("{id}@10.0.0.1:24100").parse(), Ok(PeerEntry::Addr { id: Some(id), addr }));
        let host = "seed.example.org".to_owned();
        assert_eq!(
            "seed.example.org".parse(),
            Ok(PeerEntry::Dns { id: None, host: host.clone(), port: None })
        );
        assert_eq!("seed.example.org:7".parse(), Ok(PeerEntry::Dns { id: None, host, port: Some(7) }));
        for wrong in
            ["10.0.0.1", "0.0.0.0:1", "x@10.0.0.1:1", "a b", "", "300.1.1.1:5", "host:0", "10.0.0.1:0"]
        {
            assert!(wrong.parse::<PeerEntry>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn auto_lists_and_limits() {
        assert_eq!(text::<Auto<usize>>("auto"), Ok(Auto::Auto));
        assert_eq!(text::<Auto<usize>>("12"), Ok(Auto::Set(12)));
        assert_eq!(text::<Vec<PeerEntry>>("10.0.0.1:1, 10.0.0.2:1").map(|peers| peers.len()), Ok(2));
        assert_eq!(text::<Limit<usize>>("5"), Ok(Limit { max: Some(5), enforce: Enforce::On }));
        let table = DeValue::parse("{ max = 5, enforce = \"observe\" }").unwrap();
        assert_eq!(
            Limit::<usize>::read(Given::Toml(table.get_ref())),
            Ok(Limit { max: Some(5), enforce: Enforce::Observe })
        );
    }
}
