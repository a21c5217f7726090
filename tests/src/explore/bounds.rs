//! What the adversary of an exploration may do at most, and in which world.

use std::time::Duration;
use timed_core::Timings;

use super::step::HostIx;

/// Which processes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// Two masternodes.
    Pair,
    /// Two masternodes and a second process with the key of one of them, which may start at any time.
    Twin(HostIx),
}

/// Whether a key has two processes, or seems to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identities {
    /// It has one, with rising epochs: then not even for a moment may a link be judged differently by its ends.
    Plain,
    /// It has: then all that counts is how it ends.
    Confused,
}

/// Whether a write is durable at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskPace {
    /// It is.
    Instant,
    /// When it is is a step of its own.
    AnyTime,
}

/// The adversary's budget: how often each kind of step may occur in one schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Timers that fire before the fair end.
    pub timers: u8,
    /// Orders of the operator at either side: dials beyond those that the nodes make themselves.
    pub dials: u8,
    /// Silent drops of a connection.
    pub drops: u8,
    /// Resets of a connection, and refused dials.
    pub resets: u8,
    /// Deaths of a process.
    pub restarts: u8,
    /// Starts with a lost epoch.
    pub lost_epochs: u8,
    /// Half a minute without any delivery: live links fall silent, registers expire.
    pub outages: u8,
}

/// One exploration.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The processes.
    pub cast: Cast,
    /// The budget.
    pub budget: Budget,
    /// A host to which no dial ever gets through.
    pub deaf: Option<HostIx>,
    /// The disks.
    pub disk: DiskPace,
    /// Schedules of the nodes.
    pub timings: Timings,
    /// Decides what the nodes draw at random.
    pub seed: u64,
    /// The search gives up after so many states.
    pub max_states: usize,
}

impl Bounds {
    /// A pair under this budget.
    #[must_use]
    pub fn pair(budget: Budget) -> Self {
        Self {
            cast: Cast::Pair,
            budget,
            deaf: None,
            disk: DiskPace::Instant,
            timings: quiet(),
            seed: 1,
            max_states: usize::MAX,
        }
    }

    /// Whether what both nodes know of their boots is true at every moment.
    #[must_use]
    pub fn identities(&self) -> Identities {
        if self.cast == Cast::Pair && self.budget.lost_epochs == 0 {
            Identities::Plain
        } else {
            Identities::Confused
        }
    }

    /// The same with handshakes so short that a register expires between two dials.
    #[must_use]
    pub fn forgetful(mut self) -> Self {
        self.timings.handshake_timeout = Duration::from_millis(300);
        self
    }
}

/// Without the periodic work that changes no link.
fn quiet() -> Timings {
    Timings { peer_check: Duration::from_secs(86_400), ..Timings::default() }
}
