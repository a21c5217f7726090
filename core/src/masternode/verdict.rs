//! What is made of a received heartbeat (rule M-3), and the checks that need nothing but the heartbeat.

use std::time::Duration;

use crate::event::Offence;
use crate::masternode::relay::Audience;
use crate::registry::MasternodeIndex;
use crate::time::{Mono, Wall};
use crate::wire::message::Heartbeat;

/// A boot epoch may lie ahead of our wall clock by so much.
const EPOCH_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Genuine heartbeats of one signer that are taken in at once; from then on one each [`SPACINGS`]th of an interval.
/// A sound masternode makes three an interval, and one or two at each restart.
pub(crate) const BURST: u32 = 16;
/// Heartbeats of one signer that are taken in an interval in the long run.
pub(crate) const SPACINGS: u32 = 10;

/// How much of its signer's allowance is used (rule M-3). Only genuine heartbeats are charged, so nobody can
/// use up another's.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Allowance {
    used_until: Mono,
}

impl Allowance {
    /// Whether another heartbeat is taken in now.
    pub(crate) fn permits(self, now: Mono, spacing: Duration) -> bool {
        self.used_until.since(now) <= spacing * (BURST - 1)
    }

    /// A genuine heartbeat was taken in.
    pub(crate) fn charge(&mut self, now: Mono, spacing: Duration) {
        self.used_until = self.used_until.max(now) + spacing;
    }
}

/// What became of a received heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[must_use]
pub(crate) enum Verdict {
    /// Verified for the first time: its signer is active. Forward it.
    New(Audience),
    /// Verified for the first time, but its wall time is more than 60 s from ours, so it counts for nothing
    /// here. Forward it all the same: the wrong clock may be ours.
    OffTime(Audience),
    /// This very one was verified before. Nobody is to blame.
    Repeat,
    /// A newer one of its signer was verified before. Nobody is to blame.
    Stale,
    /// Signed by this node; dropped in silence.
    Own,
    /// Signed with this node's key, but not by this process. Reported.
    Foreign,
    /// Its signer has lately signed more than any sound masternode does: not looked at.
    Excess,
    /// Its author never made this: the peer that sent it did not check it.
    Invalid(Flaw),
}

impl Verdict {
    /// To whom it is to be forwarded, if to anybody.
    pub(crate) const fn audience(&self) -> Option<&Audience> {
        match self {
            Self::New(audience) | Self::OffTime(audience) => Some(audience),
            _ => None,
        }
    }
}

/// Why a heartbeat is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Flaw {
    /// Made for another network.
    WrongNetwork,
    /// Its signer is not a registered masternode.
    Unregistered,
    /// Its boot epoch is more than a day ahead of our clock.
    EpochInFuture,
    /// Its lists are not strictly ascending, name its signer or nobody, or its sequence is 0.
    Malformed,
    /// Its signature is not its signer's.
    BadSignature,
}

/// Whom a heartbeat came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// Its signer, over their own link.
    Signer,
    /// Somebody else.
    Forwarder,
}

impl Flaw {
    /// What the peer that brought it is charged with (rule A-3): only what nobody forwards, whatever registry,
    /// height or clock they have.
    pub(crate) const fn offence(self, bearer: Bearer) -> Option<Offence> {
        match (self, bearer) {
            (Self::WrongNetwork, _) | (Self::Malformed, Bearer::Signer) => Some(Offence::Malformed),
            (Self::BadSignature, _) => Some(Offence::BadSignature),
            // A forwarder with another registry than ours and its signer's cannot check the lists.
            (Self::Malformed, Bearer::Forwarder) | (Self::Unregistered | Self::EpochInFuture, _) => None,
        }
    }

    /// The stable name in logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::WrongNetwork => "wrong_network",
            Self::Unregistered => "unregistered",
            Self::EpochInFuture => "epoch_in_future",
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
        }
    }
}

/// The checks that cost nothing, made before the signature's.
///
/// `size` is the registry's that the heartbeat names, if it is ours: the positions of another one cannot be
/// checked, and its lists are not used.
pub(crate) fn flaw(
    beat: &Heartbeat,
    signer: MasternodeIndex,
    size: Option<usize>,
    wall: Wall,
) -> Option<Flaw> {
    if beat.epoch.0 > (wall + EPOCH_AHEAD).0 {
        return Some(Flaw::EpochInFuture);
    }
    let links = beat.links.iter().map(|link| link.peer);
    let witnessed = beat.witnessed.iter().map(|witness| witness.signer);
    let sound = beat.sequence > 0
        && size.is_none_or(|size| names_others(links, signer, size) && names_others(witnessed, signer, size))
        && beat.witnessed.iter().all(|witness| witness.sequence > 0);
    if sound { None } else { Some(Flaw::Malformed) }
}

/// Whether a list is strictly ascending and names registered masternodes other than its author only.
fn names_others(list: impl Iterator<Item = MasternodeIndex>, author: MasternodeIndex, size: usize) -> bool {
    let mut last = None;
    for seat in list {
        if seat == author || usize::from(seat.0) >= size || last.is_some_and(|last| last >= seat) {
            return false;
        }
        last = Some(seat);
    }
    true
}
