//! Addresses of the loopback interface that no other test uses at the same time, of this process or of another.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

static TAKEN: AtomicU8 = AtomicU8::new(0);
/// Networks that a process tells apart: far more than it has tests under way.
const NETS: u8 = 192;

/// The first three numbers of a network of its own.
pub fn own_net() -> [u8; 3] {
    let [high, low] = u16::try_from(std::process::id() % 0x1_0000).unwrap().to_be_bytes();
    let number = (high % NETS).wrapping_add(own_number()) % NETS;
    [127, 64 + number, low]
}

/// An address with 200 free ones after it.
pub fn quiet_ip() -> Ipv4Addr {
    let [a, b, c] = own_net();
    Ipv4Addr::new(a, b, c, 1)
}

/// A number that names what a test makes on this machine, together with the process.
pub fn own_number() -> u8 {
    TAKEN.fetch_add(1, Relaxed) % NETS
}
