//! Nodes that are joined in memory: no sockets, no threads, and a clock that stands still until it is told to
//! go on. Bytes arrive at once, unless a node's are held back to be handed over under measurement.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use timed_core::flight::Recorder;
use timed_core::{
    Command, ConnId, Core, Event, Height, Input, Mono, Now, PayloadVerdict, PeerRef, RateLimits, Request,
    RequestId, Transmit, TransportCause, Wall,
};

use crate::measure::network::{Member, Setting, node, parts};

/// Wall time at the start.
const BEGAN: Wall = Wall(1_800_000_000_000);

/// A network of nodes, by number.
pub(crate) struct Memory {
    now: Now,
    hosts: Vec<Host>,
    /// Pairs that cannot reach each other, the lower number first.
    cut: BTreeSet<(usize, usize)>,
    /// The node whose bytes are held back.
    held_for: Option<usize>,
    held: VecDeque<Chunk>,
    spare: Vec<Vec<u8>>,
}

struct Host {
    node: Box<dyn Core>,
    member: Member,
    /// The other end of each connection.
    far: BTreeMap<ConnId, (usize, ConnId)>,
    datagrams: u64,
    heartbeats: u64,
    links: usize,
    height: Height,
}

/// Whether nodes are recorded, and in how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recording {
    Off,
    In(usize),
}

/// A node, with a flight recorder in its door or not.
fn machine(recording: Recording, member: &Member, setting: Setting, now: Now) -> Box<dyn Core> {
    match recording {
        Recording::Off => Box::new(node(member, setting, now)),
        Recording::In(room) => {
            let (config, provider, seed) = parts(member, setting, now);
            let recorder = Recorder::start(config, provider, seed, [], now, room);
            Box::new(recorder.expect("a good configuration"))
        }
    }
}

/// Bytes under way.
struct Chunk {
    to: usize,
    conn: ConnId,
    bytes: Vec<u8>,
}

impl Memory {
    /// Starts `size` nodes of one registry and joins all but the `cut` pairs.
    pub(crate) fn mesh(size: usize, cut: &[(usize, usize)], heartbeat: Duration) -> Self {
        Self::joined(size, cut, &Setting { heartbeat, ..Setting::knowing(Vec::new()) }, size, Recording::Off)
    }

    /// A masternode, and an observer that is linked to it and may send at these rates.
    pub(crate) fn observed(rates: RateLimits) -> Self {
        Self::joined(2, &[], &Setting { rates, ..Setting::knowing(Vec::new()) }, 1, Recording::Off)
    }

    /// As [`Memory::mesh`], with all joined and a block every interval.
    pub(crate) fn chain(size: usize, heartbeat: Duration, blocks: Duration) -> Self {
        Self::chain_recorded(size, heartbeat, blocks, Recording::Off)
    }

    /// As [`Memory::chain`], every node recorded or not.
    pub(crate) fn chain_recorded(
        size: usize,
        heartbeat: Duration,
        blocks: Duration,
        recording: Recording,
    ) -> Self {
        let blocks = Some(blocks);
        let setting = Setting { heartbeat, blocks, ..Setting::knowing(Vec::new()) };
        Self::joined(size, &[], &setting, size, recording)
    }

    /// As told, the first so many of them masternodes.
    fn joined(
        size: usize,
        cut: &[(usize, usize)],
        setting: &Setting,
        masternodes: usize,
        recording: Recording,
    ) -> Self {
        let now = Now { mono: Mono(1), wall: BEGAN };
        let addr = |index: usize| {
            let last = u8::try_from(index + 1).expect("a small network");
            SocketAddr::from(([10, 0, 0, last], 24100))
        };
        let members: Vec<Member> =
            (0..).zip(0..size).map(|(key, index)| Member::new(key, addr(index))).collect();
        let hosts = members
            .iter()
            .map(|member| {
                let registry = members.iter().take(masternodes).map(Member::entry).collect();
                let node = machine(recording, member, Setting { registry, ..setting.clone() }, now);
                Host {
                    node,
                    member: *member,
                    far: BTreeMap::new(),
                    datagrams: 0,
                    heartbeats: 0,
                    links: 0,
                    height: Height(0),
                }
            })
            .collect();
        let cut = cut.iter().copied().collect();
        let mut memory = Self { now, hosts, cut, held_for: None, held: VecDeque::new(), spare: Vec::new() };
        memory.settle();
        let expected = size * (size - 1) - 2 * memory.cut.len();
        for _ in 0..10_000 {
            if memory.hosts.iter().map(|host| host.links).sum::<usize>() == expected {
                return memory;
            }
            memory.next_deadline();
        }
        panic!("the mesh does not close");
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now.mono + time;
        while self.deadline().is_some_and(|next| next <= until) {
            self.next_deadline();
        }
        self.go_to(until);
    }

