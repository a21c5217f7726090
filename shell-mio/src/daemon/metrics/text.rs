//! The text format of Prometheus.

use std::fmt::{Display, Write as _};
use std::time::Duration;

/// Text under construction; every name gets the prefix `timed_`.
pub(super) struct Text(pub(super) String);

impl Text {
    /// What a metric is; its samples follow.
    pub(super) fn header(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP timed_{name} {help}\n# TYPE timed_{name} {kind}");
    }

    /// One sample, with its labels in braces or none.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "timed_{name}{labels} {value}");
    }

    /// A metric without labels.
    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.header(name, kind, help);
        self.sample(name, "", value);
    }

    /// A histogram of durations, given by how many were not longer than each bound; the last has no bound.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: impl Iterator<Item = (Option<Duration>, u64)>,
        sum: Duration,
    ) {
        self.header(name, "histogram", help);
        let mut all = 0;
        for (bound, count) in buckets {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
            self.sample(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), count);
            all = count;
        }
        self.sample(&format!("{name}_sum"), "", sum.as_secs_f64());
        self.sample(&format!("{name}_count"), "", all);
    }
}
