//! Who dials, knocks and probes: rules D-1 to D-8, P-6, P-7.

use std::net::SocketAddr;
use std::time::Duration;

use timed_core::wire::message::{Answer, Ballot, DialerRank, Hello, Intent, Message};
use timed_core::{CanonicalAddr, CloseReason, DialedBecause, PeerRef, Request};

use crate::conformance::table::listed;
use crate::conformance::{Case, Channel, Exam, Miss, Stream, Verdict, Voice, broken};

pub(super) const CASES: &[Case] = listed![
    "D-1" Links dials_whoever_has_the_higher_address,
    "D-2" Links never_dials_a_node_without_an_address,
    "D-3" Links knocks_where_the_other_is_to_dial,
    "D-3" Links dials_at_once_after_a_knock,
    "D-3" Links keeps_the_link_that_stands_at_a_knock,
    "D-3" Links drops_the_link_that_the_knocker_has_lost,
    "D-3" Links dials_no_third_party_for_a_knock,
    "D-4" Links dials_in_earnest_where_a_knock_brought_nothing,
    "D-5" Links waits_longer_with_each_failure,
    "D-6" Links dials_nobody_to_whom_it_is_linked,
    "D-7" Links dials_an_address_of_its_own_only_once,
    "D-8" Links keeps_apart_whom_its_operator_disconnected,
    "P-6" Links answers_a_probe_and_remembers_nothing,
    "P-6" Links refuses_a_probe_that_names_nobody,
    "P-6" Links probes_the_address_that_a_guest_advertises,
    "P-7" Links tells_whom_it_dials_where_it_dialed,
];

/// Early enough to count as at once, and late enough for a busy machine.
const MOMENT: Duration = Duration::from_millis(50);

/// The first `Hello` of the node's to somebody who listens from its start on, at latest after its longest back-off.
fn first_hello(exam: &mut Exam<'_>, voice: &mut Voice) -> Result<(Channel, Box<Hello>), Miss> {
    exam.listen(voice)?;
    let timings = exam.timings();
    let limit = exam.patience(timings.backoff_masternode + timings.passive_wait);
    exam.taken(voice, limit)
}

fn dials_whoever_has_the_higher_address(exam: &mut Exam<'_>) -> Verdict {
    for mut voice in exam.called()? {
        let (_, hello) = first_hello(exam, &mut voice)?;
        if hello.intent != Intent::Session(DialedBecause::Canonical) || hello.to != Some(voice.id()) {
            return Err(broken(format!("dials {:?} for {:?}", hello.to, hello.intent)));
        }
    }
    Ok(())
}

fn never_dials_a_node_without_an_address(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    match exam.call(&mut guest, Intent::Knock)? {
        (_, Answer::Refused(CloseReason::NotWanted)) => Ok(()),
        (_, answer) => Err(broken(format!("a knock of a node without an address is answered {answer:?}"))),
    }
}

fn knocks_where_the_other_is_to_dial(exam: &mut Exam<'_>) -> Verdict {
    let mut caller = exam.caller()?;
    let began = exam.now();
    let (_, hello) = first_hello(exam, &mut caller)?;
    if hello.intent != Intent::Knock || hello.register.is_some() {
        return Err(broken(format!("the first word to the canonical dialer is {:?}", hello.intent)));
    }
    let fresh = exam.process().is_ok();
    if fresh && exam.now() - began + MOMENT < Duration::from_millis(500) {
        return Err(broken(format!("knocks {:?} after its start", exam.now() - began)));
    }
    Ok(())
}

fn dials_at_once_after_a_knock(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    // Its first dial finds nobody.
    exam.start();
    exam.pass(Duration::from_millis(400));
    exam.listen(&called)?;
    let (channel, answer) = exam.call(&mut called, Intent::Knock)?;
    let limit = exam.soon();
    exam.end(channel.wire, limit)?;
    if answer != Answer::WillDial {
        return Err(broken(format!("a knock without a link is answered {answer:?}")));
    }
    let (_, hello) = exam.taken(&mut called, limit)?;
    match hello.intent {
        Intent::Session(DialedBecause::Canonical) => Ok(()),
        other => Err(broken(format!("dials for {other:?}"))),
    }
}

fn keeps_the_link_that_stands_at_a_knock(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    exam.listen(&called)?;
    let mut link = exam.dialed(&mut called)?;
    exam.lives(&mut link)?;
    match exam.call(&mut called, Intent::Knock)? {
        (_, Answer::HaveSession) => exam.lives(&mut link),
        (_, answer) => Err(broken(format!("a knock beside a link is answered {answer:?}"))),
    }
}

