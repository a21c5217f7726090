//! Totals by reason, counted where the log lines are made, and the Prometheus text made of all numbers.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use timed_core::{
    BanCause, CloseReason, CommittedVia, Counters, NotProducing, Offence, Producing, SlotClass, Summary,
    TrafficClass,
};

use crate::LoopCounters;

/// What is counted by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    /// Live links that ended.
    LinkClosed,
    /// Dials that led to no session.
    DialFailed,
    /// Inbound handshakes that led to no session.
    InboundFailed,
}

/// What is counted about blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainTotal {
    /// Final blocks that came by this node's own votes.
    CommittedByConsensus,
    /// Final blocks that were fetched.
    CommittedBySync,
    /// Proposals of this node.
    Proposed,
    /// Rounds after the first of a height.
    LaterRound,
    /// Proofs of equivocation.
    Equivocation,
}

impl From<CommittedVia> for ChainTotal {
    fn from(via: CommittedVia) -> Self {
        match via {
            CommittedVia::Consensus => Self::CommittedByConsensus,
            CommittedVia::Sync => Self::CommittedBySync,
        }
    }
}

/// Upper bounds of the lateness of blocks, in milliseconds: from a fast network's to a round that failed.
const LATENESS_BOUNDS_MS: [u64; 13] =
    [10, 25, 50, 100, 200, 300, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 30_000];

/// Counters by reason, shared between the event loop and the API.
#[derive(Debug)]
pub(crate) struct Totals {
    by_reason: [Vec<AtomicU64>; 3],
    chain: [AtomicU64; 5],
    /// Blocks by lateness: a place for each bound, and one for those beyond the last.
    lateness: [AtomicU64; LATENESS_BOUNDS_MS.len() + 1],
    lateness_sum_ms: AtomicU64,
    /// Thousandths of a block a second while this node catches up; zero while it does not.
    sync_rate: AtomicU64,
    suppressed: AtomicU64,
    warnings: AtomicU64,
}

