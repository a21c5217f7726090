//! Records, lanes and frames: rules S-2, W-1 to W-7, W-9.

use timed_core::CloseReason;
use timed_core::crypto::REKEY_EVERY;
use timed_core::wire::frame::{append_encoded, append_frame};
use timed_core::wire::message::{Intent, Kind, Lane, Message, Ping};

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Pings, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "W-2" Links closes_on_a_record_that_does_not_open,
    "W-2" Links closes_on_a_length_out_of_range,
    "W-2" Links closes_on_an_unknown_lane,
    "W-3" Links joins_the_frames_of_each_lane_by_themselves,
    "W-4" Links takes_frames_cut_anywhere,
    "W-4" Links judges_a_length_by_its_header_alone,
    "W-4" Links closes_on_a_kind_on_another_lane,
    "W-6" Links skips_unknown_kinds,
    "W-6" Links closes_on_unknown_kinds_beyond_the_bound,
    "W-6" Links closes_on_a_known_kind_that_does_not_decode,
    "W-9" Links changes_its_key_with_the_dialer,
    "S-2" Links takes_no_record_beyond_a_hello_before_it,
];

/// A ping of this token as a frame.
fn ping(token: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(&Message::Ping(Ping { token }), &mut frame);
    frame
}

fn closes_on_a_record_that_does_not_open(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let mut bytes = channel.line.say(&Message::Ping(Ping { token: 1 }));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    exam.write(channel.wire, &bytes);
    let limit = exam.soon();
    exam.ends(&mut channel, limit, CloseReason::BadRecord)
}

fn closes_on_a_length_out_of_range(exam: &mut Exam<'_>) -> Verdict {
    for length in [0_u16, 16, 16_401, u16::MAX] {
        let mut guest = exam.guest();
        let mut channel = exam.live(&mut guest)?;
        exam.write(channel.wire, &length.to_le_bytes());
        let limit = exam.soon();
        exam.ends(&mut channel, limit, CloseReason::BadRecord)?;
    }
    Ok(())
}

fn closes_on_an_unknown_lane(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let bytes = channel.line.seal_raw(&[&[4], &ping(1)[..]].concat());
    exam.write(channel.wire, &bytes);
    let limit = exam.soon();
    exam.ends(&mut channel, limit, CloseReason::BadRecord)
}

fn joins_the_frames_of_each_lane_by_themselves(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    // A datagram's halves, with a ping between them.
    let mut datagram = Vec::new();
    append_frame(&Message::Datagram(vec![9; 600].into()), &mut datagram);
    let bytes = channel.line.seal(Lane::Relay, &datagram[..300]);
    exam.write(channel.wire, &bytes);
    exam.lives(&mut channel)?;
    let bytes = channel.line.seal(Lane::Relay, &datagram[300..]);
    exam.write(channel.wire, &bytes);
    exam.lives(&mut channel)
}

fn takes_frames_cut_anywhere(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    for byte in ping(77) {
        let bytes = channel.line.seal(Lane::Control, &[byte]);
        exam.write(channel.wire, &bytes);
    }
    let limit = exam.soon();
    exam.hear(&mut channel, limit, "pong", |message| match message {
        Message::Pong(pong) if pong.token == 77 => Some(()),
        _ => None,
    })
}

fn judges_a_length_by_its_header_alone(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    // A ping of 17 bytes: one too many, none of them sent.
    let header = [&17_u32.to_le_bytes()[..], &Kind::Ping.code().to_le_bytes()].concat();
    let bytes = channel.line.seal(Lane::Control, &header);
    exam.write(channel.wire, &bytes);
    let limit = exam.soon();
    exam.ends(&mut channel, limit, CloseReason::BadFrame)
}

