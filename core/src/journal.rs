//! What the core asks to be kept across restarts.

use bytes::Bytes;

use crate::ids::TxId;

/// The key of a durable record. A later record of a key replaces the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[non_exhaustive]
pub enum RecordKey {
    /// The highest boot epochs used and confirmed with this key (rule E-1).
    Boot,
    /// What this key has signed of the height that it works on, and its lock (rule C-13). A key whose record is
    /// lost, or older than what it has signed, keeps silent for a while: a store must never give an old one back.
    Voting,
    /// The block that a polka was seen for, with that polka: whoever is locked must be able to propose it again.
    /// Written before the first vote that depends on it.
    ValidBlock,
    /// Proofs of equivocation (rule C-16).
    Evidence,
    /// Bans in force (rule A-4). A cache: a damaged one is set aside with a warning.
    Bans,
    /// Addresses of other nodes (rule P-5). A cache: a damaged one is set aside with a warning.
    AddressBook,
    /// The registries in force from a height on, where blocks have changed the first (rule C-7). Written when a
    /// block has changed it, before the second block after that one.
    Registry,
    /// The newest durable final block, encoded. The core never writes it: a store makes it from the blocks.
    Tip,
    /// A transaction that was acknowledged here and is in no block yet: its bytes. It goes with the commit of
    /// the block that carries it. An empty record is written for one that will never be in a block: a store may
    /// drop it.
    Transaction(TxId),
}

impl RecordKey {
    /// Every key of which there is one record, for a store that reads all records at start.
    pub const ALL: [Self; 7] = [
        Self::Boot,
        Self::Voting,
        Self::ValidBlock,
        Self::Evidence,
        Self::Registry,
        Self::Bans,
        Self::AddressBook,
    ];

    /// A name that stays the same for ever: the key in a store, for transactions together with their id.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Voting => "voting",
            Self::ValidBlock => "valid_block",
            Self::Evidence => "evidence",
            Self::Registry => "registry",
            Self::Bans => "bans",
            Self::AddressBook => "address_book",
            Self::Tip => "tip",
            Self::Transaction(_) => "transaction",
        }
    }
}

/// A durable record as a shell gives it back at the next start.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Record {
    /// Its key.
    pub key: RecordKey,
    /// Its content as it was given to [`Command::Persist`](crate::Command::Persist).
    pub bytes: Bytes,
}
