//! A recording run again through the same core.

use std::sync::Arc;

use crate::command::Command;
use crate::crypto::TAG;
use crate::flight::digest::Digest;
use crate::flight::entry::{Entry, Raw};
use crate::flight::file::{Content, Flight, FlightError, Segment};
use crate::flight::playback::{Difference, Playback};
use crate::flight::scribe::EPOCH;
use crate::input::Input;
use crate::node::Node;
use crate::time::Now;
use crate::wire::codec::state::whole;
use crate::wire::record;
use crate::witness::{self, Duty};

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Calls on the node.
    pub calls: u64,
    /// Commands, events among them, that were the same.
    pub commands: u64,
    /// States on the way that were the same, byte for byte.
    pub states: u64,
    /// The clocks of the first and of the last call.
    pub span: Option<(Now, Now)>,
    /// Whether the recording ends within a call, in which the recorded process failed.
    pub cut: bool,
}

/// Why a replay ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The file is at fault.
    #[error(transparent)]
    File(#[from] FlightError),
    /// This run is another than the recorded one.
    #[error("this run differs from the recorded one at offset {offset} (mono {} ns, wall {} ms): {what}", now.mono.0, now.wall.0)]
    Diverged {
        /// Where, in bytes from the beginning of the file.
        offset: usize,
        /// The clocks of the call.
        now: Now,
        /// What is different.
        what: String,
    },
}

/// Runs a recording again, and gives every command with the clocks of the call that it came of.
///
/// # Errors
/// If the file is damaged, or at the first thing that differs.
pub fn replay(flight: &Flight, mut each: impl FnMut(Now, &Command)) -> Result<Replayed, ReplayError> {
    let mut done = Replayed::default();
    let mut base = Flight::header();
    let mut node: Option<Node> = None;
    for segment in &flight.segments {
        base += Segment::HEADER;
        node = Some(at_state(node, &segment.state, base, flight.content, &mut done)?);
        base += segment.state.len();
        if let Some(node) = &mut node {
            let playback = Playback::new(Arc::clone(segment), flight.content);
            play(node, playback, base, &mut done, &mut each)?;
        }
        base += segment.log.len();
    }
    Ok(done)
}

/// The node at the beginning of a segment: as it is recorded, and as the segment before it has left it.
fn at_state(
    before: Option<Node>,
    state: &[u8],
    offset: usize,
    content: Content,
    done: &mut Replayed,
) -> Result<Node, ReplayError> {
    let recorded =
        |error| FlightError::Damaged { offset, what: format!("the state cannot be read: {error}") };
    if let Some(mut before) = before {
        let mut reached = Vec::new();
        // What stands in a redacted state is not what a redacted run would come to: hashes are the original's.
        if content == Content::Original && before.write_state(&mut reached).is_ok() {
            if let Some(differs) = difference(&reached, state) {
                let now = done.span.map_or(EPOCH, |(_, last)| last);
                let what = format!("the state of the machine is another from its byte {differs} on");
                return Err(ReplayError::Diverged { offset: offset + differs, now, what });
            }
            done.states += 1;
        }
    }
    Ok(whole::<Node>(state).map_err(recorded)?)
}

fn difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    (a.len() != b.len() || common < a.len()).then_some(common)
}

