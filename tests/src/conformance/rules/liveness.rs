//! Who counts as alive: rules L-1 to L-4, S-6.

use std::time::Duration;

use timed_core::CloseReason;
use timed_core::wire::message::{Message, Ping};

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Pings, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "L-1" Links part_of_a_record_proves_nothing,
    "L-1" Links any_record_proves_that_the_peer_lives,
    "L-2" Links answers_each_ping_and_pings_the_quiet,
    "L-3" Links closes_a_silent_link,
    "L-4" Links declares_nobody_dead_for_its_own_sleep,
];

/// A moment, as the arm measures it.
const MOMENT: Duration = Duration::from_millis(50);

fn part_of_a_record_proves_nothing(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    channel.pings = Pings::Kept;
    exam.lives(&mut channel)?;
    let (silent, patience) = (exam.timings().silent_after, exam.patience(exam.timings().silent_after));
    let began = exam.now();
    // A record of 16,400 bytes, a byte at a time, a little faster than it would count as silent.
    exam.write(channel.wire, &16_400_u16.to_le_bytes());
    while !channel.ended && exam.now() < began + patience {
        exam.write(channel.wire, &[7]);
        exam.pass(silent / 20);
        exam.pump(&mut channel)?;
    }
    if !channel.ended || channel.goodbye != Some(CloseReason::Silent) {
        return Err(broken(format!("not silent after {patience:?}: {:?}", channel.goodbye)));
    }
    Ok(())
}

fn any_record_proves_that_the_peer_lives(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    exam.lives(&mut channel)?;
    channel.pings = Pings::Kept;
    // No pong is given, but other records: the peer lives.
    let silent = exam.timings().silent_after;
    let end = exam.now() + 2 * silent;
    while exam.now() < end {
        exam.say(&mut channel, &Message::Datagram(bytes::Bytes::from_static(b"here")));
        exam.never(&mut channel, silent / 4, "a goodbye", |message| matches!(message, Message::Goodbye(_)))?;
    }
    exam.lives(&mut channel)
}

fn answers_each_ping_and_pings_the_quiet(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    exam.lives(&mut channel)?;
    exam.say(&mut channel, &Message::Ping(Ping { token: u64::MAX }));
    let limit = exam.soon();
    exam.hear(&mut channel, limit, "the pong of its token", |message| match message {
        Message::Pong(pong) if pong.token == u64::MAX => Some(()),
        _ => None,
    })?;
    // One ping is answered, so that the next quiet is pinged for, at the latest when it would be silence.
    exam.pass(MOMENT);
    exam.pump(&mut channel)?;
    channel.forget();
    let limit = exam.patience(exam.timings().silent_after);
    exam.hear(&mut channel, limit, "a ping", |message| match message {
        Message::Ping(_) => Some(()),
        _ => None,
    })
}

fn closes_a_silent_link(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    exam.lives(&mut channel)?;
    channel.pings = Pings::Kept;
    let (began, silent) = (exam.now(), exam.timings().silent_after);
    let limit = exam.patience(silent);
    exam.ends(&mut channel, limit, CloseReason::Silent)?;
    if exam.now() + MOMENT < began + silent {
        return Err(broken(format!("closed after {:?}, before {silent:?}", exam.now() - began)));
    }
    Ok(())
}

fn declares_nobody_dead_for_its_own_sleep(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    exam.lives(&mut channel)?;
    let sleep = exam.timings().silent_after + Duration::from_secs(3);
    exam.process()?.freeze(sleep);
    exam.lives(&mut channel)
}
