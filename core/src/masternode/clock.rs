//! What the others' signed wall times say about our clock (rule M-7).

use std::time::Duration;

use crate::event::Warning;
use crate::ids::NodeId;
use crate::registry::{MAX_MASTERNODES, MasternodeIndex};
use crate::time::{Mono, Now, Wall};

/// A heartbeat's wall time may differ from ours by so much.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(60);
/// Between two warnings about the same thing.
pub(crate) const WARN_EVERY: Duration = Duration::from_secs(600);

/// What one masternode's heartbeats say about its clock.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Reading {
    /// Its wall time minus ours when its newest genuine heartbeats arrived, in milliseconds, newest first.
    offsets: [Option<(Mono, i64)>; 2],
    /// When the present row of heartbeats that are off by too much began.
    off_since: Option<Mono>,
    warned: Option<Mono>,
}

/// The others' clocks against ours.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Clocks {
    seats: Vec<Reading>,
    fresh_for: Duration,
    /// How long a clock must be off before it is worth a warning: by then the others have been heard, too.
    patience: Duration,
    /// When we were last told that it is our own clock.
    own_warned: Option<Mono>,
}

/// Whether a signed wall time is near enough to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Timeliness {
    Timely,
    Off,
}

impl Clocks {
    /// Nothing is known yet. A reading counts for `fresh_for`.
    pub(crate) fn new(size: usize, fresh_for: Duration, patience: Duration) -> Self {
        Self { seats: vec![Reading::default(); size], fresh_for, patience, own_warned: None }
    }

    /// Another registry is in force: `from` names the former position of each one.
    pub(crate) fn reseat(&mut self, from: &[Option<MasternodeIndex>]) {
        let former = |index: MasternodeIndex| self.seats.get(usize::from(index.0)).copied();
        self.seats = from.iter().map(|index| index.and_then(former).unwrap_or_default()).collect();
    }

    /// Takes the wall time of a genuine, new heartbeat; says what an operator should know.
    pub(crate) fn read(
        &mut self,
        now: Now,
        seat: MasternodeIndex,
        peer: NodeId,
        signed: Wall,
    ) -> (Timeliness, Option<Warning>) {
        let skew = signed.distance(now.wall);
        let patience = self.patience;
        let Some(reading) = self.seats.get_mut(usize::from(seat.0)) else { return (Timeliness::Off, None) };
        let [newest, _] = reading.offsets;
        reading.offsets = [Some((now.mono, difference(signed, now.wall))), newest];
        if skew <= TOLERANCE {
            reading.off_since = None;
            return (Timeliness::Timely, None);
        }
        let since = *reading.off_since.get_or_insert(now.mono);
        let recently = |at: Option<Mono>| at.is_some_and(|at| now.mono.since(at) < WARN_EVERY);
        if now.mono.since(since) < patience || recently(reading.warned) {
            return (Timeliness::Off, None);
        }
        reading.warned = Some(now.mono);
        let (disagreeing, agreeing) = self.opinions(now.mono);
        if disagreeing > agreeing && recently(self.own_warned) {
            return (Timeliness::Off, None);
        }
        if disagreeing > agreeing {
            self.own_warned = Some(now.mono);
        }
        (Timeliness::Off, Some(Warning::ClockSkew { peer, skew, disagreeing, agreeing }))
    }

    /// The median by which the others' clocks are ahead of ours, in milliseconds (negative: behind); 0 if
    /// nobody was heard lately.
    pub(crate) fn median_offset_ms(&self, now: Mono) -> i64 {
        let mut offsets = [0i64; MAX_MASTERNODES];
        let mut count = 0;
        for (place, offset) in offsets.iter_mut().zip(self.undelayed(now)) {
            *place = offset;
            count += 1;
        }
        let Some(known) = offsets.get_mut(..count) else { return 0 };
        known.sort_unstable();
        let upper = known.get(count / 2).copied();
        let lower = count.checked_sub(1).and_then(|last| known.get(last / 2)).copied();
        match (lower, upper) {
            (Some(lower), Some(upper)) => lower.midpoint(upper),
            _ => 0,
        }
    }

    /// How many masternodes heard lately disagree with our clock, and how many agree.
    pub(crate) fn opinions(&self, now: Mono) -> (usize, usize) {
        self.fresh(now).fold((0, 0), |(disagreeing, agreeing), offset| {
            if u128::from(offset.unsigned_abs()) > TOLERANCE.as_millis() {
                (disagreeing + 1, agreeing)
            } else {
                (disagreeing, agreeing + 1)
            }
        })
    }

