//! Places, addresses, rates, bans and goodbyes: rules, P-4, R-1, S-1, S-3.

use std::time::Duration;

use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{Answer, Goodbye, Intent, Kind, Lane, Message, Ping};
use timed_core::wire::peers::GetPeers;
use timed_core::{BanTarget, CloseReason, DialOrdinal, DialedBecause, Request};

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Miss, Pings, Stream, Verdict, Voice, broken};

pub(super) const CASES: &[Case] = listed![
    "S-1" Links a_crowd_from_one_place_crowds_out_itself,
    "S-3" Links keeps_places_for_masternodes,
    "S-6" Links pings_a_busy_link_too,
    "P-4" Links answers_a_question_for_addresses_once,
    "P-4" Links ignores_addresses_that_it_did_not_ask_for,
    "A-1" Links answers_no_more_than_the_rates_allow,
    "A-3" Links bans_whoever_breaks_the_rules_again_and_again,
    "A-4" Links refuses_whom_its_operator_bans,
    "A-6" Links bans_no_masternode,
    "R-1" Links says_why_it_closes,
    "R-1" Links takes_reasons_that_it_does_not_know,
];

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);

fn a_crowd_from_one_place_crowds_out_itself(exam: &mut Exam<'_>) -> Verdict {
    let places = exam.ground().config.limits.unauthenticated;
    let crowd = exam.guest();
    let mut wires = Vec::new();
    for _ in 0..places + 8 {
        let wire = exam.dial(&crowd)?;
        wires.push(wire);
    }
    // Nobody who comes is refused for them, from there or from elsewhere.
    let mut guest = exam.guest();
    let mut link = exam.live(&mut guest)?;
    exam.lives(&mut link)?;
    let ended = |exam: &mut Exam<'_>, wire| exam.read(wire, &mut Vec::new()) == Stream::Ended;
    let limit = exam.soon();
    let first = wires[0];
    exam.until(limit, "the eviction of the oldest", |exam| Ok(ended(exam, first).then_some(())))?;
    let last = wires[wires.len() - 1];
    if ended(exam, last) { Err(broken("the newest of the crowd was evicted")) } else { Ok(()) }
}

fn keeps_places_for_masternodes(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    let most = exam.ground().config.limits.max_peers;
    let mut links = Vec::new();
    let full = loop {
        let mut guest = exam.guest();
        match exam.call(&mut guest, CANONICAL)? {
            (link, Answer::Accepted) => links.push(link),
            (_, Answer::Refused(CloseReason::SlotsFull)) => break true,
            (_, answer) => return Err(broken(format!("guest {} is answered {answer:?}", links.len()))),
        }
        if links.len() > most {
            break false;
        }
    };
    let others = exam.ground().config.registry.size() - 1;
    if !full || links.len() + others > most {
        return Err(broken(format!("{} strangers have places, of {most}; {others} are kept", links.len())));
    }
    let mut caller = exam.caller()?;
    let mut link = exam.live(&mut caller)?;
    exam.lives(&mut link)?;
    exam.lives(&mut links[0])
}

fn pings_a_busy_link_too(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    exam.lives(&mut channel)?;
    exam.pass(Duration::from_millis(50));
    exam.pump(&mut channel)?;
    channel.forget();
    let every = exam.timings().measure_every;
    let end = exam.now() + exam.patience(every);
    while exam.now() < end {
        exam.say(&mut channel, &Message::Datagram(bytes::Bytes::from_static(b"busy")));
        exam.pass(every / 20);
        exam.pump(&mut channel)?;
        if channel.messages().any(|message| matches!(message, Message::Ping(_))) {
            return Ok(());
        }
        channel.forget();
    }
    Err(broken(format!("no ping on a busy link within {every:?}, many times over")))
}

fn peers_told(message: &Message) -> Option<usize> {
    match message {
        Message::Peers(peers) => Some(peers.len()),
        _ => None,
    }
}

fn answers_a_question_for_addresses_once(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let limit = exam.soon();
    let ask = Message::GetPeers(GetPeers { most: 3 });
    exam.say(&mut channel, &ask);
    let told = exam.hear(&mut channel, limit, "Peers", peers_told)?;
    if told > 3 {
        return Err(broken(format!("{told} addresses, where 3 were asked for")));
    }
    exam.say(&mut channel, &ask);
    let second = Duration::from_secs(1);
    exam.never(&mut channel, second, "a second answer", |message| peers_told(message).is_some())
}

