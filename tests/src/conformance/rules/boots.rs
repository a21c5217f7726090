//! Starts of one key, told apart: rules E-1 to E-7.

use std::time::Duration;

use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{Authenticity, Provider};
use timed_core::wire::message::{Boot, Intent, ProvenBoot};
use timed_core::wire::signing;
use timed_core::{BootEpoch, BootNonce, CloseReason, DialedBecause, Signature};
use zeroize::Zeroizing;

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Miss, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "E-1" Links rises_with_every_start,
    "E-2" Links never_uses_an_epoch_again_that_it_has_signed,
    "E-3" Links refuses_epochs_more_than_a_day_ahead,
    "E-4" Links refuses_an_earlier_start_of_a_key_that_is_live,
    "E-4" Links shows_the_boot_that_it_has_seen,
    "E-5" Links raises_its_epoch_above_a_proven_one,
    "E-6" Links halts_when_its_key_has_moved_on,
    "E-7" Links proves_its_boot,
    "E-7" Links takes_an_unproven_boot_for_none,
];

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);
const DAY: u64 = 24 * 3_600_000;

/// The boot that the node shows to somebody new.
fn shown(exam: &mut Exam<'_>) -> Result<Boot, Miss> {
    let mut guest = exam.guest();
    let channel = exam.live(&mut guest)?;
    channel.ack.map(|ack| ack.from.boot).ok_or_else(|| broken("no HelloAck"))
}

/// A boot of the node's own key that its process has never had.
fn other_boot(exam: &mut Exam<'_>, epoch: u64) -> Result<ProvenBoot, Miss> {
    let key = exam.process()?.key();
    let boot = Boot { epoch: BootEpoch(epoch), nonce: BootNonce(5) };
    let words = signing::boot(&exam.ground().config.genesis, &exam.ground().subject, boot);
    Ok(ProvenBoot { boot, proof: NoiseProvider::new(Zeroizing::new(key)).sign(&words) })
}

fn rises_with_every_start(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    let mut last = shown(exam)?;
    if last.epoch.0 + 60_000 < exam.wall().0 {
        return Err(broken(format!("epoch {} of a start at {}", last.epoch.0, exam.wall().0)));
    }
    for _ in 0..3 {
        exam.restart()?;
        let next = shown(exam)?;
        if next.epoch <= last.epoch || next.nonce == last.nonce {
            return Err(broken(format!("{next:?} after {last:?}")));
        }
        last = next;
    }
    Ok(())
}

fn never_uses_an_epoch_again_that_it_has_signed(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    // Killed as soon as the first signed word is there: it was durable before.
    let mut last = shown(exam)?;
    for _ in 0..5 {
        exam.restart()?;
        let next = shown(exam)?;
        if next.epoch == last.epoch {
            return Err(broken(format!("epoch {} was used twice", next.epoch.0)));
        }
        last = next;
    }
    Ok(())
}

fn refuses_epochs_more_than_a_day_ahead(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.actor.from.boot.epoch = BootEpoch(exam.wall().0 + DAY + 60_000);
    exam.refused(&mut guest, CloseReason::EpochInFuture)?;
    guest.actor.from.boot.epoch = BootEpoch(exam.wall().0 + DAY - 60_000);
    exam.live(&mut guest).map(|_| ())
}

fn refuses_an_earlier_start_of_a_key_that_is_live(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut link = exam.live(&mut guest)?;
    exam.lives(&mut link)?;
    let present = guest.actor.from.boot;
    guest.actor.from.boot = Boot { epoch: BootEpoch(present.epoch.0 - 1), nonce: BootNonce(3) };
    exam.refused(&mut guest, CloseReason::KeyInUse)?;
    // The same epoch with another nonce is another process too.
    guest.actor.from.boot = Boot { epoch: present.epoch, nonce: BootNonce(!present.nonce.0) };
    exam.refused(&mut guest, CloseReason::KeyInUse)?;
    exam.lives(&mut link)
}

