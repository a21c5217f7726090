//! Ballots, from the lowest to the highest: which of two links stays.

use timed_core::wire::message::{Ballot, DialerRank, Hello, Intent, Message};
use timed_core::{BootEpoch, DialOrdinal, SessionHash};
use timed_tests::samples;

use super::{Vectors, body, provider};

/// The last 57 bytes of a knock's body before its signature.
fn encoded(ballot: Ballot) -> Vec<u8> {
    let hello = samples::hello(super::Provider::node_id(&provider(1)));
    let knock = Hello { intent: Intent::Knock, register: Some(ballot), ..hello };
    let bytes = body(&Message::Hello(Box::new(knock)));
    bytes[bytes.len() - 64 - 57..bytes.len() - 64].to_vec()
}

#[test]
fn ballots_are_ordered_as_ever() {
    let mut vectors = Vectors::new(
        "Ballots in ascending order: of two links of a pair the one whose ballot comes later stays (rules B-1, B-2).\n\
         Numbers are compared as numbers, and their bytes are not: 256 is above 255.",
    );
    let mut last = [0; 32];
    last[31] = 1;
    let mut first = [0; 32];
    first[0] = 1;
    let ballot = |lower, other, ordinal, dialer, session| Ballot {
        epochs: (BootEpoch(lower), BootEpoch(other)),
        ordinal: DialOrdinal(ordinal),
        dialer,
        session: SessionHash(session),
    };
    let (canonical, other) = (DialerRank::Canonical, DialerRank::Other);
    let ordered = [
        ("lowest", ballot(0, 0, 0, other, [0; 32])),
        ("hash_by_its_last_byte", ballot(0, 0, 0, other, last)),
        ("hash_by_its_first_byte", ballot(0, 0, 0, other, first)),
        ("rank_before_hash", ballot(0, 0, 0, canonical, [0; 32])),
        ("ordinal_before_rank", ballot(0, 0, 1, other, [0; 32])),
        ("ordinal_255", ballot(0, 0, 255, other, [0xff; 32])),
        ("ordinal_256", ballot(0, 0, 256, other, [0; 32])),
        ("epoch_of_the_other_before_ordinal", ballot(0, 1, 0, other, [0; 32])),
        ("epoch_of_the_other_highest", ballot(0, u64::MAX, u64::MAX, canonical, [0xff; 32])),
        ("epoch_of_the_lower_key_first", ballot(1, 0, 0, other, [0; 32])),
        ("epoch_of_the_lower_key_255", ballot(255, 9, 0, other, [0; 32])),
        ("epoch_of_the_lower_key_256", ballot(256, 0, 0, other, [0; 32])),
    ];
    assert!(ordered.windows(2).all(|pair| pair[0].1 < pair[1].1));
    for (name, ballot) in ordered {
        vectors.begin(name);
        vectors.number_or_text("epoch_of_lower_key", ballot.epochs.0.0);
        vectors.number_or_text("epoch_of_other", ballot.epochs.1.0);
        vectors.number_or_text("ordinal", ballot.ordinal.0);
        vectors.number("rank", u64::from(ballot.dialer == DialerRank::Canonical));
        vectors.bytes("handshake_hash", &ballot.session.0);
        vectors.bytes("bytes", &encoded(ballot));
    }
    vectors.settle("ballots.toml");
}
