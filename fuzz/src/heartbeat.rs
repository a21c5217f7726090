//! Heartbeats of any content into a live node: nobody becomes active without a session or a genuine heartbeat.
//!
//! Null signatures can be forged, and a fuzzer that sees the comparisons does it: genuine is what verifies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use timed_core::crypto::{Authenticity, Provider};
use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{Heartbeat, Kind, LinkEntry, Message, Witness};
use timed_core::wire::preamble::NetworkId;
use timed_core::wire::{codec, signing};
use timed_core::{
    Activity, BlockHash, BootEpoch, Command, ConnId, DialedBecause, Direction, Event, Height, Input, LinkTag,
    MasternodeIndex, Mono, NodeId, RegistryTag, Reply, Request, Signature, TransportCause, Wall, Warning,
};
use timed_tests::driver::Crypto;
use timed_tests::null_crypto::NullProvider;
use timed_tests::stage::{Stage, secs};

/// How long a masternode without a session is active after its last heartbeat.
const ACTIVE_FOR: Duration = secs(35);

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    /// A body as it is.
    Raw(&'a [u8]),
    /// A body that decodes.
    Beat(Beat),
    /// The body of the last one, changed at one place.
    Again(u8, u8),
    Pass(u8),
    Close,
    Pong,
}

#[derive(Arbitrary, Debug)]
struct Beat {
    signer: u8,
    epoch: i8,
    sequence: u8,
    wall: i32,
    links: Vec<(u8, bool, u8)>,
    witnessed: Vec<(u8, u8)>,
    duplicates: u16,
    signature: Sign,
    foreign: bool,
}

#[derive(Arbitrary, Debug)]
enum Sign {
    Genuine,
    ByTheCarrier,
    Bytes([u8; 4]),
}

/// The one who brings them: registered.
const CARRIER: u8 = 1;

struct Theatre {
    stage: Stage,
    link: Option<ConnId>,
    /// When each signer's last genuine and timely heartbeat was handed in.
    genuine: BTreeMap<NodeId, Mono>,
    marks: BTreeMap<NodeId, (BootEpoch, u64)>,
    active: BTreeSet<NodeId>,
    last: Vec<u8>,
}

/// Any heartbeats over one link, and time that passes.
///
/// # Panics
/// If one is taken that is not genuine, new and timely, or somebody is active without a reason.
pub fn body(input: &[u8]) {
    let Ok(ops) = Vec::<Op<'_>>::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let mut stage = Stage::new(Crypto::Null);
    let link = Some(stage.live(CARRIER));
    let me = stage.config.registry.entries()[1].id;
    let mut theatre = Theatre {
        stage,
        link,
        genuine: BTreeMap::new(),
        marks: BTreeMap::new(),
        active: BTreeSet::from([me]),
        last: Vec::new(),
    };
    theatre.look(None);
    for op in ops.iter().take(60) {
        theatre.play(op);
    }
    // Whoever falls silent is out after its time.
    for _ in 0..60 {
        theatre.pass(secs(1));
    }
    assert!(theatre.active.len() <= 1 + usize::from(theatre.link.is_some()), "{:?}", theatre.active);
}

impl Theatre {
    fn play(&mut self, op: &Op<'_>) {
        match op {
            Op::Raw(body) => self.carry(&body[..body.len().min(4_000)]),
            Op::Beat(beat) => {
                let beat = self.compose(beat);
                let mut body = Vec::new();
                codec::encode_body(&Message::Heartbeat(Box::new(beat)), &mut body);
                self.last.clone_from(&body);
                self.carry(&body);
            }
            Op::Again(at, by) => {
                let mut body = self.last.clone();
                if let Some(byte) = body.get_mut(usize::from(*at)) {
                    *byte ^= by;
                }
                self.carry(&body);
            }
            Op::Pass(tenths) => self.pass(Duration::from_millis(u64::from(*tenths) * 10)),
            Op::Close => {
                if let Some(conn) = self.link.take() {
                    self.stage.handle(Input::Closed { conn, cause: TransportCause::Eof });
                    self.look(None);
                }
            }
            Op::Pong => {
                if let Some(link) = self.link {
                    self.stage.answer_pings(link);
                    self.look(None);
                }
            }
        }
    }

    fn compose(&self, told: &Beat) -> Heartbeat {
        let network = NetworkId::of(&self.stage.config.network);
        let signer = NodeId([told.signer % 6; 32]);
        let wall = self.stage.now.wall.0.saturating_add_signed(i64::from(told.wall) % 70_000);
        let mut links: Vec<LinkEntry> = told
            .links
            .iter()
            .take(5)
            .map(|(peer, dialed, tag)| LinkEntry {
                peer: MasternodeIndex(peer % 6),
                direction: if *dialed { Direction::Outbound } else { Direction::Inbound },
                because: DialedBecause::Canonical,
                session: LinkTag([*tag; 8]),
            })
            .collect();
        let mut witnessed: Vec<Witness> = told
            .witnessed
            .iter()
            .take(5)
            .map(|(signer, sequence)| Witness {
                signer: MasternodeIndex(signer % 6),
                sequence: u64::from(*sequence),
                digest: [*sequence; 8],
            })
            .collect();
        if told.duplicates < 60_000 {
            links.sort_unstable();
            links.dedup_by_key(|link| link.peer);
            witnessed.sort_unstable();
            witnessed.dedup_by_key(|witness| witness.signer);
        }
        let mut beat = Heartbeat {
            network: if told.foreign && told.signer > 200 { NetworkId([0; 4]) } else { network },
            signer,
            epoch: BootEpoch(timed_tests::driver::START.wall.0.saturating_add_signed(i64::from(told.epoch))),
            sequence: u64::from(told.sequence),
            wall: Wall(wall),
            height: Height(0),
            tip: BlockHash::default(),
            registry: if told.foreign {
                RegistryTag([0; 8])
            } else {
                self.stage.config.registry.hash().tag()
            },
            links,
            duplicates: told.duplicates,
            witnessed,
            signature: Signature::default(),
        };
        let text = signing::heartbeat(&beat);
        match told.signature {
            Sign::Genuine => beat.signature = NullProvider::new(signer).sign(&text),
            Sign::ByTheCarrier => {
                beat.signature = NullProvider::new(NodeId([CARRIER; 32])).sign(&text);
            }
            Sign::Bytes(bytes) => beat.signature.0[..4].copy_from_slice(&bytes),
        }
        beat
    }

