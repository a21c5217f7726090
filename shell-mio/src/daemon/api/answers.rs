//! The core's values as JSON: ids in hex, times in RFC 3339, spans in milliseconds where the name says so.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use serde::{Serialize, Serializer};
use timed_core::{
    Activity, AddressCounts, Attempt, BanCause, CanonicalAddr, Counters, LinkCounts, LinkTag, MasternodeInfo,
    Matrix, MatrixLink, MatrixNode, NodeId, Offence, Pair, PeerInfo, SlotClass, SlotCount, SlotCounts,
    TrafficClass, Wall, Why,
};

use super::super::rfc3339;
use super::bans::BanJson;

pub(super) fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn optional_text<T: Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

pub(super) fn time<S: Serializer>(value: &Wall, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*value))
}

pub(super) fn optional_time<S: Serializer>(value: &Option<Wall>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => time(value, serializer),
        None => serializer.serialize_none(),
    }
}

pub(super) fn texts<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

pub(super) fn optional_texts<T: Display, S: Serializer>(
    values: &[Option<T>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| value.as_ref().map(ToString::to_string)))
}

/// A span in whole milliseconds.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Links of this node.
#[derive(Serialize)]
pub(super) struct LinksJson {
    expected: usize,
    up: usize,
    inbound: usize,
    outbound: usize,
    duplicates: usize,
    /// Not expected, for the peer is away as it has announced.
    absent: usize,
}

impl From<LinkCounts> for LinksJson {
    fn from(links: LinkCounts) -> Self {
        let LinkCounts { expected, up, inbound, outbound, duplicates, absent } = links;
        Self { expected, up, inbound, outbound, duplicates, absent }
    }
}

/// Places for live sessions of one kind.
#[derive(Serialize)]
struct SlotJson {
    used: usize,
    free: usize,
}

/// How the places for live sessions are used, by what they are held by.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct SlotsJson(BTreeMap<&'static str, SlotJson>);

impl From<SlotCounts> for SlotsJson {
    fn from(slots: SlotCounts) -> Self {
        let of = |class: SlotClass| {
            let SlotCount { used, free } = slots.of(class);
            (class.as_str(), SlotJson { used, free })
        };
        Self(SlotClass::ALL.iter().copied().map(of).collect())
    }
}

/// What the address book holds.
#[derive(Serialize)]
pub(super) struct AddressesJson {
    tried: usize,
    heard: usize,
    tombstones: usize,
}

impl From<AddressCounts> for AddressesJson {
    fn from(addresses: AddressCounts) -> Self {
        let AddressCounts { tried, heard, tombstones } = addresses;
        Self { tried, heard, tombstones }
    }
}

/// The core's totals since the start.
#[derive(Serialize)]
pub(super) struct CountersJson {
    dials: u64,
    knocks: u64,
    probes: u64,
    probes_answered: u64,
    links_up: u64,
    links_down: u64,
    stale_inputs: u64,
    clock_backwards: u64,
    freezes: u64,
    unknown_frames: u64,
    inbound_refused: u64,
    handshakes_deferred: u64,
    candidates: u64,
    candidates_failed: u64,
    address_requests_ignored: u64,
    addresses_unasked: u64,
    inbound_banned: u64,
    /// Bans that came into force, by cause.
    bans: BTreeMap<&'static str, u64>,
    offences: BTreeMap<&'static str, u64>,
    /// Messages beyond a rate that is enforced, by class.
    rate_exceeded: BTreeMap<&'static str, u64>,
    /// Messages beyond a rate that is only observed, by class.
    rate_observed: BTreeMap<&'static str, u64>,
    heartbeats: u64,
    heartbeat_repeats: u64,
    heartbeats_invalid: u64,
    block_requests: u64,
    block_races: u64,
    block_answers_unasked: u64,
    block_requests_failed: u64,
    blocks_fetched: u64,
    blocks_surplus: u64,
    blocks_rejected: u64,
    block_requests_served: u64,
    block_requests_refused: u64,
    blocks_served: u64,
    block_bytes_served: u64,
}

fn by_class(counts: [u64; TrafficClass::ALL.len()]) -> BTreeMap<&'static str, u64> {
    TrafficClass::ALL.iter().map(|class| class.as_str()).zip(counts).collect()
}

