//! One encoding for each value: rules N-2, W-1, W-7.

use timed_core::CloseReason;
use timed_core::wire::codec;
use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{Intent, Kind, Lane, Message, Ping};

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "N-2" Links takes_no_address_that_is_none,
    "W-1" Links writes_numbers_from_the_lowest_byte_on,
    "W-7" Links sends_everything_in_its_one_encoding,
    "W-7" Links closes_on_every_body_that_is_not_canonical,
];

/// What must be refused, as every implementation has it.
const BAD_MESSAGES: &str = include_str!("../../../vectors/bad_messages.toml");

struct BadBody {
    name: String,
    kind: Kind,
    body: Vec<u8>,
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len() / 2).filter_map(|pair| digit(pair * 2)).collect()
}

/// The vectors of kinds that this version knows.
fn bad_messages() -> Vec<BadBody> {
    let mut all: Vec<BadBody> = Vec::new();
    let (mut name, mut kind) = (String::new(), None);
    for line in BAD_MESSAGES.lines() {
        if let Some(title) = line.strip_prefix('[') {
            title.trim_end_matches(']').clone_into(&mut name);
        } else if let Some(code) = line.strip_prefix("kind = ") {
            kind = code.parse().ok().and_then(Kind::from_code);
        } else if let Some(body) = line.strip_prefix("body = '")
            && let Some(kind) = kind.take()
        {
            all.push(BadBody { name: name.clone(), kind, body: unhex(body.trim_end_matches('\'')) });
        }
    }
    all
}

fn takes_no_address_that_is_none(exam: &mut Exam<'_>) -> Verdict {
    // IPv4 in `advertised`: its tag, four octets, the port.
    let none: [&[u8]; 4] = [
        &[4, 0, 0, 0, 0, 0x24, 0x5e],
        &[4, 224, 0, 0, 1, 1, 0],
        &[4, 255, 255, 255, 255, 1, 0],
        &[4, 10, 0, 0, 1, 0, 0],
    ];
    let mapped = [&[6][..], &[0; 10], &[0xff, 0xff, 10, 0, 0, 1, 0x24, 0x5e]].concat();
    for bytes in none.into_iter().chain([&mapped[..]]) {
        let mut guest = exam.guest();
        guest.actor.from.advertised = "198.51.100.7:24100".parse().ok();
        let mut channel = exam.open(&mut guest)?;
        let hello =
            exam.hello(&mut guest, &channel.line, Intent::Session(timed_core::DialedBecause::Canonical));
        let mut body = Vec::new();
        codec::encode_body(&Message::Hello(Box::new(hello)), &mut body);
        let body = [&body[..33], bytes, &body[40..]].concat();
        let mut frame = Vec::new();
        append_encoded(Kind::Hello, &body, &mut frame);
        let sealed = channel.line.seal(Lane::Control, &frame);
        exam.write(channel.wire, &sealed);
        let limit = exam.soon();
        exam.silent_end(channel.wire, limit)?;
        // From outside a bad body is no other than a bad signature; the node's own word tells them apart.
        if let Ok(process) = exam.process() {
            let facts = process.facts();
            let is = |event: &timed_core::Event| {
                matches!(event, timed_core::Event::InboundFailed { reason: CloseReason::BadMessage, .. })
            };
            if !facts.iter().any(is) {
                return Err(broken(format!("the address {bytes:02x?} was not what was wrong: {facts:?}")));
            }
        }
    }
    Ok(())
}

fn writes_numbers_from_the_lowest_byte_on(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    exam.say(&mut channel, &Message::Ping(Ping { token: 0x0102_0304_0506_0708 }));
    let limit = exam.soon();
    let body = exam.until(limit, "the pong", |exam| {
        exam.pump(&mut channel)?;
        let pong = channel.heard.iter().find(|heard| matches!(heard.message, Some(Message::Pong(_))));
        Ok(pong.map(|heard| heard.body.clone()))
    })?;
    if body == [8, 7, 6, 5, 4, 3, 2, 1] { Ok(()) } else { Err(broken(format!("the token is {body:02x?}"))) }
}

fn sends_everything_in_its_one_encoding(exam: &mut Exam<'_>) -> Verdict {
    // A guest hears heartbeats and, where blocks are made, tips.
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let end = exam.now() + exam.timings().heartbeat + exam.timings().heartbeat / 2;
    let mut heard = 0;
    while exam.now() < end {
        exam.pump(&mut channel)?;
        for frame in channel.heard.drain(..) {
            let Some(message) = &frame.message else { return Err(broken("a frame of an unknown kind")) };
            let mut again = Vec::new();
            codec::encode_body(message, &mut again);
            if again != frame.body || message.kind().lane() != frame.lane {
                return Err(broken(format!("{:?} is not in its one encoding, or lane", message.kind())));
            }
            heard += 1;
        }
        exam.pass(std::time::Duration::from_millis(20));
    }
    if heard == 0 { Err(broken("nothing was heard")) } else { Ok(()) }
}

fn closes_on_every_body_that_is_not_canonical(exam: &mut Exam<'_>) -> Verdict {
    let all = bad_messages();
    if all.len() < 50 {
        return Err(broken(format!("{} vectors instead of all", all.len())));
    }
    for BadBody { name, kind, body } in all {
        // Those of the handshake end it without a word, for whatever reason; addresses are read only when asked for.
        if matches!(kind, Kind::Hello | Kind::HelloAck | Kind::Peers) {
            continue;
        }
        let mut guest = exam.guest();
        let mut channel = exam.live(&mut guest)?;
        let mut frame = Vec::new();
        append_encoded(kind, &body, &mut frame);
        let sealed = channel.line.seal(kind.lane(), &frame);
        exam.write(channel.wire, &sealed);
        let too_long = body.len() > kind.max_body();
        let reason = if too_long { CloseReason::BadFrame } else { CloseReason::BadMessage };
        let limit = exam.soon();
        exam.ends(&mut channel, limit, reason).map_err(|miss| broken(format!("{name}: {miss}")))?;
    }
    Ok(())
}