/// Plays one segment on its node, and gives back what was to be played.
pub(super) fn play(
    node: &mut Node,
    playback: Playback,
    base: usize,
    done: &mut Replayed,
    each: &mut impl FnMut(Now, &Command),
) -> Result<Playback, ReplayError> {
    let segment = Arc::clone(&playback.segment);
    let mut now = EPOCH;
    let mut out = Vec::new();
    // Present while the node is called, and here otherwise.
    let mut playback = Some(Box::new(playback));
    loop {
        let Some(here) = &mut playback else { return Err(FlightError::Empty.into()) };
        if let Some(Difference { at, what }) = here.difference.take() {
            return Err(ReplayError::Diverged { offset: base + at, now, what });
        }
        let at = here.at;
        let rest = segment.log.get(at..).filter(|rest| !rest.is_empty() && !here.cut);
        let Some(rest) = rest else { break };
        let unreadable = |error| FlightError::Damaged {
            offset: base + at,
            what: format!("the entry cannot be read: {error}"),
        };
        let (entry, length) = Entry::read(rest).map_err(unreadable)?;
        here.at = at + length;
        done.calls += u64::from(entry.is_call());
        match entry {
            Entry::Clocks(elapsed) => {
                now = elapsed.since(now);
                done.span = Some((done.span.map_or(now, |(first, _)| first), now));
            }
            Entry::Accept(from) => {
                let accepted = witness::during(Duty::Replay, &mut playback, || node.accept(now, from));
                digest(&mut playback, |digest| digest.accepted(accepted.map_err(|refused| refused.0)));
            }
            Entry::Data { conn, length: arrived, begun } => {
                let following = rest.get(length..).unwrap_or_default();
                let bytes = put_together(following, arrived, begun);
                here.cut = bytes.len() != arrived;
                if !bytes.is_empty() || arrived == 0 {
                    let data = Input::Data { conn, bytes: &bytes };
                    witness::during(Duty::Replay, &mut playback, || node.handle(now, data));
                }
            }
            // What the call with data was told is put together before it.
            Entry::Rest(_) => {}
            Entry::Input(input) => {
                witness::during(Duty::Replay, &mut playback, || node.handle(now, input));
            }
            Entry::Transmit(conn, budget) => {
                out.clear();
                let transmit = || node.transmit(now, conn, budget, &mut out);
                let left = witness::during(Duty::Replay, &mut playback, transmit);
                digest(&mut playback, |digest| digest.transmitted(out.len(), left));
            }
            Entry::Drained(commands, sum) => {
                while let Some(command) = node.next_command() {
                    here.digest.command(&command);
                    done.commands += 1;
                    each(now, &command);
                }
                here.drained(commands, sum);
            }
            heard => {
                here.differs(format!("this run does not ask for what the recorded one had: {heard:?}"));
            }
        }
    }
    let playback = playback.ok_or(FlightError::Empty)?;
    done.cut |= playback.cut;
    Ok(*playback)
}

fn digest(playback: &mut Option<Box<Playback>>, feed: impl FnOnce(&mut Digest)) {
    if let Some(playback) = playback {
        feed(&mut playback.digest);
    }
}

