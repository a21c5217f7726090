//! This process's own heartbeats: their numbers, and telling them from what another holder of the key signs
//! (rule M-9).

use crate::ids::{BootEpoch, Signature};
use crate::time::Mono;
use crate::wire::message::Heartbeat;

/// Own signatures remembered, to recognise what comes back.
const REMEMBERED: usize = 8;

/// What this process has signed since its start.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct OwnBeats {
    epoch: BootEpoch,
    sequence: u64,
    recent: [Option<(u64, Signature)>; REMEMBERED],
    warned: Option<Mono>,
}

/// Whether an item under our own name can be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// We made it, or an earlier start of this node did.
    Ours,
    /// We did not: if its signature is genuine, somebody else holds our key.
    Unknown,
}

impl OwnBeats {
    /// Nothing has been signed in this boot epoch.
    pub(crate) const fn new(epoch: BootEpoch) -> Self {
        Self { epoch, sequence: 0, recent: [None; REMEMBERED], warned: None }
    }

    /// The boot epoch in use.
    pub(crate) const fn epoch(&self) -> BootEpoch {
        self.epoch
    }

    /// Goes over to a higher boot epoch: the sequence starts anew.
    pub(crate) fn raise(&mut self, epoch: BootEpoch) {
        if epoch > self.epoch {
            *self = Self { warned: self.warned, ..Self::new(epoch) };
        }
    }

    /// The number of the next heartbeat: one never used before in this epoch.
    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        self.sequence
    }

    /// Remembers what was signed.
    pub(crate) fn signed(&mut self, sequence: u64, signature: Signature) {
        self.recent.rotate_right(1);
        if let Some(place) = self.recent.first_mut() {
            *place = Some((sequence, signature));
        }
    }

    /// Judges an item that claims to be ours, before its signature is checked.
    pub(crate) fn provenance(&self, beat: &Heartbeat) -> Provenance {
        if beat.epoch < self.epoch {
            return Provenance::Ours;
        }
        if beat.epoch > self.epoch || beat.sequence > self.sequence {
            return Provenance::Unknown;
        }
        match self.recent.iter().flatten().find(|(sequence, _)| *sequence == beat.sequence) {
            Some((_, signature)) if *signature != beat.signature => Provenance::Unknown,
            _ => Provenance::Ours,
        }
    }

    /// Whether a foreign signature is to be reported now; at most once in `every`.
    pub(crate) fn report(&mut self, now: Mono, every: std::time::Duration) -> bool {
        let due = self.warned.is_none_or(|at| now.since(at) >= every);
        if due {
            self.warned = Some(now);
        }
        due
    }
}