fn ignores_addresses_that_it_did_not_ask_for(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    // Unread: not even their form is looked at.
    let mut frame = Vec::new();
    append_encoded(Kind::Peers, &[0xff; 40], &mut frame);
    let bytes = channel.line.seal(Lane::Relay, &frame);
    exam.write(channel.wire, &bytes);
    exam.lives(&mut channel)
}

fn answers_no_more_than_the_rates_allow(exam: &mut Exam<'_>) -> Verdict {
    const PINGS: u64 = 400;
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    exam.lives(&mut channel)?;
    channel.pings = Pings::Kept;
    channel.forget();
    for token in 0..PINGS {
        exam.say(&mut channel, &Message::Ping(Ping { token }));
    }
    exam.pass(Duration::from_millis(500));
    exam.pump(&mut channel)?;
    let answered = channel.messages().filter(|message| matches!(message, Message::Pong(_))).count();
    if channel.ended {
        return Err(broken(format!("the link ended with {:?}: nothing has lasted", channel.goodbye)));
    }
    // An honest peer's 2 and one a second at least; far from all of them at most.
    match answered {
        2..=200 => Ok(()),
        _ => Err(broken(format!("{answered} of {PINGS} pings at once are answered"))),
    }
}

/// A link on which this peer says what does not decode.
fn misbehaves(exam: &mut Exam<'_>, voice: &mut Voice) -> Verdict {
    let mut channel = exam.live(voice)?;
    let mut frame = Vec::new();
    append_encoded(Kind::Ping, &[1], &mut frame);
    let bytes = channel.line.seal(Lane::Control, &frame);
    exam.write(channel.wire, &bytes);
    // One whose score is at the bound is read later (rule A-6).
    let limit = exam.patience(exam.timings().write_timeout);
    voice.next_ordinal();
    exam.until(limit, "the end of the link", |exam| {
        exam.pump(&mut channel)?;
        Ok(channel.ended.then_some(()))
    })?;
    match channel.goodbye {
        Some(CloseReason::BadMessage | CloseReason::Abuse) => Ok(()),
        other => Err(broken(format!("a broken message ends the link with {other:?}"))),
    }
}

fn bans_whoever_breaks_the_rules_again_and_again(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    // 25 of 100 each, and a little of it is forgotten meanwhile.
    for offence in 0..6 {
        if offence >= 4 {
            let (_, answer) = exam.call(&mut guest, CANONICAL)?;
            match answer {
                Answer::Refused(CloseReason::Banned) => return Ok(()),
                Answer::Accepted => guest.next_ordinal(),
                other => return Err(broken(format!("answered {other:?}"))),
            }
        }
        misbehaves(exam, &mut guest)?;
    }
    Err(Miss::Lacks("a node that scores its peers: a node MAY"))
}

fn refuses_whom_its_operator_bans(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut link = exam.live(&mut guest)?;
    exam.lives(&mut link)?;
    let target = BanTarget::Key(guest.id());
    exam.process()?.ask(Request::Ban { target, lasts: None, note: None });
    let limit = exam.soon();
    exam.ends(&mut link, limit, CloseReason::Banned)?;
    guest.next_ordinal();
    exam.refused(&mut guest, CloseReason::Banned)?;
    exam.process()?.ask(Request::Unban(target));
    guest.next_ordinal();
    exam.live(&mut guest).map(|_| ())
}

fn bans_no_masternode(exam: &mut Exam<'_>) -> Verdict {
    let mut caller = exam.caller()?;
    for _ in 0..6 {
        misbehaves(exam, &mut caller)?;
    }
    // Read more slowly, but taken.
    let mut link = exam.live(&mut caller)?;
    exam.say(&mut link, &Message::Ping(Ping { token: 6 }));
    let limit = exam.patience(exam.timings().write_timeout);
    exam.hear(&mut link, limit, "a pong, late", |message| match message {
        Message::Pong(pong) if pong.token == 6 => Some(()),
        _ => None,
    })
}

fn says_why_it_closes(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut link = exam.live(&mut guest)?;
    exam.lives(&mut link)?;
    exam.process()?.ask(Request::Stop);
    let limit = exam.soon();
    exam.ends(&mut link, limit, CloseReason::Shutdown)
}

fn takes_reasons_that_it_does_not_know(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut link = exam.live(&mut guest)?;
    exam.lives(&mut link)?;
    let reason = CloseReason::from_code(60_000);
    exam.say(&mut link, &Message::Goodbye(Goodbye { reason, highest: DialOrdinal(1) }));
    let limit = exam.soon();
    exam.end(link.wire, limit)?;
    exam.live(&mut exam_again(guest)).map(|_| ())
}

/// The same peer, its next session.
fn exam_again(mut voice: Voice) -> Voice {
    voice.next_ordinal();
    voice
}
