//! The numbers of the flight recorder.

use timed_core::flight::Recorded;

use super::text::Text;

/// What the flight recorder holds, and what became of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecorderNumbers {
    /// What is in memory.
    pub(crate) recorded: Recorded,
    /// Files that were written.
    pub(crate) written: u64,
    /// Files that could not be.
    pub(crate) failed: u64,
}

/// Appends them.
pub(super) fn recorder_numbers(out: &mut Text, numbers: &RecorderNumbers) {
    let RecorderNumbers { recorded, written, failed } = numbers;
    out.one("recorder_bytes", "gauge", "Bytes that the flight recorder holds.", recorded.bytes);
    out.one(
        "recorder_covered_seconds",
        "gauge",
        "How far back a recording would go that is written now.",
        recorded.span.as_secs_f64(),
    );
    for (name, help, value) in [
        (
            "recorder_checkpoints_total",
            "States of the node that the flight recorder has kept.",
            recorded.states,
        ),
        ("recordings_written_total", "Recordings written into the data directory.", *written),
        ("recordings_failed_total", "Recordings that could not be written.", *failed),
    ] {
        out.one(name, "counter", help, value);
    }
}
