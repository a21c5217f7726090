//! One step of a schedule, and its text form: a failing run is printed and repeated as a line of these.

use std::fmt;
use std::str::FromStr;

/// A host of the model: `A` has the lower address, `B` the higher, `C` runs a second process of another's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostIx(pub u8);

impl HostIx {
    /// As an index.
    #[must_use]
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for HostIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'A' + self.0))
    }
}

/// A connection: the host that dialed it and the number of the dial there. The same in every order of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey {
    /// Who dialed.
    pub dialer: HostIx,
    /// Counts that host's dials from 1.
    pub number: u16,
}

impl fmt::Display for ConnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dialer, self.number)
    }
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that dialed.
    Dialer,
    /// The end that accepted.
    Acceptor,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// How a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Death {
    /// `kill -9`: its kernel ends its connections, which the others learn whenever that is delivered.
    Killed,
    /// Power cut: nobody learns anything.
    PowerCut,
}

/// With what memory a process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Memory {
    /// Its journal, and a right clock.
    Whole,
    /// No journal, and a clock an hour behind: its boot epoch is below the one that the others have seen.
    LostEpoch,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The dial reaches its host: accepted and connected, or refused where nothing runs.
    Arrive(ConnKey),
    /// The oldest packet on its way to this end of the connection is delivered.
    Deliver(ConnKey, Side),
    /// The host's oldest write is durable.
    Persist(HostIx),
    /// Time goes on to the host's earliest deadline.
    Timer(HostIx),
    /// The operator orders a link.
    Connect(HostIx),
    /// The connection dies without a word to either end.
    Drop(ConnKey),
    /// The dial is refused, although its host runs.
    Refuse(ConnKey),
    /// Both ends learn of a reset; what was on its way is lost.
    Reset(ConnKey),
    /// The host's process dies.
    Kill(HostIx, Death),
    /// The host's process starts.
    Start(HostIx, Memory),
    /// Nothing is delivered for half a minute.
    Outage,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrive(conn) => write!(f, "{conn}+"),
            Self::Deliver(conn, Side::Acceptor) => write!(f, "{conn}>"),
            Self::Deliver(conn, Side::Dialer) => write!(f, "{conn}<"),
            Self::Drop(conn) => write!(f, "{conn}-"),
            Self::Reset(conn) => write!(f, "{conn}!"),
            Self::Refuse(conn) => write!(f, "{conn}x"),
            Self::Persist(host) => write!(f, "persist:{host}"),
            Self::Timer(host) => write!(f, "timer:{host}"),
            Self::Connect(host) => write!(f, "connect:{host}"),
            Self::Kill(host, Death::Killed) => write!(f, "kill:{host}"),
            Self::Kill(host, Death::PowerCut) => write!(f, "cut:{host}"),
            Self::Start(host, Memory::Whole) => write!(f, "start:{host}"),
            Self::Start(host, Memory::LostEpoch) => write!(f, "stale:{host}"),
            Self::Outage => f.write_str("outage"),
        }
    }
}

/// A text that is no step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadStep(pub String);

impl fmt::Display for BadStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no step of a schedule", self.0)
    }
}

impl FromStr for HostIx {
    type Err = BadStep;
    fn from_str(text: &str) -> Result<Self, BadStep> {
        match text.as_bytes() {
            [letter @ b'A'..=b'Z'] => Ok(Self(letter - b'A')),
            _ => Err(BadStep(text.to_owned())),
        }
    }
}

impl FromStr for ConnKey {
    type Err = BadStep;
    fn from_str(text: &str) -> Result<Self, BadStep> {
        let bad = || BadStep(text.to_owned());
        let (dialer, number) = text.split_at_checked(1).ok_or_else(bad)?;
        Ok(Self { dialer: dialer.parse()?, number: number.parse().map_err(|_| bad())? })
    }
}

impl FromStr for Step {
    type Err = BadStep;
    fn from_str(text: &str) -> Result<Self, BadStep> {
        if text == "outage" {
            return Ok(Self::Outage);
        }
        if let Some((what, host)) = text.split_once(':') {
            let host: HostIx = host.parse()?;
            return match what {
                "persist" => Ok(Self::Persist(host)),
                "timer" => Ok(Self::Timer(host)),
                "connect" => Ok(Self::Connect(host)),
                "kill" => Ok(Self::Kill(host, Death::Killed)),
                "cut" => Ok(Self::Kill(host, Death::PowerCut)),
                "start" => Ok(Self::Start(host, Memory::Whole)),
                "stale" => Ok(Self::Start(host, Memory::LostEpoch)),
                _ => Err(BadStep(text.to_owned())),
            };
        }
        let mut chars = text.chars();
        let last = chars.next_back();
        let conn = chars.as_str();
        match last {
            Some('+') => Ok(Self::Arrive(conn.parse()?)),
            Some('>') => Ok(Self::Deliver(conn.parse()?, Side::Acceptor)),
            Some('<') => Ok(Self::Deliver(conn.parse()?, Side::Dialer)),
            Some('-') => Ok(Self::Drop(conn.parse()?)),
            Some('!') => Ok(Self::Reset(conn.parse()?)),
            Some('x') => Ok(Self::Refuse(conn.parse()?)),
            _ => Err(BadStep(text.to_owned())),
        }
    }
}

/// A schedule as one line.
#[must_use]
pub fn line(steps: &[Step]) -> String {
    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The schedule of a line.
///
/// # Errors
/// Names the first word that is no step.
pub fn parse(line: &str) -> Result<Vec<Step>, BadStep> {
    line.split_whitespace().map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_round_trip_as_text() {
        let text = "A1+ A1> B12< timer:A connect:B A1- B3! A7x kill:A cut:B start:A stale:C persist:B outage";
        assert_eq!(line(&parse(text).unwrap()), text);
        for bad in ["", "A", "A1", "1+", "timer:", "timer:AB", "stop:A", "Ax+", "Ax"] {
            assert!(bad.parse::<Step>().is_err(), "{bad}");
        }
    }
}
