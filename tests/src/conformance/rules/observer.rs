//! What a node does that is not registered: rules C-15, D-6, M-1, P-4, X-3, Y-1.

use std::time::Duration;

use timed_core::wire::message::{Intent, Message};
use timed_core::{BlockHash, DialedBecause, Height, Round, TxId, VoteKind};

use crate::conformance::council::Council;
use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "D-6" Observer an_observer_seeks_every_masternode,
    "P-4" Observer an_observer_asks_its_peers_for_addresses,
    "M-1" Observer an_observer_signs_nothing_and_passes_heartbeats_on,
    "C-15" Observer an_observer_takes_no_part_in_votes,
    "X-3" Observer an_observer_ignores_transactions_of_others,
];

fn an_observer_seeks_every_masternode(exam: &mut Exam<'_>) -> Verdict {
    for mut voice in exam.called()? {
        exam.listen(&voice)?;
        let limit = exam.patience(exam.timings().backoff_masternode);
        let (_, hello) = exam.taken(&mut voice, limit)?;
        if hello.intent != Intent::Session(DialedBecause::Canonical) || hello.to != Some(voice.id()) {
            return Err(broken(format!("dials {:?} for {:?}", hello.to, hello.intent)));
        }
    }
    Ok(())
}

fn an_observer_asks_its_peers_for_addresses(exam: &mut Exam<'_>) -> Verdict {
    let mut caller = exam.caller()?;
    let mut link = exam.live(&mut caller)?;
    let limit = exam.patience(Duration::from_millis(1_500));
    exam.hear(&mut link, limit, "GetPeers", |message| match message {
        Message::GetPeers(asked) if asked.most > 0 => Some(()),
        _ => None,
    })
}

fn an_observer_signs_nothing_and_passes_heartbeats_on(exam: &mut Exam<'_>) -> Verdict {
    let subject = exam.ground().subject;
    let (mut caller, mut guest) = (exam.caller()?, exam.guest());
    let mut inward = exam.live(&mut caller)?;
    let mut channel = exam.live(&mut guest)?;
    let wall = exam.wall();
    let beat = caller.actor.heartbeat(1, wall);
    exam.say(&mut inward, &Message::Heartbeat(Box::new(beat)));
    let limit = exam.soon();
    let signer = caller.id();
    exam.hear(&mut channel, limit, "the heartbeat passed on", |message| match message {
        Message::Heartbeat(beat) if beat.signer == signer => Some(()),
        _ => None,
    })?;
    let time = exam.timings().heartbeat * 3 / 2;
    exam.never(
        &mut channel,
        time,
        "a heartbeat of an observer's",
        |message| matches!(message, Message::Heartbeat(beat) if beat.signer == subject),
    )
}

fn an_observer_takes_no_part_in_votes(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let at = (Height(council.height().0), Round(0));
    // It may hand on what it is given; it says nothing of its own.
    council.votes(exam, 0, VoteKind::Prevote, at, Some(BlockHash([3; 32])));
    let subject = exam.ground().subject;
    let end = exam.now() + council.interval();
    while exam.now() < end {
        for seat in &mut council.seats {
            exam.pump(&mut seat.channel)?;
            for heard in seat.channel.heard.drain(..) {
                let own = match &heard.message {
                    Some(Message::Vote(vote)) => vote.voter == subject,
                    Some(Message::Proposal(proposal)) => proposal.header.proposer == subject,
                    Some(Message::Held(_)) => true,
                    _ => false,
                };
                if own {
                    return Err(broken(format!("an observer says {:?}", heard.message)));
                }
            }
        }
        exam.pass(Duration::from_millis(10));
    }
    council.seats.iter_mut().try_for_each(|seat| exam.lives(&mut seat.channel))
}

fn an_observer_ignores_transactions_of_others(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let channel = &mut council.seats[0].channel;
    exam.say(channel, &Message::TransactionOffer(vec![TxId([5; 32])]));
    exam.say(channel, &Message::Transaction(bytes::Bytes::from_static(b"not for observers")));
    exam.never(channel, Duration::from_millis(500), "an answer to an offer", |message| {
        matches!(message, Message::TransactionWant(_) | Message::Transaction(_))
    })?;
    exam.lives(channel)
}