/// The bytes of a call with data, from what follows it: fewer than `length` if the recording ends within the call. What
/// stood in the records that were opened is said again when they are opened; here it is zeros.
fn put_together(mut following: &[u8], length: usize, begun: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok((entry, read)) = Entry::read(following) {
        match entry {
            Entry::Opened(Raw(plain)) => {
                let sealed = plain.len() + TAG;
                bytes.extend_from_slice(&record::prefix(sealed));
                bytes.resize(bytes.len() + sealed, 0);
            }
            Entry::Rest(Raw(all)) if all.len() == length => return all.to_vec(),
            Entry::Rest(Raw(rest)) => {
                bytes.extend_from_slice(rest);
                break;
            }
            Entry::Clocks(_) | Entry::Drained(..) => break,
            call if call.is_call() => break,
            _ => {}
        }
        following = following.get(read..).unwrap_or_default();
    }
    bytes.split_off(begun.min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::config::{Config, fixture};
    use crate::crypto::Provider as _;
    use crate::crypto::noise::NoiseProvider;
    use crate::flight::Recorder;
    use crate::node::Core as _;
    use crate::registry::{Masternode, Registry};
    use crate::time::{Mono, Wall};
    use crate::wire::codec::state::append;
    use crate::wire::preamble::{NetworkId, Preamble, VersionRange};

    /// The only masternode of a network.
    fn registered() -> (NoiseProvider, Config) {
        let provider = NoiseProvider::new(Zeroizing::new([4; 32]));
        let addr: crate::CanonicalAddr = "10.0.0.1:24100".parse().unwrap();
        let registry = Registry::new(vec![Masternode { id: provider.node_id(), addr }]).unwrap();
        let mut config = fixture::config(registry);
        config.advertised = Some(addr);
        (provider, config)
    }

    /// Ten minutes of it, alone but for a stranger who says what is no opening.
    fn flight() -> Flight {
        let (provider, config) = registered();
        let mut now = Now { mono: Mono(1), wall: Wall(1_800_000_000_000) };
        let mut recorder = Recorder::start(config, Box::new(provider), [8; 32], [], now, 4 << 20).unwrap();
        let settle = |recorder: &mut Recorder, now| {
            while let Some(command) = recorder.next_command() {
                if let Command::Persist { ticket, .. } = command {
                    recorder.handle(now, Input::Persisted(ticket));
                }
            }
        };
        settle(&mut recorder, now);
        let conn = recorder.accept(now, "10.9.9.9:5000".parse().unwrap()).unwrap();
        recorder.handle(now, Input::Data { conn, bytes: b"GET / HTTP/1.1\r\nHost: somebody\r\n\r\n" });
        for _ in 0..60 {
            settle(&mut recorder, now);
            now.mono = now.mono + std::time::Duration::from_secs(10);
            now.wall.0 += 10_000;
            recorder.handle(now, Input::Tick);
        }
        settle(&mut recorder, now);
        recorder.recording().take(now.wall)
    }

    /// The recording with its log written anew: each entry as `change` has it, by its place among those of its kind.
    fn changed(flight: &Flight, change: impl Fn(usize, &Entry<'_>, &mut Vec<u8>) -> bool) -> Flight {
        let mut segment = Segment::clone(&flight.segments[0]);
        let (old, mut log, mut place) = (std::mem::take(&mut segment.log), Vec::new(), 0);
        let mut rest = &old[..];
        while !rest.is_empty() {
            let (entry, length) = Entry::read(rest).unwrap();
            if change(place, &entry, &mut log) {
                place += 1;
            } else {
                log.extend_from_slice(&rest[..length]);
            }
            rest = &rest[length..];
        }
        assert!(place > 0 && log != old, "nothing was changed");
        segment.log = log;
        Flight { segments: vec![Arc::new(segment)], ..flight.clone() }
    }

    fn differs(flight: &Flight) -> String {
        match replay(flight, |_, _| ()) {
            Err(ReplayError::Diverged { what, offset, .. }) => {
                assert!(offset > Flight::header(), "{offset}");
                what
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_recording_is_the_run_it_was() {
        let done = replay(&flight(), |_, _| ()).unwrap();
        assert!(done.calls > 60 && done.commands > 20 && !done.cut, "{done:?}");
    }

    #[test]
    fn another_sum_or_number_of_commands_is_told() {
        let flight = flight();
        let sum = changed(&flight, |place, entry, log| match entry {
            Entry::Drained(commands, sum) => {
                let flipped = if place == 5 { sum ^ 1 } else { *sum };
                Entry::Drained(*commands, flipped).append(log).is_ok()
            }
            _ => false,
        });
        assert!(differs(&sum).contains("not the recorded ones"));
        let more = changed(&flight, |_, entry, log| match entry {
            Entry::Drained(commands, sum) => Entry::Drained(commands + 1, *sum).append(log).is_ok(),
            _ => false,
        });
        assert!(differs(&more).contains("were recorded"));
    }

    #[test]
    fn what_is_not_heard_or_not_asked_for_is_told() {
        let flight = flight();
        let unsigned = changed(&flight, |_, entry, _| matches!(entry, Entry::Signed(_)));
        assert!(differs(&unsigned).contains("asks for a signature"));
        let twice = changed(&flight, |_, entry, log| {
            matches!(entry, Entry::Signed(_)) && (0..2).all(|_| entry.append(log).is_ok())
        });
        assert!(differs(&twice).contains("does not ask for"));
    }

    #[test]
    fn other_bytes_that_arrived_are_another_run() {
        // The opening of a member of the network instead of what is none.
        let member =
            Preamble { network: NetworkId::of(&registered().1.network), versions: VersionRange::OURS };
        let other = changed(&flight(), |_, entry, log| match entry {
            Entry::Rest(Raw(bytes)) => {
                let mut opening = member.encode().to_vec();
                opening.resize(bytes.len(), 7);
                Entry::Rest(Raw(&opening)).append(log).is_ok()
            }
            _ => false,
        });
        assert!(!differs(&other).is_empty());
    }

    #[test]
    fn a_core_that_decides_otherwise_is_told() {
        let mut flight = flight();
        let mut segment = Segment::clone(&flight.segments[0]);
        let mut node: Node = whole(&segment.state).unwrap();
        node.look_after_peers_less();
        segment.state.clear();
        append(&node, &mut segment.state).unwrap();
        flight.segments = vec![Arc::new(segment)];
        differs(&flight);
    }
}
