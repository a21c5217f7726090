//! The arm on the simulator: a node on a simulated machine, virtual time, every fault-free seed alike.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use timed_core::{Event, NodeId, Reply, Request, Wall};

use super::arm::{Arm, Ground, Miss, Player, Process, Scene, Stage, Stream, Verdict, Wire};
use crate::sim::{HostId, Setup, Side, TcpId, World, noise};

/// Between two blocks.
const INTERVAL: Duration = Duration::from_secs(2);
/// The machines of strangers.
const GUESTS_FROM: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// Sets up simulated networks; each case has the same seed.
#[derive(Clone, Copy, Debug)]
pub struct Simulated {
    /// The seed of the network's behaviour and of all keys.
    pub seed: u64,
}

impl Stage for Simulated {
    fn name(&self) -> &'static str {
        "simulator"
    }

    fn set(&self, scene: Scene) -> Result<Box<dyn Arm>, Miss> {
        Ok(Box::new(SimArm::new(self.seed, scene)))
    }
}

#[derive(Debug)]
struct Conn {
    tcp: TcpId,
    side: Side,
    out: Vec<u8>,
    closed: bool,
}

#[derive(Debug)]
struct SimArm {
    world: World,
    subject: HostId,
    ground: Ground,
    conns: BTreeMap<Wire, Conn>,
    facts_read: usize,
}

impl SimArm {
    fn new(seed: u64, scene: Scene) -> Self {
        let mut setup = Setup::new(noise);
        // The node is at 10.0.0.2: somebody dials it, and it dials two.
        setup = match scene {
            Scene::Links | Scene::Blocks => setup.masternodes(4),
            Scene::Observer => {
                // The observer is at 10.1.0.1.
                let all = ["10.0.0.1:24100", "10.2.0.3:24100", "10.2.0.4:24100"];
                setup.masternodes_at(&all).observers(1)
            }
        };
        if scene != Scene::Links {
            setup = setup.chain(INTERVAL);
        }
        let mut world = World::new(seed, &setup);
        let subject = if scene == Scene::Observer { HostId(3) } else { HostId(1) };
        let mut players = Vec::new();
        for id in world.ids().into_iter().filter(|id| *id != subject) {
            world.stand_in(id);
            let host = world.host(id);
            let node = host.node_id;
            if let Some(entry) = host.config.registry.get(&node) {
                players.push(Player { key: host.secret(), node, addr: entry.addr });
            }
        }
        let config = world.host(subject).config.clone();
        let ground = Ground {
            subject: world.host(subject).node_id,
            addr: config.advertised.expect("every host of a plan has an address"),
            config,
            players,
            guests_from: Some(IpAddr::V4(GUESTS_FROM)),
            slack: 1,
        };
        Self { world, subject, ground, conns: BTreeMap::new(), facts_read: 0 }
    }

    fn host(&mut self, ip: IpAddr) -> HostId {
        match self.world.host_at(ip) {
            Some(host) => host,
            None => self.world.add_stranger(ip),
        }
    }

    fn keep(&mut self, tcp: TcpId, side: Side) -> Wire {
        let wire = Wire(self.conns.len());
        self.conns.insert(wire, Conn { tcp, side, out: Vec::new(), closed: false });
        wire
    }

    /// Writes what windows had no room for, and closes what is to be closed when all is written.
    fn flush(&mut self) {
        for conn in self.conns.values_mut() {
            if !conn.out.is_empty() {
                let written = self.world.raw_write_at(conn.tcp, conn.side, &conn.out);
                conn.out.drain(..written);
            }
        }
    }
}

impl Arm for SimArm {
    fn ground(&self) -> &Ground {
        &self.ground
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now().0)
    }

    fn wall(&self) -> Wall {
        self.world.wall()
    }

    fn pass(&mut self, time: Duration) {
        self.flush();
        self.world.run_for(time);
        self.flush();
    }

    fn dial(&mut self, from: Option<IpAddr>) -> Wire {
        let host = self.host(from.unwrap_or(IpAddr::V4(GUESTS_FROM)));
        let tcp = self.world.raw_dial(host, self.ground.addr.socket());
        self.keep(tcp, Side::Dialer)
    }

    fn listen(&mut self, at: SocketAddr) -> Verdict {
        let host = self.host(at.ip());
        self.world.raw_listen(host);
        Ok(())
    }

    fn take(&mut self, at: SocketAddr) -> Option<Wire> {
        let host = self.host(at.ip());
        let tcp = self.world.raw_accept(host)?;
        Some(self.keep(tcp, Side::Acceptor))
    }

    fn local(&mut self, wire: Wire) -> Option<SocketAddr> {
        self.world.raw_local(self.conns[&wire].tcp)
    }

    fn write(&mut self, wire: Wire, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&wire).filter(|conn| !conn.closed) {
            conn.out.extend_from_slice(bytes);
        }
        self.flush();
    }

    fn read(&mut self, wire: Wire, out: &mut Vec<u8>) -> Stream {
        let conn = &self.conns[&wire];
        if !conn.closed && self.world.raw_read_at(conn.tcp, conn.side, out) {
            Stream::Open
        } else {
            Stream::Ended
        }
    }

    fn close(&mut self, wire: Wire) {
        self.flush();
        if let Some(conn) = self.conns.get_mut(&wire).filter(|conn| !conn.closed) {
            conn.closed = true;
            conn.out.clear();
            self.world.raw_close_at(conn.tcp, conn.side);
        }
    }

    fn plays(&mut self, node: NodeId) {
        self.world.excuse(node);
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        Some(self)
    }
}

impl Process for SimArm {
    fn start(&mut self) {
        self.facts_read = 0;
        self.world.start(self.subject);
    }

    fn kill(&mut self) {
        self.world.kill(self.subject);
    }

    fn freeze(&mut self, time: Duration) {
        self.world.freeze(self.subject);
        self.world.run_for(time);
        self.world.thaw(self.subject);
    }

    fn ask(&mut self, request: Request) -> Option<Reply> {
        let id = self.world.post(self.subject, request);
        for _ in 0..1_000 {
            if let Some(reply) = self.world.answer(self.subject, id) {
                return Some(reply);
            }
            self.world.run_for(Duration::from_millis(1));
        }
        None
    }

    fn facts(&mut self) -> Vec<Event> {
        let facts = &self.world.seen(self.subject).facts;
        let new = facts.iter().skip(self.facts_read).map(|(_, event)| event.clone()).collect();
        self.facts_read = facts.len();
        new
    }

    fn key(&self) -> [u8; 32] {
        self.world.host(self.subject).secret()
    }
}
