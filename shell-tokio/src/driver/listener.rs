//! Accepting at a bounded rate, and waiting while the process is out of descriptors.
//!
//! Whoever connects faster than that waits in the kernel, whose queue is bounded, too: a crowd that does nothing but
//! connect gets a tenth of one core at most.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use timed_core::TransportCause;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::network::{Halves, Network};
use crate::tcp::{cause, concerns_one_connection};

/// First wait after a failure of our own; doubles with each further one.
const WAIT_FIRST: Duration = Duration::from_millis(100);
/// Longest wait.
const WAIT_LONGEST: Duration = Duration::from_secs(1);
/// Between two connections, on average.
const ACCEPT_EVERY: Duration = Duration::from_micros(200);
/// Connections at once, after a time without any.
const ACCEPTS_AT_ONCE: u32 = 1024;
/// How long the listener rests when it has been too fast.
const REST: Duration = Duration::from_millis(2);

/// What comes in.
pub(super) enum Incoming<N: Network> {
    Connection(Halves<N>, SocketAddr),
    /// Out of resources.
    Failed {
        cause: TransportCause,
        retry_in: Duration,
        /// In a row, this one included.
        failures: u32,
    },
    /// A row of failures is over.
    Recovered {
        failures: u32,
    },
}

/// Accepts until the driver has gone.
pub(super) async fn listen<N: Network>(
    network: Arc<N>,
    mut listener: N::Listener,
    driver: mpsc::Sender<Incoming<N>>,
) {
    let mut failures = 0_u32;
    // The time at which every connection that was taken is allowed for.
    let mut allowed = Instant::now();
    loop {
        // Room first: a connection that nobody takes stays in the kernel.
        let Ok(place) = driver.reserve().await else { return };
        match network.accept(&mut listener).await {
            Ok((halves, from)) => {
                place.send(Incoming::Connection(halves, from));
                if failures > 0 {
                    let Ok(place) = driver.reserve().await else { return };
                    place.send(Incoming::Recovered { failures });
                    failures = 0;
                }
                let now = Instant::now();
                allowed = allowed.max(now) + ACCEPT_EVERY;
                if allowed.duration_since(now) + ACCEPT_EVERY > ACCEPT_EVERY * ACCEPTS_AT_ONCE {
                    sleep_until(now + REST).await;
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                let retry_in = WAIT_LONGEST.min(WAIT_FIRST * 2_u32.pow(failures.min(8)));
                failures = failures.saturating_add(1);
                place.send(Incoming::Failed { cause: cause(&error), retry_in, failures });
                sleep(retry_in).await;
            }
        }
    }
}