fn drops_the_link_that_the_knocker_has_lost(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    let (mut link, hello) = loop {
        let (channel, hello) = first_hello(exam, &mut called)?;
        if matches!(hello.intent, Intent::Session(_)) {
            break (channel, hello);
        }
    };
    exam.answer(&mut called, &mut link, &hello, Answer::Accepted);
    exam.lives(&mut link)?;
    let (theirs, ours) = (hello.from.boot.epoch, called.actor.from.boot.epoch);
    let lower_is_ours = called.id() < hello.from.node;
    let register = Ballot {
        epochs: if lower_is_ours { (ours, theirs) } else { (theirs, ours) },
        ordinal: hello.ordinal,
        dialer: DialerRank::Canonical,
        session: link.hash(),
    };
    let mut knock = exam.open(&mut called)?;
    let hello = called.actor.hello(&knock.line, hello.ordinal, Intent::Knock, Some(register));
    let answer = exam.introduce(&mut called, &mut knock, &hello)?;
    if answer != Answer::WillDial {
        return Err(broken(format!("a knock whose register has the link is answered {answer:?}")));
    }
    let limit = exam.soon();
    exam.ends(&mut link, limit, CloseReason::KnockLost)?;
    exam.taken(&mut called, limit).map(|_| ())
}

fn dials_no_third_party_for_a_knock(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let third: SocketAddr = ([198, 51, 100, 7], 24_100).into();
    guest.actor.from.advertised = CanonicalAddr::new(third).ok();
    match exam.call(&mut guest, Intent::Knock)? {
        (_, Answer::Refused(CloseReason::NotWanted)) => Ok(()),
        (_, answer) => Err(broken(format!("a knock for a third party's address is answered {answer:?}"))),
    }
}

fn dials_in_earnest_where_a_knock_brought_nothing(exam: &mut Exam<'_>) -> Verdict {
    let mut caller = exam.caller()?;
    let (mut channel, hello) = first_hello(exam, &mut caller)?;
    if hello.intent != Intent::Knock {
        return Err(broken(format!("{:?} instead of a knock", hello.intent)));
    }
    exam.answer(&mut caller, &mut channel, &hello, Answer::WillDial);
    let (answered, after) = (exam.now(), exam.timings().fallback_after);
    let limit = exam.patience(after);
    let (_, hello) = exam.taken(&mut caller, limit)?;
    if hello.intent != Intent::Session(DialedBecause::Fallback) {
        return Err(broken(format!("{:?} instead of a fallback", hello.intent)));
    }
    if exam.now() - answered + MOMENT < after {
        return Err(broken(format!("falls back after {:?}, before {after:?}", exam.now() - answered)));
    }
    Ok(())
}

fn waits_longer_with_each_failure(exam: &mut Exam<'_>) -> Verdict {
    let called = exam.called()?.remove(0);
    exam.listen(&called)?;
    exam.start();
    let fresh = exam.process().is_ok();
    let timings = exam.timings();
    let longest = timings.backoff_masternode;
    let mut before: Option<Duration> = None;
    for failure in 0..5 {
        let limit = exam.patience(longest);
        let wire = exam.until(limit, "the next dial", |exam| Ok(exam.came(&called)))?;
        // How many failures there were before is known where the node is the case's own.
        let wait = (timings.backoff_first * 2_u32.pow(if fresh { failure } else { 1 })).min(longest);
        if let Some(gap) = before.map(|before| exam.now() - before)
            && gap + MOMENT < wait / 2
        {
            return Err(broken(format!("dials {gap:?} after failure {failure}, before {:?}", wait / 2)));
        }
        exam.close(wire);
        before = Some(exam.now());
    }
    Ok(())
}

fn dials_nobody_to_whom_it_is_linked(exam: &mut Exam<'_>) -> Verdict {
    let (mut caller, mut called) = (exam.caller()?, exam.called()?.remove(0));
    exam.listen(&caller)?;
    exam.listen(&called)?;
    let mut outward = exam.dialed(&mut called)?;
    let mut inward = exam.live(&mut caller)?;
    exam.lives(&mut inward)?;
    let timings = exam.timings();
    let end = exam.now() + timings.passive_wait + timings.backoff_first * 4;
    // Attempts that were under way when the links came up end now.
    exam.pass(MOMENT);
    while exam.came(&caller).is_some() || exam.came(&called).is_some() {}
    while exam.now() < end {
        exam.never(&mut outward, MOMENT, "a goodbye", |message| matches!(message, Message::Goodbye(_)))?;
        exam.never(&mut inward, MOMENT, "a goodbye", |message| matches!(message, Message::Goodbye(_)))?;
        if exam.came(&caller).is_some() || exam.came(&called).is_some() {
            return Err(broken("dials a peer to which it has a live link"));
        }
    }
    Ok(())
}

