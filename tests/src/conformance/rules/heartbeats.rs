//! Signed statements of who lives and who is linked to whom: rules G-2, M-1 to M-4, M-6, M-8, M-9.

use std::time::Duration;

use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{Authenticity, Provider};
use timed_core::wire::message::{Heartbeat, LinkEntry, Message};
use timed_core::wire::signing;
use timed_core::{Activity, DialedBecause, Direction, Event, LinkTag, NodeId, Wall};
use zeroize::Zeroizing;

use crate::conformance::table::listed;
use crate::conformance::{Case, Channel, Exam, Miss, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "G-2" Links names_the_registry_by_its_hash,
    "M-1" Links signs_what_it_is_linked_to,
    "M-2" Links makes_heartbeats_at_their_pace,
    "M-3" Links passes_on_nothing_that_is_not_genuine,
    "M-4" Links counts_as_active_whoever_signed_lately,
    "M-6" Links names_what_it_has_verified,
    "M-8" Links passes_each_heartbeat_on_once_and_as_it_came,
    "M-8" Links passes_nothing_on_to_whom_its_signer_is_linked,
    "M-9" Links passes_nothing_on_under_its_own_key,
];

const MOMENT: Duration = Duration::from_millis(300);

/// The node's next own heartbeat.
fn own(exam: &mut Exam<'_>, channel: &mut Channel) -> Result<Heartbeat, Miss> {
    let subject = exam.ground().subject;
    if exam.ground().config.registry.get(&subject).is_none() {
        return Err(Miss::Lacks("a node that is a registered masternode"));
    }
    let limit = exam.patience(exam.timings().heartbeat);
    exam.hear(channel, limit, "a heartbeat of the node's", |message| match message {
        Message::Heartbeat(beat) if beat.signer == subject => Some((**beat).clone()),
        _ => None,
    })
}

/// The heartbeat of somebody, within a moment, if it comes.
fn forwarded(
    exam: &mut Exam<'_>,
    channel: &mut Channel,
    signer: NodeId,
    sequence: u64,
) -> Result<Option<Vec<u8>>, Miss> {
    let end = exam.now() + MOMENT;
    while exam.now() < end {
        exam.pump(channel)?;
        while let Some(heard) = channel.heard.pop_front() {
            if let Some(Message::Heartbeat(beat)) = &heard.message
                && (beat.signer, beat.sequence) == (signer, sequence)
            {
                return Ok(Some(heard.body));
            }
        }
        if channel.ended {
            return Err(broken(format!("the link ended with {:?}", channel.goodbye)));
        }
        exam.pass(Duration::from_millis(2));
    }
    Ok(None)
}

fn body(beat: &Heartbeat) -> Vec<u8> {
    let mut out = Vec::new();
    timed_core::wire::codec::encode_body(&Message::Heartbeat(Box::new(beat.clone())), &mut out);
    out
}

fn names_the_registry_by_its_hash(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let beat = own(exam, &mut channel)?;
    let hash = exam.ground().config.registry.hash();
    if beat.registry == hash.tag() { Ok(()) } else { Err(broken(format!("{:?}, not {hash}", beat.registry))) }
}

fn signs_what_it_is_linked_to(exam: &mut Exam<'_>) -> Verdict {
    let (mut caller, mut guest) = (exam.caller()?, exam.guest());
    let mut inward = exam.live(&mut caller)?;
    exam.lives(&mut inward)?;
    let mut channel = exam.live(&mut guest)?;
    let index = exam.ground().config.registry.index_of(&caller.id()).ok_or_else(|| broken("no index"))?;
    let entry = LinkEntry {
        peer: index,
        direction: Direction::Inbound,
        because: DialedBecause::Canonical,
        session: inward.hash().tag(),
    };
    // The first one after the link has come up, or the next.
    let mut beat = own(exam, &mut channel)?;
    if !beat.links.contains(&entry) {
        beat = own(exam, &mut channel)?;
    }
    let boot = channel.ack.as_ref().map(|ack| ack.from.boot);
    let genuine = guest.key.verify(&beat.signer, &signing::heartbeat(&beat), &beat.signature);
    let facts = [
        (genuine == Authenticity::Genuine, "its signature is not over the bytes of rule M-1"),
        (Some(beat.epoch) == boot.map(|boot| boot.epoch), "its epoch is not that of the handshake"),
        (beat.network == caller.actor.from.network, "it names another network"),
        (beat.wall.0.abs_diff(exam.wall().0) < 60_000, "its wall time is far off"),
        (beat.links.contains(&entry), "it does not list a link that stands"),
    ];
    match facts.iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, what)) => Err(broken(format!("{what}: {beat:?}"))),
    }
}

