//! Bodies of messages: nothing fails, and what decodes has this one encoding.

use timed_core::wire::message::{Kind, Message};
use timed_core::wire::{codec, signing};
use timed_core::{GenesisHash, SessionHash};
use timed_tests::samples;

const GENESIS: GenesisHash = GenesisHash([7; 32]);

/// The first byte chooses the kind, the rest is the body.
///
/// # Panics
/// If a body that decodes is not what its message encodes to.
pub fn body(input: &[u8]) {
    let Some((choice, body)) = input.split_first() else { return };
    let kind = Kind::ALL[usize::from(*choice) % Kind::ALL.len()];
    let Ok(message) = codec::decode_body(kind, body) else { return };
    assert_eq!(message.kind(), kind);
    let mut again = Vec::new();
    codec::encode_body(&message, &mut again);
    assert_eq!(again, body, "{message:?} has two encodings");

    // The bytes that are signed hold every field of the body but the signature.
    let session = SessionHash([7; 32]);
    let signed = match &message {
        Message::Hello(hello) => signing::hello(&session, hello),
        Message::HelloAck(ack) => signing::hello_ack(&session, &samples::hello(ack.from.node), ack),
        Message::Heartbeat(beat) => signing::heartbeat(beat),
        // The genesis hash takes the place of the voter's key.
        Message::Vote(vote) => {
            signing::vote(&GENESIS, vote.kind, vote.height, vote.round, vote.block.as_ref())
        }
        _ => return,
    };
    assert!(signed.len() + 64 > body.len());
}

/// Every sample.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let number = |kind| Kind::ALL.iter().position(|other| *other == kind).unwrap_or(0);
    samples::messages()
        .into_iter()
        .map(|(_, message)| {
            let mut seed = vec![u8::try_from(number(message.kind())).unwrap_or(0)];
            codec::encode_body(&message, &mut seed);
            seed
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn msg_holds_on_seeds_and_noise() {
        crate::smoke::run("msg", &super::seeds(), 20_000, super::body);
    }
}
