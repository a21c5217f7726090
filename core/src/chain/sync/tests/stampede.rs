//! Serving: alone, step by step, and against many schedulers at once.

use super::*;
use crate::chain::sync::serving::{LANE_FILL, Serving};
use crate::command::Command;
use crate::ids::LoadId;
use crate::input::StoredBlock;

/// A node that serves, its store, and the bulk lanes of its links.
pub(super) struct Host {
    pub(super) now: Mono,
    pub(super) serving: Serving,
    chain: Rc<Vec<Bytes>>,
    pub(super) lanes: BTreeMap<NodeId, Vec<Message>>,
    /// Reads under way.
    pub(super) loads: Vec<(LoadId, Height, Height, usize)>,
    reads: usize,
    most_loads: usize,
}

impl Host {
    pub(super) fn new(chain: &Rc<Vec<Bytes>>, limits: &Limits) -> Self {
        Self {
            now: Mono(0) + 1000 * SECOND,
            serving: Serving::new(limits, &registry(30)),
            chain: Rc::clone(chain),
            lanes: BTreeMap::new(),
            loads: Vec::new(),
            reads: 0,
            most_loads: 0,
        }
    }

    pub(super) fn get(&mut self, from: NodeId, get: GetBlocks) {
        let (tip, mut effects) = (Height(self.chain.len() as u64), Effects::new());
        self.serving.get_blocks(self.now, from, get, tip, &mut effects);
        self.carry_out(effects);
    }

    pub(super) fn ask(&mut self, from: NodeId, id: u64, first: u64, last: u64) {
        let range = GetBlocks { id, from: Height(first), to: Height(last), max_bytes: u32::MAX };
        self.get(from, range);
    }

