//! One link a pair, and which of two it is: rules B-1 to B-5, P-1, P-2.

use std::time::Duration;

use timed_core::crypto::Provider;
use timed_core::wire::message::{Answer, Intent, Message};
use timed_core::wire::signing;
use timed_core::{CloseReason, DialOrdinal, DialedBecause};

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "P-1" Links holds_one_link_a_peer,
    "P-2" Links the_late_end_of_a_replaced_link_changes_nothing,
    "B-1" Links of_equal_ballots_the_higher_hash_stays,
    "B-2" Links refuses_a_ballot_below_the_register,
    "B-2" Links names_the_link_of_an_earlier_start_a_ghost,
    "B-2" Links forgets_the_register_with_the_pair,
    "B-3" Links does_not_redial_at_once_after_a_duplicate,
    "B-4" Links refuses_ordinals_that_are_implausible,
    "B-5" Links counts_its_sessions_on_from_the_highest_ordinal,
];

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);
const MOMENT: Duration = Duration::from_millis(50);

fn holds_one_link_a_peer(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut first = exam.live(&mut guest)?;
    exam.lives(&mut first)?;
    guest.next_ordinal();
    let mut second = exam.live(&mut guest)?;
    let limit = exam.soon();
    exam.ends(&mut first, limit, CloseReason::Duplicate)?;
    exam.lives(&mut second)
}

fn the_late_end_of_a_replaced_link_changes_nothing(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let first = exam.live(&mut guest)?;
    guest.next_ordinal();
    let mut second = exam.live(&mut guest)?;
    exam.close(first.wire);
    exam.lives(&mut second)?;
    exam.pass(MOMENT);
    exam.lives(&mut second)?;
    // Another one is still measured by the link that stands.
    guest.ordinal = DialOrdinal(1);
    exam.refused(&mut guest, CloseReason::Duplicate)?;
    exam.lives(&mut second)
}

fn of_equal_ballots_the_higher_hash_stays(exam: &mut Exam<'_>) -> Verdict {
    // Of twelve pairs all have the same order once in two thousand runs.
    for _ in 0..12 {
        let mut guest = exam.guest();
        let mut first = exam.live(&mut guest)?;
        exam.lives(&mut first)?;
        let mut second = exam.open(&mut guest)?;
        let hello = exam.hello(&mut guest, &second.line, CANONICAL);
        let answer = exam.introduce(&mut guest, &mut second, &hello)?;
        let limit = exam.soon();
        match (second.hash() > first.hash(), answer) {
            (true, Answer::Accepted) => {
                exam.ends(&mut first, limit, CloseReason::Duplicate)?;
                exam.lives(&mut second)?;
            }
            (false, Answer::Refused(CloseReason::Duplicate)) => exam.lives(&mut first)?,
            (above, answer) => return Err(broken(format!("hash above: {above}, answered {answer:?}"))),
        }
    }
    Ok(())
}

fn refuses_a_ballot_below_the_register(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.ordinal = DialOrdinal(7);
    let mut link = exam.live(&mut guest)?;
    guest.ordinal = DialOrdinal(6);
    exam.refused(&mut guest, CloseReason::Duplicate)?;
    exam.lives(&mut link)
}

fn names_the_link_of_an_earlier_start_a_ghost(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.ordinal = DialOrdinal(7);
    let mut old = exam.live(&mut guest)?;
    exam.reborn(&mut guest);
    guest.ordinal = DialOrdinal(1);
    let mut new = exam.live(&mut guest)?;
    let limit = exam.soon();
    exam.ends(&mut old, limit, CloseReason::Ghost)?;
    exam.lives(&mut new)
}

fn forgets_the_register_with_the_pair(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.ordinal = DialOrdinal(7);
    let link = exam.live(&mut guest)?;
    exam.close(link.wire);
    exam.pass(MOMENT);
    guest.ordinal = DialOrdinal(6);
    exam.refused(&mut guest, CloseReason::Duplicate)?;
    exam.pass(2 * exam.timings().handshake_timeout + Duration::from_millis(500));
    exam.live(&mut guest).map(|_| ())
}

fn does_not_redial_at_once_after_a_duplicate(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    exam.listen(&called)?;
    let timings = exam.timings();
    let limit = exam.patience(timings.backoff_masternode + timings.fallback_after);
    let (mut channel, hello) = exam.taken(&mut called, limit)?;
    exam.answer(&mut called, &mut channel, &hello, Answer::Refused(CloseReason::Duplicate));
    let answered = exam.now();
    // No survivor comes: an ordinary failure, after the wait.
    exam.taken(&mut called, limit)?;
    if exam.now() - answered + MOMENT < timings.fallback_after {
        return Err(broken(format!("redials {:?} after a duplicate", exam.now() - answered)));
    }
    Ok(())
}

fn refuses_ordinals_that_are_implausible(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.ordinal = DialOrdinal((1 << 20) + 1);
    exam.refused(&mut guest, CloseReason::OrdinalOutOfRange)?;
    guest.ordinal = DialOrdinal(1 << 20);
    exam.live(&mut guest).map(|_| ())
}

fn counts_its_sessions_on_from_the_highest_ordinal(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    exam.listen(&called)?;
    let timings = exam.timings();
    let limit = exam.patience(timings.backoff_masternode);
    let (mut channel, first) = exam.taken(&mut called, limit)?;
    // What the other end knows counts too.
    let highest = DialOrdinal(first.ordinal.0 + 40);
    let mut ack = called.actor.ack(&channel.line, &first, Answer::Accepted);
    ack.highest = highest;
    ack.signature = called.key.sign(&signing::hello_ack(&channel.hash(), &first, &ack));
    exam.say(&mut channel, &Message::HelloAck(Box::new(ack)));
    exam.lives(&mut channel)?;
    exam.close(channel.wire);
    let (_, second) = exam.taken(&mut called, limit)?;
    if second.ordinal.0 != highest.0 + 1 {
        return Err(broken(format!("ordinal {} after {}", second.ordinal.0, highest.0)));
    }
    Ok(())
}
