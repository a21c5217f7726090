//! What peers tell of their own absence (rule L-5), and of other peers (rule P-4).

use crate::addr::CanonicalAddr;
use crate::ids::NodeId;

/// The sender is about to be without a link, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Absence {
    /// For so many seconds at most, from the end of the link on; 0 if it stays after all.
    pub seconds: u32,
}

/// Asks for addresses that the receiver has reached itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct GetPeers {
    /// How many at most; more than [`MAX_TOLD`](crate::limits::MAX_TOLD) are never told.
    pub most: u16,
}

/// A node at an address where the sender reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct PeerAddress {
    /// The node, which proved its key there.
    pub node: NodeId,
    /// Where.
    pub addr: CanonicalAddr,
    /// Seconds since the sender last reached it.
    pub age: u32,
}
