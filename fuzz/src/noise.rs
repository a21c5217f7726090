//! The real handshake and the real records against a peer that sends anything.

use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{HANDSHAKE_INIT, Handshake, Provider, Session};
use zeroize::Zeroizing;

const PROLOGUE: &[u8] = b"prologue";

/// The first byte chooses which message is the input's; all others are genuine.
///
/// # Panics
/// If anything but the genuine message is taken for genuine.
pub fn body(input: &[u8]) {
    let Some((choice, message)) = input.split_first() else { return };
    let mut provider = NoiseProvider::new(Zeroizing::new([1; 32]));
    let (mut dialer, mut acceptor) = ends(&mut provider);
    let mut first = Vec::new();
    dialer.write(&[], &mut first).expect("the dialer writes first");
    let (mut reply, mut payload) = (Vec::new(), Vec::new());
    match choice % 3 {
        0 => {
            // Any key may come first, but only a usable one is answered.
            let read = acceptor.read(message, &mut payload);
            assert_eq!(read.is_ok(), message.len() == HANDSHAKE_INIT);
            if read.is_ok() && acceptor.write(b"payload", &mut reply).is_ok() {
                let genuine = message == first;
                assert_eq!(dialer.read(&reply, &mut payload).is_ok(), genuine);
            } else {
                assert!(reply.is_empty() && acceptor.finish().is_err());
            }
        }
        1 => {
            acceptor.read(&first, &mut payload).expect("the acceptor reads it");
            acceptor.write(b"payload", &mut reply).expect("the acceptor answers");
            let read = dialer.read(message, &mut payload);
            assert_eq!(read.is_ok(), message == reply);
            assert_eq!(payload.is_empty(), read.is_err());
            assert_eq!(dialer.finish().is_ok(), read.is_ok());
        }
        _ => {
            let (mut dialer, mut acceptor) = established(dialer, acceptor, &first);
            let mut genuine = b"text".to_vec();
            dialer.seal(&mut genuine, 0);
            let mut record = message.to_vec();
            let opened = acceptor.open(&mut record);
            assert_eq!(opened.is_ok(), message == genuine);
            // A channel that met a forgery opens nothing any more.
            assert!(opened.is_ok() || acceptor.open(&mut genuine).is_err());
        }
    }
}

/// Both ends before the first message, the same each time.
fn ends(provider: &mut NoiseProvider) -> (Box<dyn Handshake>, Box<dyn Handshake>) {
    let dialer = provider.initiate(PROLOGUE, Zeroizing::new([2; 32]));
    let acceptor = provider.respond(PROLOGUE, Zeroizing::new([3; 32]));
    (dialer, acceptor)
}

fn established(
    mut dialer: Box<dyn Handshake>,
    mut acceptor: Box<dyn Handshake>,
    first: &[u8],
) -> (Box<dyn Session>, Box<dyn Session>) {
    let (mut reply, mut payload) = (Vec::new(), Vec::new());
    acceptor.read(first, &mut payload).expect("the acceptor reads it");
    acceptor.write(b"payload", &mut reply).expect("the acceptor answers");
    dialer.read(&reply, &mut payload).expect("the dialer reads it");
    let dialer = dialer.finish().expect("the dialer is done").1;
    let acceptor = acceptor.finish().expect("the acceptor is done").1;
    (dialer, acceptor)
}

/// The genuine messages, and keys that agree on nothing.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut provider = NoiseProvider::new(Zeroizing::new([1; 32]));
    let (mut dialer, mut acceptor) = ends(&mut provider);
    let (mut first, mut reply) = (vec![0], vec![1]);
    dialer.write(&[], &mut first).expect("the dialer writes first");
    acceptor.read(&first[1..], &mut Vec::new()).expect("the acceptor reads it");
    acceptor.write(b"payload", &mut reply).expect("the acceptor answers");
    let (dialer, acceptor) = ends(&mut provider);
    let mut record = b"\x02text".to_vec();
    let mut again = dialer;
    let mut opening = Vec::new();
    again.write(&[], &mut opening).expect("the dialer writes first");
    established(again, acceptor, &opening).0.seal(&mut record, 1);
    let mut one = vec![0; 33];
    one[1] = 1;
    vec![first, reply, record, vec![0; 33], one]
}

#[cfg(test)]
mod tests {
    #[test]
    fn noise_holds_on_seeds_and_noise() {
        crate::smoke::run("noise", &super::seeds(), 1_500, super::body);
    }
}