    /// Goes to the next deadline of any node and hands it over.
    pub(crate) fn next_deadline(&mut self) {
        let next = self.deadline().expect("a node has always something to look after");
        self.go_to(next);
        for index in 0..self.hosts.len() {
            if self.hosts[index].node.deadline().is_some_and(|due| due <= next) {
                self.hosts[index].node.handle(self.now, Input::Tick);
            }
        }
        self.settle();
    }

    /// From now on bytes for `index` wait for [`Memory::hand_over`].
    pub(crate) fn hold(&mut self, index: usize) {
        self.held_for = Some(index);
    }

    /// Chunks that wait.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the first of them.
    pub(crate) fn first_held(&self) -> Option<usize> {
        self.held.front().map(|chunk| chunk.bytes.len())
    }

    /// Hands `count` of the chunks that wait to their node, and takes its events; nothing else happens.
    pub(crate) fn hand_over(&mut self, count: usize) {
        for _ in 0..count {
            let Some(Chunk { to, conn, bytes }) = self.held.pop_front() else { return };
            let host = &mut self.hosts[to];
            host.node.handle(self.now, Input::Data { conn, bytes: &bytes });
            // What it answers is taken later, by `settle`: an event alone costs next to nothing to take.
            self.spare.push(bytes);
        }
    }

    /// A message of the application of `from` to that of `to`.
    pub(crate) fn send(&mut self, from: usize, to: usize, payload: &bytes::Bytes) {
        let to = self.hosts[to].member.id;
        let request = Request::Send { to: Some(to), payload: payload.clone() };
        self.hosts[from].node.handle(self.now, Input::Request { id: RequestId(1), request });
    }

    /// Closes the link of two nodes.
    pub(crate) fn part(&mut self, from: usize, to: usize) {
        let peer = PeerRef::Id(self.hosts[to].member.id);
        self.ask(from, Request::Disconnect(peer));
        assert_eq!((self.hosts[from].links, self.hosts[to].links), (0, 0), "they stayed together");
    }

    /// Links two nodes.
    pub(crate) fn meet(&mut self, from: usize, to: usize) {
        // Handshakes for others have a budget a second (rule S-7).
        self.pass(Duration::from_millis(10));
        let Member { id, addr, .. } = self.hosts[to].member;
        self.ask(from, Request::Connect { addr, id: Some(id) });
        assert_eq!((self.hosts[from].links, self.hosts[to].links), (1, 1), "they did not meet");
    }

    fn ask(&mut self, host: usize, request: Request) {
        self.hosts[host].node.handle(self.now, Input::Request { id: RequestId(1), request });
        self.settle();
    }

    /// The height that every node has reached.
    pub(crate) fn height(&self) -> Height {
        self.hosts.iter().map(|host| host.height).min().unwrap_or_default()
    }

    /// Messages and heartbeats that `index` has reported.
    pub(crate) fn received(&self, index: usize) -> (u64, u64) {
        (self.hosts[index].datagrams, self.hosts[index].heartbeats)
    }

    /// Carries commands out and bytes over until nothing moves.
    pub(crate) fn settle(&mut self) {
        let mut under_way: VecDeque<Chunk> = VecDeque::new();
        loop {
            let mut moved = false;
            for index in 0..self.hosts.len() {
                while let Some(command) = self.hosts[index].node.next_command() {
                    moved = true;
                    self.obey(index, command, &mut under_way);
                }
            }
            while let Some(Chunk { to, conn, bytes }) = under_way.pop_front() {
                moved = true;
                self.hosts[to].node.handle(self.now, Input::Data { conn, bytes: &bytes });
                self.spare.push(bytes);
            }
            if !moved {
                return;
            }
        }
    }

