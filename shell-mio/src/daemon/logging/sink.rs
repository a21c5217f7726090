//! Events as log lines: one a state change, and nothing that a remote can repeat at will without a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use timed_core::{
    Activity, Ban, BanCause, BanEnd, BanNote, CanonicalAddr, CloseReason, ClosedBy, Event, NodeId,
    PeerAbsence, Registry, TrafficClass, Warning,
};
use tracing::{debug, error, info, warn};

use super::super::metrics::{Total, Totals};
use super::blocks::BlockLines;
use super::screen::Screen;
use super::throttle::{Throttle, Verdict, doubled};
use crate::{EventSink, ShellEvent};

/// A kind of line with a bucket of its own. A remote chooses none of these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Links of one registered masternode.
    Masternode(NodeId),
    /// Links of everyone else together: anyone can make keys.
    Observers,
    /// Inbound handshakes that failed for one reason.
    Inbound(u16),
    /// Failed dials to one address.
    Dial(CanonicalAddr),
    /// Failed dials to addresses beyond the bound of the table.
    OtherDials,
    /// A masternode's activity.
    Activity(NodeId),
    /// Bans that this node sets itself, and their ends.
    OwnBan,
    /// Warnings of one kind.
    Warning(&'static str),
    /// Too much of one class of traffic.
    Excess(TrafficClass),
}

/// Addresses remembered at most, for what is told once or by address.
const MAX_ADDRESSES: usize = 256;
/// A changed reason within one row of failures is told no more often than this.
const REASON_CHANGE_EVERY: Duration = Duration::from_secs(60);

/// How many lines of a kind were left out; no field at all where none was.
#[derive(Clone, Copy, Debug)]
struct Suppressed(Option<u64>);

/// What the first line says beside what the core tells.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    /// This node.
    pub(crate) node: NodeId,
    /// The network's name.
    pub(crate) network: String,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where others dial it.
    pub(crate) advertised: Option<CanonicalAddr>,
    /// Where its API is.
    pub(crate) api: Option<SocketAddr>,
}

/// Turns events into log lines and counts them by reason.
pub(crate) struct LogSink {
    registered: BTreeSet<NodeId>,
    totals: Arc<Totals>,
    /// For what only authenticated or configured peers cause.
    peers: Throttle<Kind>,
    /// For what anybody causes.
    anybody: Throttle<Kind>,
    /// The reason of the last line about each dialed address, and when it was written.
    rows: BTreeMap<CanonicalAddr, (CloseReason, Instant)>,
    /// Addresses of incompatible peers that were told.
    incompatible: BTreeSet<(IpAddr, CloseReason)>,
    introduction: Introduction,
    blocks: BlockLines,
    reload: Box<dyn FnMut()>,
    clock: fn() -> Instant,
}

impl LogSink {
    /// A sink for a network with this registry. `reload` is called at SIGHUP and must not block.
    pub(crate) fn new(
        introduction: Introduction,
        registry: &Registry,
        totals: Arc<Totals>,
        screen: Screen,
        reload: impl FnMut() + 'static,
    ) -> Self {
        Self::timed_by(Instant::now, introduction, registry, totals, screen, reload)
    }

    /// As [`LogSink::new`], by a clock of the caller's.
    pub(super) fn timed_by(
        clock: fn() -> Instant,
        introduction: Introduction,
        registry: &Registry,
        totals: Arc<Totals>,
        screen: Screen,
        reload: impl FnMut() + 'static,
    ) -> Self {
        Self {
            clock,
            blocks: BlockLines::new(clock, Arc::clone(&totals), screen),
            registered: registry.entries().iter().map(|entry| entry.id).collect(),
            totals,
            peers: Throttle::new(20, Duration::from_secs(180)),
            anybody: Throttle::new(5, Duration::from_secs(900)),
            rows: BTreeMap::new(),
            incompatible: BTreeSet::new(),
            introduction,
            reload: Box::new(reload),
        }
    }

    fn link_kind(&self, peer: NodeId) -> Kind {
        if self.registered.contains(&peer) { Kind::Masternode(peer) } else { Kind::Observers }
    }

    /// Whether a line may be written, and how many of its kind were not.
    fn admit(&mut self, kind: Kind) -> Option<Suppressed> {
        let throttle = match kind {
            Kind::Masternode(_) | Kind::Activity(_) | Kind::Dial(_) | Kind::OtherDials => &mut self.peers,
            Kind::Observers | Kind::Inbound(_) | Kind::OwnBan | Kind::Warning(_) | Kind::Excess(_) => {
                &mut self.anybody
            }
        };
        match throttle.admit(kind, (self.clock)()) {
            Verdict::Write { suppressed } => Some(Suppressed((suppressed > 0).then_some(suppressed))),
            Verdict::Suppress => {
                self.totals.count_suppressed();
                None
            }
        }
    }

