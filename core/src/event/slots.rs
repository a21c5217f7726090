//! Who holds a place among the live links, and how many places there are.

/// What a peer's place among the live links is held by (rule S-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum SlotClass {
    /// A key of the registry.
    Masternode,
    /// An entry of this node's list of reserved peers.
    Reserved,
    /// Neither: it shares the rest with others of its kind, and gives way.
    Observer,
}

impl SlotClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Masternode, Self::Reserved, Self::Observer];

    /// The stable name in logs, metrics and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Masternode => "masternode",
            Self::Reserved => "reserved",
            Self::Observer => "observer",
        }
    }
}

/// Places of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct SlotCount {
    /// Live links.
    pub used: usize,
    /// Further links for which there is room. What is kept for one class is free for no other.
    pub free: usize,
}

/// All places of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct SlotCounts {
    /// Registered masternodes.
    pub masternode: SlotCount,
    /// Reserved peers that are not registered.
    pub reserved: SlotCount,
    /// All others.
    pub observer: SlotCount,
}

impl SlotCounts {
    /// The places of a class.
    #[must_use]
    pub const fn of(&self, class: SlotClass) -> SlotCount {
        match class {
            SlotClass::Masternode => self.masternode,
            SlotClass::Reserved => self.reserved,
            SlotClass::Observer => self.observer,
        }
    }
}
