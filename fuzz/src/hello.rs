//! The signed words of a handshake: what is signed says everything that the word says, and says it of one channel.

use arbitrary::{Arbitrary, Unstructured};
use timed_core::wire::message::{
    Answer, Boot, Hello, HelloAck, Intent, Introduction, Kind, Message, ProvenBoot, Role,
};
use timed_core::wire::preamble::{NetworkId, Version, VersionRange};
use timed_core::wire::{codec, signing};
use timed_core::{
    BlockHash, BootEpoch, BootNonce, CloseReason, DialOrdinal, DialedBecause, GenesisHash, Height, NodeId,
    SessionHash, Signature,
};
use timed_tests::samples;

/// The fields of an introduction, from few values each, so that two differ in little.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    node: bool,
    advertised: u8,
    epoch: u8,
    nonce: bool,
    seen: Option<u8>,
    observed: u8,
    versions: (u8, u8),
    chosen: u8,
    features: u8,
    network: bool,
    genesis: bool,
    height: u8,
    tip: bool,
    observer: bool,
    agent: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Hello { to: Option<bool>, ordinal: u8, intent: u8 },
    Ack { highest: u8, answer: u8, of: u8 },
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    facts: Facts,
    said: Said,
    session: bool,
}

#[derive(Arbitrary, Debug)]
struct Case {
    one: Word,
    /// The other word, or the first one with bytes of its draw changed.
    other: Word,
    alike: bool,
    at: u16,
    by: u8,
}

fn addr(choice: u8) -> Option<timed_core::CanonicalAddr> {
    const ADDRS: [&str; 4] =
        ["10.0.0.1:24100", "10.0.0.1:24101", "[2001:db8::1]:24100", "[::ffff:10.0.0.2]:24100"];
    ADDRS.get(usize::from(choice % 5)).and_then(|addr| addr.parse().ok())
}

fn introduction(facts: &Facts) -> Introduction {
    let byte = |choice| if choice { 7 } else { 8 };
    let boot = |epoch| Boot { epoch: BootEpoch(epoch), nonce: BootNonce(byte(facts.nonce).into()) };
    Introduction {
        node: NodeId([byte(facts.node); 32]),
        advertised: addr(facts.advertised),
        boot: boot(facts.epoch.into()),
        proof: Signature([facts.epoch; 64]),
        seen: facts.seen.map(|epoch| ProvenBoot { boot: boot(epoch.into()), proof: Signature([epoch; 64]) }),
        observed: addr(facts.observed),
        versions: VersionRange {
            min: Version(facts.versions.0.into()),
            max: Version(facts.versions.1.into()),
        },
        chosen: Version(facts.chosen.into()),
        features: facts.features.into(),
        network: NetworkId([byte(facts.network); 4]),
        genesis: GenesisHash([byte(facts.genesis); 32]),
        height: Height(facts.height.into()),
        tip: BlockHash([byte(facts.tip); 32]),
        role: if facts.observer { Role::Observer } else { Role::Masternode },
        agent: "~".repeat(usize::from(facts.agent % 33)),
    }
}

fn intent(choice: u8) -> Intent {
    const INTENTS: [Intent; 5] = [
        Intent::Session(DialedBecause::Canonical),
        Intent::Session(DialedBecause::Fallback),
        Intent::Session(DialedBecause::Manual),
        Intent::Knock,
        Intent::Probe,
    ];
    INTENTS[usize::from(choice) % INTENTS.len()]
}

fn answer(choice: u8) -> Answer {
    match choice % 6 {
        0 => Answer::Accepted,
        1 => Answer::WillDial,
        2 => Answer::HaveSession,
        3 => Answer::Here,
        other => Answer::Refused(CloseReason::ALL[usize::from(choice / 6 + other) % CloseReason::ALL.len()]),
    }
}

/// A word, and the bytes of it that are signed.
fn word(drawn: &Word) -> (Message, Vec<u8>) {
    let session = SessionHash([if drawn.session { 1 } else { 2 }; 32]);
    let from = introduction(&drawn.facts);
    match drawn.said {
        Said::Hello { to, ordinal, intent: choice } => {
            let hello = Hello {
                from,
                to: to.map(|to| NodeId([u8::from(to); 32])),
                ordinal: DialOrdinal(ordinal.into()),
                intent: intent(choice),
                register: None,
                signature: Signature::default(),
            };
            let signed = signing::hello(&session, &hello);
            (Message::Hello(Box::new(hello)), signed)
        }
        Said::Ack { highest, answer: choice, of } => {
            let asked = Hello { ordinal: DialOrdinal(of.into()), ..samples::hello(NodeId([3; 32])) };
            let ack = HelloAck {
                from,
                highest: DialOrdinal(highest.into()),
                answer: answer(choice),
                signature: Signature::default(),
            };
            let signed = signing::hello_ack(&session, &asked, &ack);
            (Message::HelloAck(Box::new(ack)), signed)
        }
    }
}

/// Any two words.
///
/// # Panics
/// If two that differ are signed by the same bytes, or a word that the codec takes has two encodings.
pub fn body(input: &[u8]) {
    raw(input);
    let Ok(mut case) = Case::arbitrary(&mut Unstructured::new(input)) else { return };
    if case.alike {
        // One byte of the draw makes the difference.
        let mut near = input.to_vec();
        let at = usize::from(case.at) % near.len().clamp(1, size_of::<Word>());
        near.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= case.by);
        if let Ok(changed) = Case::arbitrary(&mut Unstructured::new(&near)) {
            case.other = changed.one;
        }
    }
    let ((one, signed), (other, as_well)) = (word(&case.one), word(&case.other));
    let of = |word: &Word| match word.said {
        Said::Hello { .. } => None,
        Said::Ack { of, .. } => Some(of),
    };
    let same = one == other && case.one.session == case.other.session && of(&case.one) == of(&case.other);
    assert_eq!(signed == as_well, same, "{:?} and {:?}", case.one, case.other);
    for message in [&one, &other] {
        let mut bytes = Vec::new();
        codec::encode_body(message, &mut bytes);
        if let Ok(read) = codec::decode_body(message.kind(), &bytes) {
            assert_eq!(read, *message);
        }
    }
}

/// The input as the body of either word.
fn raw(input: &[u8]) {
    for kind in [Kind::Hello, Kind::HelloAck] {
        let Ok(message) = codec::decode_body(kind, input) else { continue };
        let mut again = Vec::new();
        codec::encode_body(&message, &mut again);
        assert_eq!(again, input, "{message:?} has two encodings");
    }
}

/// The samples of both words, and draws.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let key = NodeId([0x11; 32]);
    let words =
        [Message::Hello(Box::new(samples::hello(key))), Message::HelloAck(Box::new(samples::hello_ack(key)))];
    let mut seeds: Vec<Vec<u8>> = words
        .iter()
        .map(|word| {
            let mut bytes = Vec::new();
            codec::encode_body(word, &mut bytes);
            bytes
        })
        .collect();
    seeds.extend((0..10u8).map(|number| (0..80u8).map(|at| at.wrapping_mul(number) ^ number).collect()));
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn hello_holds_on_seeds_and_noise() {
        crate::smoke::run("hello", &super::seeds(), 10_000, super::body);
    }
}
