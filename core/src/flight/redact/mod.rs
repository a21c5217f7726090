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

use std::sync::Arc;

use bytes::Bytes;

use crate::flight::entry::{Entry, Raw};
use crate::flight::file::{Content, Flight, FlightError, Segment};
use crate::flight::playback::{Heard, Playback};
use crate::flight::replay::{ReplayError, Replayed, play};
use crate::input::Input;
use crate::node::Node;
use crate::rng::Rng;
use crate::wire::block::FinalBlock;
use crate::wire::codec::state::{NotRead, NotWritten, Sink, append, feed, whole};
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
            let state = base + Segment::HEADER;
            let log = state + segment.state.len();
            let node = node(&segment.state, state)?;
            let note = |_: NotWritten| FlightError::Damaged {
                offset: state,
                what: "the state cannot be written".to_owned(),
            };
            feed(&Masked(&node, &collected), Sink::Nobody).map_err(note)?;
            let mut playback = Playback::new(Arc::clone(segment), Content::Original);
            playback.noted = Some(Vec::new());
            let noted = run(node, playback, log)?.noted.unwrap_or_default();
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

/// Plays a segment to its end.
fn run(mut node: Node, playback: Playback, base: usize) -> Result<Playback, ReplayError> {
    play(&mut node, playback, base, &mut Replayed::default(), &mut |_, _| ())
}

/// One segment, redacted, and what its run says.
fn redacted(
    original: &Segment,
    noted: &[(usize, Heard)],
    substitutes: &Substitutes,
) -> Result<Segment, ReplayError> {
    let damaged = |what: String| FlightError::Damaged { offset: 0, what };
    let before = node(&original.state, 0)?;
    let mut state = Vec::new();
    append(&Masked(&before, substitutes), &mut state).map_err(|error| damaged(error.to_string()))?;
    let log = rewritten(&original.log, noted, substitutes, None).map_err(damaged)?;
    let draft = Arc::new(Segment { state, log });
    let mut playback = Playback::new(Arc::clone(&draft), Content::Redacted);
    playback.said = Some(Vec::new());
    let played = run(node(&draft.state, 0)?, playback, 0)?;
    let log = rewritten(&draft.log, &[], &Unchanged, played.said.as_deref()).map_err(damaged)?;
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
    noted: &[(usize, Heard)],
    mask: &dyn Mask,
    said: Option<&[(u32, u32)]>,
) -> Result<Vec<u8>, String> {
    let (mut out, mut at) = (Vec::with_capacity(log.len()), 0);
    let mut heard = noted.iter().peekable();
    let mut digests = said.map(|said| said.iter());
    loop {
        while let Some((_, what)) = heard.next_if(|(before, _)| *before <= at) {
            append_heard(what, mask, &mut out)?;
        }
        let Some(rest) = log.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(out) };
        let (entry, length) = Entry::read(rest)?;
        at += length;
        let written = match (&entry, &mut digests) {
            (Entry::Drained(..), Some(digests)) => match digests.next() {
                Some((commands, sum)) => Entry::Drained(*commands, *sum).append(&mut out),
                None => Ok(()),
            },
            (Entry::Accept(from), None) => Entry::append_accept(&Masked(from, mask), &mut out),
            (Entry::Input(Input::Tick | Input::Persisted(_)), None) => entry.append(&mut out),
            (Entry::Input(input), None) => Entry::append_input(&Masked(input, mask), &mut out),
            (Entry::Opened(Raw(plain)), None) => {
                // All but the lane.
                let mut blank = vec![0; plain.len()];
                blank.iter_mut().zip(plain.first()).for_each(|(place, lane)| *place = *lane);
                Entry::Opened(Raw(&blank)).append(&mut out)
            }
            (entry, _) => entry.append(&mut out),
        };
        written.map_err(|error| error.to_string())?;
    }
}

fn append_heard(heard: &Heard, mask: &dyn Mask, out: &mut Vec<u8>) -> Result<(), String> {
    let (body, block);
    let entry = match heard {
        Heard::Hash(hash) => Entry::Hashed(*hash),
        Heard::Frame(Err(reason)) => Entry::FrameFault(*reason),
        Heard::Frame(Ok(None)) => Entry::Frame(None),
        Heard::Frame(Ok(Some((code, plain)))) => {
            body = hidden(*code, plain, mask)?;
            Entry::Frame(Some((*code, Raw(&body))))
        }
        Heard::Block(bytes) => {
            let mut decoded = FinalBlock::decode(bytes).map_err(|error| error.to_string())?;
            decoded.block.payload = Bytes::from(vec![0; decoded.block.payload.len()]);
            block = decoded.encode();
            Entry::Block(Raw(&block))
        }
    };
    entry.append(out).map_err(|error| error.to_string())
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