    /// What each newest heartbeat says.
    fn fresh(&self, now: Mono) -> impl Iterator<Item = i64> {
        let fresh_for = self.fresh_for;
        let newest = self.seats.iter().filter_map(|reading| reading.offsets.into_iter().flatten().next());
        newest.filter(move |(at, _)| now.since(*at) < fresh_for).map(|(_, offset)| offset)
    }

    /// What each heartbeat says that had the shorter way of the newest two.
    fn undelayed(&self, now: Mono) -> impl Iterator<Item = i64> {
        let fresh_for = self.fresh_for;
        // A heartbeat that waited on its way makes its signer's clock seem behind, never ahead: of two the higher
        // offset is nearer to the truth.
        self.seats.iter().filter_map(move |reading| {
            let fresh = |(at, _): &(Mono, i64)| now.since(*at) < fresh_for;
            reading.offsets.into_iter().flatten().filter(fresh).map(|(_, offset)| offset).max()
        })
    }
}

/// `a - b` in milliseconds, saturating.
fn difference(a: Wall, b: Wall) -> i64 {
    i64::try_from(i128::from(a.0) - i128::from(b.0)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Duration = Duration::from_secs(35);
    const NOON: u64 = 1_700_000_000_000;

    fn clocks(size: usize) -> Clocks {
        Clocks::new(size, FRESH, Duration::from_secs(5))
    }

    fn at(secs: u64) -> Now {
        Now { mono: Mono(secs * 1_000_000_000), wall: Wall(NOON + secs * 1000) }
    }

    fn read(clocks: &mut Clocks, secs: u64, seat: u8, offset_ms: i64) -> (Timeliness, Option<Warning>) {
        let signed = Wall(at(secs).wall.0.saturating_add_signed(offset_ms));
        clocks.read(at(secs), MasternodeIndex(seat), NodeId([seat; 32]), signed)
    }

    #[test]
    fn hb_07_up_to_sixty_seconds_are_tolerated_either_way() {
        let mut clocks = clocks(1);
        for (offset, timeliness) in [
            (0, Timeliness::Timely),
            (60_000, Timeliness::Timely),
            (-60_000, Timeliness::Timely),
            (60_001, Timeliness::Off),
            (-60_001, Timeliness::Off),
            (i64::MAX, Timeliness::Off),
            (i64::MIN, Timeliness::Off),
        ] {
            assert_eq!(read(&mut clocks, 1, 0, offset).0, timeliness, "{offset}");
        }
    }

    #[test]
    fn hb_07_the_median_ignores_one_wrong_clock_and_old_readings() {
        let mut clocks = clocks(5);
        assert_eq!(clocks.median_offset_ms(at(0).mono), 0);
        for (seat, offset) in [(0, 40), (1, -20), (2, 86_400_000)] {
            let _ = read(&mut clocks, 1, seat, offset);
        }
        assert_eq!(clocks.median_offset_ms(at(1).mono), 40);
        let _ = read(&mut clocks, 30, 3, -100);
        assert_eq!(clocks.median_offset_ms(at(30).mono), 10);
        assert_eq!(clocks.median_offset_ms(at(36).mono), -100);
        assert_eq!(clocks.median_offset_ms(at(65).mono), 0);
    }

    #[test]
    fn hb_07_ops_01_one_peers_clock_is_warned_of_once_in_ten_minutes() {
        let mut clocks = clocks(4);
        let mut warnings = Vec::new();
        for secs in (0..1200).step_by(10) {
            for seat in [1, 2] {
                assert_eq!(read(&mut clocks, secs, seat, 5).1, None);
            }
            warnings.extend(read(&mut clocks, secs, 0, 3_600_000).1.map(|warning| (secs, warning)));
        }
        let expected = Warning::ClockSkew {
            peer: NodeId([0; 32]),
            skew: Duration::from_secs(3600),
            disagreeing: 1,
            agreeing: 2,
        };
        assert_eq!(warnings, [(10, expected.clone()), (610, expected)]);
    }

    #[test]
    fn hb_07_ops_01_our_own_wrong_clock_is_one_warning_not_one_a_peer() {
        let mut clocks = clocks(13);
        let mut warnings = Vec::new();
        for secs in (0..600).step_by(10) {
            for seat in 0..13 {
                warnings.extend(read(&mut clocks, secs, seat, -86_400_000).1);
            }
        }
        let [Warning::ClockSkew { disagreeing, agreeing, .. }] = warnings[..] else { panic!("{warnings:?}") };
        assert_eq!((disagreeing, agreeing), (13, 0));
    }
}
