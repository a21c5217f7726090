//! Serving blocks to peers that catch up, below everything else (rule Y-5).
//!
//! One request a peer is served at a time; a new one takes the place of the one before. Its blocks are loaded
//! at once, a megabyte at most, and handed to the link part by part:
//! - *in bounds*: a peer's bulk lane is topped up to [`LANE_FILL`] and no further, so a full lane never refuses
//!   a part; whoever drains a link says so with [`Serving::drained`];
//! - *in turns*: one part each, registered masternodes before everybody else;
//! - *in measure*: so many bytes a second to all, half of that to one peer.
//!
//! Requests wait in line for room and for one of [`LOADS`] reads of the store. Who would wait for long is told
//! to come back. Strangers never hold more than half of the room. Nobody is charged for asking.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::pace::Pace;
use crate::chain::effects::{Effect, Effects};
use crate::command::Command;
use crate::ids::{Height, LoadId, NodeId};
use crate::input::StoredBlock;
use crate::limits::{
    FRAME_COST, FRAME_HEADER, FRAME_REUSED, Holding, Limits, MAX_FINAL_BLOCK, PART, holding,
};
use crate::registry::Registry;
use crate::time::Mono;
use crate::wire::message::{BlockPart, BlocksEnd, GetBlocks, Message, Served};

/// Bytes that serving lets wait on the bulk lane of one link.
pub(crate) const LANE_FILL: usize = 256 * 1024;
/// Reads of the store under way at most.
const LOADS: usize = 4;
/// Requests that wait in line at most, half of them strangers'.
const LINE: usize = 16;
/// How long a request waits in line at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// When those who cannot be served are told to come back, in milliseconds.
const RETRY_MS: u32 = 250;
/// Bytes that a request costs its peer beside its blocks: so many a second bring no more reads of the store.
const REQUEST_COST: usize = 16 * 1024;

/// Memory that a frame with so many bytes of a block holds in a lane, at most.
const fn lane_cost(bytes: usize) -> usize {
    let frame = FRAME_HEADER + 64 + bytes;
    FRAME_COST + if frame > FRAME_REUSED { frame } else { FRAME_REUSED }
}

/// What serving has come to since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct ServingCounts {
    /// Requests taken.
    pub(crate) requests: u64,
    /// Requests answered with "busy".
    pub(crate) busy: u64,
    /// Requests answered with "nothing".
    pub(crate) nothing: u64,
    /// Requests that were not answered, because the peer does not take its answers.
    pub(crate) ignored: u64,
    /// Blocks handed out.
    pub(crate) blocks: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
}

/// Everything that this node serves.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Serving {
    bound: usize,
    lane: usize,
    rate: usize,
    pace: Pace,
    masternodes: BTreeSet<NodeId>,
    clients: BTreeMap<NodeId, Client>,
    /// Requests that wait for room and a read, oldest first.
    line: VecDeque<NodeId>,
    /// Reads under way, and for whom.
    loads: BTreeMap<LoadId, NodeId>,
    /// Whose blocks are handed out, in turns: masternodes, then others.
    turns: [VecDeque<NodeId>; 2],
    /// From 1: 0 is the chain's own.
    next_load: u64,
    due: Option<Mono>,
    counts: ServingCounts,
}

/// A live peer that has asked.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Client {
    job: Job,
    /// A request that came while a read for it was under way.
    next: Option<GetBlocks>,
    /// Bytes that wait in its bulk lane.
    waiting: usize,
    pace: Pace,
}

/// Memory of one, with its places in line and in turns.
pub(super) const CLIENT: usize = size_of::<(NodeId, Client)>() + 3 * size_of::<NodeId>();

#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
enum Job {
    Idle,
    /// In line, since when.
    Waiting(GetBlocks, Mono),
    /// A read is under way; the answer to another one, of a link that is gone, is none to this.
    Loading(LoadId, GetBlocks),
    Sending(Answer),
}

/// Loaded blocks on their way out.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Answer {
    id: u64,
    /// What has not been handed out; of the first one, the parts from `index` on.
    blocks: VecDeque<StoredBlock>,
    index: u16,
    /// Bytes of all blocks that are still held.
    held: usize,
}

/// Who a peer is to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Masternode,
    Stranger,
}