    fn dial_failed(&mut self, failed: &DialFailure) {
        self.totals.count(Total::DialFailed, failed.reason);
        if incompatible(failed.reason) {
            // The warning about the incompatible peer says it, and more.
            debug!(addr = %failed.addr, reason = %failed.reason, failures = failed.failures, "dial failed");
            return;
        }
        let now = (self.clock)();
        let changed = self.rows.get(&failed.addr).is_some_and(|(reason, at)| {
            *reason != failed.reason && now.duration_since(*at) >= REASON_CHANGE_EVERY
        });
        if !doubled(failed.failures) && !changed {
            return;
        }
        let known = self.rows.contains_key(&failed.addr) || self.rows.len() < MAX_ADDRESSES;
        let kind = if known { Kind::Dial(failed.addr) } else { Kind::OtherDials };
        let Some(suppressed) = self.admit(kind) else { return };
        if known {
            self.rows.insert(failed.addr, (failed.reason, now));
        }
        info!(
            peer = failed.peer.map(tracing::field::display),
            addr = %failed.addr,
            reason = %failed.reason.as_str(),
            by = %failed.by.as_str(),
            failures = failed.failures,
            retry_in_ms = failed.retry_in.map(millis),
            suppressed = suppressed.0,             "dial failed: {}",
            failed.reason.describe()
        );
    }

    /// What the operator orders is always told; what this node decides by itself, a peer can bring about.
    fn may_tell(&mut self, ban: &Ban) -> Option<Suppressed> {
        match ban.cause {
            BanCause::Operator => Some(Suppressed(None)),
            BanCause::Score(_) => self.admit(Kind::OwnBan),
        }
    }

    fn banned(&mut self, ban: &Ban) {
        if let Some(suppressed) = self.may_tell(ban) {
            info!(
                banned = %ban.target,
                reason = %ban.cause.as_str(),
                lasts_s = ban.until.map(|until| until.since(ban.since).as_secs()),
                note = ban.note.as_ref().map(BanNote::as_str),
                suppressed = suppressed.0,
                "banned"
            );
        }
    }

    fn ban_ended(&mut self, ban: &Ban, end: BanEnd) {
        if let Some(suppressed) = self.may_tell(ban) {
            info!(
                banned = %ban.target, reason = %end.as_str(), cause = %ban.cause.as_str(),
                suppressed = suppressed.0, "ban ended"
            );
        }
    }

