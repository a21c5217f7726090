//! A recording for other eyes: the same run, with other addresses and without what was said in it.
//!
//! Redacting is replaying twice. The first time every frame that was read, every hash of content and every block that
//! was decoded is noted. The recording is then written with these noted instead of what they came from: bodies that
//! carry payloads, addresses or names are written anew, all other plaintext is blank, and the states of the machine
//! have blank payloads and other addresses. The second time the redacted recording is replayed, and what this run
//! says becomes what is compared with. So it takes the same decisions, and a redacted recording that would not replay
//! is never made.

mod addresses;
mod mask;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::flight::entry::{Entry, Raw};
use crate::flight::file::{Content, Flight, FlightError, Segment};
use crate::flight::playback::{Heard, Noted, Playback};
use crate::flight::replay::{ReplayError, Replayed, play};
use crate::node::Node;
use crate::rng::Rng;
use crate::wire::block::FinalBlock;
use crate::wire::codec::state::{NotRead, NotWritten, Sink, append, feed, read, whole};
use crate::wire::codec::{decode_body, encode_body};
use crate::wire::message::{Kind, Message};

use addresses::{Collected, Substitutes};
use mask::{Mask, Masked};

impl Flight {
    /// The same run with every address, payload and name replaced, each by the same one everywhere. `seed` is drawn
    /// from the system's entropy; who has it could tell which address stands for which.
    ///
    /// What stays: public keys, ports, times, sizes, heights and hashes, and the first octet of IPv4 addresses (16 bits
    /// of IPv6), on which the class of an address depends.
    ///
    /// # Errors
    /// If the recording does not replay, before or after.
    pub fn redacted(&self, seed: [u8; 32]) -> Result<Self, ReplayError> {
        if self.content == Content::Redacted {
            return Ok(self.clone());
        }
        let mut base = Self::header();
        let mut heard = Vec::new();
        let collected = Collected::default();
        for segment in &self.segments {
            let state = base + 24;
            let log = state + segment.state.len();
            let node = node(&segment.state, state)?;
            let note = |_: NotWritten| FlightError::Damaged {
                offset: state,
                what: "the state cannot be written".to_owned(),
            };
            feed(&Masked(&node, &collected), Sink::Nobody).map_err(note)?;
            let mut playback = Playback::new(Arc::clone(segment), Content::Original);
            playback.noted = Some(Noted::default());
            let noted = run(node, playback, &segment.log, log)?.noted.unwrap_or_default();
            rewritten(&segment.log, &noted, &collected, None)
                .map_err(|what| FlightError::Damaged { offset: log, what })?;
            heard.push(noted);
            base = log + segment.log.len();
        }
        let substitutes = Substitutes::of(collected, &mut Rng::new(seed));
        let mut segments = Vec::new();
        for (segment, noted) in self.segments.iter().zip(&heard) {
            segments.push(Arc::new(redacted(segment, noted, &substitutes)?));
        }
        Ok(Self { content: Content::Redacted, segments, ..self.clone() })
    }
}

fn node(state: &[u8], offset: usize) -> Result<Node, FlightError> {
    whole(state).map_err(|error: NotRead| FlightError::Damaged {
        offset,
        what: format!("the state cannot be read: {error}"),
    })
}

/// Plays a segment to its end and gives the playback back.
fn run(mut node: Node, playback: Playback, log: &[u8], base: usize) -> Result<Playback, ReplayError> {
    let playback = Arc::new(Mutex::new(playback));
    play(&mut node, &playback, log, base, &mut Replayed::default(), &mut |_, _| ())?;
    drop(node);
    let playback = Arc::into_inner(playback)
        .map(|playback| playback.into_inner().unwrap_or_else(PoisonError::into_inner));
    playback.ok_or_else(|| FlightError::Empty.into())
}

/// One segment, redacted, and what its run says.
fn redacted(original: &Segment, noted: &Noted, substitutes: &Substitutes) -> Result<Segment, ReplayError> {
    let damaged = |what: String| FlightError::Damaged { offset: 0, what };
    let before = node(&original.state, 0)?;
    let mut state = Vec::new();
    append(&Masked(&before, substitutes), &mut state).map_err(|error| damaged(error.to_string()))?;
    let log = rewritten(&original.log, noted, substitutes, None).map_err(damaged)?;
    let draft = Arc::new(Segment { state, log });
    let mut playback = Playback::new(Arc::clone(&draft), Content::Redacted);
    playback.said = Some(Vec::new());
    let played = run(node(&draft.state, 0)?, playback, &draft.log, 0)?;
    let log =
        rewritten(&draft.log, &Noted::default(), &Unchanged, played.said.as_deref()).map_err(damaged)?;
    Ok(Segment { state: draft.state.clone(), log })
}

