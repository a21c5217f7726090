//! The numbers of this process: its event loop, and what the operating system says of it.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::text::Text;
use crate::LoopCounters;

/// What the operating system says of this process; what it does not say is left out of a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessNumbers {
    cpu: Duration,
    resident_bytes: Option<u64>,
    descriptors: Option<usize>,
    descriptors_max: Option<u64>,
}

impl ProcessNumbers {
    /// Reads them: some tens of microseconds, not for the event loop.
    pub(crate) fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Self {
            cpu: cpu.try_into().unwrap_or_default(),
            resident_bytes: resident.and_then(|kib| Some(kib.trim().parse::<u64>().ok()? * 1024)),
            descriptors: fs::read_dir("/proc/self/fd").map(Iterator::count).ok(),
            descriptors_max: getrlimit(Resource::Nofile).current,
        }
    }
}

/// The numbers of this process.
pub(super) fn process_numbers(out: &mut Text, process: &ProcessNumbers) {
    let cpu = process.cpu.as_secs_f64();
    out.one("process_cpu_seconds_total", "counter", "CPU time used, by all threads.", cpu);
    if let Some(bytes) = process.resident_bytes {
        out.one("process_resident_memory_bytes", "gauge", "Memory in use.", bytes);
    }
    if let Some(open) = process.descriptors {
        out.one("process_open_fds", "gauge", "Open file descriptors.", open);
    }
    if let Some(max) = process.descriptors_max {
        out.one("process_max_fds", "gauge", "File descriptors that may be open at once.", max);
    }
}

/// The numbers of the event loop.
pub(super) fn loop_numbers(out: &mut Text, shell: &LoopCounters) {
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
            "connections_refused_total",
            "counter",
            "Of these, those that the core did not take.",
            shell.refused,
        ),
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
        (
            "closes_cut_total",
            "counter",
            "Connections closed before the peer had taken everything, because too many were closing.",
            shell.linger_cut,
        ),
        (
            "connections_closing",
            "gauge",
            "Closed connections whose last bytes are under way.",
            shell.lingering,
        ),
        ("connections_open", "gauge", "Connections open or being dialed.", shell.open),
        ("pending_send_bytes", "gauge", "Bytes that wait for a socket.", shell.pending_bytes),
    ] {
        out.one(name, kind, help, value);
    }
    let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
    out.one("loop_busy_seconds_total", "counter", "Time spent working.", seconds(shell.busy_ns));
    let help = "From the command to write a record or a block until it was durable.";
    out.histogram("store_write_seconds", help, shell.store.cumulative(), shell.store.sum());
    out.one("store_max_seconds", "gauge", "The longest of these.", seconds(shell.store_max_ns));
    out.one("loop_turn_max_seconds", "gauge", "The longest turn.", seconds(shell.turn_max_ns));
    out.histogram(
        "loop_lag_seconds",
        "By how much ticks came after their deadlines.",
        shell.lag.cumulative(),
        shell.lag.sum(),
    );
    out.one("loop_lag_max_seconds", "gauge", "The longest of these.", seconds(shell.lag_max_ns));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        let numbers = ProcessNumbers::read();
        assert!(numbers.cpu > Duration::ZERO && numbers.resident_bytes > Some(1 << 20), "{numbers:?}");
        assert!(numbers.descriptors >= Some(3) && numbers.descriptors_max > Some(3), "{numbers:?}");
    }
}
