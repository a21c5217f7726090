//! The lanes of a link.

/// One of the four independent streams of a link, in strict order of precedence (rule W-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Handshake, goodbye, ping, heartbeats, votes.
    Control = 0,
    /// Chunks of a proposed block.
    Payload = 1,
    /// Transactions, addresses, application messages: drops its oldest when full.
    Relay = 2,
    /// Blocks for a peer that catches up.
    Bulk = 3,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Payload, Self::Relay, Self::Bulk];

    /// The lane of a record's first byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Control),
            1 => Some(Self::Payload),
            2 => Some(Self::Relay),
            3 => Some(Self::Bulk),
            _ => None,
        }
    }
}