fn makes_heartbeats_at_their_pace(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let first = own(exam, &mut channel)?;
    let (began, every) = (exam.now(), exam.timings().heartbeat);
    let mut last = first.sequence;
    while exam.now() < began + 3 * every {
        let beat = own(exam, &mut channel)?;
        if beat.sequence != last + 1 {
            return Err(broken(format!("sequence {} after {last}", beat.sequence)));
        }
        last = beat.sequence;
    }
    // Three intervals and a bit, each with two more when links change.
    match last - first.sequence {
        2..=12 => Ok(()),
        count => Err(broken(format!("{count} heartbeats in three intervals"))),
    }
}

fn passes_on_nothing_that_is_not_genuine(exam: &mut Exam<'_>) -> Verdict {
    let (mut caller, mut stranger, mut guest) = (exam.caller()?, exam.guest(), exam.guest());
    let mut inward = exam.live(&mut caller)?;
    let mut channel = exam.live(&mut guest)?;
    let wall = exam.wall();
    let mut forged = caller.actor.heartbeat(1, wall);
    forged.signature.0[3] ^= 1;
    let mut elsewhere = caller.actor.heartbeat(1, wall);
    elsewhere.network.0[0] ^= 1;
    let elsewhere = caller.actor.sign(elsewhere);
    let unregistered = stranger.actor.heartbeat(1, wall);
    let sequence_0 = caller.actor.heartbeat(0, wall);
    for (beat, what) in [
        (&forged, "a forged one"),
        (&elsewhere, "one of another network"),
        (&unregistered, "one of a key that is not registered"),
        (&sequence_0, "one of sequence 0"),
    ] {
        exam.say(&mut inward, &Message::Heartbeat(Box::new(beat.clone())));
        if forwarded(exam, &mut channel, beat.signer, beat.sequence)?.is_some() {
            return Err(broken(format!("forwards {what}")));
        }
        exam.lives(&mut inward)?;
    }
    // The forged one has raised no mark.
    let genuine = caller.actor.heartbeat(1, wall);
    exam.say(&mut inward, &Message::Heartbeat(Box::new(genuine)));
    match forwarded(exam, &mut channel, caller.id(), 1)? {
        Some(_) => Ok(()),
        None => Err(broken("does not forward a genuine one after a forged one")),
    }
}

fn counts_as_active_whoever_signed_lately(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    let (mut caller, mut called) = (exam.caller()?, exam.called()?.remove(0));
    let mut inward = exam.live(&mut caller)?;
    // Somebody to whom there is no link, heard of through the other.
    let wall = exam.wall();
    let beat = called.actor.heartbeat(1, wall);
    exam.say(&mut inward, &Message::Heartbeat(Box::new(beat)));
    let limit = exam.soon();
    let seen = |wanted: Activity, node: NodeId| {
        move |exam: &mut Exam<'_>| {
            let is = |event: &Event| matches!(event, Event::Activity { node: of, activity } if *of == node && *activity == wanted);
            Ok(exam.process()?.facts().iter().any(is).then_some(()))
        }
    };
    exam.until(limit, "active by its heartbeat", seen(Activity::Active, called.id()))?;
    let (began, expires) = (exam.now(), exam.timings().active_for);
    // A repeat makes nobody active for longer; the link in between stays up by its pongs.
    let beat = called.actor.heartbeat(1, wall);
    exam.say(&mut inward, &Message::Heartbeat(Box::new(beat)));
    let limit = exam.patience(expires);
    let inactive = seen(Activity::Inactive, called.id());
    exam.until(limit, "inactive when it has expired", |exam| {
        exam.pump(&mut inward)?;
        inactive(exam)
    })?;
    if exam.now() - began + MOMENT < expires {
        return Err(broken(format!("inactive after {:?}, before {expires:?}", exam.now() - began)));
    }
    Ok(())
}

