//! Traffic that keeps itself going, and how its cost is measured.

use std::thread::sleep;
use std::time::Duration;

use crate::measure::{cpu, micros};

/// An opaque message of 200 bytes with what the core puts around it inside a record: lane byte, frame header.
pub(crate) const PLAINTEXT: usize = 1 + 6 + MESSAGE;
/// The message itself.
pub(crate) const MESSAGE: usize = 200;

/// Messages that go back and forth between a hub and its peers.
pub(crate) trait Traffic {
    /// Sets it in motion.
    fn start(&mut self);
    /// Lets it run out.
    fn stop(&mut self);
    /// Messages delivered so far, in both directions.
    fn delivered(&self) -> u64;
}

/// CPU microseconds of a delivery, over `window`, after a short run-in.
pub(crate) fn per_delivery(traffic: &mut impl Traffic, window: Duration) -> f64 {
    traffic.start();
    sleep(window / 10);
    let (cpu_before, delivered_before) = (cpu(), traffic.delivered());
    sleep(window);
    let (cpu_after, delivered_after) = (cpu(), traffic.delivered());
    traffic.stop();
    // What is still under way arrives before anything else is measured.
    sleep(Duration::from_millis(20));
    let delivered = delivered_after - delivered_before;
    assert!(delivered > 0, "the traffic came to a halt");
    #[allow(clippy::cast_precision_loss)] // Far below 2^52.
    let delivered = delivered as f64;
    micros(cpu_after - cpu_before) / delivered
}
