//! The system's two clocks as the core wants them.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use timed_core::{Mono, Now, Wall};

/// Reads both clocks. The monotonic one counts from the first call in this process; give
/// [`Node::new`](timed_core::Node::new) a reading of this same clock.
#[must_use]
pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}

pub(super) fn mono() -> Mono {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = ORIGIN.get_or_init(Instant::now);
    Mono(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// A clock before 1970 reads as 1970.
fn wall() -> Wall {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_advance_and_name_this_century() {
        let first = now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let second = now();
        assert!(second.mono > first.mono && second.wall >= first.wall);
        assert!(first.wall > Wall(1_700_000_000_000), "{first:?}");
    }
}
