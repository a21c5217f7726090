//! Attackers with keys: they complete handshakes, and then do what no honest peer does.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use timed_core::crypto::noise::NoiseProvider;
use timed_core::wire::message::{Answer, GetBlocks, Intent, Lane, Message, Ping, Pong};
use timed_core::{
    CanonicalAddr, Config, DialOrdinal, DialedBecause, GenesisHash, Height, Limits, Masternode,
    MasternodeMode, NetworkName, NodeId, Registry, Timings, TxId,
};
use timed_tests::scripted::{Actor, Line, REPLY};
use zeroize::Zeroizing;

use super::{Field, HOSTS};
use crate::network::{Network, PORT};

/// Keys that were drawn already.
static KEYS: AtomicU64 = AtomicU64::new(1);

/// What a peer of the network has to know of it.
pub struct Papers(Config);

/// A peer's connection after its `Hello` was answered.
pub struct Guest {
    stream: TcpStream,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
    line: Line,
    answer: Answer,
}

impl Papers {
    /// Of this network, as any observer gets them.
    pub fn of(network: &Network) -> Self {
        let status = network.get(1, "/status").1;
        let entry = |host: &u8| Masternode {
            id: NodeId(bytes(network.id(*host))),
            addr: CanonicalAddr::new(SocketAddr::from((network.ip(*host), PORT))).unwrap(),
        };
        Self(Config {
            network: NetworkName::new(status["network"].as_str().unwrap()).unwrap(),
            genesis: GenesisHash(bytes(status["genesis_hash"].as_str().unwrap())),
            registry: Registry::new(HOSTS.iter().map(entry).collect()).unwrap(),
            advertised: None,
            bootstrap: Vec::new(),
            reserved: Vec::new(),
            seeds: Vec::new(),
            addresses: timed_core::AddrScope::Private,
            masternode: MasternodeMode::Disabled,
            agent: "siege".to_owned(),
            chain: None,
            timings: Timings::default(),
            limits: Limits::default(),
        })
    }

    /// A stranger with a key of its own.
    pub fn stranger(&self) -> Actor {
        let mut seed = [0x5a; 32];
        seed[..8].copy_from_slice(&KEYS.fetch_add(1, Relaxed).to_le_bytes());
        let wall = timed_mio::now().wall;
        Actor::new(Box::new(NoiseProvider::new(Zeroizing::new(seed))), &self.0, None, wall)
    }

    /// A stranger's handshake with what it said on the way; `None` if it was not let in that far.
    pub fn introduced(&self, field: &Field, intent: Intent) -> Option<(Guest, Vec<Vec<u8>>)> {
        self.handshake(field.dial()?, intent)
    }

    /// The same on a connection that is there already.
    pub fn handshake(&self, mut stream: TcpStream, intent: Intent) -> Option<(Guest, Vec<Vec<u8>>)> {
        let mut actor = self.stranger();
        let (dialing, opening) = actor.dial();
        stream.write_all(&opening).ok()?;
        let mut reply = [0; REPLY];
        stream.read_exact(&mut reply).ok()?;
        let mut line = dialing.reply(&reply)?;
        let hello = actor.hello(&line, DialOrdinal(1), intent, None);
        let word = line.say(&Message::Hello(Box::new(hello)));
        stream.write_all(&word).ok()?;
        let mut chunk = [0; 4096];
        loop {
            let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
            for message in line.hear(&chunk[..read]).ok()? {
                if let Message::HelloAck(ack) = message {
                    let guest = Guest { stream, unsent: Vec::new(), line, answer: ack.answer };
                    return Some((guest, vec![opening, word]));
                }
            }
        }
    }
}

fn bytes(hex: &str) -> [u8; 32] {
    let mut out = [0; 32];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    }
    out
}

impl Guest {
    /// Sends as much as the socket takes of this and of what was left; `false` once the node has closed.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.unsent.extend_from_slice(bytes);
        let _ = self.stream.set_write_timeout(Some(Duration::from_millis(5)));
        match self.stream.write(&self.unsent) {
            Ok(sent) => {
                self.unsent.drain(..sent);
                true
            }
            Err(error) => is_full(&error),
        }
    }

    /// Reads what is there and answers pings; `false` once the node has closed.
    fn attend(&mut self) -> bool {
        let mut chunk = vec![0; 64 * 1024];
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(1)));
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(read) => {
                    let Ok(messages) = self.line.hear(&chunk[..read]) else { return false };
                    for message in messages {
                        if let Message::Ping(ping) = message {
                            let pong = self.line.say(&Message::Pong(Pong { token: ping.token }));
                            let _ = self.stream.write_all(&pong);
                        }
                    }
                }
                Err(error) => return is_full(&error),
            }
        }
    }
}