fn names_what_it_has_verified(exam: &mut Exam<'_>) -> Verdict {
    let (mut caller, mut guest) = (exam.caller()?, exam.guest());
    let mut inward = exam.live(&mut caller)?;
    let mut channel = exam.live(&mut guest)?;
    let wall = exam.wall();
    let beat = caller.actor.heartbeat(3, wall);
    let digest = signing::heartbeat_digest(&beat);
    exam.say(&mut inward, &Message::Heartbeat(Box::new(beat)));
    exam.lives(&mut inward)?;
    channel.forget();
    let index = exam.ground().config.registry.index_of(&caller.id());
    for _ in 0..2 {
        let own = own(exam, &mut channel)?;
        let named = own.witnessed.iter().find(|witness| Some(witness.signer) == index);
        if named.is_some_and(|witness| (witness.sequence, witness.digest) == (3, digest)) {
            return Ok(());
        }
    }
    Err(broken("does not name a heartbeat that it has verified"))
}

fn passes_each_heartbeat_on_once_and_as_it_came(exam: &mut Exam<'_>) -> Verdict {
    let (mut caller, mut guest) = (exam.caller()?, exam.guest());
    let mut inward = exam.live(&mut caller)?;
    let mut channel = exam.live(&mut guest)?;
    let wall = exam.wall();
    let beat = caller.actor.heartbeat(1, wall);
    exam.say(&mut inward, &Message::Heartbeat(Box::new(beat.clone())));
    if forwarded(exam, &mut channel, caller.id(), 1)? != Some(body(&beat)) {
        return Err(broken("not forwarded as it came"));
    }
    exam.say(&mut inward, &Message::Heartbeat(Box::new(beat)));
    if forwarded(exam, &mut channel, caller.id(), 1)?.is_some() {
        return Err(broken("forwarded twice"));
    }
    if forwarded(exam, &mut inward, caller.id(), 1)?.is_some() {
        return Err(broken("given back to whoever brought it"));
    }
    // One whose clock is off counts for nothing, and is forwarded all the same.
    let late = caller.actor.heartbeat(2, Wall(wall.0 - 120_000));
    exam.say(&mut inward, &Message::Heartbeat(Box::new(late)));
    match forwarded(exam, &mut channel, caller.id(), 2)? {
        Some(_) => Ok(()),
        None => Err(broken("one with a wrong clock is not forwarded")),
    }
}

fn passes_nothing_on_to_whom_its_signer_is_linked(exam: &mut Exam<'_>) -> Verdict {
    let mut caller = exam.caller()?;
    let mut called = exam.called()?;
    let (Some(mut far), Some(mut near)) = (called.pop(), called.pop()) else {
        return Err(Miss::Lacks("the keys of two masternodes at higher addresses than the node's"));
    };
    let mut inward = exam.live(&mut caller)?;
    let (mut to_near, mut to_far) = (exam.live(&mut near)?, exam.live(&mut far)?);
    let index = exam.ground().config.registry.index_of(&near.id()).ok_or_else(|| broken("no index"))?;
    let wall = exam.wall();
    let mut beat = caller.actor.heartbeat(1, wall);
    beat.links = vec![LinkEntry {
        peer: index,
        direction: Direction::Outbound,
        because: DialedBecause::Canonical,
        session: LinkTag([9; 8]),
    }];
    let beat = caller.actor.sign(beat);
    exam.say(&mut inward, &Message::Heartbeat(Box::new(beat)));
    if forwarded(exam, &mut to_far, caller.id(), 1)?.is_none() {
        return Err(broken("not forwarded to whom no link is stated"));
    }
    match forwarded(exam, &mut to_near, caller.id(), 1)? {
        None => Ok(()),
        Some(_) => Err(broken("forwarded to whom its signer states a link")),
    }
}

fn passes_nothing_on_under_its_own_key(exam: &mut Exam<'_>) -> Verdict {
    let key = exam.process()?.key();
    let (mut caller, mut guest) = (exam.caller()?, exam.guest());
    let mut inward = exam.live(&mut caller)?;
    let mut channel = exam.live(&mut guest)?;
    let latest = own(exam, &mut channel)?;
    let mut beat = Heartbeat { sequence: latest.sequence + 1_000, wall: exam.wall(), ..latest };
    beat.signature = NoiseProvider::new(Zeroizing::new(key)).sign(&signing::heartbeat(&beat));
    exam.say(&mut inward, &Message::Heartbeat(Box::new(beat.clone())));
    if forwarded(exam, &mut channel, beat.signer, beat.sequence)?.is_some() {
        return Err(broken("forwards a heartbeat of its own key that it did not make"));
    }
    exam.lives(&mut inward)?;
    let warned = exam
        .process()?
        .facts()
        .iter()
        .any(|event| matches!(event, Event::Warning(timed_core::Warning::ForeignSignature { .. })));
    if warned { Ok(()) } else { Err(broken("tells its operator nothing of it")) }
}
