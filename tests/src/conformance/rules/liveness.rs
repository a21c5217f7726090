//! Who counts as alive: rules L-1 to L-5, S-6.

use std::time::Duration;

use timed_core::CloseReason;
use timed_core::wire::message::{Answer, Intent, Message, Ping};
use timed_core::wire::peers::Absence;

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Pings, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "L-1" Links part_of_a_record_proves_nothing,
    "L-1" Links any_record_proves_that_the_peer_lives,
    "L-2" Links answers_each_ping_and_pings_the_quiet,
    "L-3" Links closes_a_silent_link,
    "L-4" Links declares_nobody_dead_for_its_own_sleep,
    "L-5" Links leaves_alone_who_has_announced_to_be_away,
    "L-5" Links misses_who_has_taken_the_announcement_back,
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

fn leaves_alone_who_has_announced_to_be_away(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    exam.listen(&called)?;
    let mut link = exam.dialed(&mut called)?;
    exam.lives(&mut link)?;
    exam.say(&mut link, &Message::Absence(Absence { seconds: 3600 }));
    exam.lives(&mut link)?;
    exam.close(link.wire);
    // An ordinary loss is dialed again after a second at most.
    let quiet = exam.timings().backoff_refused / 2;
    let (gone, end) = (exam.now(), exam.now() + quiet.saturating_sub(MOMENT));
    while exam.now() < end {
        if exam.came(&called).is_some() {
            return Err(broken(format!("dials {:?} after the announced end", exam.now() - gone)));
        }
        exam.pass(MOMENT);
    }
    // Nobody has to wait for that: whoever is back knocks, or dials.
    let (channel, answer) = exam.call(&mut called, Intent::Knock)?;
    let limit = exam.soon();
    exam.end(channel.wire, limit)?;
    if answer != Answer::WillDial {
        return Err(broken(format!("a knock of who is back is answered {answer:?}")));
    }
    exam.taken(&mut called, limit).map(|_| ())
}

fn misses_who_has_taken_the_announcement_back(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    exam.listen(&called)?;
    let mut link = exam.dialed(&mut called)?;
    exam.lives(&mut link)?;
    exam.say(&mut link, &Message::Absence(Absence { seconds: 3600 }));
    exam.pass(Duration::from_secs(1));
    exam.say(&mut link, &Message::Absence(Absence { seconds: 0 }));
    exam.lives(&mut link)?;
    exam.close(link.wire);
    let limit = exam.patience(2 * exam.timings().backoff_first);
    exam.taken(&mut called, limit).map(|_| ())
}
