//! What is counted against a peer, and what its traffic is measured by.

/// Whether a limit on behaviour is enforced.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
pub enum Enforce {
    /// An excess is counted and told, nothing else.
    Observe,
    /// An excess is dropped.
    #[default]
    On,
}

impl Enforce {
    /// The stable name in the configuration, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::On => "on",
        }
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its place in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The stable name in the configuration, logs, metrics and the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// A rule that a peer broke, and that no state of ours can explain (rule A-3). Answers to our own requests
    /// are none of these.
    Offence {
        /// A frame or message that does not decode, or is not allowed where it came.
        Malformed "malformed",
        /// Something that is forwarded only after verification, with a signature that does not verify.
        BadSignature "bad_signature",
        /// A block item that contradicts itself: wrong payload, wrong certificate, more seats than registered.
        InvalidBlock "invalid_block",
        /// Answers that nobody asked for.
        Unasked "unasked",
        /// More of a class of traffic than any schedule makes, for long.
        Flood "flood",
    }
}

impl Offence {
    /// What the peer did, in words for an operator.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Malformed => "messages that do not decode or are not allowed where they came",
            Self::BadSignature => "signatures that are not their authors'",
            Self::InvalidBlock => "blocks or parts of them that contradict themselves",
            Self::Unasked => "answers that nobody asked for",
            Self::Flood => "far more traffic than any schedule makes",
        }
    }
}

named! {
    /// What a peer sends of its own accord, by the schedule that bounds it (rule A-1).
    TrafficClass {
        /// Pings, and pongs that answer none of ours.
        Liveness "liveness",
        /// Heartbeats, own and forwarded.
        Heartbeat "heartbeat",
        /// Proposals, votes, polkas, certificates, tips, and what is held of a height.
        Consensus "consensus",
        /// Requests for chunks of a proposed payload.
        PayloadRequest "payload_request",
        /// Chunks of a proposed payload, in bytes.
        Payload "payload",
        /// Requests for final blocks.
        BlockRequest "block_request",
        /// Transactions, in bytes.
        Transaction "transaction",
        /// Offers of transactions and requests for them.
        TransactionOffer "transaction_offer",
        /// Requests for addresses.
        Addresses "addresses",
        /// Messages to the application, in bytes.
        Datagram "datagram",
        /// Kinds that this version does not know, in bytes.
        Unknown "unknown",
        /// All of these together and what belongs to none of them, in bytes.
        Total "total",
    }
}

/// What a class of traffic is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateUnit {
    /// Messages.
    Messages,
    /// Bytes of their bodies, and as many for each message as it costs in memory.
    Bytes,
}

impl TrafficClass {
    /// What it is counted in.
    #[must_use]
    pub const fn unit(self) -> RateUnit {
        match self {
            Self::Liveness
            | Self::Heartbeat
            | Self::Consensus
            | Self::PayloadRequest
            | Self::BlockRequest
            | Self::TransactionOffer
            | Self::Addresses => RateUnit::Messages,
            Self::Payload | Self::Transaction | Self::Datagram | Self::Unknown | Self::Total => {
                RateUnit::Bytes
            }
        }
    }
}

/// What is done about traffic that is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Handling {
    /// It is counted, nothing else.
    Observed,
    /// It is dropped.
    Dropped,
    /// Its sender is a masternode or reserved: its link is read more slowly.
    Slowed,
}

impl Handling {
    /// The stable name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Dropped => "dropped",
            Self::Slowed => "slowed",
        }
    }
}

/// What a live peer sends too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Excessive {
    /// Of which class.
    pub class: TrafficClass,
    /// What is done about it.
    pub handling: Handling,
}
