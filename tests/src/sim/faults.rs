//! The kinds of faults, and swarms of them: each seed enables a random subset and lets it loose for a while; then
//! everything heals and the network must recover.

use std::time::Duration;

use timed_core::Rng;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9`, and a start some time later.
    Kill,
    /// A power-cut, and a start some time later.
    PowerCut,
    /// An orderly stop, and a start some time later.
    Stop,
    /// SIGSTOP, and SIGCONT some time later.
    Freeze,
    /// The wall clock jumps by up to two hours.
    WallStep,
    /// Packets between two hosts vanish for a while, both ways.
    BlackHole,
    /// Packets between two hosts vanish for a while, one way.
    OneWay,
    /// A host is cut from all others for a while.
    Isolation,
    /// Attempts to connect vanish or are refused for a while, one way.
    Firewall,
    /// The connections of a pair are reset.
    Reset,
    /// The network forgets the connections of a pair.
    Sever,
    /// A disk takes up to a second for a write for a while.
    SlowDisk,
    /// A disk fails, and the process is started again with a sound one.
    FailingDisk,
    /// A process is killed and started again with an older data directory.
    OldBackup,
    /// Operators connect both ends of a pair, nearly at once.
    ConnectBoth,
    /// One packet in ten between two hosts is lost for a while, both ways.
    Lossy,
    /// The line between two hosts is slow and long for a while, both ways.
    BadLine,
    /// A process reads little and late for a while.
    SlowReader,
    /// A process dies in the middle of a wake-up, between two commands of its core, and starts some time later.
    MidStep,
    /// A monotonic clock falls behind for a while, against its promise.
    MonoStep,
    /// Strangers connect and send anything but a handshake, or nothing.
    Garbage,
    /// A peer with a key of its own says valid and invalid things.
    Liar,
    /// Two groups of hosts are cut from one another for a while.
    Partition,
    /// The same, but for one host that both reach, or in one direction only.
    Uneven,
    /// All processes are killed, or all machines lose power, and start some time later.
    AllDown,
    /// A process is killed and started again with an empty data directory.
    LostDirectory,
    /// A wall clock is wrong by less than blocks tolerate.
    Skew,
    /// An application takes its time for a while.
    SlowApplication,
    /// An application offers nothing or what others refuse for a while.
    BadOffer,
    /// An application refuses everything, accepts everything or says nothing for a while.
    BadJudgement,
    /// Transactions are submitted.
    Submit,
}

impl Fault {
    /// Every kind that befalls networks that make blocks, beside [`Fault::ALL`].
    pub const CHAIN: [Self; 9] = [
        Self::Partition,
        Self::Uneven,
        Self::AllDown,
        Self::LostDirectory,
        Self::Skew,
        Self::SlowApplication,
        Self::BadOffer,
        Self::BadJudgement,
        Self::Submit,
    ];

    /// Every kind that befalls links.
    pub const ALL: [Self; 22] = [
        Self::Kill,
        Self::PowerCut,
        Self::Stop,
        Self::Freeze,
        Self::WallStep,
        Self::BlackHole,
        Self::OneWay,
        Self::Isolation,
        Self::Firewall,
        Self::Reset,
        Self::Sever,
        Self::SlowDisk,
        Self::FailingDisk,
        Self::OldBackup,
        Self::ConnectBoth,
        Self::Lossy,
        Self::BadLine,
        Self::SlowReader,
        Self::MidStep,
        Self::MonoStep,
        Self::Garbage,
        Self::Liar,
    ];

    /// Whether every link bears it.
    #[must_use]
    pub const fn spares_links(self) -> bool {
        matches!(
            self,
            Self::WallStep
                | Self::Firewall
                | Self::SlowDisk
                | Self::Lossy
                | Self::BadLine
                | Self::Garbage
                | Self::Liar
                | Self::Skew
                | Self::SlowApplication
                | Self::BadOffer
                | Self::BadJudgement
                | Self::Submit
        )
    }

    /// Whether every slot has its block in spite of it, decided in the first round.
    #[must_use]
    pub const fn spares_slots(self) -> bool {
        matches!(self, Self::Firewall | Self::Garbage | Self::Liar | Self::Skew | Self::Submit)
    }

    /// Its name, as on a command line: `black-hole`.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The kind of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain(Self::CHAIN).find(|fault| fault.name() == name)
    }
}

/// Which faults occur and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// The kinds that occur.
    pub faults: Vec<Fault>,
    /// The mean time between two faults.
    pub every: Duration,
    /// The longest that a fault lasts.
    pub lasts: Duration,
}

impl Swarm {
    /// A random subset of these kinds, a third of them on average and one at least, at a random pace.
    #[must_use]
    pub fn drawn_from(kinds: &[Fault], rng: &mut Rng) -> Self {
        let mut faults: Vec<Fault> = kinds.iter().copied().filter(|_| rng.below(3) == 0).collect();
        if faults.is_empty() {
            let one = usize::try_from(rng.below(kinds.len() as u64)).unwrap_or(0);
            faults.extend(kinds.get(one));
        }
        let mut swarm = Self {
            faults,
            every: Duration::from_millis(200 << rng.below(6)),
            lasts: Duration::from_secs(1 << rng.below(6)),
        };
        swarm.drop_what_contradicts();
        swarm
    }

    /// Nobody can tell a key with both its record and its clock set back from a second process.
    fn drop_what_contradicts(&mut self) {
        let lost = |fault: &Fault| matches!(fault, Fault::OldBackup | Fault::LostDirectory);
        if self.faults.iter().any(lost) {
            self.faults.retain(|fault| *fault != Fault::WallStep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unambiguous() {
        for fault in Fault::ALL.into_iter().chain(Fault::CHAIN) {
            assert_eq!(Fault::of_name(&fault.name()), Some(fault), "{}", fault.name());
        }
        assert_eq!(Fault::BlackHole.name(), "black-hole");
    }

    #[test]
    fn a_swarm_has_a_fault_and_no_contradiction() {
        let mut rng = Rng::new([1; 32]);
        for _ in 0..1_000 {
            let swarm = Swarm::drawn_from(&[Fault::OldBackup, Fault::WallStep], &mut rng);
            assert_eq!(swarm.faults.len(), 1);
        }
    }
}