/// Leaves everything as it is; only said with nothing to write anew.
struct Unchanged;

impl Mask for Unchanged {
    fn ip(&self, ip: std::net::IpAddr) -> std::net::IpAddr {
        ip
    }

    fn note(&self, _: std::net::IpAddr) {}
}

/// A log written anew: with `said`, only the digests are others; without, everything is masked and what was heard is
/// put where it was heard.
fn rewritten(
    log: &[u8],
    noted: &Noted,
    mask: &dyn Mask,
    said: Option<&[(u32, u64)]>,
) -> Result<Vec<u8>, String> {
    let mut blank = log.to_vec();
    for span in &noted.plain {
        if let Some(bytes) = blank.get_mut(span.clone()) {
            bytes.fill(0);
        }
    }
    let (mut out, mut at) = (Vec::with_capacity(log.len()), 0);
    let mut heard = noted.heard.iter().peekable();
    let mut digests = said.map(|said| said.iter());
    let failed = |error: NotWritten| error.to_string();
    loop {
        while let Some((_, what)) = heard.next_if(|(before, _)| *before <= at) {
            append_heard(what, mask, &mut out)?;
        }
        let Some(rest) = blank.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(out) };
        let (entry, length) = read::<Entry<'_>>(rest).map_err(|error| error.to_string())?;
        match (&entry, &mut digests) {
            (Entry::Drained(..), Some(digests)) => {
                if let Some((commands, sum)) = digests.next() {
                    append(&Entry::Drained(*commands, *sum), &mut out).map_err(failed)?;
                }
            }
            (entry, Some(_)) => append(entry, &mut out).map_err(failed)?,
            (Entry::Accept(_) | Entry::Input(_), None) => {
                append(&Masked(&entry, mask), &mut out).map_err(failed)?;
            }
            (Entry::Opened(Raw(plain)), None) => {
                let mut bytes = vec![0; plain.len()];
                bytes.iter_mut().zip(plain.first()).for_each(|(lane, byte)| *lane = *byte);
                append(&Entry::Opened(Raw(&bytes)), &mut out).map_err(failed)?;
            }
            (entry, None) => append(entry, &mut out).map_err(failed)?,
        }
        at += length;
    }
}

fn append_heard(heard: &Heard, mask: &dyn Mask, out: &mut Vec<u8>) -> Result<(), String> {
    let failed = |error: NotWritten| error.to_string();
    match heard {
        Heard::Hash(hash) => append(&Entry::Hashed(*hash), out).map_err(failed),
        Heard::Frame(Err(reason)) => append(&Entry::FrameFault(*reason), out).map_err(failed),
        Heard::Frame(Ok(None)) => append(&Entry::Frame(None), out).map_err(failed),
        Heard::Frame(Ok(Some((code, body)))) => {
            let body = hidden(*code, body, mask)?;
            append(&Entry::Frame(Some((*code, Raw(&body)))), out).map_err(failed)
        }
        Heard::Block(bytes) => {
            let mut block = FinalBlock::decode(bytes).map_err(|error| error.to_string())?;
            block.block.payload = Bytes::from(vec![0; block.block.payload.len()]);
            append(&Entry::Block(Raw(&block.encode())), out).map_err(failed)
        }
    }
}

/// A body without what is not to be seen, and as long.
fn hidden(code: u16, body: &[u8], mask: &dyn Mask) -> Result<Vec<u8>, String> {
    let masked = |message: &Message| -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        append(&Masked(message, mask), &mut bytes).map_err(|error| error.to_string())?;
        let message: Message = whole(&bytes).map_err(|error| error.to_string())?;
        let mut body = Vec::with_capacity(bytes.len());
        encode_body(&message, &mut body);
        Ok(body)
    };
    match Kind::from_code(code) {
        Some(kind @ (Kind::Hello | Kind::HelloAck | Kind::Peers | Kind::Chunk | Kind::BlockPart)) => {
            // What does not decode is refused whatever is in it.
            decode_body(kind, body).map_or_else(|_| Ok(vec![0xff; body.len()]), |message| masked(&message))
        }
        Some(Kind::Datagram | Kind::Transaction) | None => Ok(vec![0; body.len()]),
        Some(_) => Ok(body.to_vec()),
    }
}
