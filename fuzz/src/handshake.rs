//! Handshakes that go wrong: a link comes up if and only if both words are genuine and nothing in them rules
//! it out. The peer has null cryptography, so what it signs is what it chose to say.

use arbitrary::{Arbitrary, Unstructured};
use timed_core::wire::message::{Answer, Boot, HelloAck, Intent, Message, Role};
use timed_core::wire::preamble::{NetworkId, Version, VersionRange};
use timed_core::{
    BlockHash, BootEpoch, BootNonce, Command, ConnId, DialOrdinal, DialedBecause, Event, GenesisHash, Height,
    Input, NodeId, Signature,
};
use timed_tests::driver::Crypto;
use timed_tests::scripted::{Actor, Line};
use timed_tests::stage::{Stage, secs};

/// A day, in the milliseconds of epochs.
const DAY: u64 = 24 * 3600 * 1000;

#[derive(Arbitrary, Clone, Debug)]
enum Lie {
    Node(u8),
    Network([u8; 4]),
    Genesis(u8),
    Chosen(u16),
    Versions(u16, u16),
    Epoch(u64),
    Ordinal(u64),
    Harmless { features: u64, height: u64, tip: u8, agent: u8, observer: bool, nonce: u64 },
}

#[derive(Arbitrary, Clone, Debug)]
enum Deed {
    /// The word is this body.
    Raw(Vec<u8>),
    /// Said before signing.
    Lies(Vec<Lie>),
    /// Changed after signing.
    Forgeries(Vec<Lie>),
    /// Another signature.
    Sign([u8; 8]),
    /// These bytes of the opening are changed.
    Opening(Vec<(u8, u8)>),
}

#[derive(Arbitrary, Debug)]
struct Case {
    side: bool,
    deed: Deed,
    cut: u8,
}

/// Whether a word that was told to be so can lead to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Link,
    NoLink,
    /// Only that nothing breaks.
    Anything,
}

/// One handshake, by either side's dial, with one misdeed.
///
/// # Panics
/// If a link comes up that must not, or one does not that must.
pub fn body(input: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let mut stage = Stage::new(Crypto::Null);
    if case.side { inbound(&mut stage, &case) } else { outbound(&mut stage, &case) }
}

fn inbound(stage: &mut Stage, case: &Case) {
    let mut actor = stage.actor(1);
    let conn = stage.accept(1);
    let (dialing, mut opening) = actor.dial();
    let changed = change(&mut opening, &case.deed);
    deliver(stage, conn, &opening, case.cut);
    let reply = stage.sent(conn);
    let line =
        reply.split_at_checked(timed_tests::scripted::REPLY).and_then(|(reply, _)| dialing.reply(reply));
    let Some(mut line) = line else {
        assert!(changed, "no reply to a sound opening");
        return over(stage, conn, Expected::NoLink);
    };
    let honest = actor.from.clone();
    let mut ordinal = DialOrdinal(1);
    let mut expected = if changed { Expected::Anything } else { Expected::Link };
    if let Deed::Lies(lies) = &case.deed {
        lies.iter().for_each(|lie| lie.tell(&mut actor, &mut ordinal));
        expected = verdict(&actor, &honest.node, ordinal, honest.boot.epoch);
    }
    let intent = Intent::Session(DialedBecause::Canonical);
    let mut hello = actor.hello(&line, ordinal, intent, None);
    let sound = hello.clone();
    match &case.deed {
        Deed::Forgeries(lies) => {
            lies.iter().for_each(|lie| lie.tell(&mut actor, &mut ordinal));
            hello.from = actor.from.clone();
            hello.ordinal = ordinal;
        }
        Deed::Sign(bytes) => hello.signature = signature(bytes, hello.signature),
        _ => {}
    }
    if hello != sound {
        expected = Expected::NoLink;
    }
    let bytes = word(&mut line, &Message::Hello(Box::new(hello)), &case.deed, 1, &mut expected);
    deliver(stage, conn, &bytes, case.cut);
    over(stage, conn, expected);
}

fn outbound(stage: &mut Stage, case: &Case) {
    // The node dials player 3 within its first moments.
    for _ in 0..10 {
        let Some(at) = stage.node.deadline() else { return };
        stage.now = stage.later(at.since(stage.now.mono).min(secs(1)));
        stage.handle(Input::Tick);
    }
    let mut actor = stage.actor(3);
    let to = timed_tests::driver::addr(3);
    let dialed = stage.took().into_iter().find_map(|command| match command {
        Command::Dial { conn, addr } if addr == to => Some(conn),
        _ => None,
    });
    let Some(conn) = dialed else { panic!("the canonical dialer does not dial") };
    stage.handle(Input::Dialed { conn, local: std::net::SocketAddr::from(([10, 0, 0, 2], 4000)) });
    let opening = stage.sent(conn);
    let Some((mut line, mut reply)) = actor.answer(&opening) else { panic!("an opening that is none") };
    let changed = change(&mut reply, &case.deed);
    deliver(stage, conn, &reply, case.cut);
    let bytes = stage.sent(conn);
    let Ok(Some(Message::Hello(hello))) = line.hear(&bytes).map(|mut heard| heard.pop()) else {
        assert!(changed, "no hello after a sound reply");
        return over(stage, conn, Expected::NoLink);
    };
    assert!(!changed, "the reply is authenticated");
    let honest = actor.from.clone();
    let mut expected = Expected::Link;
    let mut none = DialOrdinal(1);
    if let Deed::Lies(lies) = &case.deed {
        lies.iter().for_each(|lie| lie.tell(&mut actor, &mut none));
        expected = verdict(&actor, &honest.node, DialOrdinal(1), honest.boot.epoch);
    }
    let mut ack: HelloAck = actor.ack(&line, &hello, Answer::Accepted);
    let sound = ack.clone();
    match &case.deed {
        Deed::Forgeries(lies) => {
            lies.iter().for_each(|lie| lie.tell(&mut actor, &mut none));
            ack.from = actor.from.clone();
        }
        Deed::Sign(bytes) => ack.signature = signature(bytes, ack.signature),
        _ => {}
    }
    if ack != sound {
        expected = Expected::NoLink;
    }
    let bytes = word(&mut line, &Message::HelloAck(Box::new(ack)), &case.deed, 2, &mut expected);
    deliver(stage, conn, &bytes, case.cut);
    over(stage, conn, expected);
}

