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

/// What earlier starts of this key left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Past {
    /// The highest epoch ever said to anybody.
    pub used: BootEpoch,
    /// The highest epoch under which a link was ever confirmed.
    pub confirmed: BootEpoch,
}

impl Past {
    /// The durable form: both epochs, little-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (to, from) in
            bytes.iter_mut().zip(self.used.0.to_le_bytes().into_iter().chain(self.confirmed.0.to_le_bytes()))
        {
            *to = from;
        }
        bytes
    }

    /// Reads the durable form; `None` if it has another length.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (used, confirmed) = bytes.split_first_chunk::<8>()?;
        let confirmed: &[u8; 8] = confirmed.try_into().ok()?;
        let epoch = |bytes: &[u8; 8]| BootEpoch(u64::from_le_bytes(*bytes));
        Some(Self { used: epoch(used), confirmed: epoch(confirmed) })
    }
}

/// The epoch of a new start: above every earlier one, and near the wall clock (rule E-1).
///
/// An epoch further ahead than anybody accepts (rule E-3), used while this machine's clock was wrong and never
/// confirmed, is left aside: else the key could not be used again before that time has come.
#[must_use]
pub fn next_epoch(past: Past, wall: Wall) -> BootEpoch {
    let refused = past.used.0 >= (wall + MAX_EPOCH_LEAD).0;
    let above = if refused { past.confirmed } else { past.used };
    BootEpoch(above.0.saturating_add(1).max(wall.0))
}

/// Whether a link with the key in question is live here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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

/// Whether a boot of our own key that a peer names is later than ours, and one that anybody could have seen: an
/// epoch that is refused everywhere (rule E-3) was not.
#[must_use]
pub fn may_supersede(other: Boot, ours: Boot, wall: Wall) -> bool {
    supersedes(other, ours) && other.epoch.0 <= (wall + MAX_EPOCH_LEAD).0
}

/// Whether this process ever had a link that both ends confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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

/// Whose word it is that another boot of our key was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Witness {
    /// A registered masternode's.
    Registered,
    /// Anybody else's: it never halts us.
    Stranger,
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

/// What is known when another boot of our own key is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Where we learned of it.
    pub source: Source,
    /// Whose word it is.
    pub witness: Witness,
    /// Whether we ever had a confirmed link.
    pub standing: Standing,
    /// How often this process raised its epoch.
    pub raises: u32,
    /// Our clock.
    pub wall: Wall,
}

/// Rules E-5 and E-6, for a boot that is proven (rule E-7).
#[must_use]
pub fn remedy(ours: Boot, other: Boot, known: Circumstances) -> Remedy {
    if !may_supersede(other, ours, known.wall) {
        return Remedy::None;
    }
    match (known.source, known.standing) {
        (Source::Stale, Standing::Newcomer) if known.raises < MAX_RAISES => {
            Remedy::Raise(BootEpoch(other.epoch.0.saturating_add(1)))
        }
        _ if known.witness == Witness::Stranger => Remedy::None,
        // Two processes began with one epoch: the one with the greater nonce goes ahead, so that the other
        // finds a later one.
        (_, Standing::Confirmed) if other.epoch == ours.epoch => {
            if ours.nonce > other.nonce && known.raises < MAX_RAISES {
                Remedy::Raise(BootEpoch(other.epoch.0.saturating_add(1)))
            } else {
                Remedy::BackOff
            }
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
        let past = |used, confirmed| Past { used: BootEpoch(used), confirmed: BootEpoch(confirmed) };
        assert_eq!(next_epoch(Past::default(), Wall(500)), BootEpoch(500));
        assert_eq!(next_epoch(past(900, 0), Wall(500)), BootEpoch(901));
        assert_eq!(next_epoch(past(900, 900), Wall(0)), BootEpoch(901));
        assert_eq!(next_epoch(past(u64::MAX, u64::MAX), Wall(0)), BootEpoch(u64::MAX));
    }

    #[test]
    fn hb_07_an_epoch_of_a_wrong_clock_that_nobody_accepted_is_left_aside() {
        let day = u64::try_from(MAX_EPOCH_LEAD.as_millis()).unwrap();
        let past = Past { used: BootEpoch(500 + 2 * day), confirmed: BootEpoch(400) };
        assert_eq!(next_epoch(past, Wall(500)), BootEpoch(500));
        let confirmed = Past { confirmed: past.used, ..past };
        assert_eq!(next_epoch(confirmed, Wall(500)), BootEpoch(501 + 2 * day));
    }

    #[test]
    fn the_past_round_trips() {
        let past = Past { used: BootEpoch(7), confirmed: BootEpoch(u64::MAX) };
        assert_eq!(Past::decode(&past.encode()), Some(past));
        assert_eq!(Past::decode(&[0; 15]), None);
        assert_eq!(Past::decode(&[0; 8]), None);
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
        let known = |source, standing, raises| Circumstances {
            source,
            witness: Witness::Registered,
            standing,
            raises,
            wall: Wall(1_000),
        };
        let newcomer = |raises| remedy(ours, later, known(Source::Stale, Standing::Newcomer, raises));
        assert_eq!(newcomer(0), Remedy::Raise(BootEpoch(201)));
        assert_eq!(newcomer(MAX_RAISES), Remedy::BackOff);
        assert_eq!(remedy(ours, later, known(Source::Stale, Standing::Confirmed, 0)), Remedy::Halt);
        let in_use = |other, standing| remedy(ours, other, known(Source::InUse, standing, 0));
        assert_eq!(in_use(later, Standing::Confirmed), Remedy::Halt);
        assert_eq!(in_use(later, Standing::Newcomer), Remedy::BackOff);
        assert_eq!(in_use(boot(100, 2), Standing::Confirmed), Remedy::BackOff);
        assert_eq!(in_use(boot(100, 0), Standing::Confirmed), Remedy::Raise(BootEpoch(101)));
        assert_eq!(in_use(boot(99, 2), Standing::Confirmed), Remedy::None);
    }

    #[test]
    fn neither_a_stranger_nor_an_impossible_epoch_halts_anybody() {
        let (ours, later) = (boot(100, 1), boot(200, 2));
        let wall = Wall(1_000);
        let impossible = boot((wall + MAX_EPOCH_LEAD).0 + 1, 2);
        for source in [Source::Stale, Source::InUse] {
            let known =
                |witness| Circumstances { source, witness, standing: Standing::Confirmed, raises: 0, wall };
            assert_eq!(remedy(ours, later, known(Witness::Stranger)), Remedy::None);
            assert_eq!(remedy(ours, impossible, known(Witness::Registered)), Remedy::None);
        }
    }
}