    fn warning(&mut self, warning: &Warning) {
        self.totals.count_warning(warning_kind(warning));
        let kind = match warning {
            Warning::Incompatible { addr, reason } => {
                let told = (addr.ip(), *reason);
                if self.incompatible.contains(&told) {
                    return;
                }
                if self.incompatible.len() < MAX_ADDRESSES {
                    self.incompatible.insert(told);
                }
                Kind::Warning(reason.as_str())
            }
            other => Kind::Warning(warning_kind(other)),
        };
        let Some(suppressed) = self.admit(kind) else { return };
        match warning {
            Warning::Frozen { late, forgiven } => warn!(
                late_ms = millis(*late),
                forgiven_ms = millis(*forgiven),
                suppressed = suppressed.0,
                "this process did not run for a while; deadlines were shifted"
            ),
            Warning::ClockBackwards(by) => {
                warn!(
                    by_ms = millis(*by),
                    suppressed = suppressed.0,
                    "the monotonic clock went backwards; it was held"
                );
            }
            Warning::ClockSkew { peer, skew, disagreeing, agreeing } => warn!(
                %peer,
                skew_ms = millis(*skew),
                disagreeing,
                agreeing,
                suppressed = suppressed.0,                 "a masternode's clock and ours differ: {}",
                if disagreeing > agreeing {
                    "most disagree with us, so set this machine's clock (timedatectl, chrony)"
                } else {
                    "most agree with us, so its operator should set that machine's clock"
                }
            ),
            Warning::EpochInFuture { peer, by } => warn!(
                %peer,
                suppressed = suppressed.0,
                "{}",
                if *by == ClosedBy::Us {
                    "the peer's boot epoch is more than a day ahead of our clock: its operator should check that \
                     machine's clock, or, if all peers look so, check this one's (timedatectl, chrony)"
                } else {
                    "the peer finds our boot epoch more than a day ahead of its clock: check this machine's clock \
                     (timedatectl, chrony), then restart this node"
                }
            ),
            Warning::EpochRaised { to } => warn!(
                epoch = to.0,
                suppressed = suppressed.0,
                "peers have seen a later start of this key, so the boot epoch was raised: the data directory is \
                 older than the network remembers; make sure that no other process runs with this key"
            ),
            Warning::KeyInUse { peer, epoch } => warn!(
                %peer,
                epoch = epoch.0,
                suppressed = suppressed.0,                 "another process with this node's key is connected to this peer: stop one of the two"
            ),
            Warning::OwnAddress(addr) => warn!(
                %addr,
                suppressed = suppressed.0,                 "this address is this node's own: it is not dialed again; remove it from the peer list"
            ),
            Warning::Incompatible { addr, reason } => {
                warn!(
                    %addr,
                    reason = %reason,
                    suppressed = suppressed.0,
                    "incompatible peer: {}; told once for this address. Compare version, network and genesis.toml \
                     with its operator",
                    reason.describe()
                );
            }
            Warning::SeenElsewhere { advertised, seen } => warn!(
                %advertised,
                %seen,
                suppressed = suppressed.0,
                "the other masternodes see this node at another address than the one it advertises: if nobody can \
                 dial it there, set network.local_ip to the address that others reach; a masternode's has to be \
                 that of the registry"
            ),
            Warning::SelfSuspected { offence, peers } => warn!(
                reason = %offence.as_str(),
                peers,
                suppressed = suppressed.0,
                "many masternodes seem to break the same rule at once, so this node suspects itself and punishes \
                 nobody for it: compare its version, clock and genesis.toml with theirs"
            ),
            Warning::MasternodesBanned { target, masternodes, left, quorum } => warn!(
                banned = %target,
                masternodes,
                left,
                quorum,
                suppressed = suppressed.0,
                "{}",
                if left < quorum {
                    "this ban cuts off registered masternodes: too few are left to decide a block with, so this \
                     node takes no part in blocks until it ends"
                } else {
                    "this ban cuts off registered masternodes: their links to this node are missing until it ends"
                }
            ),
            Warning::CacheSetAside(record) => warn!(
                record = record.name(),
                suppressed = suppressed.0,
                "what was stored of this could not be read and was set aside; nothing else is lost"
            ),
            Warning::ForeignSignature { via } => warn!(
                %via,
                suppressed = suppressed.0,                 "something signed with this node's key that this process did not make: another process has the key"
            ),
            other => warn!(warning = ?other, suppressed = suppressed.0, "warning"),
        }
    }
}

/// The fields of a failed dial.
struct DialFailure {
    peer: Option<NodeId>,
    addr: CanonicalAddr,
    reason: CloseReason,
    by: ClosedBy,
    failures: u32,
    retry_in: Option<Duration>,
}

