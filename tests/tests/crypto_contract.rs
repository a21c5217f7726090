//! What every provider must do, run on the real one and on the null one.

#![allow(clippy::unwrap_used)]

use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{
    Authenticity, CryptoError, HANDSHAKE_INIT, HANDSHAKE_REPLY_OVERHEAD, Provider, REKEY_EVERY, Session, TAG,
};
use timed_core::{NodeId, SessionHash, Signature};
use timed_tests::null_crypto::NullProvider;
use zeroize::Zeroizing;

/// A provider's name, and two nodes that use it.
type Pair = (&'static str, Box<dyn Provider>, Box<dyn Provider>);

fn providers() -> [Pair; 2] {
    let noise = |seed| Box::new(NoiseProvider::new(Zeroizing::new([seed; 32])));
    let null = |seed| Box::new(NullProvider::new(NodeId([seed; 32])));
    [("noise", noise(1), noise(2)), ("null", null(1), null(2))]
}

struct Channel {
    hash: SessionHash,
    dialer: Box<dyn Session>,
    acceptor: Box<dyn Session>,
    transcript: Vec<u8>,
}

fn connect(dialer: &mut dyn Provider, acceptor: &mut dyn Provider, ephemerals: [u8; 2]) -> Channel {
    let [ours, theirs] = ephemerals.map(|byte| Zeroizing::new([byte; 32]));
    let mut a = dialer.initiate(b"prologue", ours);
    let mut b = acceptor.respond(b"prologue", theirs);
    let mut transcript = Vec::new();
    a.write(&[], &mut transcript).unwrap();
    assert_eq!(transcript.len(), HANDSHAKE_INIT);
    let mut nothing = Vec::new();
    b.read(&transcript, &mut nothing).unwrap();
    assert!(nothing.is_empty());
    b.write(b"payload", &mut transcript).unwrap();
    let reply = &transcript[HANDSHAKE_INIT..];
    assert_eq!(reply.len(), HANDSHAKE_REPLY_OVERHEAD + 7);
    let mut payload = b"before:".to_vec();
    a.read(reply, &mut payload).unwrap();
    assert_eq!(payload, b"before:payload");
    let (hash, dialer) = a.finish().unwrap();
    let (same, acceptor) = b.finish().unwrap();
    assert_eq!(hash, same);
    Channel { hash, dialer, acceptor, transcript }
}

fn seal(session: &mut dyn Session, text: &[u8]) -> Vec<u8> {
    let mut record = b"prefix".to_vec();
    record.extend_from_slice(text);
    session.seal(&mut record, 6);
    assert_eq!(&record[..6], b"prefix");
    record.drain(..6);
    assert_eq!(record.len(), text.len() + TAG);
    record
}

fn open(session: &mut dyn Session, record: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut record = record.to_vec();
    let length = session.open(&mut record)?;
    record.truncate(length);
    Ok(record)
}

#[test]
fn both_directions_of_a_channel_work() {
    for (name, mut a, mut b) in providers() {
        let mut channel = connect(&mut *a, &mut *b, [1, 2]);
        for text in
            [&b"first"[..], b"", b"a longer text than one block of the cipher, sixty-four bytes and more"]
        {
            let record = seal(&mut *channel.dialer, text);
            assert_eq!(open(&mut *channel.acceptor, &record).as_deref(), Ok(text), "{name}");
            let record = seal(&mut *channel.acceptor, text);
            assert_eq!(open(&mut *channel.dialer, &record).as_deref(), Ok(text), "{name}");
        }
    }
}

#[test]
fn the_same_ephemerals_give_the_same_bytes_and_others_another_channel() {
    for (name, mut a, mut b) in providers() {
        let mut first = connect(&mut *a, &mut *b, [1, 2]);
        let mut again = connect(&mut *a, &mut *b, [1, 2]);
        assert_eq!((&first.transcript, first.hash), (&again.transcript, again.hash), "{name}");
        assert_eq!(seal(&mut *first.dialer, b"x"), seal(&mut *again.dialer, b"x"), "{name}");
        for other in [[3, 2], [1, 3], [2, 1]] {
            assert_ne!(connect(&mut *a, &mut *b, other).hash, first.hash, "{name}");
        }
    }
}

#[test]
fn a_record_changed_repeated_or_reordered_does_not_open_nor_does_anything_after_it() {
    for (name, mut a, mut b) in providers() {
        let good = {
            let mut channel = connect(&mut *a, &mut *b, [1, 2]);
            [seal(&mut *channel.dialer, b"one"), seal(&mut *channel.dialer, b"two")]
        };
        let [one, two] = &good;
        let mut cases: Vec<Vec<Vec<u8>>> = vec![
            vec![two.clone()],
            vec![one.clone(), one.clone()],
            vec![vec![]],
            vec![one[..TAG - 1].to_vec()],
        ];
        for bit in 0..one.len() * 8 {
            let mut flipped = one.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            cases.push(vec![flipped]);
        }
        for case in cases {
            let mut channel = connect(&mut *a, &mut *b, [1, 2]);
            let (bad, before) = case.split_last().unwrap();
            for record in before {
                open(&mut *channel.acceptor, record).unwrap();
            }
            assert_eq!(open(&mut *channel.acceptor, bad), Err(CryptoError), "{name}");
            for record in &good {
                assert_eq!(open(&mut *channel.acceptor, record), Err(CryptoError), "{name}");
            }
        }
        let mut channel = connect(&mut *a, &mut *b, [1, 2]);
        let own = seal(&mut *channel.dialer, b"one");
        assert_eq!(open(&mut *channel.dialer, &own), Err(CryptoError), "{name}: reflected");
    }
}

#[test]
fn the_channel_outlives_its_keys() {
    for (name, mut a, mut b) in providers() {
        let mut channel = connect(&mut *a, &mut *b, [1, 2]);
        for number in 0..2 * REKEY_EVERY + 2 {
            let text = number.to_le_bytes();
            let record = seal(&mut *channel.dialer, &text);
            assert_eq!(open(&mut *channel.acceptor, &record).as_deref(), Ok(&text[..]), "{name} {number}");
        }
        let record = seal(&mut *channel.acceptor, b"the other direction");
        assert_eq!(open(&mut *channel.dialer, &record).as_deref(), Ok(&b"the other direction"[..]));
    }
}

#[test]
fn a_handshake_out_of_turn_or_changed_on_the_way_fails() {
    let key = |byte| Zeroizing::new([byte; 32]);
    for (name, mut a, mut b) in providers() {
        let mut out = Vec::new();
        assert!(a.initiate(b"p", key(1)).read(&[9; 32], &mut out).is_err(), "{name}: reads first");
        assert!(b.respond(b"p", key(2)).write(b"", &mut out).is_err(), "{name}: writes first");
        assert!(a.initiate(b"p", key(1)).write(b"clear", &mut out).is_err(), "{name}: payload in clear");
        assert!(a.initiate(b"p", key(1)).finish().is_err(), "{name}: not begun");
        assert!(out.is_empty(), "{name}: an error writes nothing");
        for length in [0, 31, 33, 64] {
            assert!(b.respond(b"p", key(2)).read(&vec![9; length], &mut out).is_err(), "{name} {length}");
        }

        let mut init = Vec::new();
        a.initiate(b"p", key(1)).write(&[], &mut init).unwrap();
        let mut acceptor = b.respond(b"p", key(2));
        acceptor.read(&init, &mut out).unwrap();
        let mut reply = Vec::new();
        acceptor.write(b"payload", &mut reply).unwrap();
        let fresh = |a: &mut dyn Provider, prologue: &[u8]| {
            let mut dialer = a.initiate(prologue, key(1));
            dialer.write(&[], &mut Vec::new()).unwrap();
            dialer
        };
        assert!(fresh(&mut *a, b"p").read(&reply, &mut out).is_ok(), "{name}");
        out.clear();
        assert!(fresh(&mut *a, b"q").read(&reply, &mut out).is_err(), "{name}: another prologue");
        for length in 0..reply.len() {
            assert!(fresh(&mut *a, b"p").read(&reply[..length], &mut out).is_err(), "{name} {length}");
        }
        for at in 0..reply.len() {
            let mut changed = reply.clone();
            changed[at] ^= 1;
            let mut dialer = fresh(&mut *a, b"p");
            assert!(dialer.read(&changed, &mut out).is_err(), "{name} {at}");
            assert!(dialer.read(&reply, &mut out).is_err(), "{name}: no second try");
            assert!(dialer.finish().is_err(), "{name}");
        }
        assert!(out.is_empty(), "{name}: an error writes nothing");
    }
}

#[test]
fn a_signature_is_of_one_signer_and_one_message() {
    for (name, mut a, mut b) in providers() {
        let (signer, other) = (a.node_id(), b.node_id());
        let good = a.sign(b"message");
        for trusted in [&[][..], &[signer, other]] {
            b.trust(trusted).unwrap();
            assert_eq!(b.verify(&signer, b"message", &good), Authenticity::Genuine, "{name}");
            assert_eq!(b.verify(&signer, b"massage", &good), Authenticity::Forged, "{name}");
            assert_eq!(b.verify(&other, b"message", &good), Authenticity::Forged, "{name}");
            for at in 0..64 {
                let mut changed = good.0;
                changed[at] ^= 1;
                assert_eq!(
                    b.verify(&signer, b"message", &Signature(changed)),
                    Authenticity::Forged,
                    "{name} {at}"
                );
            }
        }
    }
}

#[test]
fn weak_keys_are_refused() {
    for (name, mut a, b) in providers() {
        let weak = NodeId([0; 32]);
        assert_eq!(a.trust(&[b.node_id(), weak]).map_err(|error| error.0), Err(weak), "{name}");
        assert_eq!(a.verify(&weak, b"message", &Signature([0; 64])), Authenticity::Forged, "{name}");
    }
}
