//! What the core asks to be kept across restarts.

use bytes::Bytes;

/// The key of a durable record. A later record of a key replaces the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecordKey {
    /// The highest boot epochs used and confirmed with this key (rule E-1).
    Boot,
}

impl RecordKey {
    /// Every key, for a store that reads all records at start.
    pub const ALL: [Self; 1] = [Self::Boot];

    /// A name that stays the same for ever: the key in a store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
        }
    }
}

/// A durable record as a shell gives it back at the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: RecordKey,
    /// Its content as it was given to [`Command::Persist`](crate::Command::Persist).
    pub bytes: Bytes,
}