impl Serving {
    /// Serves nobody yet.
    pub(crate) fn new(limits: &Limits, registry: &Registry) -> Self {
        let mut serving = Self {
            bound: limits.serving,
            lane: LANE_FILL.min(limits.bulk_lane),
            rate: limits.serving_rate,
            pace: Pace::new(limits.serving_rate),
            masternodes: BTreeSet::new(),
            clients: BTreeMap::new(),
            line: VecDeque::new(),
            loads: BTreeMap::new(),
            turns: Default::default(),
            next_load: 1,
            due: None,
            counts: ServingCounts::default(),
        };
        serving.registered(registry);
        serving
    }

    /// The registry in force at the next height has changed.
    pub(crate) fn registered(&mut self, registry: &Registry) {
        self.masternodes = registry.entries().iter().map(|entry| entry.id).collect();
    }

    /// A peer asks for blocks (rule Y-2); `tip` is this node's newest durable one. The request takes the place
    /// of the peer's request before.
    pub(crate) fn get_blocks(
        &mut self,
        now: Mono,
        from: NodeId,
        get: GetBlocks,
        tip: Height,
        effects: &mut Effects,
    ) {
        let rate = self.rate / 2;
        let client = self.clients.entry(from).or_insert_with(|| Client {
            job: Job::Idle,
            next: None,
            waiting: 0,
            pace: Pace::new(rate),
        });
        if client.waiting > self.lane {
            self.counts.ignored += 1;
            return;
        }
        client.pace.charge(now, REQUEST_COST);
        let get = GetBlocks { to: get.to.min(tip), ..get };
        if get.from > get.to || get.from == Height(0) {
            self.counts.nothing += 1;
            self.close(from, get.id, Served::Nothing, effects);
        } else if matches!(client.job, Job::Loading(..)) {
            client.next = Some(get);
        } else {
            self.drop_job(now, &from);
            self.queue(now, from, get, effects);
        }
        self.go_on(now, effects);
    }

    /// The store answered a `Command::Load` of ours. Blocks other than those asked for are ignored.
    pub(crate) fn loaded(
        &mut self,
        now: Mono,
        load: LoadId,
        blocks: Vec<StoredBlock>,
        effects: &mut Effects,
    ) {
        let Some(peer) = self.loads.remove(&load) else { return };
        if let Some(client) = self.clients.get_mut(&peer)
            && let Job::Loading(awaited, get) = client.job
            && awaited == load
        {
            client.job = Job::Idle;
            let next = client.next.take();
            match (next, Answer::new(get, blocks)) {
                (Some(next), _) => self.queue(now, peer, next, effects),
                (None, None) => {
                    self.counts.nothing += 1;
                    self.close(peer, get.id, Served::Nothing, effects);
                }
                (None, Some(answer)) => {
                    client.job = Job::Sending(answer);
                    self.turns_of(&peer).push_back(peer);
                }
            }
        }
        self.go_on(now, effects);
    }

    /// Whether [`Serving::drained`] is of use for this peer now.
    pub(crate) fn is_serving(&self, peer: &NodeId) -> bool {
        self.clients.get(peer).is_some_and(|client| client.waiting > 0)
    }

    /// After a call of `transmit` for a link: so many bytes of memory still wait on its bulk lane.
    pub(crate) fn drained(&mut self, now: Mono, peer: NodeId, waiting: usize, effects: &mut Effects) {
        if let Some(client) = self.clients.get_mut(&peer)
            && client.waiting != waiting
        {
            client.waiting = waiting;
            self.go_on(now, effects);
        }
    }

    /// A link ended: nothing more is served to it. Also when another link of the peer took its place: that
    /// one's lanes are empty, and the peer asks again.
    pub(crate) fn peer_down(&mut self, now: Mono, peer: NodeId, effects: &mut Effects) {
        self.drop_job(now, &peer);
        self.clients.remove(&peer);
        self.go_on(now, effects);
    }

    /// The deadline has passed. Harmless at any time.
    pub(crate) fn tick(&mut self, now: Mono, effects: &mut Effects) {
        self.go_on(now, effects);
    }