impl Totals {
    /// All zero.
    pub(crate) fn new() -> Self {
        let zeros = || CloseReason::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            by_reason: [zeros(), zeros(), zeros()],
            chain: Default::default(),
            lateness: Default::default(),
            lateness_sum_ms: AtomicU64::new(0),
            sync_rate: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            warnings: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub(crate) fn count(&self, total: Total, reason: CloseReason) {
        let position = CloseReason::ALL.iter().position(|known| *known == reason);
        let counters = &self.by_reason[total as usize];
        if let Some(counter) = position.and_then(|position| counters.get(position)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts one about blocks.
    pub(crate) fn count_chain(&self, total: ChainTotal) {
        self.chain[total as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a block that became final so long after the start of its slot.
    pub(crate) fn count_lateness(&self, late: Duration) {
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        let place = LATENESS_BOUNDS_MS.iter().position(|bound| late <= *bound);
        self.lateness[place.unwrap_or(LATENESS_BOUNDS_MS.len())].fetch_add(1, Ordering::Relaxed);
        self.lateness_sum_ms.fetch_add(late, Ordering::Relaxed);
    }

    /// Notes how fast this node catches up: blocks a second, zero while it does not.
    pub(crate) fn set_sync_rate(&self, rate: f64) {
        // Saturates: no disk stores 10^16 blocks a second.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        self.sync_rate.store((rate * 1000.0) as u64, Ordering::Relaxed);
    }

    /// How fast this node catches up: blocks a second, if that is known.
    pub(crate) fn sync_rate(&self) -> Option<f64> {
        let rate = self.sync_rate.load(Ordering::Relaxed);
        (rate > 0).then_some(rate as f64 / 1000.0)
    }

    fn chain(&self, total: ChainTotal) -> u64 {
        self.chain[total as usize].load(Ordering::Relaxed)
    }

    /// Counts a log line that was left out.
    pub(crate) fn count_suppressed(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a warning to the operator.
    pub(crate) fn count_warning(&self) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, total: Total) -> impl Iterator<Item = (CloseReason, u64)> {
        let counters = self.by_reason[total as usize].iter().map(|counter| counter.load(Ordering::Relaxed));
        CloseReason::ALL.iter().copied().zip(counters).filter(|(_, count)| *count > 0)
    }
}

/// One reading of everything a scrape shows.
pub(crate) struct Reading<'a> {
    /// The core's snapshot.
    pub(crate) summary: Summary,
    /// The core's totals, where it answered in time.
    pub(crate) counters: Option<Counters>,
    /// Bans in force by cause, where the core answered in time.
    pub(crate) bans: Option<[usize; BanCause::ALL.len()]>,
    /// The loop's totals.
    pub(crate) shell: LoopCounters,
    /// Seconds since the core last had the chance to act.
    pub(crate) last_tick_seconds: f64,
    /// Seconds since the start.
    pub(crate) uptime_seconds: f64,
    /// Totals by reason.
    pub(crate) totals: &'a Totals,
}

/// The Prometheus text of a reading.
pub(crate) fn prometheus(reading: &Reading<'_>) -> String {
    let mut out = Text(String::with_capacity(8192));
    let Reading { summary, shell, totals, .. } = reading;
    out.header("build_info", "gauge", "The running version.");
    out.sample("build_info", &format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
    out.one("uptime_seconds", "gauge", "Time since the start.", reading.uptime_seconds);
    out.one(
        "last_tick_age_seconds",
        "gauge",
        "Time since the core last had the chance to act.",
        reading.last_tick_seconds,
    );
    out.one(
        "active_masternodes",
        "gauge",
        "Masternodes active in this node's view, itself included.",
        summary.active_masternodes,
    );
    out.one("connected_peers", "gauge", "Live sessions.", summary.connected_peers);
    out.one("links_expected", "gauge", "Links that should stand.", summary.links.expected);
    out.one("links_up", "gauge", "Expected links that stand.", summary.links.up);
    out.header("links", "gauge", "Live sessions by who dialed.");
    out.sample("links", "{direction=\"inbound\"}", summary.links.inbound);
    out.sample("links", "{direction=\"outbound\"}", summary.links.outbound);
    out.one(
        "links_duplicate",
        "gauge",
        "Authenticated connections beyond one a peer.",
        summary.links.duplicates,
    );
    out.header("slots", "gauge", "Places for live sessions, by what they are held by.");
    for class in SlotClass::ALL {
        let (count, class) = (summary.slots.of(class), class.as_str());
        out.sample("slots", &format!("{{class=\"{class}\",state=\"used\"}}"), count.used);
        out.sample("slots", &format!("{{class=\"{class}\",state=\"free\"}}"), count.free);
    }
    out.header("address_book_entries", "gauge", "Addresses of nodes that are not registered.");
    let addresses = summary.addresses;
    for (table, entries) in
        [("tried", addresses.tried), ("heard", addresses.heard), ("tombstone", addresses.tombstones)]
    {
        out.sample("address_book_entries", &format!("{{table=\"{table}\"}}"), entries);
    }
    out.one(
        "clock_offset_seconds",
        "gauge",
        "Median by which the peers' signed clocks are ahead.",
        // A clock offset is far below 2^52 milliseconds, where this would lose precision.
        summary.clock_offset_ms as f64 / 1000.0,
    );
    chain_numbers(&mut out, summary, totals);
    for (total, name, help) in [
        (Total::LinkClosed, "links_closed_total", "Live links that ended, by reason."),
        (Total::DialFailed, "dials_failed_total", "Dials that led to no session, by reason."),
        (
            Total::InboundFailed,
            "inbound_failed_total",
            "Inbound handshakes that led to no session, by reason.",
        ),
    ] {
        out.header(name, "counter", help);
        for (reason, count) in totals.of(total) {
            out.sample(name, &format!("{{reason=\"{reason}\"}}"), count);
        }
    }
    out.one(
        "log_lines_suppressed_total",
        "counter",
        "Log lines left out by a throttle.",
        totals.suppressed.load(Ordering::Relaxed),
    );
    out.one(
        "warnings_total",
        "counter",
        "Warnings to the operator.",
        totals.warnings.load(Ordering::Relaxed),
    );
    if let Some(counters) = reading.counters {
        core_counters(&mut out, &counters);
        conduct(&mut out, &counters);
    }
    if let Some(bans) = reading.bans {
        out.header("bans", "gauge", "Bans in force, by cause.");
        for (cause, count) in BanCause::ALL.iter().zip(bans) {
            out.sample("bans", &format!("{{cause=\"{}\"}}", cause.as_str()), count);
        }
    }
    loop_counters(&mut out, shell);
    out.0
}

fn chain_numbers(out: &mut Text, summary: &Summary, totals: &Totals) {
    out.one("block_height", "gauge", "Height of the newest final block.", summary.height.0);
    // The zero of no block yet is what the clients of such gauges expect.
    let slot = Duration::from_millis(summary.last_slot.0).as_secs_f64();
    out.one("block_slot_timestamp_seconds", "gauge", "Start of that block's slot, in Unix time.", slot);
    let producing = summary.producing == Producing::Yes;
    out.one("producing", "gauge", "Whether this node proposes blocks (1) or not (0).", u8::from(producing));
    out.header("not_producing", "gauge", "Why this node proposes no blocks: 1 at the reason in force.");
    for code in NotProducing::CODES {
        let in_force = matches!(summary.producing, Producing::No(why) if why.code() == code);
        out.sample("not_producing", &format!("{{reason=\"{code}\"}}"), u8::from(in_force));
    }
    out.header("sync_state", "gauge", "How far this node has caught up: 1 at the state in force.");
    for known in ["synced", "syncing", "stalled"] {
        out.sample("sync_state", &format!("{{state=\"{known}\"}}"), u8::from(known == summary.sync.as_str()));
    }
    let target = summary.sync.target().unwrap_or(summary.height);
    out.one("sync_target_height", "gauge", "The newest final height that this node has heard of.", target.0);
    let rate = totals.sync_rate().unwrap_or(0.0);
    out.one("sync_blocks_per_second", "gauge", "How fast this node catches up; 0 while it does not.", rate);
    let mempool = summary.mempool;
    out.one("mempool_transactions", "gauge", "Transactions that wait for a block.", mempool.transactions);
    out.one("mempool_bytes", "gauge", "Their bytes.", mempool.bytes);
    out.header("blocks_committed_total", "counter", "Final blocks made durable, by how they came.");
    for via in [CommittedVia::Consensus, CommittedVia::Sync] {
        let labels = format!("{{via=\"{}\"}}", via.as_str());
        out.sample("blocks_committed_total", &labels, totals.chain(via.into()));
    }
    for (total, name, help) in [
        (ChainTotal::Proposed, "blocks_proposed_total", "Blocks that this node has proposed."),
        (ChainTotal::LaterRound, "later_rounds_total", "Rounds that began because the one before failed."),
        (ChainTotal::Equivocation, "equivocations_total", "Masternodes seen to contradict themselves."),
    ] {
        out.one(name, "counter", help, totals.chain(total));
    }
    lateness(out, totals);
}

fn lateness(out: &mut Text, totals: &Totals) {
    let name = "block_lateness_seconds";
    out.header(name, "histogram", "From the start of its slot until a block was final and durable here.");
    let mut below = 0;
    let bounds = LATENESS_BOUNDS_MS.iter().map(|ms| Duration::from_millis(*ms).as_secs_f64().to_string());
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&totals.lateness) {
        below += count.load(Ordering::Relaxed);
        out.sample(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), below);
    }
    let sum = Duration::from_millis(totals.lateness_sum_ms.load(Ordering::Relaxed));
    out.sample(&format!("{name}_sum"), "", sum.as_secs_f64());
    out.sample(&format!("{name}_count"), "", below);
}

fn core_counters(out: &mut Text, counters: &Counters) {
    for (name, help, value) in [
        ("dials_total", "Dials made, knocks and probes included.", counters.dials),
        ("knocks_total", "Knocks made.", counters.knocks),
        ("probes_total", "Probes of advertised addresses made.", counters.probes),
        ("probes_answered_total", "Probes of others answered.", counters.probes_answered),
        ("links_up_total", "Links that became live.", counters.links_up),
        ("links_down_total", "Live links that ended.", counters.links_down),
        ("stale_inputs_total", "Inputs about connections that were gone.", counters.stale_inputs),
        ("clock_backwards_total", "Clock readings that went backwards.", counters.clock_backwards),
        ("freezes_total", "Times that this process did not run.", counters.freezes),
        ("unknown_frames_total", "Frames of kinds unknown to this version.", counters.unknown_frames),
        ("inbound_refused_total", "Inbound connections refused unauthenticated.", counters.inbound_refused),
        (
            "handshakes_deferred_total",
            "Steps of inbound handshakes that waited for their turn.",
            counters.handshakes_deferred,
        ),
        ("candidates_total", "Dials to addresses from the address book.", counters.candidates),
        ("candidates_failed_total", "Of these, those that led to no session.", counters.candidates_failed),
        (
            "address_requests_ignored_total",
            "Requests of others for addresses that came too soon.",
            counters.address_requests_ignored,
        ),
        (
            "addresses_unasked_total",
            "Messages with addresses that nobody had asked for.",
            counters.addresses_unasked,
        ),
        (
            "inbound_banned_total",
            "Connections refused for a ban on the address, and handshakes for one on the key.",
            counters.inbound_banned,
        ),
        ("heartbeats_total", "Heartbeats verified for the first time.", counters.heartbeats),
        ("heartbeat_repeats_total", "Heartbeats received again.", counters.heartbeat_repeats),
        ("heartbeats_invalid_total", "Heartbeats refused.", counters.heartbeats_invalid),
        ("block_requests_total", "Requests for blocks sent.", counters.block_requests),
        ("block_races_total", "Of these, for what another peer had been asked before.", counters.block_races),
        (
            "block_answers_unasked_total",
            "Parts and ends of answers to no open request.",
            counters.block_answers_unasked,
        ),
        (
            "block_requests_failed_total",
            "Requests for blocks that were answered too late, wrongly, with less than promised or not at all.",
            counters.block_requests_failed,
        ),
        ("blocks_fetched_total", "Missing blocks that came in answer.", counters.blocks_fetched),
        (
            "blocks_surplus_total",
            "Blocks that came in answer and were not missing any more.",
            counters.blocks_surplus,
        ),
        ("blocks_rejected_total", "Blocks that came in answer and did not verify.", counters.blocks_rejected),
        (
            "block_requests_served_total",
            "Requests of others for blocks that were taken on.",
            counters.block_requests_served,
        ),
        (
            "block_requests_refused_total",
            "Requests of others for blocks that were not: busy, or nothing to serve.",
            counters.block_requests_refused,
        ),
        ("blocks_served_total", "Blocks handed out to others.", counters.blocks_served),
        ("block_bytes_served_total", "Bytes of these.", counters.block_bytes_served),
    ] {
        out.one(name, "counter", help, value);
    }
    let name = "rate_exceeded_total";
    out.header(name, "counter", "Messages of peers beyond the rate of their class.");
    for (enforced, counts) in [(true, &counters.rate_exceeded), (false, &counters.rate_observed)] {
        for (class, count) in TrafficClass::ALL.iter().zip(counts) {
            let labels = format!("{{class=\"{}\",enforced=\"{enforced}\"}}", class.as_str());
            out.sample(name, &labels, count);
        }
    }
}

fn conduct(out: &mut Text, counters: &Counters) {
    out.header("bans_total", "counter", "Bans that came into force, by cause.");
    for (cause, count) in BanCause::ALL.iter().zip(counters.bans) {
        out.sample("bans_total", &format!("{{cause=\"{}\"}}", cause.as_str()), count);
    }
    out.header("offences_total", "counter", "Rules broken by authenticated peers.");
    for (offence, count) in Offence::ALL.iter().zip(counters.offences) {
        out.sample("offences_total", &format!("{{offence=\"{}\"}}", offence.as_str()), count);
    }
}

fn loop_counters(out: &mut Text, shell: &LoopCounters) {
    for (name, kind, help, value) in [
        ("loop_turns_total", "counter", "Turns of the event loop.", shell.turns),
        ("loop_ticks_total", "counter", "Ticks given at a deadline.", shell.ticks),
        ("socket_reads_total", "counter", "System calls that read.", shell.reads),
        ("socket_writes_total", "counter", "System calls that wrote.", shell.writes),
        ("received_bytes_total", "counter", "Bytes read from connections.", shell.bytes_in),
        ("sent_bytes_total", "counter", "Bytes written to connections.", shell.bytes_out),
        ("connections_dialed_total", "counter", "Connections dialed.", shell.dialed),
        ("connections_accepted_total", "counter", "Connections accepted.", shell.accepted),
        (
            "accept_failures_total",
            "counter",
            "Accepts that failed for want of resources.",
            shell.accept_failures,
        ),
        ("api_requests_total", "counter", "Requests taken from other threads.", shell.requests),
        ("records_durable_total", "counter", "Records and blocks made durable.", shell.records),
        ("application_blocks_total", "counter", "Blocks that the application has taken in.", shell.blocks),
        ("loads_total", "counter", "Ranges of blocks read for peers.", shell.loads),
        ("connections_open", "gauge", "Connections open or being dialed.", shell.open),
        ("pending_send_bytes", "gauge", "Bytes that wait for a socket.", shell.pending_bytes),
    ] {
        out.one(name, kind, help, value);
    }
    let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
    out.one("loop_busy_seconds_total", "counter", "Time spent working.", seconds(shell.busy_ns));
    out.one(
        "store_seconds_total",
        "counter",
        "Time from asking for a durable write until it was done, over all writes.",
        seconds(shell.store_ns),
    );
    out.one("store_max_seconds", "gauge", "The slowest durable write.", seconds(shell.store_max_ns));
    out.one("loop_turn_max_seconds", "gauge", "The longest turn.", seconds(shell.turn_max_ns));
    out.one(
        "loop_lag_max_seconds",
        "gauge",
        "The latest tick after its deadline.",
        seconds(shell.lag_max_ns),
    );
}

/// Prometheus text under construction; every name gets the prefix `timed_`.
struct Text(String);

impl Text {
    fn header(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP timed_{name} {help}\n# TYPE timed_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "timed_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.header(name, kind, help);
        self.sample(name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::{AddressCounts, Height, SlotCount, SlotCounts, SyncState};

    #[test]
    fn every_sample_has_its_type_and_reasons_are_bounded() {
        let totals = Totals::new();
        for reason in CloseReason::ALL {
            totals.count(Total::LinkClosed, *reason);
            totals.count(Total::LinkClosed, *reason);
        }
        for late in [5, 10, 11, 400_000] {
            totals.count_lateness(Duration::from_millis(late));
        }
        totals.count_chain(CommittedVia::Sync.into());
        let sync = SyncState::Syncing { height: Height(4), target: Height(9) };
        let slots = SlotCounts { reserved: SlotCount { used: 1, free: 2 }, ..SlotCounts::default() };
        let mut counters = Counters::default();
        counters.rate_exceeded[TrafficClass::Heartbeat.index()] = 7;
        let text = prometheus(&Reading {
            summary: Summary {
                connected_peers: 3,
                clock_offset_ms: -1500,
                slots,
                addresses: AddressCounts { heard: 7, ..AddressCounts::default() },
                sync,
                ..Summary::default()
            },
            counters: Some(counters),
            bans: Some([2, 0, 0, 0, 0, 1]),
            shell: LoopCounters::default(),
            last_tick_seconds: 0.25,
            uptime_seconds: 1.5,
            totals: &totals,
        });
        assert!(text.contains("\ntimed_connected_peers 3\n"), "{text}");
        assert!(text.contains("\ntimed_clock_offset_seconds -1.5\n"), "{text}");
        assert!(text.contains("\ntimed_links_closed_total{reason=\"silent\"} 2\n"), "{text}");
        for sample in [
            "block_lateness_seconds_bucket{le=\"0.01\"} 2",
            "block_lateness_seconds_bucket{le=\"30\"} 3",
            "block_lateness_seconds_bucket{le=\"+Inf\"} 4",
            "block_lateness_seconds_sum 400.026",
            "block_lateness_seconds_count 4",
            "slots{class=\"reserved\",state=\"free\"} 2",
            "blocks_committed_total{via=\"sync\"} 1",
            "not_producing{reason=\"starting\"} 1",
            "not_producing{reason=\"clock\"} 0",
            "sync_state{state=\"syncing\"} 1",
            "sync_target_height 9",
            "address_book_entries{table=\"heard\"} 7",
            "bans{cause=\"operator\"} 2",
            "bans{cause=\"flood\"} 1",
            "bans_total{cause=\"malformed\"} 0",
            "offences_total{offence=\"bad_signature\"} 0",
            "rate_exceeded_total{class=\"heartbeat\",enforced=\"true\"} 7",
            "rate_exceeded_total{class=\"total\",enforced=\"false\"} 0",
        ] {
            assert!(text.contains(&format!("\ntimed_{sample}\n")), "{sample} not in:\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(' ').unwrap();
            let name = name.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            let histogram = family.is_some_and(|f| text.contains(&format!("# TYPE {f} histogram\n")));
            let family = family.filter(|_| histogram).unwrap_or(name);
            assert_eq!(text.matches(&format!("# TYPE {family} ")).count(), 1, "{line}");
            assert!(value.parse::<f64>().is_ok() && name.starts_with("timed_"), "{line}");
        }
    }
}