fn shows_the_boot_that_it_has_seen(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut link = exam.live(&mut guest)?;
    // Its first ping is answered on the way.
    exam.lives(&mut link)?;
    let present = guest.actor.from.boot;
    exam.close(link.wire);
    exam.pass(Duration::from_millis(50));
    guest.actor.from.boot = Boot { epoch: BootEpoch(present.epoch.0 - 1), nonce: BootNonce(3) };
    let mut channel = exam.open(&mut guest)?;
    let hello = exam.hello(&mut guest, &channel.line, CANONICAL);
    exam.refuses(&mut guest, &mut channel, &hello, CloseReason::StaleEpoch)?;
    let seen = channel.ack.and_then(|ack| ack.from.seen).ok_or_else(|| broken("no `seen` in the refusal"))?;
    let words = signing::boot(&exam.ground().config.genesis, &guest.id(), present);
    if seen.boot != present || guest.key.verify(&guest.id(), &words, &seen.proof) != Authenticity::Genuine {
        return Err(broken(format!("has seen {:?}, proven or not, instead of {present:?}", seen.boot)));
    }
    Ok(())
}

fn raises_its_epoch_above_a_proven_one(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    let mut guest = exam.guest();
    let other = other_boot(exam, exam.wall().0 + 3_600_000)?;
    guest.actor.to = Some(exam.ground().subject);
    guest.actor.from.seen = Some(other);
    exam.refused(&mut guest, CloseReason::StaleEpoch)?;
    let raised = shown(exam)?;
    if raised.epoch.0 != other.boot.epoch.0 + 1 {
        return Err(broken(format!("epoch {} after {} was shown", raised.epoch.0, other.boot.epoch.0)));
    }
    Ok(())
}

fn halts_when_its_key_has_moved_on(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    let (mut guest, mut stranger, mut caller) = (exam.guest(), exam.guest(), exam.caller()?);
    let mut link = exam.live(&mut guest)?;
    exam.lives(&mut link)?;
    let other = other_boot(exam, exam.wall().0 + 3_600_000)?;
    // A stranger's word halts nobody.
    for voice in [&mut stranger, &mut caller] {
        voice.actor.to = Some(exam.ground().subject);
        voice.actor.from.seen = Some(other);
    }
    exam.refused(&mut stranger, CloseReason::StaleEpoch)?;
    exam.lives(&mut link)?;
    let mut channel = exam.open(&mut caller)?;
    let hello = exam.hello(&mut caller, &channel.line, CANONICAL);
    exam.say(&mut channel, &timed_core::wire::message::Message::Hello(Box::new(hello)));
    let limit = exam.soon();
    exam.until(limit, "the end of the link", |exam| {
        exam.pump(&mut link)?;
        Ok(link.ended.then_some(()))
    })?;
    match link.goodbye {
        Some(CloseReason::Halted | CloseReason::KeyInUse) => Ok(()),
        other => Err(broken(format!("the link ended with {other:?} where the node halts"))),
    }
}

fn proves_its_boot(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let channel = exam.live(&mut guest)?;
    let from = channel.ack.map(|ack| ack.from).ok_or_else(|| broken("no HelloAck"))?;
    let words = signing::boot(&exam.ground().config.genesis, &from.node, from.boot);
    match guest.key.verify(&from.node, &words, &from.proof) {
        Authenticity::Genuine => Ok(()),
        Authenticity::Forged => Err(broken("the proof is no signature over its boot")),
    }
}

fn takes_an_unproven_boot_for_none(exam: &mut Exam<'_>) -> Verdict {
    let before = shown(exam)?;
    let mut guest = exam.guest();
    guest.actor.to = Some(exam.ground().subject);
    let boot = Boot { epoch: BootEpoch(exam.wall().0 + 3_600_000), nonce: BootNonce(5) };
    guest.actor.from.seen = Some(ProvenBoot { boot, proof: Signature([0x77; 64]) });
    exam.live(&mut guest)?;
    let after = shown(exam)?;
    if after == before {
        Ok(())
    } else {
        Err(broken(format!("{after:?} after an unproven word, {before:?} before")))
    }
}
