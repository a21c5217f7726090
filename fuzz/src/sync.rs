//! A node that has missed a chain, peers that tell of it and serve it, and liars among them. What it commits is that
//! chain, block by block, each once; and when somebody serves it honestly, all of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use timed_core::limits::PART;
use timed_core::wire::message::{BlockPart, BlocksEnd, GetBlocks, Message, Ping, Pong, Served, Tip};
use timed_core::{
    BlockHash, ChainConfig, Command, Config, ConnId, Event, FinalBlock, Height, Input, Limits, MinPeers,
    PayloadVerdict, SeatSet, StoredBlock, TransportCause,
};
use timed_tests::chain_auditor::Origin;
use timed_tests::chain_generator::ChainGenerator;
use timed_tests::driver::{Crypto, START, config};
use timed_tests::stage::{Stage, secs};

/// Blocks of the chain: enough for several requests under way, two of two parts.
const LENGTH: u64 = 48;
const SLOT: Duration = secs(1);
/// Those who may lie: masternodes and an observer without an address.
const PLAYERS: [u8; 4] = [1, 3, 4, 10];
/// An observer that serves in the end.
const HONEST: u8 = 9;
/// Ops of one history.
const LONGEST: usize = 120;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Join(u8),
    Leave(u8),
    /// A tip; a true one has its block's hash.
    Tell {
        who: u8,
        height: u8,
        truth: bool,
    },
    /// An answer to the oldest request that waits with a peer.
    Answer {
        who: u8,
        how: How,
    },
    /// A part of a block that nobody asked for.
    Unasked {
        who: u8,
        id: u8,
        height: u8,
    },
    /// What makes a block final, sent while it is news.
    Certificate {
        who: u8,
        height: u8,
    },
    /// The disk stands still, or writes what waits.
    Disk(bool),
    Pass(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum How {
    Honest,
    /// Fewer blocks than asked for.
    Short(u8),
    Nothing,
    Busy(u16),
    /// Stops after so many parts, without an end.
    Stops(u8),
    /// A byte of the encoded blocks is another.
    Garbled {
        at: u16,
        by: u8,
    },
    /// A block of the chain at another one's height.
    Shifted(i8),
    /// Parts in another order, under another id or count.
    Disordered {
        swap: (u8, u8),
        id: u8,
        count: u8,
    },
    /// A certificate with fewer signatures than a quorum.
    Unsigned,
    Silent,
}

/// The chain, made once.
fn chain(config: &Config) -> Vec<FinalBlock> {
    thread_local!(static CHAIN: std::cell::OnceCell<Vec<FinalBlock>> = const { std::cell::OnceCell::new() });
    let make = || {
        let origin = Origin {
            genesis: config.genesis,
            genesis_time: genesis_time().genesis_time,
            interval: SLOT,
            registry: config.registry.clone(),
        };
        let keys = [1, timed_tests::driver::NODE, 3, 4].map(|key| Crypto::Null.provider(key));
        // What a history costs is the bytes of its blocks.
        let payload = |height: Height| match height.0 {
            4 | 30 => Bytes::from(vec![7; PART + PART / 16]),
            _ => Bytes::from(vec![1; 40]),
        };
        let mut generator = ChainGenerator::new(origin, keys).with_payload(payload);
        (0..LENGTH).map(|_| generator.make()).collect()
    };
    CHAIN.with(|chain| chain.get_or_init(make).clone())
}

fn genesis_time() -> ChainConfig {
    let slots = u32::try_from(LENGTH + 3).unwrap_or(u32::MAX);
    ChainConfig {
        genesis_time: START.wall - SLOT * slots,
        interval: SLOT,
        max_bytes: 4 * PART,
        min_peers: MinPeers::Auto,
    }
}

struct Theatre {
    stage: Stage,
    chain: Vec<FinalBlock>,
    links: BTreeMap<u8, ConnId>,
    asked: BTreeMap<u8, VecDeque<GetBlocks>>,
    committed: u64,
    disk: Disk,
    /// Answers of a disk that stands still.
    held: Vec<Input<'static>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Prompt,
    Still,
}

/// A history of peers, and its good end.
///
/// # Panics
/// If anything but the chain is committed, or not all of it in the end.
pub fn body(input: &[u8]) {
    let Ok(ops) = Vec::<Op>::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let mut config =
        Config { chain: Some(genesis_time()), limits: Limits::for_registry(4), ..config(Crypto::Null) };
    config.bootstrap.clear();
    let chain = chain(&config);
    let mut theatre = Theatre {
        stage: Stage::with(Crypto::Null, config),
        chain,
        links: BTreeMap::new(),
        asked: BTreeMap::new(),
        committed: 0,
        disk: Disk::Prompt,
        held: Vec::new(),
    };
    theatre.settle();
    for op in ops.iter().take(LONGEST) {
        theatre.play(*op);
        theatre.settle();
    }
    theatre.end();
}

impl Theatre {
    fn play(&mut self, op: Op) {
        let player = |who: u8| PLAYERS[usize::from(who) % PLAYERS.len()];
        match op {
            Op::Join(who) => self.join(player(who)),
            Op::Leave(who) => self.leave(player(who)),
            Op::Tell { who, height, truth } => {
                let height = Height(u64::from(height) % (LENGTH + 4));
                let block =
                    self.block(height).filter(|_| truth).map_or(BlockHash([9; 32]), |b| b.certificate.block);
                self.say(player(who), &Message::Tip(Tip { height, block }));
            }
            Op::Answer { who, how } => {
                let asked = self.asked.get_mut(&player(who)).and_then(VecDeque::pop_front);
                if let Some(get) = asked {
                    for message in self.answer(get, how) {
                        self.say(player(who), &message);
                    }
                }
            }
            Op::Unasked { who, id, height } => {
                let get = GetBlocks {
                    id: id.into(),
                    from: Height(height.into()),
                    to: Height(height.into()),
                    max_bytes: 1,
                };
                for message in self.answer(get, How::Honest) {
                    self.say(player(who), &message);
                }
            }
            Op::Certificate { who, height } => {
                if let Some(block) = self.block(Height(height.into())) {
                    let commit = Message::Commit(Box::new(block.certificate.clone()));
                    self.say(player(who), &commit);
                }
            }
            Op::Disk(still) => self.disk = if still { Disk::Still } else { Disk::Prompt },
            Op::Pass(time) => {
                let millis = match time {
                    0..=199 => u64::from(time) * 5,
                    _ => u64::from(time - 199) * 100,
                };
                self.pass(Duration::from_millis(millis));
            }
        }
    }

    fn block(&self, height: Height) -> Option<&FinalBlock> {
        let index = usize::try_from(height.0.checked_sub(1)?).ok()?;
        self.chain.get(index)
    }

    fn join(&mut self, player: u8) {
        if self.links.contains_key(&player) || banned(&mut self.stage) {
            return;
        }
        let conn = self.stage.live(player);
        self.links.insert(player, conn);
        self.asked.remove(&player);
    }

    fn leave(&mut self, player: u8) {
        if let Some(conn) = self.links.remove(&player) {
            self.stage.handle(Input::Closed { conn, cause: TransportCause::Reset });
        }
    }

    fn say(&mut self, player: u8, message: &Message) {
        if let Some(conn) = self.links.get(&player) {
            self.stage.say(*conn, message);
            self.settle();
        }
    }

    /// The messages that answer a request.
    fn answer(&self, get: GetBlocks, how: How) -> Vec<Message> {
        let end = |served| Message::BlocksEnd(BlocksEnd { id: get.id, served });
        let mut blocks: Vec<(Height, FinalBlock)> = (get.from.0..=get.to.0.min(LENGTH))
            .filter_map(|height| Some((Height(height), self.block(Height(height))?.clone())))
            .collect();
        match how {
            How::Nothing => return vec![end(Served::Nothing)],
            How::Busy(millis) => return vec![end(Served::Busy(millis.into()))],
            How::Silent => return Vec::new(),
            How::Short(count) => blocks.truncate(usize::from(count)),
            How::Shifted(by) => {
                for (height, block) in &mut blocks {
                    let other = Height(height.0.saturating_add_signed(by.into()));
                    *block = self.block(other).unwrap_or(block).clone();
                }
            }
            How::Unsigned => {
                for (_, block) in &mut blocks {
                    block.certificate.signatures.truncate(1);
                    block.certificate.signers = block.certificate.signers.iter().take(1).collect::<SeatSet>();
                }
            }
            How::Honest | How::Stops(_) | How::Garbled { .. } | How::Disordered { .. } => {}
        }
        let mut parts = Vec::new();
        let mut bytes = 0;
        for (height, block) in blocks {
            let encoded = block.encode();
            if bytes > 0 && bytes + encoded.len() > get.max_bytes as usize {
                break;
            }
            bytes += encoded.len();
            let count = encoded.len().div_ceil(PART);
            for (index, part) in encoded.chunks(PART).enumerate() {
                let number = |number| u16::try_from(number).unwrap_or(u16::MAX);
                let bytes = Bytes::copy_from_slice(part);
                parts.push(BlockPart {
                    id: get.id,
                    height,
                    index: number(index),
                    count: number(count),
                    bytes,
                });
            }
        }
        let count = parts.len();
        match how {
            How::Garbled { at, by } if count > 0 => {
                let part = &mut parts[usize::from(at) % count];
                let mut bytes = part.bytes.to_vec();
                let at = usize::from(at / 7) % bytes.len();
                bytes[at] ^= by;
                part.bytes = Bytes::from(bytes);
            }
            How::Disordered { swap: (one, other), id, count: parts_told } if count > 0 => {
                parts.swap(usize::from(one) % count, usize::from(other) % count);
                let part = &mut parts[usize::from(other) % count];
                part.id = part.id.wrapping_add(id.into());
                part.count = part.count.wrapping_add(parts_told.into());
            }
            How::Stops(after) => parts.truncate(usize::from(after)),
            _ => {}
        }
        let served = if parts.is_empty() { Served::Nothing } else { Served::All };
        let ends = !matches!(how, How::Stops(_));
        parts
            .into_iter()
            .map(|part| Message::BlockPart(Box::new(part)))
            .chain(ends.then(|| end(served)))
            .collect()
    }

    /// Reads what peers are told, and carries out what the node orders, until nothing is left.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            for (player, conn) in self.links.clone() {
                for message in self.stage.heard(conn) {
                    match message {
                        Message::Ping(Ping { token }) => self.stage.say(conn, &Message::Pong(Pong { token })),
                        Message::GetBlocks(get) => self.asked.entry(player).or_default().push_back(get),
                        _ => {}
                    }
                }
            }
            if self.disk == Disk::Prompt {
                for answer in std::mem::take(&mut self.held) {
                    self.stage.handle(answer);
                }
            }
            let commands = self.stage.took();
            if commands.is_empty() {
                return;
            }
            for command in commands {
                self.carry_out(command);
            }
        }
        panic!("it never comes to rest");
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Dial { conn, .. } => {
                self.stage.handle(Input::Closed { conn, cause: TransportCause::Refused });
            }
            Command::Close { conn, .. } => {
                self.links.retain(|_, live| *live != conn);
                self.stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
            }
            Command::Persist { ticket, .. } => self.held.push(Input::Persisted(ticket)),
            Command::Commit { ticket, hash, block, bytes, .. } => {
                let height = block.block.header.height;
                assert_eq!(height.0, self.committed + 1, "out of order");
                let right = self.block(height).expect("a block of the chain");
                assert_eq!((hash, &*block), (right.certificate.block, right));
                assert_eq!(bytes, right.encode());
                self.committed = height.0;
                self.held.push(Input::Persisted(ticket));
                self.held.push(Input::Committed { height, registry_changes: vec![], included: vec![] });
            }
            Command::Produce { height, round, .. } => {
                self.stage.handle(Input::Produced { height, round, payload: None, stale: vec![] });
            }
            Command::Validate { block, .. } => {
                self.stage.handle(Input::Validated { block, verdict: PayloadVerdict::Valid });
            }
            Command::Load { load, from, to, .. } => {
                let of = |height| Some(StoredBlock { height, bytes: self.block(height)?.encode() });
                let last = to.0.min(self.committed);
                let blocks = (from.0..=last).filter_map(|height| of(Height(height))).collect();
                self.stage.handle(Input::Loaded { load, blocks });
            }
            Command::Event(Event::Fatal(fatal)) => panic!("peers halt the node: {fatal}"),
            _ => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.stage.now.mono + time;
        for _ in 0..10_000 {
            let due = self.stage.node.deadline().filter(|due| *due <= end);
            let step = due.unwrap_or(end).since(self.stage.now.mono);
            self.stage.now = self.stage.later(step);
            if due.is_none() {
                return;
            }
            self.stage.handle(Input::Tick);
            self.settle();
        }
        panic!("the timers never come to rest");
    }

    /// The liars leave, the disk writes, and somebody honest has it all.
    fn end(&mut self) {
        self.disk = Disk::Prompt;
        for player in PLAYERS {
            self.leave(player);
        }
        self.settle();
        for _ in 0..1_200 {
            if self.committed == LENGTH {
                return;
            }
            if !self.links.contains_key(&HONEST) {
                self.join(HONEST);
                let block = self.chain.last().map(|last| last.certificate.block).unwrap_or_default();
                self.say(HONEST, &Message::Tip(Tip { height: Height(LENGTH), block }));
            }
            while let Some(get) = self.asked.get_mut(&HONEST).and_then(VecDeque::pop_front) {
                for message in self.answer(get, How::Honest) {
                    self.say(HONEST, &message);
                }
            }
            self.settle();
            self.pass(Duration::from_millis(100));
        }
        panic!("{} of {LENGTH} blocks two minutes after the last lie", self.committed);
    }
}

/// Whether anybody is: then a player may not get in.
fn banned(stage: &mut Stage) -> bool {
    matches!(stage.ask(timed_core::Request::Bans), timed_core::Reply::Bans(bans) if !bans.is_empty())
}

/// Served by everybody, by nobody, by each kind of liar.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    // The discriminants of an op and of an answer: eight and ten of them, by the upper bits of four bytes.
    let op = |which: u32, of: u32| {
        u32::try_from((u64::from(which) << 32) / u64::from(of) + 1)
            .expect("which is less than of")
            .to_le_bytes()
    };
    let mut seeds = Vec::new();
    for how in 0..10 {
        let mut seed = Vec::new();
        for who in 0..3u8 {
            seed.extend([&[1][..], &op(0, 8), &[who], &[1], &op(2, 8), &[who, 48, 1]].concat());
        }
        for round in 0..12u8 {
            seed.extend([&[1][..], &op(3, 8), &[round % 3], &op(how, 10), &[round, 3, 5, 7]].concat());
            seed.extend([&[1][..], &op(7, 8), &[20]].concat());
        }
        seeds.push(seed);
    }
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn sync_holds_on_seeds_and_noise() {
        crate::smoke::run("sync", &super::seeds(), 300, super::body);
    }
}