impl EventSink for LogSink {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { epoch, worst_case_bytes } => {
                let Introduction { node, network, listen, advertised, api } = &self.introduction;
                info!(
                    %node,
                    %network,
                    %listen,
                    advertised = advertised.map(tracing::field::display),
                    api = api.map(tracing::field::display),
                    epoch = epoch.0,
                    worst_case_mib = worst_case_bytes >> 20,
                    version = env!("CARGO_PKG_VERSION"),
                    "started"
                );
            }
            Event::LinkUp { peer, remote, direction, because, session, .. } => {
                if let Some(suppressed) = self.admit(self.link_kind(*peer)) {
                    info!(
                        %peer, %remote, direction = %direction.as_str(), because = %because.as_str(), %session,
                        suppressed = suppressed.0, "link up"
                    );
                }
            }
            Event::LinkDown { peer, reason, by, lasted, .. } => {
                self.totals.count(Total::LinkClosed, *reason);
                if let Some(suppressed) = self.admit(self.link_kind(*peer)) {
                    info!(
                        %peer, reason = %reason.as_str(), by = %by.as_str(), lasted_s = lasted.as_secs(),
                        suppressed = suppressed.0, "link down: {}", reason.describe()
                    );
                }
            }
            Event::DialFailed { peer, addr, reason, by, failures, retry_in } => {
                self.dial_failed(&DialFailure {
                    peer: *peer,
                    addr: *addr,
                    reason: *reason,
                    by: *by,
                    failures: *failures,
                    retry_in: *retry_in,
                });
            }
            Event::InboundFailed { from, peer, reason, by } => {
                self.totals.count(Total::InboundFailed, *reason);
                if let Some(suppressed) = self.admit(Kind::Inbound(reason.code())) {
                    info!(
                        %from, peer = peer.map(tracing::field::display), reason = %reason.as_str(),
                        by = %by.as_str(), suppressed = suppressed.0, "inbound failed: {}", reason.describe()
                    );
                }
            }
            Event::Banned(ban) => self.banned(ban),
            Event::BanEnded { ban, end } => self.ban_ended(ban, *end),
            Event::Misbehaved { peer, offence, score, bound } => {
                if let Some(suppressed) = self.admit(self.link_kind(*peer)) {
                    info!(
                        %peer, reason = %offence.as_str(), score, bound, suppressed = suppressed.0,
                        "peer breaks rules: {}", offence.describe()
                    );
                }
            }
            Event::Knocked { peer, direction, answer } => {
                debug!(%peer, direction = %direction.as_str(), answer = %answer.as_str(), "knock");
            }
            Event::Probed { peer, addr, reason } => debug!(%peer, %addr, reason = %reason.as_str(), "probed"),
            Event::Absence { peer, absence } => {
                if let Some(suppressed) = self.admit(self.link_kind(*peer)) {
                    let (said, lasts_s) = match absence {
                        PeerAbsence::Announced(lasts) => ("peer announces to be away", Some(lasts.as_secs())),
                        PeerAbsence::TakenBack => ("peer stays after all", None),
                        PeerAbsence::Overdue => ("peer is away for longer than announced", None),
                    };
                    info!(%peer, lasts_s, suppressed = suppressed.0, "{said}");
                }
            }
            Event::Activity { node, activity } => {
                if let Some(suppressed) = self.admit(Kind::Activity(*node)) {
                    let state = match activity {
                        Activity::Active => "active",
                        Activity::Inactive => "inactive",
                    };
                    info!(%node, suppressed = suppressed.0, "masternode {state}");
                }
            }
            Event::Heartbeat { signer, sequence, via } => debug!(%signer, sequence, %via, "heartbeat"),
            Event::RateExceeded { peer, class, enforce } => {
                if let Some(suppressed) = self.admit(Kind::Excess(*class)) {
                    warn!(
                        %peer, class = %class.as_str(), enforce = %enforce.as_str(), suppressed = suppressed.0,
                        "a peer sends more than the schedules of an honest one make"
                    );
                }
            }
            Event::PeerCheck { expected, up } => info!(expected, up, "peer check"),
            Event::Warning(warning) => self.warning(warning),
            Event::Fatal(fatal) => error!(reason = %fatal.code(), "halted: {fatal}"),
            Event::Stopped => info!("all connections closed"),
            other => self.blocks.event(other),
        }
    }

    fn shell_event(&mut self, event: &ShellEvent) {
        match event {
            ShellEvent::Reload => (self.reload)(),
            // Whoever writes it down says so.
            ShellEvent::Record => {}
            ShellEvent::Stopping(cause) => info!(%cause, "stopping"),
            ShellEvent::AcceptPaused { cause, retry_in } => warn!(
                reason = %cause.reason().as_str(),
                retry_in_ms = millis(*retry_in),
                "cannot accept connections for now: raise the limit of open files (ulimit -n, LimitNOFILE=)"
            ),
            ShellEvent::AcceptResumed { failures } => info!(failures, "accepting connections again"),
            ShellEvent::StoreFailed(failed) => error!(error = %failed, "a record could not be made durable"),
            ShellEvent::LoadFailed(failed) => error!(error = %failed, "blocks could not be read for a peer"),
            ShellEvent::ApplicationBehind => {
                warn!("the application does not keep up with building and judging payloads");
            }
            ShellEvent::ApplicationFailed(failed) => error!(error = %failed, "the application cannot go on"),
        }
    }
}

/// Whether a dial failed for a reason that [`Warning::Incompatible`] tells.
const fn incompatible(reason: CloseReason) -> bool {
    use CloseReason::{VersionUnsupported, WrongGenesis, WrongMagic, WrongNetwork};
    matches!(reason, WrongMagic | WrongNetwork | WrongGenesis | VersionUnsupported)
}

/// The stable name of a warning.
pub(crate) fn warning_kind(warning: &Warning) -> &'static str {
    match warning {
        Warning::Frozen { .. } => "frozen",
        Warning::ClockBackwards(_) => "clock_backwards",
        Warning::ClockSkew { .. } => "clock_skew",
        Warning::EpochInFuture { .. } => "epoch_in_future",
        Warning::EpochRaised { .. } => "epoch_raised",
        Warning::KeyInUse { .. } => "key_in_use",
        Warning::OwnAddress(_) => "own_address",
        Warning::Incompatible { reason, .. } => reason.as_str(),
        Warning::SeenElsewhere { .. } => "seen_elsewhere",
        Warning::SelfSuspected { .. } => "self_suspected",
        Warning::MasternodesBanned { .. } => "masternodes_banned",
        Warning::ForeignSignature { .. } => "foreign_signature",
        Warning::CacheSetAside(_) => "cache_set_aside",
        _ => "other",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