fn closes_on_a_kind_on_another_lane(exam: &mut Exam<'_>) -> Verdict {
    for (lane, kind) in [(Lane::Relay, Kind::Ping), (Lane::Control, Kind::Datagram)] {
        let mut guest = exam.guest();
        let mut channel = exam.live(&mut guest)?;
        let mut frame = Vec::new();
        append_encoded(kind, &[0; 8], &mut frame);
        let bytes = channel.line.seal(lane, &frame);
        exam.write(channel.wire, &bytes);
        let limit = exam.soon();
        exam.ends(&mut channel, limit, CloseReason::UnexpectedMessage)?;
    }
    Ok(())
}

/// A frame of a kind that no version has.
fn unknown(length: usize) -> Vec<u8> {
    let mut frame = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    frame.extend(60_000_u16.to_le_bytes());
    frame.resize(frame.len() + length, 5);
    frame
}

fn skips_unknown_kinds(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    for lane in Lane::ALL {
        for length in [0, 1, 20_000] {
            let bytes = channel.line.seal(lane, &unknown(length));
            exam.write(channel.wire, &bytes);
        }
    }
    let bytes = channel.line.seal(Lane::Bulk, &unknown(65_536));
    exam.write(channel.wire, &bytes);
    exam.lives(&mut channel)
}

fn closes_on_unknown_kinds_beyond_the_bound(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let bytes = channel.line.seal(Lane::Relay, &unknown(65_537)[..6]);
    exam.write(channel.wire, &bytes);
    let limit = exam.soon();
    exam.ends(&mut channel, limit, CloseReason::BadFrame)
}

fn closes_on_a_known_kind_that_does_not_decode(exam: &mut Exam<'_>) -> Verdict {
    for body in [&[0; 7][..], &[0; 9], &[]] {
        let mut guest = exam.guest();
        let mut channel = exam.live(&mut guest)?;
        let mut frame = Vec::new();
        append_encoded(Kind::Ping, body, &mut frame);
        let bytes = channel.line.seal(Lane::Control, &frame);
        exam.write(channel.wire, &bytes);
        let limit = exam.soon();
        exam.ends(&mut channel, limit, CloseReason::BadMessage)?;
    }
    Ok(())
}

fn changes_its_key_with_the_dialer(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let mut empty = Vec::new();
    append_frame(&Message::Datagram(bytes::Bytes::new()), &mut empty);
    // `Hello` was the first record of the first key; the last one and the next five are after these.
    for part in 0..16 {
        let count = REKEY_EVERY / 16 - u64::from(part == 0);
        let bytes: Vec<u8> = (0..count).flat_map(|_| channel.line.seal(Lane::Relay, &empty)).collect();
        exam.write(channel.wire, &bytes);
        exam.pass(std::time::Duration::from_millis(20));
        exam.pump(&mut channel)?;
    }
    exam.lives(&mut channel)?;
    exam.lives(&mut channel)
}

fn takes_no_record_beyond_a_hello_before_it(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.open(&mut guest)?;
    channel.pings = Pings::Kept;
    // 1032 bytes in clear: the lane, and a frame whose body is one byte longer than a `Hello` may be.
    let bytes = channel.line.seal(Lane::Control, &[0; 1031]);
    exam.write(channel.wire, &bytes[..4]);
    let limit = exam.soon();
    exam.silent_end(channel.wire, limit)?;
    // Cut into small records a `Hello` is one still.
    let mut channel = exam.open(&mut guest)?;
    let hello = exam.hello(&mut guest, &channel.line, Intent::Session(timed_core::DialedBecause::Canonical));
    let mut frame = Vec::new();
    append_frame(&Message::Hello(Box::new(hello)), &mut frame);
    for part in frame.chunks(100) {
        let bytes = channel.line.seal(Lane::Control, part);
        exam.write(channel.wire, &bytes);
    }
    exam.hear(&mut channel, limit, "HelloAck", |message| match message {
        Message::HelloAck(ack) => Some(ack.answer),
        _ => None,
    })
    .and_then(|answer| match answer {
        timed_core::wire::message::Answer::Accepted => Ok(()),
        other => Err(broken(format!("answered {other:?}"))),
    })
}
