//! Two or three nodes, and a network that the bytes command: what is delivered, cut, lost and restarted when.
//! Once it is healed, each pair has one link, the same at both ends, and keeps it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use timed_core::{
    AddrScope, CanonicalAddr, Command, Config, ConnId, Event, GenesisHash, Input, Limits, LinkTag,
    Masternode, MasternodeMode, Mono, NetworkName, Node, NodeId, Now, Record, Registry, Reply, Request,
    RequestId, Ticket, Timings, Transmit, TransportCause, Wall,
};
use timed_tests::driver::Choices;
use timed_tests::null_crypto::NullProvider;

/// Bytes that one history may have.
const LONGEST: usize = 600;
/// From the healing of the network to the judgement, and then to the second one.
const HEALING: Duration = Duration::from_secs(90);
const STEADY: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Host {
    node: Node,
    boots: u8,
    durable: Option<Record>,
    writing: VecDeque<(Ticket, Record)>,
    /// The pipe of each connection, and this host's end of it.
    conns: BTreeMap<ConnId, (usize, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Dialing,
    Open,
    /// Whatever is sent is lost, and nobody is told.
    Black,
}

#[derive(Debug)]
struct Pipe {
    condition: Condition,
    to: usize,
    /// The dialer's end and the acceptor's, while they have it open.
    ends: [Option<(usize, ConnId)>; 2],
    /// What is under way to each end.
    queues: [VecDeque<u8>; 2],
}

#[derive(Debug)]
struct Net {
    now: Now,
    size: usize,
    hosts: Vec<Host>,
    pipes: Vec<Pipe>,
}

fn addr(host: usize) -> CanonicalAddr {
    let number = u8::try_from(host + 1).unwrap_or(1);
    CanonicalAddr::new(SocketAddr::from(([10, 0, 0, number], 24_100))).expect("a dialable address")
}

/// Keys in the opposite order of the addresses.
fn id(host: usize) -> NodeId {
    NodeId([9 - u8::try_from(host).unwrap_or(0); 32])
}

fn start(host: usize, size: usize, boots: u8, durable: Option<Record>, now: Now) -> Node {
    let entries = (0..size).map(|host| Masternode { id: id(host), addr: addr(host) }).collect();
    let config = Config {
        network: NetworkName::new("cluster").expect("a good name"),
        genesis: GenesisHash([1; 32]),
        registry: Registry::new(entries).expect("a sound registry"),
        advertised: Some(addr(host)),
        bootstrap: vec![],
        reserved: Vec::new(),
        seeds: vec![],
        addresses: AddrScope::Private,
        masternode: MasternodeMode::Auto,
        agent: String::new(),
        chain: None,
        timings: Timings::default(),
        limits: Limits::for_registry(size),
    };
    let mut seed = [boots; 32];
    seed[0] = u8::try_from(host).unwrap_or(0);
    Node::new(config, Box::new(NullProvider::new(id(host))), seed, durable, now).expect("it starts")
}

/// A history of a cluster, and its healing.
///
/// # Panics
/// If a pair ends without its one shared link, or loses it again.
pub fn body(input: &[u8]) {
    let mut choices = Choices(input.get(..LONGEST).unwrap_or(input));
    let size = 2 + choices.below(2);
    let now = Now { mono: Mono(1_000_000_000_000), wall: Wall(1_795_000_000_000) };
    let hosts = (0..size)
        .map(|host| Host {
            node: start(host, size, 0, None, now),
            boots: 0,
            durable: None,
            writing: VecDeque::new(),
            conns: BTreeMap::new(),
        })
        .collect();
    let mut net = Net { now, size, hosts, pipes: Vec::new() };
    net.drain();
    while choices.more() {
        net.step(&mut choices);
    }
    net.heal(HEALING);
    let links = net.links();
    assert_eq!(links.len(), size * (size - 1) / 2, "pairs without a shared link: {links:?}");
    net.heal(STEADY);
    assert_eq!(net.links(), links, "a healthy link was replaced");
}

impl Net {
    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() {
            0..=79 => {
                let (pipe, end) = (self.choose(choices), choices.below(2));
                let most = match choices.byte() {
                    few @ 0..=99 => usize::from(few),
                    _ => usize::MAX,
                };
                if let Some(pipe) = pipe {
                    self.deliver(pipe, end, most);
                }
            }
            80..=129 => {
                if let Some(pipe) = self.dialing(choices) {
                    self.connect(pipe);
                }
            }
            130..=134 => {
                if let Some(pipe) = self.dialing(choices) {
                    self.cut(pipe, TransportCause::Refused);
                }
            }
            135..=149 => {
                if let Some(pipe) = self.choose(choices) {
                    match choices.below(4) {
                        0 => self.cut(pipe, TransportCause::Reset),
                        1 => self.pipes[pipe].condition = Condition::Black,
                        // One end is told, the other one never.
                        end => {
                            self.tell_closed(pipe, end - 2, TransportCause::TimedOut);
                            self.pipes[pipe].condition = Condition::Black;
                        }
                    }
                }
            }
            150..=159 => {
                let host = choices.below(self.size);
                self.restart(host, choices.below(2) == 0);
            }
            160..=189 => {
                let host = choices.below(self.size);
                self.written(host);
            }
            190..=229 => {
                let millis = u64::from(choices.byte()) * 2;
                self.pass(Duration::from_millis(millis));
            }
            230..=249 => self.pass(Duration::from_millis(u64::from(choices.byte()) * 40)),
            250..=255 => {
                // Everything that can happen happens.
                for _ in 0..choices.below(8) {
                    self.settle();
                }
            }
        }
    }

    /// A pipe that somebody has open; the latest are the likeliest.
    fn choose(&self, choices: &mut Choices<'_>) -> Option<usize> {
        let open = |pipe: &usize| self.pipes[*pipe].ends.iter().any(Option::is_some);
        let open: Vec<usize> = (0..self.pipes.len()).rev().filter(open).collect();
        open.get(choices.below(open.len())).copied()
    }

    fn dialing(&self, choices: &mut Choices<'_>) -> Option<usize> {
        let dialing = |pipe: &usize| {
            self.pipes[*pipe].condition == Condition::Dialing && self.pipes[*pipe].ends[0].is_some()
        };
        let dialing: Vec<usize> = (0..self.pipes.len()).filter(dialing).collect();
        dialing.get(choices.below(dialing.len())).copied()
    }

    fn handle(&mut self, host: usize, input: Input<'_>) {
        self.hosts[host].node.handle(self.now, input);
        self.drain();
    }

    /// Carries out what all nodes order.
    fn drain(&mut self) {
        let mut closed = VecDeque::new();
        loop {
            for host in 0..self.size {
                while let Some(command) = self.hosts[host].node.next_command() {
                    self.carry_out(host, command, &mut closed);
                }
            }
            let Some((host, conn)) = closed.pop_front() else { return };
            self.hosts[host].node.handle(self.now, Input::Closed { conn, cause: TransportCause::Commanded });
        }
    }

    fn carry_out(&mut self, host: usize, command: Command, closed: &mut VecDeque<(usize, ConnId)>) {
        match command {
            Command::Dial { conn, addr: to } => {
                let to = (0..self.size).find(|host| addr(*host) == to).expect("one of us");
                self.hosts[host].conns.insert(conn, (self.pipes.len(), 0));
                self.pipes.push(Pipe {
                    condition: Condition::Dialing,
                    to,
                    ends: [Some((host, conn)), None],
                    queues: Default::default(),
                });
            }
            Command::Send { conn } => self.transmit(host, conn),
            Command::Close { conn, .. } => {
                self.transmit(host, conn);
                if let Some((pipe, end)) = self.hosts[host].conns.remove(&conn) {
                    self.pipes[pipe].ends[end] = None;
                    closed.push_back((host, conn));
                }
            }
            Command::Produce { .. }
            | Command::Validate { .. }
            | Command::Commit { .. }
            | Command::Load { .. }
            | Command::Resolve { .. } => {}
            Command::Persist { ticket, key, record } => {
                self.hosts[host].writing.push_back((ticket, Record { key, bytes: record }));
            }
            Command::Event(Event::Fatal(fatal)) => panic!("host {host} halts: {fatal}"),
            Command::Event(_) | Command::Reading { .. } => {}
        }
    }

    fn transmit(&mut self, host: usize, conn: ConnId) {
        let Some((pipe, end)) = self.hosts[host].conns.get(&conn).copied() else { return };
        let mut out = Vec::new();
        while self.hosts[host].node.transmit(self.now, conn, 20_000, &mut out) == Transmit::More {}
        if self.pipes[pipe].condition != Condition::Black {
            self.pipes[pipe].queues[1 - end].extend(out);
        }
    }

    fn connect(&mut self, pipe: usize) {
        let Some((dialer, conn)) = self.pipes[pipe].ends[0] else { return };
        let to = self.pipes[pipe].to;
        let from = SocketAddr::new(addr(dialer).ip(), 40_000);
        let accepted = self.hosts[to].node.accept(self.now, from).expect("it runs");
        self.hosts[to].conns.insert(accepted, (pipe, 1));
        self.pipes[pipe].ends[1] = Some((to, accepted));
        self.pipes[pipe].condition = Condition::Open;
        self.drain();
        self.handle(dialer, Input::Dialed { conn, local: from });
    }

    /// Bytes arrive; after the last one, the end of a stream that the other side has closed.
    fn deliver(&mut self, pipe: usize, end: usize, most: usize) -> bool {
        let entry = &mut self.pipes[pipe];
        let Some((host, conn)) = entry.ends[end] else { return false };
        if entry.condition != Condition::Open {
            return false;
        }
        let count = entry.queues[end].len().min(most);
        let bytes: Vec<u8> = entry.queues[end].drain(..count).collect();
        if count > 0 {
            self.handle(host, Input::Data { conn, bytes: &bytes });
            return true;
        }
        if most > 0 && entry.ends[1 - end].is_none() {
            self.tell_closed(pipe, end, TransportCause::Eof);
            return true;
        }
        false
    }

    fn tell_closed(&mut self, pipe: usize, end: usize, cause: TransportCause) {
        if let Some((host, conn)) = self.pipes[pipe].ends[end].take() {
            self.hosts[host].conns.remove(&conn);
            self.handle(host, Input::Closed { conn, cause });
        }
    }

    fn cut(&mut self, pipe: usize, cause: TransportCause) {
        for end in 0..2 {
            self.pipes[pipe].queues[end].clear();
            self.tell_closed(pipe, end, cause);
        }
    }

    fn written(&mut self, host: usize) {
        if let Some((ticket, record)) = self.hosts[host].writing.pop_front() {
            self.hosts[host].durable = Some(record);
            self.handle(host, Input::Persisted(ticket));
        }
    }

    /// The process dies and starts again; its peers hear of it, or not.
    fn restart(&mut self, host: usize, heard: bool) {
        self.pass(Duration::from_millis(1));
        let conns = std::mem::take(&mut self.hosts[host].conns);
        self.hosts[host].writing.clear();
        let boots = self.hosts[host].boots.wrapping_add(1);
        self.hosts[host].boots = boots;
        self.hosts[host].node = start(host, self.size, boots, self.hosts[host].durable.clone(), self.now);
        for (pipe, end) in conns.into_values() {
            self.pipes[pipe].ends[end] = None;
            if heard {
                self.tell_closed(pipe, 1 - end, TransportCause::Reset);
            } else {
                self.pipes[pipe].condition = Condition::Black;
            }
        }
        self.drain();
    }

    fn deadline(&self) -> Option<Mono> {
        self.hosts.iter().filter_map(|host| host.node.deadline()).min()
    }

    /// Time passes, and every wake-up is in time.
    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        for _ in 0..5_000 {
            let next = self.deadline().filter(|at| *at <= end);
            let step = next.unwrap_or(end).since(self.now.mono);
            self.now = Now { mono: self.now.mono + step, wall: self.now.wall };
            self.now.wall = Wall(1_795_000_000_000 + self.now.mono.0 / 1_000_000 - 1_000_000);
            if next.is_none() {
                return;
            }
            for host in 0..self.size {
                if self.hosts[host].node.deadline().is_some_and(|at| at <= self.now.mono) {
                    self.handle(host, Input::Tick);
                }
            }
        }
        panic!("the timers never come to rest");
    }

    /// Everything that is under way arrives, once.
    fn settle(&mut self) -> bool {
        let mut any = false;
        for host in 0..self.size {
            any |= !self.hosts[host].writing.is_empty();
            self.written(host);
        }
        for pipe in 0..self.pipes.len() {
            if self.pipes[pipe].condition == Condition::Dialing && self.pipes[pipe].ends[0].is_some() {
                any = true;
                self.connect(pipe);
            }
            for end in 0..2 {
                any |= self.deliver(pipe, end, usize::MAX);
            }
        }
        any
    }

    /// A good network for so long.
    fn heal(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.now.mono < end {
            let mut rounds = 0;
            while self.settle() {
                rounds += 1;
                assert!(rounds < 1_000, "the network never comes to rest");
            }
            let open = |pipe: &Pipe| pipe.ends.iter().any(Option::is_some);
            while self.pipes.last().is_some_and(|pipe| !open(pipe)) {
                self.pipes.pop();
            }
            let next = self.deadline().unwrap_or(end).min(end);
            self.pass(next.since(self.now.mono).max(Duration::from_millis(1)));
        }
    }

    /// The links that both ends have, by pair; an end that has another one, or none, leaves its pair out.
    fn links(&mut self) -> BTreeMap<(usize, usize), LinkTag> {
        let mut ends = BTreeMap::new();
        for host in 0..self.size {
            let mut links = 0;
            let request = Request::Peers;
            self.hosts[host].node.handle(self.now, Input::Request { id: RequestId(1), request });
            while let Some(command) = self.hosts[host].node.next_command() {
                let Command::Event(Event::Reply { reply: Reply::Peers(peers), .. }) = command else {
                    panic!("no answer: {command:?}")
                };
                for peer in peers {
                    let other = (0..self.size).find(|other| id(*other) == peer.node).expect("one of us");
                    assert!(ends.insert((host, other), peer.session).is_none(), "two links with one peer");
                    links += 1;
                }
            }
            let sockets = self.hosts[host].conns.len();
            assert_eq!(sockets, links, "host {host} has sockets beside its links");
        }
        let shared = |(a, b): (usize, usize)| {
            let tag = *ends.get(&(a, b))?;
            (ends.get(&(b, a)) == Some(&tag)).then_some(((a, b), tag))
        };
        ends.keys().copied().filter(|(a, b)| a < b).filter_map(shared).collect()
    }
}

/// A calm start, and starts with cuts, silence and restarts at various moments.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let calm = [190, 250, 250, 7, 190, 250, 250, 7, 240, 60, 250, 7];
    let mut seeds = vec![vec![0], [&[1][..], &calm].concat()];
    for trouble in [[135, 0, 0], [135, 0, 1], [135, 0, 2], [135, 0, 3], [150, 0, 0], [150, 1, 1]] {
        let mut seed = vec![1];
        seed.extend(calm);
        seed.extend(trouble);
        seed.extend([190, 200, 80, 0, 0, 0, 0, 50, 80, 1, 250, 2, 150, 1, 0, 230, 40]);
        seeds.push(seed);
    }
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn cluster_holds_on_seeds_and_noise() {
        crate::smoke::run("cluster", &super::seeds(), 60, super::body);
    }
}
