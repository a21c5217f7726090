//! The first bytes, in the clear: rules G-3, H-1, H-2, H-5, S-2, S-7.

use std::time::Duration;

use sha2::{Digest, Sha256};
use timed_core::CloseReason;
use timed_core::wire::preamble::{Opening, PREAMBLE, Preamble, Version, VersionRange, read_opening};

use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Stream, Verdict, Voice, broken};
use crate::scripted::REPLY;

pub(super) const CASES: &[Case] = listed![
    "G-3" Links the_network_id_is_the_digest_of_the_name,
    "H-1" Links speaks_only_after_a_whole_preamble,
    "H-1" Links takes_the_highest_version_of_both_ranges,
    "H-2" Links closes_without_a_word_on_a_key_of_small_order,
    "H-5" Links rejects_another_magic,
    "H-5" Links rejects_another_network,
    "H-5" Links rejects_versions_that_it_does_not_speak,
    "H-5" Links rejects_zeros_that_are_none,
    "H-5" Links dials_on_after_a_reject_that_anyone_could_forge,
    "S-7" Links closes_without_a_word_on_bytes_behind_the_opening,
];

/// The suite's own preamble in this network.
fn preamble(exam: &Exam<'_>) -> Preamble {
    let network = timed_core::wire::preamble::NetworkId::of(&exam.ground().config.network);
    Preamble { network, versions: VersionRange::OURS }
}

/// Says these bytes as the first ones of a connection, and gives what comes back until the node closes.
fn answer_to(exam: &mut Exam<'_>, bytes: &[u8]) -> Result<Vec<u8>, crate::conformance::Miss> {
    let guest = exam.guest();
    let wire = exam.dial(&guest)?;
    exam.write(wire, bytes);
    let limit = exam.soon();
    exam.end(wire, limit)
}

/// The answer is a reject with this reason, or no word: a reject SHOULD be sent.
fn rejected(exam: &mut Exam<'_>, bytes: &[u8], reason: CloseReason) -> Verdict {
    let answer = answer_to(exam, bytes)?;
    if answer.is_empty() {
        return Ok(());
    }
    let Ok(answer) = <&[u8; PREAMBLE]>::try_from(&answer[..]) else {
        return Err(broken(format!("{} bytes instead of a reject of {PREAMBLE}", answer.len())));
    };
    let own = preamble(exam).encode_reject(reason);
    match read_opening(answer) {
        Opening::Reject(given) if given == reason && answer[..4] == own[..4] => Ok(()),
        other => Err(broken(format!("answered {other:?} instead of a reject with {reason}"))),
    }
}

fn the_network_id_is_the_digest_of_the_name(exam: &mut Exam<'_>) -> Verdict {
    let name = exam.ground().config.network.as_str().to_owned();
    let digest = Sha256::new().chain_update("timed-network-v1").chain_update(&name).finalize();
    let mut guest = exam.guest();
    let (_, opening) = guest.actor.dial();
    let wire = exam.dial(&guest)?;
    exam.write(wire, &opening);
    let reply = exam.bytes(wire, REPLY)?;
    if reply[4..8] == digest[..4] {
        Ok(())
    } else {
        Err(broken(format!(
            "the preamble names the network {:02x?}, not {:02x?}",
            &reply[4..8],
            &digest[..4]
        )))
    }
}

fn speaks_only_after_a_whole_preamble(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let (_, opening) = guest.actor.dial();
    let wire = exam.dial(&guest)?;
    exam.write(wire, &opening[..PREAMBLE - 1]);
    exam.pass(Duration::from_millis(200));
    let mut read = Vec::new();
    if exam.read(wire, &mut read) == Stream::Ended || !read.is_empty() {
        return Err(broken(format!("{} bytes, or the end, before the preamble is whole", read.len())));
    }
    exam.write(wire, &opening[PREAMBLE - 1..]);
    let reply = exam.bytes(wire, REPLY)?;
    if reply[..PREAMBLE] == preamble(exam).encode() {
        Ok(())
    } else {
        Err(broken(format!("the preamble is {:02x?}", &reply[..PREAMBLE])))
    }
}

fn takes_the_highest_version_of_both_ranges(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    guest.actor.from.versions = VersionRange { min: Version(1), max: Version(9) };
    guest.actor.from.chosen = Version(1);
    let channel = exam.live(&mut guest)?;
    match channel.ack.as_ref().map(|ack| ack.from.chosen) {
        Some(Version(1)) => Ok(()),
        other => Err(broken(format!("chosen is {other:?}, where both speak 1"))),
    }
}

fn closes_without_a_word_on_a_key_of_small_order(exam: &mut Exam<'_>) -> Verdict {
    for point in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let guest: Voice = exam.guest();
        let mut opening = preamble(exam).encode().to_vec();
        opening.extend_from_slice(&point);
        let wire = exam.dial(&guest)?;
        exam.write(wire, &opening);
        let limit = exam.soon();
        let answer = exam.end(wire, limit)?;
        // Its own preamble it may have sent: that of the dialer is good.
        if !answer.is_empty() && answer != preamble(exam).encode() {
            return Err(broken(format!("{} bytes before the close, beside the preamble", answer.len())));
        }
    }
    Ok(())
}

fn rejects_another_magic(exam: &mut Exam<'_>) -> Verdict {
    rejected(exam, b"GET / HTTP/1.1\r\n", CloseReason::WrongMagic)?;
    let mut bytes = preamble(exam).encode();
    bytes[3] = 2;
    rejected(exam, &bytes, CloseReason::WrongMagic)
}

fn rejects_another_network(exam: &mut Exam<'_>) -> Verdict {
    let mut bytes = preamble(exam).encode();
    bytes[4] ^= 1;
    rejected(exam, &bytes, CloseReason::WrongNetwork)
}

fn rejects_versions_that_it_does_not_speak(exam: &mut Exam<'_>) -> Verdict {
    let far = VersionRange { min: Version(60_000), max: Version(60_001) };
    let bytes = Preamble { versions: far, ..preamble(exam) }.encode();
    rejected(exam, &bytes, CloseReason::VersionUnsupported)
}

fn rejects_zeros_that_are_none(exam: &mut Exam<'_>) -> Verdict {
    let mut bytes = preamble(exam).encode();
    bytes[15] = 1;
    rejected(exam, &bytes, CloseReason::WrongMagic)?;
    // The lowest version above the highest.
    let mut bytes = preamble(exam).encode();
    bytes[8..12].copy_from_slice(&[2, 0, 1, 0]);
    rejected(exam, &bytes, CloseReason::WrongMagic)
}

fn dials_on_after_a_reject_that_anyone_could_forge(exam: &mut Exam<'_>) -> Verdict {
    let mut called = exam.called()?.remove(0);
    exam.listen(&called)?;
    exam.start();
    let reject = preamble(exam).encode_reject(CloseReason::WrongNetwork);
    let limit = exam.patience(exam.timings().backoff_masternode);
    let wire = exam.until(limit, "a dial", |exam| Ok(exam.came(&called)))?;
    exam.bytes(wire, crate::scripted::OPENING)?;
    exam.write(wire, &reject);
    exam.end(wire, limit)?;
    let mut channel = exam.dialed(&mut called)?;
    exam.lives(&mut channel)
}

fn closes_without_a_word_on_bytes_behind_the_opening(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let (_, mut opening) = guest.actor.dial();
    opening.push(0);
    let wire = exam.dial(&guest)?;
    exam.write(wire, &opening);
    let limit = exam.soon();
    exam.silent_end(wire, limit)
}
