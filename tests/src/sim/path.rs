//! The way between two hosts, one for each direction: how long bytes take, and whether they arrive at all.

use std::collections::BTreeMap;
use std::time::Duration;

use timed_core::Rng;

use super::clock::SimTime;
use super::host::HostId;

/// What becomes of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packets {
    /// They arrive.
    #[default]
    Arrive,
    /// They vanish without a word: a black hole.
    Vanish,
    /// One in ten vanishes.
    Lose,
}

/// What becomes of attempts to connect, where packets arrive at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dials {
    /// They arrive.
    #[default]
    Arrive,
    /// A firewall drops them; connections that stand go on.
    Vanish,
    /// A firewall answers them with a refusal.
    Refused,
}

/// What makes a line worse than the network's profile says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strain {
    /// Added to its latency.
    pub slower: Duration,
    /// Bytes per second, if fewer than the profile's.
    pub narrow: Option<u64>,
}

/// How the links of a network behave.
#[derive(Clone, Debug)]
pub struct Profile {
    /// One-way latency; drawn once for each direction of a pair.
    pub latency: (Duration, Duration),
    /// Added to the latency of each segment, up to this much. Order within a connection is kept.
    pub jitter: Duration,
    /// Bytes per second of each direction of a pair; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Bytes that a sender's kernel holds for a connection, sent and not yet acknowledged ones included.
    pub send_buffer: usize,
    /// Bytes that a receiver's kernel holds for a connection.
    pub receive_buffer: usize,
    /// How bytes are cut into segments.
    pub cut: Cut,
    /// Most time from an event in the kernel to the wake-up of the process: events in between are joined.
    pub wake_delay: Duration,
    /// Most bytes that a process reads at once.
    pub read_chunk: usize,
    /// When a process's shell takes the core's commands.
    pub draining: Draining,
}

/// When a shell takes the core's commands: either is allowed (contract C1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draining {
    /// Once all inputs of a wake-up are handed in.
    AtRest,
    /// After each input.
    EachInput,
}

/// How bytes are cut into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As they were written.
    Whole,
    /// Into up to this many segments at random places.
    Random(u64),
}

impl Profile {
    /// One rack: some 100 µs, no limits that matter.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            latency: (Duration::from_micros(50), Duration::from_micros(300)),
            jitter: Duration::from_micros(50),
            bandwidth: None,
            send_buffer: 256 * 1024,
            receive_buffer: 256 * 1024,
            cut: Cut::Whole,
            wake_delay: Duration::from_micros(50),
            read_chunk: 64 * 1024,
            draining: Draining::AtRest,
        }
    }

    /// Hosts around the world: 5 to 120 ms one way, 100 Mbit/s, segments split and joined.
    #[must_use]
    pub const fn internet() -> Self {
        Self {
            latency: (Duration::from_millis(5), Duration::from_millis(120)),
            jitter: Duration::from_millis(3),
            bandwidth: Some(12_500_000),
            send_buffer: 128 * 1024,
            receive_buffer: 128 * 1024,
            cut: Cut::Random(3),
            wake_delay: Duration::from_millis(1),
            read_chunk: 16 * 1024,
            draining: Draining::EachInput,
        }
    }

    /// Drawn from a seed: anything from a rack to a bad line with small buffers and shredded segments.
    #[must_use]
    pub fn drawn(rng: &mut Rng) -> Self {
        let pick = |rng: &mut Rng, choices: &[u64]| {
            choices[usize::try_from(rng.below(choices.len() as u64)).unwrap_or(0)]
        };
        let low = Duration::from_micros(pick(rng, &[50, 500, 5_000, 20_000]));
        let spread = u32::try_from(pick(rng, &[1, 2, 6])).unwrap_or(1);
        let buffer = |rng: &mut Rng| usize::try_from(pick(rng, &[8, 32, 128, 256]) * 1024).unwrap_or(1);
        Self {
            latency: (low, low * spread),
            jitter: low / 4,
            bandwidth: Some(pick(rng, &[250_000, 1_250_000, 125_000_000])),
            send_buffer: buffer(rng),
            receive_buffer: buffer(rng),
            cut: Cut::Random(pick(rng, &[1, 2, 6])),
            wake_delay: Duration::from_micros(pick(rng, &[1, 100, 5_000])),
            read_chunk: usize::try_from(pick(rng, &[7, 1_000, 65_536])).unwrap_or(1),
            draining: if pick(rng, &[0, 1]) == 0 { Draining::AtRest } else { Draining::EachInput },
        }
    }
}

/// One direction of a pair of hosts.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) latency: Duration,
    pub(crate) packets: Packets,
    pub(crate) dials: Dials,
    pub(crate) strain: Strain,
    /// When the line is free for the next byte.
    free_at: SimTime,
}

/// All directions of all pairs.
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) profile: Profile,
    paths: BTreeMap<(HostId, HostId), Path>,
}

impl Paths {
    pub(crate) const fn new(profile: Profile) -> Self {
        Self { profile, paths: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, from: HostId, to: HostId, rng: &mut Rng) -> &mut Path {
        let latency = self.profile.latency;
        self.paths.entry((from, to)).or_insert_with(|| Path {
            latency: if from == to { Duration::from_micros(20) } else { rng.between(latency.0, latency.1) },
            packets: Packets::Arrive,
            dials: Dials::Arrive,
            strain: Strain::default(),
            free_at: SimTime(0),
        })
    }

    /// When `len` bytes sent now arrive.
    pub(crate) fn carry(
        &mut self,
        (from, to): (HostId, HostId),
        now: SimTime,
        len: usize,
        rng: &mut Rng,
    ) -> SimTime {
        let usual = self.profile.bandwidth;
        let jitter = rng.between(Duration::ZERO, self.profile.jitter);
        let path = self.get(from, to, rng);
        let bandwidth = path.strain.narrow.into_iter().chain(usual).min();
        let mut departed = now;
        if let Some(bandwidth) = bandwidth {
            let took = Duration::from_nanos((len as u64).saturating_mul(1_000_000_000) / bandwidth.max(1));
            departed = path.free_at.max(now) + took;
            path.free_at = departed;
        }
        departed + path.latency + path.strain.slower + jitter
    }

    /// Removes every obstacle.
    pub(crate) fn heal(&mut self) {
        for path in self.paths.values_mut() {
            path.packets = Packets::Arrive;
            path.dials = Dials::Arrive;
            path.strain = Strain::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_line_takes_its_time_and_serves_in_order() {
        let mut rng = Rng::new([1; 32]);
        let mut profile = Profile::lan();
        profile.bandwidth = Some(250_000);
        profile.jitter = Duration::ZERO;
        let mut paths = Paths::new(profile);
        let way = (HostId(0), HostId(1));
        let latency = paths.get(way.0, way.1, &mut rng).latency;
        let first = paths.carry(way, SimTime(0), 250_000, &mut rng);
        let second = paths.carry(way, SimTime(0), 25_000, &mut rng);
        assert_eq!(first, SimTime(1_000_000_000) + latency);
        assert_eq!(second, SimTime(1_100_000_000) + latency);
        let back = paths.carry((way.1, way.0), SimTime(0), 1, &mut rng);
        assert!(back < SimTime(1_000_000), "the other direction is free: {back}");
    }
}
