//! The primitives by themselves, and the provider's channel against them.

use std::hint::black_box;

use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{Provider, Session};
use zeroize::Zeroizing;

use crate::measure::primitives::{Channel, Identity, agree_once, public};
use crate::measure::table::{Unit, alone, beside, heading};
use crate::measure::{compare, median, per_call};

const ROUNDS: usize = 9;
/// An opaque message of 200 bytes with what the core puts around it inside a record: lane byte, frame header.
const PLAINTEXT: usize = 1 + 6 + 200;

pub(crate) fn print() {
    heading("cryptography");
    let identity = Identity::new(1);
    let peer = public(&[9; 32]);
    let mut channel = Channel::new();
    let mut record = Vec::with_capacity(512);
    alone("ed25519 sign, 256 bytes", Unit::Micros, rounds(|| per_call(300, || identity.sign())));
    alone(
        "ed25519 verify_strict, expanded key",
        Unit::Micros,
        rounds(|| per_call(300, || identity.verify())),
    );
    alone(
        "X25519 new key and agreement, one side",
        Unit::Micros,
        rounds(|| per_call(300, || _ = black_box(agree_once(&[8; 32], &peer)))),
    );
    alone(
        "ChaCha20-Poly1305 seal and open, 207 bytes, key kept",
        Unit::Micros,
        rounds(|| {
            per_call(20_000, || {
                record.clear();
                channel.seal(&[5; PLAINTEXT], &mut record);
                channel.open_all(&mut record);
            })
        }),
    );

    let mut provider = NoiseProvider::new(Zeroizing::new([1; 32]));
    let handshake = compare(
        ROUNDS,
        || {
            per_call(200, || {
                black_box(agree_once(&[8; 32], &peer));
                black_box(agree_once(&[8; 32], &peer));
            })
        },
        || per_call(200, || _ = black_box(sessions(&mut provider))),
    );
    beside("Noise NN handshake, both sides, against its X25519", Unit::Micros, handshake);

    let (mut ours, mut theirs) = sessions(&mut provider);
    let mut sealed = Vec::with_capacity(512);
    let channel = compare(
        ROUNDS,
        || {
            per_call(20_000, || {
                record.clear();
                channel.seal(&[5; PLAINTEXT], &mut record);
                channel.open_all(&mut record);
            })
        },
        || {
            per_call(20_000, || {
                sealed.clear();
                sealed.extend_from_slice(&[5; PLAINTEXT]);
                ours.seal(&mut sealed, 0);
                black_box(theirs.open(&mut sealed).expect("it was sealed in this order"));
            })
        },
    );
    beside("session seal and open, raw keys, against keys kept", Unit::Micros, channel);
}

fn rounds(mut measure: impl FnMut() -> f64) -> f64 {
    measure();
    median((0..ROUNDS).map(|_| measure()))
}

/// A handshake in memory: the sessions of both sides.
fn sessions(provider: &mut NoiseProvider) -> (Box<dyn Session>, Box<dyn Session>) {
    let mut dialer = provider.initiate(b"prologue", Zeroizing::new([2; 32]));
    let mut acceptor = provider.respond(b"prologue", Zeroizing::new([3; 32]));
    let (mut first, mut second, mut payload) = (Vec::new(), Vec::new(), Vec::new());
    dialer.write(b"", &mut first).expect("the dialer's turn");
    acceptor.read(&first, &mut payload).expect("it is genuine");
    acceptor.write(b"preamble", &mut second).expect("the acceptor's turn");
    dialer.read(&second, &mut payload).expect("it is genuine");
    (dialer.finish().expect("done").1, acceptor.finish().expect("done").1)
}
