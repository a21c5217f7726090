//! Boot epochs: telling a restart from a ghost, and one process from its twin (rules E-1 to E-6).

use std::time::Duration;

use crate::event::CloseReason;
use crate::ids::BootEpoch;
use crate::time::Wall;
use crate::wire::message::Boot;

/// An epoch further ahead of our wall clock than this is refused (rule E-3).
pub const MAX_EPOCH_LEAD: Duration = Duration::from_secs(24 * 3600);

/// How often a process that never had a confirmed link may raise its epoch (rule E-5).
pub const MAX_RAISES: u32 = 3;

/// The epoch of a new start: above every earlier one, and near the wall clock (rule E-1).
#[must_use]
pub fn next_epoch(persisted: Option<BootEpoch>, wall: Wall) -> BootEpoch {
    let above = persisted.map_or(0, |epoch| epoch.0.saturating_add(1));
    BootEpoch(above.max(wall.0).max(1))
}

/// Whether a link with the key in question is live here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Yes.
    Live,
    /// No.
    Absent,
}

/// Judges the boot that a peer proves (rules E-3 and E-4).
///
/// # Errors
/// With the reason to refuse it for.
pub fn judge(seen: Option<Boot>, told: Boot, presence: Presence, wall: Wall) -> Result<(), CloseReason> {
    if told.epoch.0 > (wall + MAX_EPOCH_LEAD).0 {
        return Err(CloseReason::EpochInFuture);
    }
    match seen {
        Some(seen) if supersedes(seen, told) => Err(match presence {
            Presence::Live => CloseReason::KeyInUse,
            Presence::Absent => CloseReason::StaleEpoch,
        }),
        _ => Ok(()),
    }
}

/// Whether `seen` shows that the process of `told` is not the latest: a later epoch, or the same one with
/// another nonce.
#[must_use]
pub fn supersedes(seen: Boot, told: Boot) -> bool {
    seen.epoch > told.epoch || (seen.epoch == told.epoch && seen.nonce != told.nonce)
}

/// Whether this process ever had a link that both ends confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It had.
    Confirmed,
    /// It never had: it may be the newcomer.
    Newcomer,
}

/// Where we learned of another boot of our own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The refusal `stale_epoch` to our own present handshake, or the field `seen` of a verified `Hello`.
    Stale,
    /// The refusal `key_in_use` to our own present handshake.
    InUse,
}

/// What to do about another boot of our own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing: it is not later than ours.
    None,
    /// Raise our epoch above it, make it durable, try again.
    Raise(BootEpoch),
    /// Try again later and warn: another process is live.
    BackOff,
    /// Halt: the key runs elsewhere.
    Halt,
}

/// Rules E-5 and E-6. `raises` counts the raises of this process so far.
#[must_use]
pub fn remedy(ours: Boot, other: Boot, source: Source, standing: Standing, raises: u32) -> Remedy {
    if !supersedes(other, ours) {
        return Remedy::None;
    }
    match (source, standing) {
        (Source::Stale, Standing::Newcomer) if raises < MAX_RAISES => {
            Remedy::Raise(BootEpoch(other.epoch.0.saturating_add(1)))
        }
        (Source::InUse, Standing::Confirmed) if other.epoch > ours.epoch => Remedy::Halt,
        (Source::Stale, Standing::Confirmed) => Remedy::Halt,
        (Source::InUse, _) | (Source::Stale, Standing::Newcomer) => Remedy::BackOff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BootNonce;

    fn boot(epoch: u64, nonce: u64) -> Boot {
        Boot { epoch: BootEpoch(epoch), nonce: BootNonce(nonce) }
    }

    #[test]
    fn hb_02a_a_start_is_above_every_earlier_one() {
        assert_eq!(next_epoch(None, Wall(500)), BootEpoch(500));
        assert_eq!(next_epoch(Some(BootEpoch(900)), Wall(500)), BootEpoch(901));
        assert_eq!(next_epoch(Some(BootEpoch(u64::MAX)), Wall(0)), BootEpoch(u64::MAX));
    }

    #[test]
    fn older_and_equal_boots_of_another_process_are_refused() {
        let wall = Wall(1_000);
        let seen = Some(boot(100, 1));
        assert_eq!(judge(seen, boot(101, 9), Presence::Live, wall), Ok(()));
        assert_eq!(judge(seen, boot(100, 1), Presence::Live, wall), Ok(()));
        assert_eq!(judge(seen, boot(100, 2), Presence::Live, wall), Err(CloseReason::KeyInUse));
        assert_eq!(judge(seen, boot(99, 1), Presence::Live, wall), Err(CloseReason::KeyInUse));
        assert_eq!(judge(seen, boot(99, 1), Presence::Absent, wall), Err(CloseReason::StaleEpoch));
        let far = boot(wall.0 + 24 * 3600 * 1000 + 1, 1);
        assert_eq!(judge(None, far, Presence::Absent, wall), Err(CloseReason::EpochInFuture));
    }

    #[test]
    fn newcomers_raise_and_the_confirmed_halt() {
        let (ours, later) = (boot(100, 1), boot(200, 2));
        let newcomer = |raises| remedy(ours, later, Source::Stale, Standing::Newcomer, raises);
        assert_eq!(newcomer(0), Remedy::Raise(BootEpoch(201)));
        assert_eq!(newcomer(MAX_RAISES), Remedy::BackOff);
        assert_eq!(remedy(ours, later, Source::Stale, Standing::Confirmed, 0), Remedy::Halt);
        assert_eq!(remedy(ours, later, Source::InUse, Standing::Confirmed, 0), Remedy::Halt);
        assert_eq!(remedy(ours, later, Source::InUse, Standing::Newcomer, 0), Remedy::BackOff);
        assert_eq!(remedy(ours, boot(100, 2), Source::InUse, Standing::Confirmed, 0), Remedy::BackOff);
        assert_eq!(remedy(ours, boot(99, 2), Source::InUse, Standing::Confirmed, 0), Remedy::None);
    }
}
