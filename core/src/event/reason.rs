//! Why connections end, who ended and who made them: stable codes, the same on the wire, in logs, metrics and
//! the API.

use std::fmt;

/// The number of a [`CloseReason`] of a later version; never that of a known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct UnknownCode(u16);

macro_rules! reason_codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal $hint:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* #[doc = concat!("Code ", stringify!($code), ", `", $text, "`: ", $hint, ".")] $variant,)*
            /// `unknown`: the peer gave a reason that this version does not know.
            Unknown(UnknownCode),
        }

        impl $name {
            /// Every known reason, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number on the wire; never given to another reason.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* Self::Unknown(UnknownCode(code)) => code }
            }

            /// The reason of a number; one that this version does not know keeps the number, over which the
            /// peer's signature is made.
            #[must_use]
            pub const fn from_code(code: u16) -> Self {
                match code { $($code => Self::$variant,)* _ => Self::Unknown(UnknownCode(code)) }
            }

            /// The stable name in logs, metrics and the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Unknown(_) => "unknown" }
            }

            /// What happened, in words for an operator.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$variant => $hint,)*
                    Self::Unknown(_) => "the peer gave a reason that this version does not know",
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reason_codes! {
    /// Why a connection ended or a handshake was refused: one code on the wire, in logs, metrics and `/why`
    /// (rule R-1 of `core/PROTOCOL.md`).
    CloseReason {
        Duplicate = 1 "duplicate" "another link of this pair has the higher ballot and stays",
        Shutdown = 2 "shutdown" "the node is stopping",
        OperatorDisconnect = 3 "operator_disconnect" "the operator disconnected this peer",
        OperatorHold = 4 "operator_hold" "the operator of whoever ended it keeps the two nodes apart",
        Slow = 5 "slow" "the peer took no bytes for the write time-out, or its control lane is full",
        Silent = 6 "silent" "nothing was heard for the liveness time-out",
        HandshakeTimeout = 7 "handshake_timeout" "the handshake was not done in time",
        DialTimeout = 8 "dial_timeout" "the connection was not established in time",
        Evicted = 9 "evicted" "too many unauthenticated connections; this one was the oldest of the largest group",
        Ghost = 10 "ghost" "the link belonged to an earlier start of the peer",
        KnockLost = 11 "knock_lost" "the peer had this link and lost it, as its knock says",
        KnockDone = 12 "knock_done" "the knock was answered; nothing more to do on this connection",
        NotWanted = 13 "not_wanted" "this node has no use for a link to the peer",
        SlotsFull = 14 "slots_full" "all connection slots are taken",
        Banned = 15 "banned" "whoever ended it has banned the other end, by its operator or by its own rules",
        Displaced = 16 "displaced" "the place of an observer was needed for a masternode or a reserved peer",
        PoorLink = 17 "poor_link" "a poor link to an observer made room for a better one",
        Abuse = 18 "abuse" "the peer went on breaking rules until its score reached the bound",
        ProbeDone = 19 "probe_done" "the address leads to the node that advertises it; nothing more to do here",
        WrongMagic = 20 "wrong_magic" "the peer does not speak this protocol",
        WrongNetwork = 21 "wrong_network" "the peer belongs to another network",
        WrongGenesis = 22 "wrong_genesis" "the peer has another genesis file",
        VersionUnsupported = 23 "version_unsupported" "the two nodes have no protocol version in common",
        Downgrade = 24 "downgrade" "the signed versions differ from the preambles",
        BadHandshake = 25 "bad_handshake" "a handshake message was malformed or did not decrypt",
        BadSignature = 26 "bad_signature" "the identity's signature over this channel is wrong",
        WrongIdentity = 27 "wrong_identity" "another node answered at the address than the one expected",
        SelfConnection = 29 "self_connection" "the node reached itself",
        StaleEpoch = 30 "stale_epoch" "a later start of this key has been seen",
        KeyInUse = 31 "key_in_use" "another running process uses the same key",
        EpochInFuture = 32 "epoch_in_future" "the boot epoch is more than a day ahead: one of the two clocks is wrong",
        OrdinalOutOfRange = 33 "ordinal_out_of_range" "the dial ordinal is implausibly far ahead",
        BadRecord = 40 "bad_record" "a record was oversized, empty or did not decrypt",
        BadFrame = 41 "bad_frame" "a frame exceeded the limit of its kind or lane",
        BadMessage = 42 "bad_message" "a known message did not decode",
        UnexpectedMessage = 43 "unexpected_message" "a message that is not allowed in this state or on this lane",
        RejectHint = 50 "reject_hint" "an unauthenticated cleartext reject arrived: only a hint, anyone on the path can forge it",
        PeerClosed = 60 "peer_closed" "the peer closed without a word",
        ConnectionRefused = 61 "connection_refused" "nothing listens at the address",
        ConnectionReset = 62 "connection_reset" "the connection was reset",
        Unreachable = 63 "unreachable" "no route to the address",
        NetworkTimeout = 64 "network_timeout" "the operating system gave up on the connection",
        LocalResources = 65 "local_resources" "this machine is out of files, ports or buffers",
        NetworkError = 66 "network_error" "the operating system reported another error",
        Halted = 70 "halted" "this node halted; its log says why",
    }
}

/// Why a socket is gone, as the shell saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum TransportCause {
    /// The shell closed it, as commanded.
    Commanded,
    /// End of stream from the peer.
    Eof,
    /// Nothing listens there.
    Refused,
    /// Reset or broken pipe.
    Reset,
    /// No route, network down, or not permitted.
    Unreachable,
    /// The kernel's own time-out.
    TimedOut,
    /// Out of descriptors, ports or memory on this machine.
    LocalResources,
    /// Anything else.
    Other,
}

impl TransportCause {
    /// The reason code of a close that nobody commanded.
    #[must_use]
    pub const fn reason(self) -> CloseReason {
        match self {
            Self::Commanded | Self::Eof => CloseReason::PeerClosed,
            Self::Refused => CloseReason::ConnectionRefused,
            Self::Reset => CloseReason::ConnectionReset,
            Self::Unreachable => CloseReason::Unreachable,
            Self::TimedOut => CloseReason::NetworkTimeout,
            Self::LocalResources => CloseReason::LocalResources,
            Self::Other => CloseReason::NetworkError,
        }
    }
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum ClosedBy {
    /// This node.
    Us,
    /// The peer, with a goodbye or a refusal.
    Peer,
    /// The network or the operating system.
    Network,
}

impl ClosedBy {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Peer => "peer",
            Self::Network => "network",
        }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum Direction {
    /// The peer dialed us.
    Inbound,
    /// We dialed the peer.
    Outbound,
}

impl Direction {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Why a session was dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum DialedBecause {
    /// The direction rule says so (rule D-1).
    Canonical,
    /// The side that should have dialed could not (rule D-4).
    Fallback,
    /// The operator asked for it.
    Manual,
}

impl DialedBecause {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Fallback => "fallback",
            Self::Manual => "manual",
        }
    }
}
