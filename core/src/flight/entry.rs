//! What a recording is made of: each call on the node, and what came of it that no input says.

use std::fmt;
use std::net::SocketAddr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{ConnId, NodeId, SessionHash, Signature};
use crate::input::Input;
use crate::time::Now;

/// Bytes as they are, without a copy.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

/// One piece of a recording, in the order in which things happened: what came of a call follows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry<'a> {
    /// The clocks of all calls from here on.
    Now(Now),
    /// `accept` was called.
    Accept(SocketAddr),
    /// `handle` was called with `Data`. Records that were opened in it are in clear.
    Data(ConnId, #[serde(borrow)] Raw<'a>),
    /// `handle` was called with any other input.
    #[serde(borrow)]
    Input(Input<'a>),
    /// `transmit` was called with this budget.
    Transmit(ConnId, u32),
    /// All commands were taken: how many since the last time, and the digest of these and of all that was sent.
    Drained(u32, u64),
    /// A number was drawn.
    Drawn(u64),
    /// The hash of a transaction or a chunk; only in a redacted recording, whose content has another.
    Hashed([u8; 32]),
    /// This node signed.
    Signed(Signature),
    /// A signature was judged: it is its claimed signer's.
    Genuine,
    /// A signature was judged: it is not.
    Forged,
    /// Keys were prepared, or one was refused.
    Trusted(Option<NodeId>),
    /// A handshake message of this length was written.
    Wrote(Option<u16>),
    /// A handshake message with this payload was read.
    #[serde(borrow)]
    Read(Option<Raw<'a>>),
    /// A handshake was done.
    Finished(Option<SessionHash>),
    /// A record was opened that is in clear where it arrived.
    OpenedThere,
    /// A record was opened that arrived in pieces.
    #[serde(borrow)]
    Opened(Raw<'a>),
    /// A record did not open.
    OpenFailed,
    /// What was read next of a lane's plaintext: a frame of this kind with this body, or no whole one; only in a
    /// redacted recording, whose plaintext is blank.
    #[serde(borrow)]
    Frame(Option<(u16, Raw<'a>)>),
    /// What was read next was no frame; only in a redacted recording.
    FrameFault(u16),
    /// What was decoded as a block; only in a redacted recording.
    #[serde(borrow)]
    Block(Raw<'a>),
}

impl Entry<'_> {
    /// Whether it is a call on the node.
    pub(super) const fn is_call(&self) -> bool {
        matches!(self, Self::Accept(_) | Self::Data(..) | Self::Input(_) | Self::Transmit(..))
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Borrowed;

        impl<'de> Visitor<'de> for Borrowed {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Raw<'de>, E> {
                Ok(Raw(bytes))
            }
        }

        from.deserialize_bytes(Borrowed)
    }
}
