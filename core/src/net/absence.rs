//! What a peer has said of being away on purpose (rule L-5).

use std::time::Duration;

use crate::time::{Mono, Now, Wall};

/// Nobody is away on purpose for longer: from then on it is missed.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The announced absence of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Absence {
    /// None is announced, or it is over.
    #[default]
    None,
    /// It will be away for so long, once its link has ended.
    Announced(Duration),
    /// It is away.
    Away {
        /// When it is missed.
        until: Mono,
        /// The same by the clock on the wall.
        until_wall: Wall,
    },
}

impl Absence {
    /// The peer says on its live link for how many seconds; none takes back what it said before.
    pub(crate) fn said(seconds: u32) -> Self {
        match seconds {
            0 => Self::None,
            _ => Self::Announced(Duration::from_secs(seconds.into()).min(LONGEST)),
        }
    }

    /// Its link has ended: an announced absence begins.
    pub(crate) fn link_ended(&mut self, now: Now) {
        if let Self::Announced(lasts) = *self {
            *self = Self::Away { until: now.mono + lasts, until_wall: now.wall + lasts };
        }
    }

    /// Whether it ends now, for its time has come. Answers so once.
    pub(crate) fn expires(&mut self, now: Mono) -> bool {
        let over = self.until().is_some_and(|until| until <= now);
        if over {
            *self = Self::None;
        }
        over
    }

    /// When a peer that is away is missed.
    pub(crate) const fn until(self) -> Option<Mono> {
        match self {
            Self::Away { until, .. } => Some(until),
            Self::None | Self::Announced(_) => None,
        }
    }

    /// Whether it is away.
    pub(crate) const fn is_away(self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn at(secs: u64) -> Now {
        Now { mono: Mono(0) + Duration::from_secs(secs), wall: Wall(1_000) + Duration::from_secs(secs) }
    }

    #[test]
    fn l_5_an_absence_begins_with_the_end_of_the_link_and_is_over_in_time() {
        let mut absence = Absence::said(90);
        assert!(!absence.is_away() && !absence.expires(at(HOUR).mono), "it is still here");
        absence.link_ended(at(HOUR));
        assert_eq!(absence.until(), Some(at(HOUR + 90).mono));
        assert!(!absence.expires(at(HOUR + 89).mono));
        assert!(absence.expires(at(HOUR + 90).mono) && !absence.expires(at(HOUR + 90).mono), "once");
        assert_eq!(absence, Absence::None);
    }

    #[test]
    fn l_5_nobody_is_away_for_ever_and_whoever_takes_it_back_is_missed() {
        assert_eq!(Absence::said(u32::MAX), Absence::Announced(LONGEST));
        let mut stays = Absence::said(0);
        stays.link_ended(at(1));
        assert_eq!(stays, Absence::None);
    }
}