impl From<Counters> for CountersJson {
    fn from(c: Counters) -> Self {
        Self {
            dials: c.dials,
            knocks: c.knocks,
            probes: c.probes,
            probes_answered: c.probes_answered,
            links_up: c.links_up,
            links_down: c.links_down,
            stale_inputs: c.stale_inputs,
            clock_backwards: c.clock_backwards,
            freezes: c.freezes,
            unknown_frames: c.unknown_frames,
            inbound_refused: c.inbound_refused,
            handshakes_deferred: c.handshakes_deferred,
            candidates: c.candidates,
            candidates_failed: c.candidates_failed,
            address_requests_ignored: c.address_requests_ignored,
            addresses_unasked: c.addresses_unasked,
            inbound_banned: c.inbound_banned,
            bans: BanCause::ALL.iter().map(|cause| cause.as_str()).zip(c.bans).collect(),
            rate_exceeded: by_class(c.rate_exceeded),
            rate_observed: by_class(c.rate_observed),
            offences: Offence::ALL.iter().map(|offence| offence.as_str()).zip(c.offences).collect(),
            heartbeats: c.heartbeats,
            heartbeat_repeats: c.heartbeat_repeats,
            heartbeats_invalid: c.heartbeats_invalid,
            block_requests: c.block_requests,
            block_races: c.block_races,
            block_answers_unasked: c.block_answers_unasked,
            block_requests_failed: c.block_requests_failed,
            blocks_fetched: c.blocks_fetched,
            blocks_surplus: c.blocks_surplus,
            blocks_rejected: c.blocks_rejected,
            block_requests_served: c.block_requests_served,
            block_requests_refused: c.block_requests_refused,
            blocks_served: c.blocks_served,
            block_bytes_served: c.block_bytes_served,
        }
    }
}

/// One live session.
#[derive(Serialize)]
pub(super) struct PeerJson {
    #[serde(serialize_with = "text")]
    node_id: NodeId,
    addr: String,
    #[serde(serialize_with = "optional_text")]
    advertised: Option<CanonicalAddr>,
    direction: &'static str,
    dialed_because: &'static str,
    #[serde(serialize_with = "time")]
    since: Wall,
    age_ms: u64,
    #[serde(serialize_with = "text")]
    session: LinkTag,
    masternode: bool,
    /// What its place is held by: `masternode`, `reserved` or `observer`.
    class: &'static str,
    height: u64,
    rtt_ms: Option<f64>,
    health: u8,
    bytes_in: u64,
    bytes_out: u64,
    queued_bytes: usize,
    reconnects_1h: u32,
    excessive: Option<ExcessiveJson>,
    version: String,
}

/// What a peer sends too much of, and what is done about it.
#[derive(Serialize)]
struct ExcessiveJson {
    class: &'static str,
    handling: &'static str,
}

impl From<PeerInfo> for PeerJson {
    fn from(peer: PeerInfo) -> Self {
        Self {
            node_id: peer.node,
            addr: peer.remote.to_string(),
            advertised: peer.advertised,
            direction: peer.direction.as_str(),
            dialed_because: peer.because.as_str(),
            since: peer.since,
            age_ms: millis(peer.age),
            session: peer.session,
            masternode: peer.masternode.is_some(),
            class: peer.class.as_str(),
            height: peer.height.0,
            rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            health: peer.health,
            bytes_in: peer.bytes_in,
            bytes_out: peer.bytes_out,
            queued_bytes: peer.queued_bytes,
            reconnects_1h: peer.reconnects_1h,
            excessive: peer.excessive.map(|excessive| ExcessiveJson {
                class: excessive.class.as_str(),
                handling: excessive.handling.as_str(),
            }),
            version: peer.agent,
        }
    }
}

/// Two masternodes.
#[derive(Serialize)]
pub(super) struct PairJson {
    #[serde(serialize_with = "text")]
    a: NodeId,
    #[serde(serialize_with = "text")]
    b: NodeId,
}

impl From<Pair> for PairJson {
    fn from(Pair { a, b }: Pair) -> Self {
        Self { a, b }
    }
}

#[derive(Serialize)]
struct MatrixNodeJson {
    #[serde(serialize_with = "text")]
    node_id: NodeId,
    #[serde(serialize_with = "text")]
    addr: CanonicalAddr,
    heard_ms: Option<u64>,
}

#[derive(Serialize)]
struct MatrixLinkJson {
    #[serde(serialize_with = "text")]
    a: NodeId,
    #[serde(serialize_with = "text")]
    b: NodeId,
    #[serde(serialize_with = "text")]
    dialer: NodeId,
}

#[derive(Serialize)]
struct DuplicateJson {
    #[serde(serialize_with = "text")]
    node_id: NodeId,
    count: u16,
}

#[derive(Serialize)]
struct WrongDirectionJson {
    #[serde(flatten)]
    pair: PairJson,
    reason: &'static str,
}

/// The whole network's links.
#[derive(Serialize)]
pub(super) struct MatrixJson {
    nodes: Vec<MatrixNodeJson>,
    links: Vec<MatrixLinkJson>,
    expected: usize,
    observed: usize,
    missing: Vec<PairJson>,
    one_sided: Vec<PairJson>,
    split: Vec<PairJson>,
    duplicate: Vec<DuplicateJson>,
    wrong_direction: Vec<WrongDirectionJson>,
    #[serde(serialize_with = "texts")]
    absent: Vec<NodeId>,
    verdict: String,
}

