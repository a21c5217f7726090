//! A recording run again through the same core.

use std::sync::{Arc, Mutex, PoisonError};

use crate::command::Command;
use crate::flight::digest::Digest;
use crate::flight::entry::{Entry, Raw};
use crate::flight::file::{Content, Flight, FlightError};
use crate::flight::playback::Playback;
use crate::input::Input;
use crate::node::Node;
use crate::time::{Mono, Now, Wall};
use crate::wire::codec::state::{read, whole};
use crate::witness::{self, Duty, Shared};

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
        base += 24;
        node = Some(at_state(node, &segment.state, base, flight.content, &mut done)?);
        base += segment.state.len();
        let playback = Arc::new(Mutex::new(Playback::new(Arc::clone(segment), flight.content)));
        if let Some(node) = &mut node {
            play(node, &playback, &segment.log, base, &mut done, &mut each)?;
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
                let now = Now { mono: Mono(0), wall: Wall(0) };
                let now = done.span.map_or(now, |(_, last)| last);
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

/// Plays one segment on its node.
pub(super) fn play(
    node: &mut Node,
    playback: &Arc<Mutex<Playback>>,
    log: &[u8],
    base: usize,
    done: &mut Replayed,
    each: &mut impl FnMut(Now, &Command),
) -> Result<(), ReplayError> {
    let present: Shared = Arc::<Mutex<Playback>>::clone(playback);
    let lock = || playback.lock().unwrap_or_else(PoisonError::into_inner);
    let mut now = Now { mono: Mono(0), wall: Wall(0) };
    let mut out = Vec::new();
    loop {
        let at = lock().at;
        let Some(rest) = log.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
        let unreadable = |error| FlightError::Damaged {
            offset: base + at,
            what: format!("the entry cannot be read: {error}"),
        };
        let (entry, length) = read::<Entry<'_>>(rest).map_err(unreadable)?;
        lock().at = at + length;
        done.calls += u64::from(entry.is_call());
        match entry {
            Entry::Now(read) => {
                now = read;
                done.span = Some((done.span.map_or(read, |(first, _)| first), read));
            }
            Entry::Accept(from) => {
                let accepted = witness::during(Duty::Replay, &present, || node.accept(now, from));
                lock().digest.accepted(accepted.map_err(|refused| refused.0));
            }
            Entry::Data(conn, Raw(bytes)) => {
                let end = at + length;
                lock().arrived = end.saturating_sub(bytes.len())..end;
                witness::during(Duty::Replay, &present, || node.handle(now, Input::Data { conn, bytes }));
            }
            Entry::Input(input) => witness::during(Duty::Replay, &present, || node.handle(now, input)),
            Entry::Transmit(conn, budget) => {
                out.clear();
                let budget = usize::try_from(budget).unwrap_or(usize::MAX);
                let left =
                    witness::during(Duty::Replay, &present, || node.transmit(now, conn, budget, &mut out));
                lock().digest.transmitted(out.len(), left);
            }
            Entry::Drained(commands, sum) => {
                let mut playback = lock();
                while let Some(command) = node.next_command() {
                    playback.digest.command(&command, &mut out);
                    done.commands += 1;
                    each(now, &command);
                }
                let (here, reached) = std::mem::replace(&mut playback.digest, Digest::NONE).value();
                if let Some(said) = &mut playback.said {
                    said.push((here, reached));
                }
                if playback.difference.is_none() && here != commands {
                    playback.differs(format!("{commands} commands were recorded, this run has {here}"));
                } else if playback.difference.is_none() && playback.said.is_none() && reached != sum {
                    playback.differs(
                        "the commands or what is sent with them are not the recorded ones".to_owned(),
                    );
                }
            }
            heard => {
                lock().differs(format!("this run does not ask for what the recorded one had: {heard:?}"));
            }
        }
        let playback = lock();
        if let Some(difference) = &playback.difference {
            let (offset, what) = (base + difference.at, difference.what.clone());
            return Err(ReplayError::Diverged { offset, now, what });
        }
        if playback.cut {
            done.cut = true;
            return Ok(());
        }
    }
}
