//! Signed introductions and the order of checks: rules G-1, G-4, H-3, H-4, H-6, N-1 to N-3, P-7, W-8.

use std::time::Duration;

use timed_core::wire::message::{Answer, Intent, Message, Ping};
use timed_core::{CloseReason, DialedBecause, GenesisHash, NodeId};

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Pings, Stream, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "N-1" Links keys_are_peers_and_addresses_are_not,
    "N-3" Links refuses_a_signature_whose_s_is_not_below_the_group_order,
    "G-1" Links refuses_another_genesis,
    "G-4" Links advertises_what_the_registry_has,
    "H-3" Links answers_nothing_to_a_first_record_that_is_no_hello,
    "H-3" Links refuses_a_hello_to_another_node,
    "H-3" Links refuses_versions_other_than_the_preambles,
    "H-4" Links answers_with_a_signed_introduction,
    "H-6" Links pings_as_soon_as_a_link_is_live,
    "H-6" Links takes_nothing_else_before_it_has_answered,
    "P-7" Links tells_where_it_sees_the_dialer,
    "W-8" Links answers_nothing_to_a_forged_signature,
];

/// Why links that the suite dials are dialed.
const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);

fn keys_are_peers_and_addresses_are_not(exam: &mut Exam<'_>) -> Verdict {
    let (mut one, mut other) = (exam.guest(), exam.guest());
    other.from = one.from;
    let mut first = exam.live(&mut one)?;
    let mut second = exam.live(&mut other)?;
    exam.lives(&mut first)?;
    exam.lives(&mut second)?;
    // The first key from elsewhere is the first peer still: its old link goes.
    one.from = exam.guest().from;
    one.next_ordinal();
    let mut moved = exam.live(&mut one)?;
    let limit = exam.soon();
    exam.ends(&mut first, limit, CloseReason::Duplicate)?;
    exam.lives(&mut moved)?;
    exam.lives(&mut second)
}

/// The order of the group of ed25519, as bytes from the lowest on.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn refuses_a_signature_whose_s_is_not_below_the_group_order(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.open(&mut guest)?;
    let mut hello = exam.hello(&mut guest, &channel.line, CANONICAL);
    let mut carry = 0;
    for (byte, order) in hello.signature.0[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    exam.say(&mut channel, &Message::Hello(Box::new(hello)));
    let limit = exam.soon();
    exam.silent_end(channel.wire, limit)
}

fn refuses_another_genesis(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.actor.from.genesis = GenesisHash([0xee; 32]);
    exam.refused(&mut guest, CloseReason::WrongGenesis)?;
    let mut guest = exam.guest();
    exam.live(&mut guest).map(|_| ())
}

fn advertises_what_the_registry_has(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let channel = exam.live(&mut guest)?;
    let registered = exam.ground().config.registry.get(&exam.ground().subject).map(|entry| entry.addr);
    let told = channel.ack.and_then(|ack| ack.from.advertised);
    match registered {
        Some(addr) if told != Some(addr) => Err(broken(format!("advertises {told:?}, registered at {addr}"))),
        None if told.is_some_and(|addr| exam.ground().config.registry.by_addr(&addr).is_some()) => {
            Err(broken(format!("advertises {told:?}, which is another node's by the registry")))
        }
        _ => Ok(()),
    }
}

fn answers_nothing_to_a_first_record_that_is_no_hello(exam: &mut Exam<'_>) -> Verdict {
    for message in [Message::Ping(Ping { token: 1 }), Message::Datagram(bytes::Bytes::from_static(b"early"))]
    {
        let mut guest = exam.guest();
        let mut channel = exam.open(&mut guest)?;
        exam.say(&mut channel, &message);
        let limit = exam.soon();
        exam.silent_end(channel.wire, limit)?;
    }
    Ok(())
}

fn refuses_a_hello_to_another_node(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.actor.to = Some(NodeId([0x77; 32]));
    exam.refused(&mut guest, CloseReason::WrongIdentity)?;
    let mut guest = exam.guest();
    guest.actor.to = Some(exam.ground().subject);
    exam.live(&mut guest).map(|_| ())
}

fn refuses_versions_other_than_the_preambles(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.open(&mut guest)?;
    // The preamble has gone out with the true range.
    guest.actor.from.versions.max = timed_core::wire::preamble::Version(2);
    let hello = exam.hello(&mut guest, &channel.line, CANONICAL);
    exam.refuses(&mut guest, &mut channel, &hello, CloseReason::Downgrade)
}

fn answers_with_a_signed_introduction(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    // Its signature, key and form are looked at in every handshake.
    let channel = exam.live(&mut guest)?;
    let ack = channel.ack.ok_or_else(|| broken("no HelloAck"))?;
    let config = &exam.ground().config;
    let facts = [
        (ack.from.genesis == config.genesis, "the genesis hash is another one"),
        (ack.from.network == guest.actor.from.network, "the network id is another one"),
        (ack.highest == guest.ordinal, "`highest` is not this dial's ordinal, the only one there was"),
        (ack.from.versions.min <= ack.from.versions.max, "the versions are the wrong way round"),
    ];
    facts.iter().try_for_each(|(holds, what)| if *holds { Ok(()) } else { Err(broken(*what)) })
}

fn pings_as_soon_as_a_link_is_live(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.open(&mut guest)?;
    channel.pings = Pings::Kept;
    let hello = exam.hello(&mut guest, &channel.line, CANONICAL);
    let answer = exam.introduce(&mut guest, &mut channel, &hello)?;
    if answer != Answer::Accepted {
        return Err(broken(format!("a session is answered {answer:?}")));
    }
    let limit = exam.patience(Duration::from_millis(300));
    exam.hear(&mut channel, limit, "the first ping", |message| match message {
        Message::Ping(_) => Some(()),
        _ => None,
    })
}

fn takes_nothing_else_before_it_has_answered(exam: &mut Exam<'_>) -> Verdict {
    // Of an unknown kind, which on a live link would be skipped.
    let mut guest = exam.guest();
    let mut channel = exam.open(&mut guest)?;
    let frame = [&3_u32.to_le_bytes()[..], &999_u16.to_le_bytes(), b"new"].concat();
    let bytes = channel.line.seal(timed_core::wire::message::Lane::Control, &frame);
    exam.write(channel.wire, &bytes);
    let limit = exam.soon();
    exam.silent_end(channel.wire, limit)
}

fn tells_where_it_sees_the_dialer(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let channel = exam.live(&mut guest)?;
    let own = exam.local(channel.wire);
    let told = channel.ack.and_then(|ack| ack.from.observed).map(|addr| addr.socket());
    if told == own { Ok(()) } else { Err(broken(format!("sees us at {told:?}, where we are at {own:?}"))) }
}

fn answers_nothing_to_a_forged_signature(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.open(&mut guest)?;
    let mut hello = exam.hello(&mut guest, &channel.line, CANONICAL);
    hello.from.height.0 ^= 1;
    exam.say(&mut channel, &Message::Hello(Box::new(hello)));
    let limit = exam.soon();
    exam.silent_end(channel.wire, limit)?;
    // Sound words of another channel prove nothing either.
    let mut guest = exam.guest();
    let (spare, mut used) = (exam.open(&mut guest)?, exam.open(&mut guest)?);
    let hello = exam.hello(&mut guest, &spare.line, CANONICAL);
    exam.say(&mut used, &Message::Hello(Box::new(hello)));
    exam.silent_end(used.wire, limit)?;
    match exam.read(spare.wire, &mut Vec::new()) {
        Stream::Open => Ok(()),
        Stream::Ended => Err(broken("the other channel ended too")),
    }
}
