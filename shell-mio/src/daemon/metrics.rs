//! Totals by reason, counted where the log lines are made, and the Prometheus text made of all numbers.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use timed_core::{CloseReason, Counters, Summary};

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

/// Counters by reason, shared between the event loop and the API.
#[derive(Debug)]
pub(crate) struct Totals {
    by_reason: [Vec<AtomicU64>; 3],
    suppressed: AtomicU64,
    warnings: AtomicU64,
}

impl Totals {
    /// All zero.
    pub(crate) fn new() -> Self {
        let zeros = || CloseReason::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            by_reason: [zeros(), zeros(), zeros()],
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
    out.one("block_height", "gauge", "Height of the newest final block.", summary.height.0);
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
    out.one(
        "clock_offset_seconds",
        "gauge",
        "Median by which the peers' signed clocks are ahead.",
        // A clock offset is far below 2^52 milliseconds, where this would lose precision.
        summary.clock_offset_ms as f64 / 1000.0,
    );
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
    }
    loop_counters(&mut out, shell);
    out.0
}

fn core_counters(out: &mut Text, counters: &Counters) {
    for (name, help, value) in [
        ("dials_total", "Dials made, knocks included.", counters.dials),
        ("knocks_total", "Knocks made.", counters.knocks),
        ("links_up_total", "Links that became live.", counters.links_up),
        ("links_down_total", "Live links that ended.", counters.links_down),
        ("stale_inputs_total", "Inputs about connections that were gone.", counters.stale_inputs),
        ("clock_backwards_total", "Clock readings that went backwards.", counters.clock_backwards),
        ("freezes_total", "Times that this process did not run.", counters.freezes),
        ("unknown_frames_total", "Frames of kinds unknown to this version.", counters.unknown_frames),
        ("inbound_refused_total", "Inbound connections refused unauthenticated.", counters.inbound_refused),
        ("heartbeats_total", "Heartbeats verified for the first time.", counters.heartbeats),
        ("heartbeat_repeats_total", "Heartbeats received again.", counters.heartbeat_repeats),
        ("heartbeats_invalid_total", "Heartbeats refused.", counters.heartbeats_invalid),
    ] {
        out.one(name, "counter", help, value);
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
        ("blocks_committed_total", "counter", "Blocks that the application has taken in.", shell.blocks),
        ("loads_total", "counter", "Ranges of blocks read for peers.", shell.loads),
        ("connections_open", "gauge", "Connections open or being dialed.", shell.open),
        ("pending_send_bytes", "gauge", "Bytes that wait for a socket.", shell.pending_bytes),
    ] {
        out.one(name, kind, help, value);
    }
    let seconds = |nanos: u64| std::time::Duration::from_nanos(nanos).as_secs_f64();
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

    #[test]
    fn every_sample_has_its_type_and_reasons_are_bounded() {
        let totals = Totals::new();
        for reason in CloseReason::ALL {
            totals.count(Total::LinkClosed, *reason);
            totals.count(Total::LinkClosed, *reason);
        }
        let text = prometheus(&Reading {
            summary: Summary { connected_peers: 3, clock_offset_ms: -1500, ..Summary::default() },
            counters: Some(Counters::default()),
            shell: LoopCounters::default(),
            last_tick_seconds: 0.25,
            uptime_seconds: 1.5,
            totals: &totals,
        });
        assert!(text.contains("\ntimed_connected_peers 3\n"), "{text}");
        assert!(text.contains("\ntimed_clock_offset_seconds -1.5\n"), "{text}");
        assert!(text.contains("\ntimed_links_closed_total{reason=\"silent\"} 2\n"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(' ').unwrap();
            let name = name.split('{').next().unwrap();
            assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{line}");
            assert!(value.parse::<f64>().is_ok() && name.starts_with("timed_"), "{line}");
        }
    }
}