    pub(super) fn carry_out(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Send(to, message) => {
                    let lane = self.lanes.entry(to).or_default();
                    lane.push(message);
                    assert!(held(lane) <= LANE_FILL, "c8: a lane holds {}", held(lane));
                }
                Effect::Command(Command::Load { load, from, to, max_bytes }) => {
                    assert!(max_bytes <= MAX_FINAL_BLOCK);
                    self.reads += 1;
                    self.loads.push((load, from, to, max_bytes));
                    self.most_loads = self.most_loads.max(self.loads.len());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The store answers the oldest read.
    pub(super) fn load(&mut self) -> bool {
        if self.loads.is_empty() {
            return false;
        }
        let (load, from, to, max_bytes) = self.loads.remove(0);
        let mut bytes = 0;
        let wanted = (from.0..=to.0).map(|height| {
            let bytes = self.chain[height as usize - 1].clone();
            StoredBlock { height: Height(height), bytes }
        });
        let fits = wanted.enumerate().take_while(|(nth, block)| {
            bytes += block.bytes.len();
            *nth == 0 || bytes <= max_bytes
        });
        let blocks = fits.map(|(_, block)| block).collect();
        self.loaded(load, blocks);
        true
    }

    pub(super) fn loaded(&mut self, load: LoadId, blocks: Vec<StoredBlock>) {
        let mut effects = Effects::new();
        self.serving.loaded(self.now, load, blocks, &mut effects);
        self.carry_out(effects);
    }

    /// The link takes messages until so many bytes have gone.
    pub(super) fn drain(&mut self, peer: NodeId, mut bytes: usize) -> Vec<Message> {
        let mut taken = Vec::new();
        while self.serving.is_serving(&peer)
            && let Some(message) = self.lanes.get_mut(&peer).filter(|lane| !lane.is_empty())
            && size(&message[0]) <= bytes
        {
            let message = message.remove(0);
            bytes -= size(&message);
            taken.push(message);
            let waiting = held(&self.lanes[&peer]);
            let mut effects = Effects::new();
            self.serving.drained(self.now, peer, waiting, &mut effects);
            self.carry_out(effects);
        }
        taken
    }

    /// Everything that a peer gets, from now on, with as much time as it takes.
    pub(super) fn take_all(&mut self, peer: NodeId) -> Vec<Message> {
        let mut taken = Vec::new();
        loop {
            while self.load() {}
            let more = self.drain(peer, usize::MAX);
            if more.is_empty() {
                let Some(due) = self.serving.deadline() else { return taken };
                assert!(due > self.now);
                self.pass(due.since(self.now));
            }
            taken.extend(more);
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let mut effects = Effects::new();
        self.serving.tick(self.now, &mut effects);
        self.carry_out(effects);
        assert!(self.serving.deadline().is_none_or(|due| due > self.now));
    }
}

/// Bytes of a message on the wire, about.
fn size(message: &Message) -> usize {
    if let Message::BlockPart(part) = message { 64 + part.bytes.len() } else { 40 }
}

/// Memory that messages hold in a lane, if their frames come from buffers that are used again.
fn held(lane: &[Message]) -> usize {
    lane.iter().map(|message| size(message).max(8192) + 102).sum()
}

pub(super) fn ends(messages: &[Message]) -> Vec<(u64, Served)> {
    let end = |message: &Message| {
        if let Message::BlocksEnd(end) = message { Some((end.id, end.served)) } else { None }
    };
    messages.iter().filter_map(end).collect()
}

pub(super) fn heights(messages: &[Message]) -> Vec<u64> {
    let part = |message: &Message| {
        if let Message::BlockPart(part) = message { Some(part.height.0) } else { None }
    };
    let mut heights: Vec<u64> = messages.iter().filter_map(part).collect();
    heights.dedup();
    heights
}

#[test]
fn a_range_is_served_up_to_its_end_the_tip_or_the_bytes_asked_for() {
    let chain = chain(100, 10_000);
    let mut host = Host::new(&chain, &Limits::default());
    let (a, b) = (masternode(1), masternode(2));
    host.ask(a, 1, 11, 20);
    let taken = host.take_all(a);
    assert_eq!((heights(&taken), ends(&taken)), ((11..=20).collect(), vec![(1, Served::All)]));
    host.ask(b, 2, 95, 1_000_000);
    assert_eq!(heights(&host.take_all(b)), (95..=100).collect::<Vec<_>>());
    let few = GetBlocks { id: 3, from: Height(1), to: Height(100), max_bytes: 35_000 };
    host.get(b, few);
    assert_eq!(heights(&host.take_all(b)), [1, 2, 3]);
    host.get(b, GetBlocks { max_bytes: 0, ..few });
    assert_eq!(heights(&host.take_all(b)), [1], "one block, even if it is larger");
    for (id, first, last) in [(4, 101, 200), (5, 0, 3), (6, 9, 8), (7, u64::MAX, u64::MAX)] {
        host.ask(a, id, first, last);
        assert_eq!(ends(&host.take_all(a)), [(id, Served::Nothing)]);
    }
}

#[test]
fn parts_are_what_the_other_end_takes() {
    let sizes = [1, PART - 300, PART, PART + 1, 700_000, 1_000_000];
    let chain =
        Rc::new((1..=6).map(|height| block(height, sizes[height as usize - 1], 1)).collect::<Vec<_>>());
    let mut host = Host::new(&chain, &Limits::default());
    let mut world = World::new(&chain, 3, 1);
    let mut effects = Effects::new();
    world.sync.peer_up(world.now, masternode(1), Height(6), &mut effects);
    world.sync.peer_up(world.now, masternode(2), Height(6), &mut effects);
    for _ in 0..100 {
        for effect in std::mem::take(&mut effects) {
            let Effect::Send(to, Message::GetBlocks(get)) = effect else { panic!("{effect:?}") };
            host.get(to, get);
            for message in host.take_all(to) {
                match message {
                    Message::BlockPart(part) => world.sync.part(world.now, to, *part, &mut effects),
                    Message::BlocksEnd(end) => world.sync.end(world.now, to, end, &mut effects),
                    other => panic!("{other:?}"),
                }
            }
        }
        while let Some(fetched) = world.sync.next_block(world.now, &mut effects) {
            assert_eq!(fetched.bytes, chain[fetched.height.0 as usize - 1]);
            world.sync.applied(world.now, fetched.height, &mut effects);
        }
        world.now = world.now + 100 * MS;
        world.sync.tick(world.now, &mut effects);
    }
    assert_eq!((world.sync.heard(), world.sync.counts().malformed), (Height(6), 0));
    assert_eq!(world.sync.state(), SyncState::Synced);
}

#[test]
fn a_request_takes_the_place_of_the_one_before() {
    let chain = chain(100, 30_000);
    let mut host = Host::new(&chain, &Limits::default());
    let a = masternode(1);
    // While it is read, and while it is sent.
    for id in 1..=5 {
        host.ask(a, id, 1, 100);
    }
    assert_eq!(host.loads.len(), 1);
    host.load();
    assert_eq!((host.loads.len(), host.lanes.len()), (1, 0), "what nobody wants any more is not sent");
    host.load();
    host.ask(a, 6, 50, 51);
    let taken = host.take_all(a);
    assert_eq!(ends(&taken), [(6, Served::All)]);
    assert!(heights(&taken).ends_with(&[50, 51]));
}

#[test]
fn whoever_leaves_is_forgotten() {
    let chain = chain(100, 30_000);
    let mut host = Host::new(&chain, &Limits::default());
    let mut effects = Effects::new();
    for number in 0..30 {
        host.ask(masternode(number), 1, 1, 100);
    }
    host.load();
    for number in 0..30 {
        host.serving.peer_down(host.now, masternode(number), &mut effects);
        host.lanes.remove(&masternode(number));
    }
    host.carry_out(effects);
    while host.load() {}
    assert!(host.serving.deadline().is_none());
    // All room is there again.
    host.ask(masternode(9), 2, 1, 30);
    assert_eq!(heights(&host.take_all(masternode(9))).len(), 30);
}

#[test]
fn a_store_that_answers_nonsense_harms_nobody() {
    let chain = chain(10, 10);
    let mut host = Host::new(&chain, &Limits::default());
    let a = masternode(1);
    let stored =
        |height: u64, length: usize| StoredBlock { height: Height(height), bytes: vec![1; length].into() };
    for (blocks, served) in [
        (vec![], Served::Nothing),
        (vec![stored(4, 9)], Served::Nothing),
        (vec![stored(3, 0)], Served::Nothing),
        (vec![stored(3, MAX_FINAL_BLOCK + 1)], Served::Nothing),
        (vec![stored(3, 9), stored(5, 9)], Served::All),
        (vec![stored(3, 9), stored(4, 9), stored(5, 9), stored(6, 9)], Served::All),
    ] {
        host.ask(a, 1, 3, 5);
        let (load, ..) = host.loads.remove(0);
        host.loaded(load, blocks);
        host.loaded(load, vec![stored(3, 9)]);
        let taken = host.take_all(a);
        assert_eq!(ends(&taken), [(1, served)]);
        assert!(heights(&taken).iter().all(|height| *height <= 5));
    }
}

#[test]
fn y5_bytes_go_in_measure() {
    let chain = chain(40, 900_000);
    let limits = Limits { serving_rate: 8_000_000, ..Limits::default() };
    for (peers, least, most) in [(1, 38_000_000, 43_000_000), (8, 78_000_000, 86_000_000)] {
        let mut host = Host::new(&chain, &limits);
        let mut bytes = 0;
        for step in 0..1000 {
            for number in 0..peers {
                // Fast links, and peers that want more as soon as they have got something.
                let taken = host.drain(masternode(number), usize::MAX);
                bytes += taken.iter().map(size).sum::<usize>();
                if step == 0 || !ends(&taken).is_empty() {
                    host.ask(masternode(number), step, 1, 40);
                }
            }
            host.load();
            host.pass(10 * MS);
        }
        assert!((least..most).contains(&bytes), "{peers} peers: {bytes} bytes in ten seconds");
    }
}

#[test]
fn y5_strangers_never_take_the_masternodes_places() {
    let chain = chain(100, 30_000);
    let mut host = Host::new(&chain, &Limits::default());
    // Fifty strangers ask and take nothing.
    for number in 0..50 {
        host.ask(stranger(number), 1, 1, 100);
    }
    for _ in 0..20 {
        while host.load() {}
        host.pass(100 * MS);
    }
    for number in 0..5 {
        host.ask(masternode(number), 1, 1, 30);
        let taken = host.take_all(masternode(number));
        assert_eq!(ends(&taken), [(1, Served::All)], "{number}");
    }
    // Who could not be served was told so.
    let busy = (0..50).filter(|number| {
        let lane = host.lanes.get(&stranger(*number));
        lane.is_some_and(|lane| matches!(ends(lane)[..], [(1, Served::Busy(_))]))
    });
    assert!(busy.count() >= 40);
}

#[test]
fn y5_masternodes_are_served_before_strangers() {
    let chain = chain(40, 100_000);
    let limits = Limits { serving_rate: 2_000_000, ..Limits::default() };
    let mut host = Host::new(&chain, &limits);
    let mut bytes = [0, 0];
    for step in 0..200 {
        for (class, peer) in [(0, masternode(1)), (0, masternode(2)), (1, stranger(1)), (1, stranger(2))] {
            let taken = host.drain(peer, usize::MAX);
            bytes[class] += taken.iter().map(size).sum::<usize>();
            if step == 0 || !ends(&taken).is_empty() {
                host.ask(peer, step, 1, 40);
            }
        }
        while host.load() {}
        host.pass(10 * MS);
    }
    assert!(bytes[0] > bytes[1] * 3, "{bytes:?}");
}

#[test]
fn sync_01c_who_is_not_served_is_told_so() {
    let chain = chain(10, 10);
    let mut host = Host::new(&chain, &Limits { serving: 0, ..Limits::default() });
    host.ask(masternode(1), 7, 1, 10);
    assert!(matches!(ends(&host.take_all(masternode(1)))[..], [(7, Served::Busy(_))]));
    // In a line that does not move, for a second.
    let mut host = Host::new(&chain, &Limits::default());
    for number in 0..12 {
        host.ask(masternode(number), 1, 1, 10);
    }
    assert_eq!(host.loads.len(), 4);
    host.pass(900 * MS);
    assert!(host.lanes.is_empty());
    host.pass(200 * MS);
    let told = host.lanes.values().filter(|lane| matches!(ends(lane)[..], [(1, Served::Busy(_))]));
    assert_eq!(told.count(), 8);
}

#[test]
fn c8_a_flood_of_requests_costs_few_reads_and_no_memory() {
    let chain = chain(100, 30_000);
    let mut host = Host::new(&chain, &Limits::default());
    let a = stranger(1);
    for step in 0..10_000 {
        host.ask(a, step, 1 + step % 100, 100);
        if step % 10 == 0 {
            host.load();
            host.pass(MS);
        }
    }
    // One second, a peer that takes nothing.
    assert!(host.reads < 64, "{} reads", host.reads);
    assert!(host.serving.counts().ignored > 0 || host.lanes.len() <= 1);
}

/// Twenty nodes restart a thousand blocks behind, and one peer has what they lack.
#[test]
fn sync_01b_a_stampede_is_served_in_measure_and_to_its_end() {
    let chain = chain(1000, 700);
    let limits = Limits { serving_rate: 4_000_000, ..Limits::default() };
    let mut host = Host::new(&chain, &limits);
    let settings = Settings { grace: 250 * MS, window: limits.sync_window };
    let server = NodeId([99; 32]);
    let mut nodes: Vec<(Sync, Effects)> = (0..20)
        .map(|seed| {
            (Sync::new(settings, &registry(30), OWN, Height(0), Rng::new([seed; 32])), Effects::new())
        })
        .collect();
    for (node, effects) in &mut nodes {
        node.peer_up(host.now, server, Height(1000), effects);
    }
    let (mut bytes, mut done) = (0, None);
    for step in 0..30_000 {
        for (number, (node, effects)) in nodes.iter_mut().enumerate() {
            let id = masternode(number as u8);
            // A link of 1 Gbit/s, a step of a millisecond.
            for message in host.drain(id, 125_000) {
                bytes += size(&message);
                match message {
                    Message::BlockPart(part) => node.part(host.now, server, *part, effects),
                    Message::BlocksEnd(end) => node.end(host.now, server, end, effects),
                    other => panic!("{other:?}"),
                }
            }
            while let Some(fetched) = node.next_block(host.now, effects) {
                node.applied(host.now, fetched.height, effects);
                node.durable(fetched.height);
            }
            if node.deadline().is_some_and(|due| due <= host.now) {
                node.tick(host.now, effects);
            }
            for effect in std::mem::take(effects) {
                let Effect::Send(_, Message::GetBlocks(get)) = effect else { panic!("{effect:?}") };
                host.get(id, get);
            }
        }
        host.load();
        host.pass(MS);
        if nodes.iter().all(|(node, _)| node.heard() == Height(1000) && node.state() == SyncState::Synced) {
            done = Some(step);
            break;
        }
    }
    // Twenty times 1.2 MB at 4 MB/s take six seconds.
    let took = done.expect("stuck");
    assert!((5_000..9_000).contains(&took), "{took} ms");
    assert!(bytes < 4_400 * took + 2_000_000, "{bytes} bytes in {took} ms");
    let wasted: u64 = nodes.iter().map(|(node, _)| node.counts().surplus).sum();
    assert_eq!((wasted, host.most_loads), (0, 4));
}