    /// When something is to be done without an input; after [`Serving::tick`] never in the past.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.due
    }

    pub(crate) fn holdings(&self, peers: usize) -> [Holding; 3] {
        let held = self.clients.values().map(|client| client.job.held()).sum();
        [
            holding("peers that are served", self.clients.len(), peers),
            holding("reads of blocks", self.loads.len(), peers),
            holding("bytes of blocks served", held, self.bound),
        ]
    }

    /// What it has come to.
    pub(crate) fn counts(&self) -> ServingCounts {
        self.counts
    }

    fn class(&self, peer: &NodeId) -> Class {
        if self.masternodes.contains(peer) { Class::Masternode } else { Class::Stranger }
    }

    fn turns_of(&mut self, peer: &NodeId) -> &mut VecDeque<NodeId> {
        let [masternodes, strangers] = &mut self.turns;
        if self.masternodes.contains(peer) { masternodes } else { strangers }
    }

    /// Ends an answer.
    fn close(&mut self, peer: NodeId, id: u64, served: Served, effects: &mut Effects) {
        if let Some(client) = self.clients.get_mut(&peer) {
            client.waiting += lane_cost(0);
        }
        effects.push(Effect::Send(peer, Message::BlocksEnd(BlocksEnd { id, served })));
    }

    /// Forgets what a peer has asked for. What was loaded in vain counts as if it had been sent.
    fn drop_job(&mut self, now: Mono, peer: &NodeId) {
        let Some(client) = self.clients.get_mut(peer) else { return };
        let vain = client.job.held();
        client.pace.charge(now, vain);
        client.job = Job::Idle;
        client.next = None;
        self.line.retain(|waiting| waiting != peer);
        self.turns.iter_mut().for_each(|turns| turns.retain(|sending| sending != peer));
    }

    /// Puts a request into the line, or sends it away.
    fn queue(&mut self, now: Mono, peer: NodeId, get: GetBlocks, effects: &mut Effects) {
        let strangers = self.line.iter().filter(|peer| self.class(peer) == Class::Stranger).count();
        let full = self.line.len() >= LINE || (self.class(&peer) == Class::Stranger && strangers >= LINE / 2);
        if full || self.bound < MAX_FINAL_BLOCK {
            self.turn_away(peer, get.id, effects);
        } else if let Some(client) = self.clients.get_mut(&peer) {
            self.counts.requests += 1;
            client.job = Job::Waiting(get, now);
            self.line.push_back(peer);
        }
    }

    fn turn_away(&mut self, peer: NodeId, id: u64, effects: &mut Effects) {
        self.counts.busy += 1;
        self.close(peer, id, Served::Busy(RETRY_MS), effects);
    }

    /// Everything that can be done now: line, reads, parts.
    fn go_on(&mut self, now: Mono, effects: &mut Effects) {
        self.hand_out(now, effects);
        self.load(now, effects);
        self.due = self.next_due(now);
    }

    /// Starts reads for those in line, and sends away who has waited too long.
    fn load(&mut self, now: Mono, effects: &mut Effects) {
        let mut line = std::mem::take(&mut self.line);
        line.retain(|peer| {
            let Some(client) = self.clients.get(peer) else { return false };
            let Job::Waiting(get, since) = client.job else { return false };
            let (paced, class) = (client.pace.free_from(), self.class(peer));
            if paced <= now && self.loads.len() < LOADS && self.has_room(class) {
                self.start(*peer, get, effects);
                return false;
            }
            if now < since + PATIENCE {
                return true;
            }
            if let Some(client) = self.clients.get_mut(peer) {
                client.job = Job::Idle;
            }
            self.turn_away(*peer, get.id, effects);
            false
        });
        self.line = line;
    }

    fn start(&mut self, peer: NodeId, get: GetBlocks, effects: &mut Effects) {
        let load = LoadId(self.next_load);
        self.next_load = self.next_load.wrapping_add(1);
        self.loads.insert(load, peer);
        if let Some(client) = self.clients.get_mut(&peer) {
            client.job = Job::Loading(load, get);
        }
        let asked = usize::try_from(get.max_bytes).unwrap_or(usize::MAX);
        let max_bytes = asked.min(MAX_FINAL_BLOCK);
        effects.push(Effect::Command(Command::Load { load, from: get.from, to: get.to, max_bytes }));
    }

    /// Whether the blocks of another read may be held.
    fn has_room(&self, class: Class) -> bool {
        let held = |counted: &dyn Fn(&NodeId) -> bool| {
            let loads = self.loads.values().filter(|peer| counted(peer)).count();
            let sending = self.clients.iter().filter(|(peer, _)| counted(peer));
            let sending = sending.map(|(_, client)| client.job.held()).sum::<usize>();
            (loads + 1) * MAX_FINAL_BLOCK + sending
        };
        let strangers = |peer: &NodeId| self.class(peer) == Class::Stranger;
        held(&|_| true) <= self.bound && (class == Class::Masternode || held(&strangers) <= self.bound / 2)
    }

    /// Hands out parts in turns, as far as lanes and measures allow.
    fn hand_out(&mut self, now: Mono, effects: &mut Effects) {
        for class in 0..self.turns.len() {
            let mut passed = 0;
            while self.pace.free_from() <= now
                && let Some(turns) = self.turns.get_mut(class)
                && passed < turns.len()
                && let Some(peer) = turns.pop_front()
            {
                match self.next_part(now, &peer) {
                    Turn::Part(part) => {
                        effects.push(Effect::Send(peer, Message::BlockPart(Box::new(part))));
                        passed = 0;
                    }
                    Turn::End(id) => {
                        self.close(peer, id, Served::All, effects);
                        passed = 0;
                        continue;
                    }
                    Turn::Pass => passed += 1,
                }
                self.turns_of(&peer).push_back(peer);
            }
        }
    }

    /// What a peer gets in its turn.
    fn next_part(&mut self, now: Mono, peer: &NodeId) -> Turn {
        let Some(client) = self.clients.get_mut(peer) else { return Turn::Pass };
        let Job::Sending(answer) = &mut client.job else { return Turn::Pass };
        if client.pace.free_from() > now || !fits(client.waiting, self.lane) {
            return Turn::Pass;
        }
        let Some((part, last)) = answer.cut() else {
            let id = answer.id;
            client.job = Job::Idle;
            return Turn::End(id);
        };
        let length = part.bytes.len();
        client.waiting += lane_cost(length);
        client.pace.charge(now, length);
        self.pace.charge(now, length);
        self.counts.bytes += length as u64;
        self.counts.blocks += u64::from(last == Last::OfBlock);
        Turn::Part(part)
    }

    /// When somebody's measure allows more, or somebody has waited for too long.
    fn next_due(&self, now: Mono) -> Option<Mono> {
        let line = self.line.iter().filter_map(|peer| self.clients.get(peer)).flat_map(|client| {
            let since = if let Job::Waiting(_, since) = client.job { since } else { now };
            [since + PATIENCE, client.pace.free_from()]
        });
        let sending = self.turns.iter().flatten().filter_map(|peer| self.clients.get(peer));
        let ready = sending
            .filter(|client| fits(client.waiting, self.lane))
            .map(|client| client.pace.free_from().max(self.pace.free_from()));
        line.chain(ready).filter(|at| *at > now).min()
    }
}

