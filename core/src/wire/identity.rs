//! Whose heartbeat a body holds, read from its first bytes: most that arrive are repeats, and a repeat is
//! not decoded.

use crate::ids::{BootEpoch, NodeId};
use crate::wire::preamble::NetworkId;

/// Whose heartbeat a body holds, and which one: enough to recognise a repeat before anything is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatIdentity {
    /// The network.
    pub network: NetworkId,
    /// Its signer, as it claims.
    pub signer: NodeId,
    /// The signer's boot epoch.
    pub epoch: BootEpoch,
    /// Its sequence within the epoch.
    pub sequence: u64,
}

/// Reads the identity of a heartbeat from its encoded body, whose first 52 bytes it is: network (4), signer
/// (32), epoch (8), sequence (8). `None` if there are fewer.
#[must_use]
pub fn heartbeat_identity(body: &[u8]) -> Option<HeartbeatIdentity> {
    let (network, rest) = body.split_first_chunk()?;
    let (signer, rest) = rest.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    Some(HeartbeatIdentity {
        network: NetworkId(*network),
        signer: NodeId(*signer),
        epoch: BootEpoch(u64::from_le_bytes(*epoch)),
        sequence: u64::from_le_bytes(*sequence),
    })
}
