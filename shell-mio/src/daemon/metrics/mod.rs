//! Totals by reason, and the Prometheus text made of all numbers.
//!
//! | file | mechanism |
//! |---|---|
//! | `totals` | what is counted where the log lines are made |
//! | `masternodes` | what is known of each registered masternode |
//! | `process` | the event loop, and what the operating system says of this process |
//! | `recorder` | the flight recorder |
//! | `text` | the text format |

mod masternodes;
mod process;
mod recorder;
mod text;
mod totals;

use std::time::Duration;

use timed_core::wire::message::Lane;
use timed_core::{
    BanCause, CommittedVia, Counters, MasternodeInfo, NotProducing, Offence, Pending, Producing, SlotClass,
    Summary, TrafficClass,
};

use self::masternodes::masternode_numbers;
use self::process::{loop_numbers, process_numbers};
use self::recorder::recorder_numbers;
use self::text::Text;
use crate::LoopCounters;

pub(crate) use self::process::ProcessNumbers;
pub(crate) use self::recorder::RecorderNumbers;
pub(crate) use self::totals::{ChainTotal, Total, Totals};

/// One reading of everything a scrape shows.
pub(crate) struct Reading<'a> {
    /// The core's snapshot.
    pub(crate) summary: Summary,
    /// The core's totals, where it answered in time.
    pub(crate) counters: Option<Counters>,
    /// Bans in force by cause, where the core answered in time.
    pub(crate) bans: Option<[usize; BanCause::ALL.len()]>,
    /// What is under way, where the core answered in time.
    pub(crate) pending: Option<Pending>,
    /// The registry and what is known of each masternode; empty where the core did not answer in time.
    pub(crate) masternodes: &'a [MasternodeInfo],
    /// Masternodes that decide together.
    pub(crate) quorum: usize,
    /// Between two blocks.
    pub(crate) block_interval: Duration,
    /// What the operating system says of this process.
    pub(crate) process: ProcessNumbers,
    /// The flight recorder's, if there is one.
    pub(crate) recorder: Option<RecorderNumbers>,
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
    out.one("quorum_masternodes", "gauge", "Masternodes that a block needs.", reading.quorum);
    let interval = reading.block_interval.as_secs_f64();
    out.one("block_interval_seconds", "gauge", "Between two blocks.", interval);
    out.one("connected_peers", "gauge", "Live sessions.", summary.connected_peers);
    out.one("links_expected", "gauge", "Links that should stand.", summary.links.expected);
    out.one(
        "links_absent",
        "gauge",
        "Links not expected, for the peer is away as it has announced.",
        summary.links.absent,
    );
    out.one(
        "draining",
        "gauge",
        "Whether this node has announced to be away.",
        u8::from(summary.leaving.is_some()),
    );
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
        totals.suppressed(),
    );
    out.header("warnings_total", "counter", "Warnings to the operator, by name.");
    for (name, count) in totals.warnings() {
        out.sample("warnings_total", &format!("{{warning=\"{name}\"}}"), count);
    }
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
    if let Some(pending) = reading.pending {
        pending_numbers(&mut out, &pending);
    }
    if !reading.masternodes.is_empty() {
        masternode_numbers(&mut out, reading.masternodes);
    }
    loop_numbers(&mut out, shell);
    process_numbers(&mut out, &reading.process);
    if let Some(recorder) = &reading.recorder {
        recorder_numbers(&mut out, recorder);
    }
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
    let help = "From the start of its slot until a block was final and durable here.";
    out.histogram("block_lateness_seconds", help, totals.lateness(), totals.lateness_sum());
}

fn pending_numbers(out: &mut Text, pending: &Pending) {
    out.header("handshakes", "gauge", "Connections that are no sessions yet, by how far they are.");
    let waiting = pending.deferred.min(pending.unauthenticated);
    for (stage, count) in [
        ("dialing", pending.dialing),
        ("unauthenticated", pending.unauthenticated - waiting),
        ("deferred", waiting),
    ] {
        out.sample("handshakes", &format!("{{stage=\"{stage}\"}}"), count);
    }
    out.header("queued_bytes", "gauge", "Memory of what waits for peers, by lane.");
    for (lane, bytes) in Lane::ALL.iter().zip(pending.queued_bytes) {
        out.sample("queued_bytes", &format!("{{lane=\"{}\"}}", lane_name(*lane)), bytes);
    }
    out.one(
        "queue_stalled_seconds",
        "gauge",
        "How long the slowest peer has taken nothing although something waits for it.",
        pending.stalled.as_secs_f64(),
    );
}

/// The stable name of a lane.
const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Control => "control",
        Lane::Payload => "payload",
        Lane::Relay => "relay",
        Lane::Bulk => "bulk",
    }
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
        ("votes_total", "Votes verified for the first time.", counters.votes),
        (
            "block_items_invalid_total",
            "Proposals, votes, certificates, chunks and blocks that were not what they must be.",
            counters.block_items_invalid,
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::{
        Activity, AddressCounts, CloseReason, Height, MasternodeIndex, NodeId, SlotCount, SlotCounts,
        SyncState,
    };

    fn masternode(seed: u8, activity: Activity) -> MasternodeInfo {
        MasternodeInfo {
            index: MasternodeIndex(seed),
            node: NodeId([seed; 32]),
            addr: "192.0.2.1:24100".parse().unwrap(),
            activity,
            last_heartbeat: None,
            heard: Some(Duration::from_millis(2_500)).filter(|_| activity == Activity::Active),
            epoch: None,
            sequence: None,
            height: None,
            witnesses: vec![NodeId([9; 32])],
            attested: true,
            active_for: None,
        }
    }

    #[test]
    fn a_masternode_that_was_never_heard_has_no_age() {
        let mut out = Text(String::new());
        masternode_numbers(&mut out, &[masternode(1, Activity::Active), masternode(2, Activity::Inactive)]);
        let samples = |name: &str| -> Vec<&str> {
            let lines = out.0.lines().filter(|line| line.starts_with(&format!("timed_masternode_{name}{{")));
            lines.map(|line| line.rsplit_once(' ').unwrap().1).collect()
        };
        assert_eq!(samples("active"), ["1", "0"]);
        assert_eq!(samples("heartbeat_age_seconds"), ["2.5"]);
        assert_eq!((samples("witnesses"), samples("attested")), (vec!["1", "1"], vec!["1", "1"]));
    }

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
        totals.count_warning("key_in_use");
        totals.count_warning("of a later version");
        let masternodes = [masternode(1, Activity::Active), masternode(2, Activity::Inactive)];
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
            pending: Some(Pending {
                unauthenticated: 3,
                deferred: 1,
                queued_bytes: [0, 9, 0, 0],
                stalled: Duration::from_millis(1_500),
                ..Pending::default()
            }),
            masternodes: &masternodes,
            quorum: 3,
            block_interval: Duration::from_secs(10),
            process: ProcessNumbers::read(),
            recorder: Some(RecorderNumbers { written: 3, failed: 1, ..RecorderNumbers::default() }),
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
            "warnings_total{warning=\"key_in_use\"} 1",
            "warnings_total{warning=\"other\"} 1",
            "handshakes{stage=\"unauthenticated\"} 2",
            "handshakes{stage=\"deferred\"} 1",
            "queued_bytes{lane=\"payload\"} 9",
            "queue_stalled_seconds 1.5",
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