/// Whether another part may be put into a lane in which so much waits.
fn fits(waiting: usize, lane: usize) -> bool {
    waiting == 0 || waiting + lane_cost(PART) <= lane
}

/// What came of a turn.
enum Turn {
    Part(BlockPart),
    /// Everything was handed out.
    End(u64),
    /// Its lane is full, or its measure.
    Pass,
}

/// Where a part stands in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    OfBlock,
    No,
}

impl Job {
    fn held(&self) -> usize {
        if let Self::Sending(answer) = self { answer.held } else { 0 }
    }
}

impl Answer {
    /// The blocks that were asked for; `None` if the first one is not among them.
    fn new(get: GetBlocks, loaded: Vec<StoredBlock>) -> Option<Self> {
        let mut next = get.from;
        let mut held = 0;
        let mut blocks = VecDeque::with_capacity(loaded.len());
        for block in loaded {
            held += block.bytes.len();
            let sound = (1..=MAX_FINAL_BLOCK).contains(&block.bytes.len());
            let fits = held <= MAX_FINAL_BLOCK;
            if block.height != next || next > get.to || !sound || !fits {
                held -= block.bytes.len();
                break;
            }
            next = next.next();
            blocks.push_back(block);
        }
        (!blocks.is_empty()).then_some(Self { id: get.id, blocks, index: 0, held })
    }

    /// Cuts the next part off.
    fn cut(&mut self) -> Option<(BlockPart, Last)> {
        let block = self.blocks.front()?;
        let (index, length) = (self.index, block.bytes.len());
        let start = usize::from(index) * PART;
        let bytes = block.bytes.slice(start.min(length)..(start + PART).min(length));
        let count = u16::try_from(length.div_ceil(PART)).unwrap_or(u16::MAX);
        let part = BlockPart { id: self.id, height: block.height, index, count, bytes };
        if index + 1 < count {
            self.index += 1;
            return Some((part, Last::No));
        }
        self.index = 0;
        self.held -= length;
        self.blocks.pop_front();
        Some((part, Last::OfBlock))
    }
}