    fn obey(&mut self, index: usize, command: Command, under_way: &mut VecDeque<Chunk>) {
        let now = self.now;
        match command {
            Command::Dial { conn, addr } => {
                let target = self.hosts.iter().position(|host| host.member.addr == addr);
                let reached =
                    target.filter(|other| !self.cut.contains(&(index.min(*other), index.max(*other))));
                let from = self.hosts[index].member.addr.socket();
                let accepted =
                    reached.and_then(|other| Some((other, self.hosts[other].node.accept(now, from).ok()?)));
                let host = &mut self.hosts[index];
                match accepted {
                    Some((other, far)) => {
                        host.far.insert(conn, (other, far));
                        host.node.handle(now, Input::Dialed { conn, local: from });
                        self.hosts[other].far.insert(far, (index, conn));
                    }
                    None => host.node.handle(now, Input::Closed { conn, cause: TransportCause::Refused }),
                }
            }
            Command::Send { conn } => self.flush(index, conn, under_way),
            Command::Close { conn, .. } => {
                self.flush(index, conn, under_way);
                self.hosts[index].node.handle(now, Input::Closed { conn, cause: TransportCause::Commanded });
                if let Some((other, far)) = self.hosts[index].far.remove(&conn) {
                    // After the last bytes.
                    while let Some(Chunk { to, conn, bytes }) = under_way.pop_front() {
                        self.hosts[to].node.handle(now, Input::Data { conn, bytes: &bytes });
                    }
                    self.hosts[other].far.remove(&far);
                    self.hosts[other]
                        .node
                        .handle(now, Input::Closed { conn: far, cause: TransportCause::Eof });
                }
            }
            Command::Produce { height, round, .. } => {
                let (payload, stale) = (Some(bytes::Bytes::new()), Vec::new());
                let produced = Input::Produced { height, round, payload, stale };
                self.hosts[index].node.handle(now, produced);
            }
            Command::Validate { block, .. } => {
                let validated = Input::Validated { block, verdict: PayloadVerdict::Valid };
                self.hosts[index].node.handle(now, validated);
            }
            Command::Commit { ticket, block, .. } => {
                let host = &mut self.hosts[index];
                host.height = block.block.header.height;
                host.node.handle(now, Input::Persisted(ticket));
                let (registry_changes, included) = (Vec::new(), Vec::new());
                let committed = Input::Committed { height: host.height, registry_changes, included };
                host.node.handle(now, committed);
            }
            Command::Resolve { seed } => {
                self.hosts[index].node.handle(now, Input::Resolved { seed, addrs: Vec::new() });
            }
            Command::Load { load, .. } => {
                self.hosts[index].node.handle(now, Input::Loaded { load, blocks: Vec::new() });
            }
            Command::Persist { ticket, .. } => self.hosts[index].node.handle(now, Input::Persisted(ticket)),
            Command::Reading { .. } => {}
            Command::Event(event) => {
                let host = &mut self.hosts[index];
                match event {
                    Event::LinkUp { .. } => host.links += 1,
                    Event::LinkDown { .. } => host.links -= 1,
                    Event::Datagram { .. } => host.datagrams += 1,
                    Event::Heartbeat { .. } => host.heartbeats += 1,
                    _ => {}
                }
            }
        }
    }

    fn flush(&mut self, index: usize, conn: ConnId, under_way: &mut VecDeque<Chunk>) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        while self.hosts[index].node.transmit(self.now, conn, 64 * 1024, &mut bytes) == Transmit::More {}
        let Some((to, conn)) = self.hosts[index].far.get(&conn).copied() else { return };
        let chunk = Chunk { to, conn, bytes };
        if self.held_for == Some(to) { self.held.push_back(chunk) } else { under_way.push_back(chunk) }
    }

    fn deadline(&self) -> Option<Mono> {
        self.hosts.iter().filter_map(|host| host.node.deadline()).min()
    }

    fn go_to(&mut self, at: Mono) {
        // Both clocks from one: what a step is shorter than a millisecond does not add up to a drift.
        self.now =
            Now { mono: at.max(self.now.mono), wall: Wall(BEGAN.0 + at.max(self.now.mono).0 / 1_000_000) };
    }
}
