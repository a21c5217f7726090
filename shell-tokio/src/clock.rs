//! The two clocks as the core wants them.

use std::time::{SystemTime, UNIX_EPOCH};

use timed_core::{Mono, Now, Wall};
use tokio::time::Instant;

/// Says what time it is. The driver asks once each time it wakes up.
pub trait Clock: Send + Sync + 'static {
    /// Reads both clocks. The monotonic one must run as fast as tokio's own, whatever it counts from: deadlines are
    /// waited for with tokio's timer.
    fn now(&self) -> Now;
}

/// The system's clocks; the monotonic one is tokio's, which a test may pause.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic readings count from now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mono = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // A clock before 1970 reads as 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: Mono(mono), wall: Wall(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)) }
    }
}
