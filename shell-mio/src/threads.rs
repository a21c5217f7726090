//! Threads that are waited for, but not for ever.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Waits for a thread until then; one that takes longer is left behind.
pub(crate) fn join_by(thread: JoinHandle<()>, until: Instant) {
    while !thread.is_finished() && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
    if thread.is_finished() {
        let _ = thread.join();
    }
}