    fn carry(&mut self, body: &[u8]) {
        let Some(link) = self.link else { return };
        let mut frame = Vec::new();
        append_encoded(Kind::Heartbeat, body, &mut frame);
        let record = self.stage.line(link).seal(Kind::Heartbeat.lane(), &frame);
        self.stage.data(link, &record);
        let beat = match codec::decode_body(Kind::Heartbeat, body) {
            Ok(Message::Heartbeat(beat)) => Some(*beat),
            _ => None,
        };
        self.look(beat.as_ref());
    }

    fn pass(&mut self, time: Duration) {
        self.stage.now = self.stage.later(time);
        self.stage.handle(Input::Tick);
        if let Some(link) = self.link {
            self.stage.answer_pings(link);
        }
        self.look(None);
    }

    /// Judges what followed from `handed`, or from nothing.
    fn look(&mut self, handed: Option<&Heartbeat>) {
        let now = self.stage.now;
        let mut verifier = NullProvider::new(NodeId([99; 32]));
        let good = handed.filter(|beat| {
            verifier.verify(&beat.signer, &signing::heartbeat(beat), &beat.signature) == Authenticity::Genuine
                && beat.network == NetworkId::of(&self.stage.config.network)
                && beat.wall.distance(now.wall) <= secs(60)
                && self.stage.config.registry.get(&beat.signer).is_some()
                && self.marks.get(&beat.signer).is_none_or(|mark| (beat.epoch, beat.sequence) > *mark)
        });
        let mut heard = 0;
        let session = |stage: &Stage, id: &NodeId, link: Option<ConnId>| {
            link.is_some() && *id == NodeId([CARRIER; 32]) && stage.config.registry.get(id).is_some()
        };
        if let Some(beat) = good {
            self.genuine.insert(beat.signer, now.mono);
        }
        for command in self.stage.took() {
            match command {
                Command::Close { conn, .. } if Some(conn) == self.link => {
                    self.stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
                    self.link = None;
                }
                Command::Event(Event::Heartbeat { signer, sequence, .. }) => {
                    heard += 1;
                    let beat = good.unwrap_or_else(|| panic!("a heartbeat of {signer} that nobody signed"));
                    assert_eq!((beat.signer, beat.sequence), (signer, sequence));
                    self.marks.insert(signer, (beat.epoch, beat.sequence));
                }
                Command::Event(Event::Activity { node, activity: Activity::Active }) => {
                    let recently = self.genuine.get(&node).is_some_and(|at| now.mono.since(*at) < ACTIVE_FOR);
                    assert!(
                        recently || session(&self.stage, &node, self.link),
                        "{node:?} is active for nothing"
                    );
                    assert!(self.active.insert(node), "{node:?} becomes active twice");
                }
                Command::Event(Event::Activity { node, activity: Activity::Inactive }) => {
                    assert!(self.active.remove(&node), "{node:?} becomes inactive twice");
                }
                // Whoever did not run for a while holds that against nobody (C4).
                Command::Event(Event::Warning(Warning::Frozen { forgiven, .. })) => {
                    self.genuine.values_mut().for_each(|at| *at = *at + forgiven);
                }
                Command::Event(Event::Fatal(fatal)) => panic!("a heartbeat halts the node: {fatal}"),
                _ => {}
            }
        }
        assert!(heard <= 1);
        // Every one that is active has a reason, and the node says the same when asked.
        let me = self.stage.config.registry.entries()[1].id;
        for node in &self.active {
            let recently =
                self.genuine.get(node).is_some_and(|at| now.mono.since(*at) <= ACTIVE_FOR + secs(3));
            assert!(
                *node == me || recently || session(&self.stage, node, self.link),
                "{node:?} stays active"
            );
        }
        let Reply::Masternodes(all) = self.stage.ask(Request::Masternodes) else { panic!("no answer") };
        let said =
            all.iter().filter(|node| node.activity == Activity::Active).map(|node| node.node).collect();
        assert_eq!(self.active, said);
    }
}

/// Rows of genuine ones, repeats, silence, and other bodies.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        (0..24u8).map(|number| (0..200u8).map(|at| at.wrapping_mul(number) ^ number).collect()).collect();
    for variant in 0..6u8 {
        let op = [0, 0, 0, variant.wrapping_mul(43)];
        seeds.push(op.iter().copied().cycle().take(160).collect());
    }
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn heartbeat_holds_on_seeds_and_noise() {
        crate::smoke::run("heartbeat", &super::seeds(), 1_500, super::body);
    }
}