/// The record with the signed word, or with the raw one.
fn word(line: &mut Line, message: &Message, deed: &Deed, kind: u8, expected: &mut Expected) -> Vec<u8> {
    let Deed::Raw(body) = deed else { return line.say(message) };
    // Null signatures can be forged, but not by a body that is drawn without knowing the channel.
    *expected = Expected::NoLink;
    let body = &body[..body.len().min(2_000)];
    let mut frame = u32::try_from(body.len()).unwrap_or(0).to_le_bytes().to_vec();
    frame.extend([kind, 0]);
    frame.extend_from_slice(body);
    line.seal(timed_core::wire::message::Lane::Control, &frame)
}

impl Lie {
    fn tell(&self, actor: &mut Actor, ordinal: &mut DialOrdinal) {
        let from = &mut actor.from;
        match self {
            Self::Node(id) => from.node = NodeId([*id; 32]),
            Self::Network(id) => from.network = NetworkId(*id),
            Self::Genesis(byte) => from.genesis = GenesisHash([*byte; 32]),
            Self::Chosen(version) => from.chosen = Version(*version),
            Self::Versions(min, max) => {
                from.versions = VersionRange { min: Version(*min), max: Version(*max) };
            }
            Self::Epoch(epoch) => from.boot.epoch = BootEpoch(*epoch),
            Self::Ordinal(told) => *ordinal = DialOrdinal(*told),
            Self::Harmless { features, height, tip, agent, observer, nonce } => {
                from.features = *features;
                from.height = Height(*height);
                from.tip = BlockHash([*tip; 32]);
                from.agent = "~".repeat(usize::from(*agent % 33));
                from.role = if *observer { Role::Observer } else { Role::Masternode };
                from.boot = Boot { nonce: BootNonce(*nonce), ..from.boot };
            }
        }
    }
}

/// What must become of a word that is signed as it is told.
fn verdict(actor: &Actor, signer: &NodeId, ordinal: DialOrdinal, wall: BootEpoch) -> Expected {
    let from = &actor.from;
    let stage = timed_tests::driver::config(Crypto::Null);
    let good = from.node == *signer
        && from.network == NetworkId::of(&stage.network)
        && from.genesis == stage.genesis
        && from.versions == VersionRange::OURS
        && from.chosen == VersionRange::OURS.max
        && from.boot.epoch.0 <= wall.0 + DAY
        && ordinal.0 <= 1 << 20;
    // Some milliseconds pass before the word arrives.
    if from.boot.epoch.0 > wall.0 + DAY && from.boot.epoch.0 < wall.0 + DAY + 60_000 {
        Expected::Anything
    } else if good {
        Expected::Link
    } else {
        Expected::NoLink
    }
}

fn change(opening: &mut [u8], deed: &Deed) -> bool {
    let Deed::Opening(changes) = deed else { return false };
    let before = opening.to_vec();
    for (at, by) in changes {
        let length = opening.len();
        opening[usize::from(*at) % length] ^= by;
    }
    before != opening
}

fn signature(bytes: &[u8; 8], genuine: Signature) -> Signature {
    let mut other = genuine;
    for (to, by) in other.0.iter_mut().zip(bytes) {
        *to ^= by;
    }
    other
}

fn deliver(stage: &mut Stage, conn: ConnId, bytes: &[u8], cut: u8) {
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    stage.data(conn, first);
    stage.data(conn, second);
}

/// How it ended.
fn over(stage: &mut Stage, conn: ConnId, expected: Expected) {
    let commands = stage.took();
    let up =
        |command: &Command| matches!(command, Command::Event(Event::LinkUp { conn: up, .. }) if *up == conn);
    let ups = commands.iter().filter(|command| up(command)).count();
    let fatal = commands.iter().any(|command| matches!(command, Command::Event(Event::Fatal(_))));
    assert!(!fatal, "a peer halts the node");
    match expected {
        Expected::Link => assert_eq!(ups, 1, "no link after a sound handshake: {commands:?}"),
        Expected::NoLink => assert_eq!(ups, 0, "a link after an unsound handshake: {commands:?}"),
        Expected::Anything => assert!(ups <= 1),
    }
    // What is not live ends in time. Whoever is linked reads on.
    for _ in 0..6 {
        if ups > 0 {
            let _ = stage.node.transmit(stage.now, conn, 1 << 16, &mut Vec::new());
        }
        stage.now = stage.later(secs(1));
        stage.handle(Input::Tick);
    }
    let closes =
        |command: &Command| matches!(command, Command::Close { conn: closed, .. } if *closed == conn);
    let closed = stage.took().iter().chain(&commands).filter(|command| closes(command)).count();
    assert_eq!(closed, usize::from(ups == 0), "{commands:?}");
}

/// Each misdeed on each side.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    (0..40u8)
        .map(|number| [number % 2].into_iter().chain((0..90).map(|at| number.wrapping_mul(at))).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn handshake_holds_on_seeds_and_noise() {
        crate::smoke::run("handshake", &super::seeds(), 1_500, super::body);
    }
}