impl From<Matrix> for MatrixJson {
    fn from(matrix: Matrix) -> Self {
        let pairs = |pairs: Vec<Pair>| pairs.into_iter().map(PairJson::from).collect();
        let node = |MatrixNode { node, addr, heard }: MatrixNode| MatrixNodeJson {
            node_id: node,
            addr,
            heard_ms: heard.map(millis),
        };
        let wrong = |(pair, because): (Pair, timed_core::DialedBecause)| WrongDirectionJson {
            pair: pair.into(),
            reason: because.as_str(),
        };
        Self {
            verdict: matrix.verdict(),
            observed: matrix.links.len(),
            expected: matrix.expected,
            nodes: matrix.nodes.into_iter().map(node).collect(),
            links: matrix
                .links
                .into_iter()
                .map(|MatrixLink { a, b, dialer }| MatrixLinkJson { a, b, dialer })
                .collect(),
            missing: pairs(matrix.missing),
            one_sided: pairs(matrix.one_sided),
            split: pairs(matrix.split),
            duplicate: matrix
                .duplicate
                .into_iter()
                .map(|(node_id, count)| DuplicateJson { node_id, count })
                .collect(),
            wrong_direction: matrix.wrong_direction.into_iter().map(wrong).collect(),
            absent: matrix.absent,
        }
    }
}

/// A registered masternode.
#[derive(Serialize)]
pub(super) struct MasternodeJson {
    index: u8,
    #[serde(serialize_with = "text")]
    node_id: NodeId,
    #[serde(serialize_with = "text")]
    address: CanonicalAddr,
    active: bool,
    #[serde(serialize_with = "optional_time")]
    last_heartbeat: Option<Wall>,
    heard_ms: Option<u64>,
    boot_epoch: Option<u64>,
    /// Of its newest block, by its newest heartbeat; this node's own is the present one.
    height: Option<u64>,
    sequence: Option<u64>,
    #[serde(serialize_with = "texts")]
    witnesses: Vec<NodeId>,
    attested: bool,
    /// Seconds of unbroken activity in this node's view.
    uptime: Option<u64>,
}

impl From<MasternodeInfo> for MasternodeJson {
    fn from(info: MasternodeInfo) -> Self {
        Self {
            index: info.index.0,
            node_id: info.node,
            address: info.addr,
            active: info.activity == Activity::Active,
            last_heartbeat: info.last_heartbeat,
            heard_ms: info.heard.map(millis),
            boot_epoch: info.epoch.map(|epoch| epoch.0),
            height: info.height.map(|height| height.0),
            sequence: info.sequence,
            witnesses: info.witnesses,
            attested: info.attested,
            uptime: info.active_for.map(|span| span.as_secs()),
        }
    }
}

#[derive(Serialize)]
struct EndJson {
    reason: &'static str,
    by: &'static str,
    text: &'static str,
}

#[derive(Serialize)]
struct AttemptJson {
    #[serde(serialize_with = "time")]
    at: Wall,
    direction: &'static str,
    intent: &'static str,
    end: Option<EndJson>,
}

impl From<Attempt> for AttemptJson {
    fn from(attempt: Attempt) -> Self {
        let end = attempt.end.map(|(reason, by)| EndJson {
            reason: reason.as_str(),
            by: by.as_str(),
            text: reason.describe(),
        });
        Self { at: attempt.at, direction: attempt.direction.as_str(), intent: attempt.intent, end }
    }
}

#[derive(Serialize)]
struct NextJson {
    action: &'static str,
    /// None if it waits for an event and not for a time.
    in_ms: Option<u64>,
}

/// Why this node is, or is not, connected to a peer.
#[derive(Serialize)]
pub(super) struct WhyJson {
    #[serde(serialize_with = "optional_text")]
    node_id: Option<NodeId>,
    #[serde(serialize_with = "optional_text")]
    addr: Option<CanonicalAddr>,
    decision: &'static str,
    text: String,
    rule: &'static str,
    rule_text: &'static str,
    masternode: bool,
    /// For whose sake a link is sought: `registry`, `configured`, `ordered`, `named`.
    sought_by: Vec<&'static str>,
    #[serde(serialize_with = "optional_time")]
    since: Option<Wall>,
    ban: Option<BanJson>,
    next: Option<NextJson>,
    session: Option<PeerJson>,
    attempts: Vec<AttemptJson>,
}

impl From<Why> for WhyJson {
    fn from(why: Why) -> Self {
        Self {
            node_id: why.peer,
            addr: why.addr,
            decision: why.decision,
            text: why.text,
            rule: why.rule,
            rule_text: why.rule_text,
            masternode: why.masternode.is_some(),
            sought_by: why.sought_by,
            since: why.since,
            ban: why.ban.map(|ban| BanJson::new(ban, crate::now().wall)),
            next: why.next.map(|next| NextJson { action: next.action, in_ms: next.within.map(millis) }),
            session: why.session.map(PeerJson::from),
            attempts: why.attempts.into_iter().map(AttemptJson::from).collect(),
        }
    }
}