fn dials_an_address_of_its_own_only_once(exam: &mut Exam<'_>) -> Verdict {
    // Whoever listens there hands every byte on to the node itself, and back.
    exam.process()?;
    let (called, guest) = (exam.called()?.remove(0), exam.guest());
    exam.listen(&called)?;
    exam.start();
    let limit = exam.patience(exam.timings().backoff_masternode);
    let came = exam.until(limit, "a dial", |exam| Ok(exam.came(&called)))?;
    let back = exam.dial(&guest)?;
    exam.until(limit, "the end of a connection with itself", |exam| {
        let (mut to, mut fro) = (Vec::new(), Vec::new());
        let ended = [exam.read(came, &mut to), exam.read(back, &mut fro)].contains(&Stream::Ended);
        exam.write(back, &to);
        exam.write(came, &fro);
        Ok(ended.then_some(()))
    })?;
    let end = exam.now() + 2 * exam.timings().backoff_masternode;
    while exam.now() < end {
        if exam.came(&called).is_some() {
            return Err(broken("dials again where it has met itself"));
        }
        exam.pass(MOMENT);
    }
    Ok(())
}

fn keeps_apart_whom_its_operator_disconnected(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut link = exam.live(&mut guest)?;
    exam.lives(&mut link)?;
    exam.process()?.ask(Request::Disconnect(PeerRef::Id(guest.id())));
    let limit = exam.soon();
    exam.ends(&mut link, limit, CloseReason::OperatorDisconnect)?;
    guest.next_ordinal();
    exam.refused(&mut guest, CloseReason::OperatorHold)
}

fn answers_a_probe_and_remembers_nothing(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.actor.to = Some(exam.ground().subject);
    let (channel, answer) = exam.call(&mut guest, Intent::Probe)?;
    if answer != Answer::Here {
        return Err(broken(format!("a probe is answered {answer:?}")));
    }
    let limit = exam.soon();
    exam.end(channel.wire, limit)?;
    // The ordinal of the probe was the highest; a session may have it still.
    exam.live(&mut guest).map(|_| ())
}

fn refuses_a_probe_that_names_nobody(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    match exam.call(&mut guest, Intent::Probe)? {
        (_, Answer::Refused(CloseReason::UnexpectedMessage)) => Ok(()),
        (_, answer) => Err(broken(format!("a probe that names nobody is answered {answer:?}"))),
    }
}

fn probes_the_address_that_a_guest_advertises(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let ip = guest.from.ok_or(Miss::Lacks("an address of its own for each stranger"))?;
    guest.addr = CanonicalAddr::new(SocketAddr::new(ip, 24_100)).ok();
    guest.actor.from.advertised = guest.addr;
    exam.listen(&guest)?;
    // Its own address is what it dials from, so that somebody else's lower one does not matter.
    let mut link = match exam.call(&mut guest, Intent::Session(DialedBecause::Canonical))? {
        (link, Answer::Accepted) => link,
        (_, answer) => return Err(broken(format!("answered {answer:?}"))),
    };
    let end = exam.now() + exam.patience(Duration::from_secs(10));
    loop {
        exam.pump(&mut link)?;
        if let Some(wire) = exam.came(&guest) {
            let (mut channel, hello) = exam.taken_on(&mut guest, wire)?;
            if hello.intent != Intent::Probe || hello.to != Some(guest.id()) {
                return Err(broken(format!("dials {:?} for {:?}", hello.to, hello.intent)));
            }
            exam.answer(&mut guest, &mut channel, &hello, Answer::Here);
            let limit = exam.soon();
            exam.end(channel.wire, limit)?;
            return exam.lives(&mut link);
        }
        if exam.now() > end {
            return Err(broken("no probe of the advertised address"));
        }
        exam.pass(MOMENT);
    }
}

fn tells_whom_it_dials_where_it_dialed(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    let (_, hello) = first_hello(exam, &mut called)?;
    if hello.from.observed == called.addr {
        Ok(())
    } else {
        Err(broken(format!("dialed {:?}, and tells {:?}", called.addr, hello.from.observed)))
    }
}