/// Whether a socket can do no more at present, and is sound.
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

const SESSION: Intent = Intent::Session(DialedBecause::Canonical);
/// Observers at once.
const GUESTS: usize = 6;

/// Strangers who ask to be dialed, each with a key of its own.
pub fn knocks(papers: &Papers) -> impl Fn(&Field) + Sync + '_ {
    move |field| {
        field.repeat(300, || {
            if papers.introduced(field, Intent::Knock).is_some() {
                field.done.fetch_add(1, Relaxed);
            }
        });
    }
}

/// Observers who are let in again and again, each time under another key.
pub fn comers_and_goers(papers: &Papers) -> impl Fn(&Field) + Sync + '_ {
    move |field| {
        field.repeat(300, || {
            if papers.introduced(field, SESSION).is_some() {
                field.done.fetch_add(1, Relaxed);
            }
        });
    }
}

/// Keeps observers on the node and has each do something in turn; whoever is thrown out comes back.
fn visit(papers: &Papers, field: &Field, mut act: impl FnMut(&mut Guest, u64) -> bool) {
    let mut guests: BTreeMap<usize, Guest> = BTreeMap::new();
    let mut round = 0;
    while !field.is_over() {
        round += 1;
        for place in 0..GUESTS {
            let guest = guests.remove(&place).or_else(|| {
                let (guest, _) = papers.introduced(field, SESSION)?;
                (guest.answer == Answer::Accepted).then_some(guest)
            });
            if let Some(mut guest) = guest {
                field.done.fetch_add(1, Relaxed);
                if act(&mut guest, round) {
                    guests.insert(place, guest);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Observers who ask for much and never read.
pub fn deaf_guests(papers: &Papers) -> impl Fn(&Field) + Sync + '_ {
    move |field| {
        visit(papers, field, |guest, round| {
            let asked = Message::GetBlocks(GetBlocks {
                id: round,
                from: Height(1),
                to: Height(64),
                max_bytes: 1 << 20,
            });
            let mut said = guest.line.say(&asked);
            for token in 0..50 {
                said.extend(guest.line.say(&Message::Ping(Ping { token })));
            }
            // A full socket is what it wants.
            if guest.unsent.is_empty() { guest.send(&said) } else { guest.send(&[]) }
        });
    }
}

/// Observers who say a great deal that is well-formed and of no use.
pub fn chatterers(papers: &Papers) -> impl Fn(&Field) + Sync + '_ {
    move |field| {
        visit(papers, field, |guest, round| {
            let mut said = Vec::new();
            for at in 0..20u64 {
                let mut id = [7; 32];
                id[..8].copy_from_slice(&(round * 20 + at).to_le_bytes());
                said.extend(guest.line.say(&Message::Ping(Ping { token: at })));
                said.extend(guest.line.say(&Message::Datagram(vec![9; 1_024].into())));
                said.extend(guest.line.say(&Message::TransactionOffer(vec![TxId(id); 16])));
                said.extend(guest.line.say(&Message::GetBlocks(GetBlocks {
                    id: round * 20 + at,
                    from: Height(1),
                    to: Height(8),
                    max_bytes: 1 << 20,
                })));
            }
            let sent = if guest.unsent.is_empty() { guest.send(&said) } else { guest.send(&[]) };
            sent && guest.attend()
        });
    }
}

/// Observers whose channel is genuine and whose lengths are not.
pub fn giant_guests(papers: &Papers) -> impl Fn(&Field) + Sync + '_ {
    move |field| {
        visit(papers, field, |guest, round| {
            let bytes = if round % 2 == 0 {
                guest.line.seal(Lane::Control, &[0xff; 64])
            } else {
                vec![0xff; 4 * 1024]
            };
            guest.send(&bytes) && guest.attend()
        });
    }
}
