//! The form of a proof: a first line that names the network, then one heartbeat a line, in the hexadecimal digits of
//! its body as it goes over the wire (rule M-1).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use timed_core::wire::codec::decode_body;
use timed_core::wire::message::{Heartbeat, Kind, Message};
use timed_core::{GenesisHash, Wall};

use super::super::hex::{hex, unhex};

/// The first word of the first line.
const MAGIC: &str = "timed-attestations-v1";

/// The first line: of which network the heartbeats are, and how far samples lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The network's identity.
    pub(crate) genesis: GenesisHash,
    /// From the start of one sample to that of the next, counted from the beginning of Unix time.
    pub(crate) period: Duration,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MAGIC} genesis={} period_ms={}", self.genesis, self.period.as_millis())
    }
}

impl FromStr for Head {
    type Err = &'static str;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected: timed-attestations-v1 genesis=HASH period_ms=NUMBER";
        let mut words = line.split_ascii_whitespace();
        let mut value = |name: &str| words.next()?.strip_prefix(name);
        let head = (|| {
            value(MAGIC).filter(|rest| rest.is_empty())?;
            let genesis = value("genesis=")?.parse().ok()?;
            let period = value("period_ms=")?.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis)?;
            Some(Self { genesis, period })
        })();
        head.filter(|_| words.next().is_none()).ok_or(EXPECTED)
    }
}

/// A heartbeat's line, without its end.
pub(super) fn line(body: &[u8]) -> String {
    hex(body).to_string()
}

/// The heartbeat of a line.
///
/// # Errors
/// What is wrong with the line.
pub(super) fn heartbeat(line: &str) -> Result<Box<Heartbeat>, String> {
    let lower = !line.bytes().any(|byte| byte.is_ascii_uppercase());
    let body =
        unhex(line).filter(|_| lower).ok_or("expected an even number of hexadecimal digits in lower case")?;
    match decode_body(Kind::Heartbeat, &body) {
        Ok(Message::Heartbeat(beat)) => Ok(beat),
        Ok(_) => Err("no heartbeat".to_owned()),
        Err(error) => Err(format!("no heartbeat: {error}")),
    }
}

/// The sample to which a time belongs, counted from the beginning of Unix time.
pub(super) fn sample(wall: Wall, period: Duration) -> u64 {
    let period = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).max(1);
    wall.0 / period
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_comes_back_and_nothing_else_is_one() {
        let head = Head { genesis: GenesisHash([0xab; 32]), period: Duration::from_secs(300) };
        assert_eq!(head.to_string().parse(), Ok(head));
        let text = head.to_string();
        for wrong in [
            "",
            "timed-attestations-v2 genesis=ab period_ms=1",
            &text.replace("period_ms=300000", "period_ms=0"),
            &text.replace("genesis=ab", "genesis=zz"),
            &format!("{text} more"),
        ] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_is_lower_case_hex_of_a_heartbeat() {
        for (wrong, says) in
            [("0", "hexadecimal"), ("0G", "hexadecimal"), ("0A", "hexadecimal"), ("00", "no heartbeat")]
        {
            let error = heartbeat(wrong).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
