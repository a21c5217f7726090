//! The bytes of a heartbeat that are signed and named (rule M-1): hand-written and domain-separated, never
//! the encoder's output. All integers little-endian, each list preceded by its length as u16.

use sha2::{Digest, Sha256};

use crate::event::{DialedBecause, Direction};
use crate::ids::{BootEpoch, NodeId};
use crate::wire::message::Heartbeat;
use crate::wire::preamble::NetworkId;

const DOMAIN: &[u8] = b"timed-heartbeat-v1";

/// Replaces the content of `out` with the signing bytes of a heartbeat.
pub(crate) fn signing_bytes(beat: &Heartbeat, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(DOMAIN);
    out.extend_from_slice(&beat.network.0);
    out.extend_from_slice(&beat.signer.0);
    for number in [beat.epoch.0, beat.sequence, beat.wall.0, beat.height.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&beat.tip.0);
    out.extend_from_slice(&length(beat.links.len()));
    for link in &beat.links {
        let direction = match link.direction {
            Direction::Inbound => 0,
            Direction::Outbound => 1,
        };
        let because = match link.because {
            DialedBecause::Canonical => 0,
            DialedBecause::Fallback => 1,
            DialedBecause::Manual => 2,
        };
        out.extend_from_slice(&[link.peer.0, direction, because]);
        out.extend_from_slice(&link.session.0);
    }
    out.extend_from_slice(&beat.duplicates.to_le_bytes());
    out.extend_from_slice(&length(beat.witnessed.len()));
    for witness in &beat.witnessed {
        out.push(witness.signer.0);
        out.extend_from_slice(&witness.sequence.to_le_bytes());
        out.extend_from_slice(&witness.digest);
    }
}

/// The first eight bytes of the SHA-256 of signing bytes: the name of a heartbeat in a witness.
pub(crate) fn digest(signing_bytes: &[u8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(signing_bytes));
    [a, b, c, d, e, f, g, h]
}

fn length(count: usize) -> [u8; 2] {
    u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes()
}

/// Whose heartbeat a body holds, and which one: enough to recognise a repeat before anything is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) network: NetworkId,
    pub(crate) signer: NodeId,
    pub(crate) epoch: BootEpoch,
    pub(crate) sequence: u64,
}

/// Reads the identity from an encoded body, which begins with it: network (4 bytes), signer (32), epoch and
/// sequence (8 each, little-endian).
pub(crate) fn identity(body: &[u8]) -> Option<Identity> {
    let (network, rest) = body.split_first_chunk()?;
    let (signer, rest) = rest.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    Some(Identity {
        network: NetworkId(*network),
        signer: NodeId(*signer),
        epoch: BootEpoch(u64::from_le_bytes(*epoch)),
        sequence: u64::from_le_bytes(*sequence),
    })
}
