//! Attackers who prove nothing.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use timed_core::wire::preamble::{NetworkId, PREAMBLE, Preamble, VersionRange};
use timed_core::{CloseReason, NetworkName};

use super::Field;
use crate::network::SECOND;

/// Connections an attacker holds on to.
const HELD: usize = 600;
/// Attempts a second.
const A_SECOND: u32 = 1_000;

/// A thousand connections a second that say this at once and no more.
fn flood(field: &Field, said: impl Fn(u32) -> Vec<u8>) {
    let mut held = VecDeque::new();
    field.repeat(A_SECOND, || {
        let Some(mut stream) = field.dial() else { return };
        let number = field.done.fetch_add(1, Relaxed);
        let _ = stream.write_all(&said(number));
        held.push_back(stream);
        if held.len() > HELD {
            held.pop_front();
        }
    });
}

/// Nothing at all.
pub fn silence(field: &Field) {
    flood(field, |_| Vec::new());
}

/// Bytes that are no protocol, some of them after a good preamble.
pub fn garbage(field: &Field) {
    flood(field, |number| {
        let noise =
            (0..2_048u32).map(|at| at.wrapping_mul(2_654_435_761).wrapping_add(number).to_le_bytes()[1]);
        let mut said = if number % 2 == 0 { preamble() } else { Vec::new() };
        said.extend(noise);
        said
    });
}

/// As many connections as it can get, a byte a second on each.
pub fn dripping(field: &Field) {
    let mut held: Vec<TcpStream> = Vec::new();
    let opening = preamble();
    let mut at = 0;
    while !field.is_over() {
        held.retain_mut(|stream| stream.write_all(&opening[at..=at]).is_ok());
        at = (at + 1) % PREAMBLE;
        let until = Instant::now() + SECOND;
        while Instant::now() < until && !field.is_over() {
            if held.len() < HELD
                && let Some(mut stream) = field.dial()
            {
                field.done.fetch_add(1, Relaxed);
                let _ = stream.write_all(&opening[..1]);
                held.push(stream);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A good opening, then lengths of gigabytes where a record should be.
pub fn giant_lengths(field: &Field) {
    flood(field, |number| {
        let mut said = preamble();
        said.truncate(if number % 2 == 0 { PREAMBLE } else { 0 });
        said.extend([0xff; 64]);
        said
    });
}

/// The same words again and again: what a genuine peer once said to one of them.
pub fn replayed(recorded: &[Vec<u8>]) -> impl Fn(&Field) + Sync + '_ {
    move |field| {
        let mut held = VecDeque::new();
        field.repeat(A_SECOND, || {
            let Some(mut stream) = field.dial() else { return };
            let number = field.done.fetch_add(1, Relaxed) as usize;
            // Most ask for a key agreement and no more; some say all at once, some wait for the answer in between,
            // as the genuine one did.
            let parts = if number.is_multiple_of(4) { recorded.len() } else { 1 };
            for part in recorded.iter().take(parts) {
                let _ = stream.write_all(part);
                if number.is_multiple_of(16) {
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
                    let _ = stream.read(&mut [0; 128]);
                }
            }
            held.push_back(stream);
            if held.len() > HELD {
                held.pop_front();
            }
        });
    }
}

/// Listens at this address and answers every dial with a reason to give up, which nobody has signed.
pub fn forged_rejects(addr: SocketAddr) -> impl Fn(&Field) + Sync {
    const REASONS: [CloseReason; 3] =
        [CloseReason::WrongNetwork, CloseReason::VersionUnsupported, CloseReason::WrongMagic];
    move |field| {
        let listener = TcpListener::bind(addr).expect("nobody else listens there");
        listener.set_nonblocking(true).expect("it is a socket");
        while !field.is_over() {
            if reject(&listener, REASONS[field.done.load(Relaxed) as usize % REASONS.len()]) {
                field.done.fetch_add(1, Relaxed);
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Answers one dial, if there is one, as nobody who is asked in earnest would.
pub fn reject(listener: &TcpListener, reason: CloseReason) -> bool {
    let Ok((mut stream, _)) = listener.accept() else { return false };
    let _ = stream.write_all(&ours().encode_reject(reason));
    true
}

fn ours() -> Preamble {
    let network = NetworkName::new("testnet").expect("a good name");
    Preamble { network: NetworkId::of(&network), versions: VersionRange::OURS }
}

/// A genuine preamble of the network.
pub fn preamble() -> Vec<u8> {
    ours().encode().to_vec()
}
