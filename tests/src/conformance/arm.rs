//! What a case of the suite stands on: a node under test, the machines of the peers that the suite plays, and time.
//!
//! Everything is bytes: a case cannot tell whether they cross a simulated network or the loopback interface, nor in
//! which language the node is written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use timed_core::{CanonicalAddr, Config, Event, NodeId, Reply, Request, Wall};

/// A connection of the suite's, at either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wire(pub usize);

/// What a connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// More may come.
    Open,
    /// The node has closed or reset it, and everything it sent has been read.
    Ended,
}

/// Which network a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// Four masternodes, of which the node is one; blocks are made or not.
    Links,
    /// Four masternodes, of which the node is one, and blocks.
    Blocks,
    /// The node is not registered; three masternodes that the suite plays make blocks.
    Observer,
}

impl Scene {
    /// Its name in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Blocks => "blocks",
            Self::Observer => "observer",
        }
    }
}

/// A registered masternode that the suite plays.
#[derive(Clone, Debug)]
pub struct Player {
    /// The seed of its ed25519 key.
    pub key: [u8; 32],
    /// Its key.
    pub node: NodeId,
    /// Where the registry has it.
    pub addr: CanonicalAddr,
}

/// What is known before a case begins.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The key of the node under test.
    pub subject: NodeId,
    /// Where it listens.
    pub addr: CanonicalAddr,
    /// The network, and the times and bounds that the node keeps. As the node was told, except its own address.
    pub config: Config,
    /// The masternodes that the suite plays.
    pub players: Vec<Player>,
    /// The source of the next strangers, one up for each; `None` leaves it to the system.
    pub guests_from: Option<IpAddr>,
    /// How many times as long as promised the suite waits before it says that something did not come.
    pub slack: u32,
}

/// Why a case did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The node did not do what the rule says.
    Broken(String),
    /// The arm cannot show it: what is lacking.
    Lacks(&'static str),
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(what) => f.write_str(what),
            Self::Lacks(what) => write!(f, "needs {what}"),
        }
    }
}

/// How a case ended.
pub type Verdict = Result<(), Miss>;

/// The rule is broken in this way.
pub fn broken(what: impl Into<String>) -> Miss {
    Miss::Broken(what.into())
}

/// One node under test and everything around it.
pub trait Arm {
    /// What is known before the case begins.
    fn ground(&self) -> &Ground;

    /// Time since the arm was set up.
    fn now(&self) -> Duration;

    /// The true wall time.
    fn wall(&self) -> Wall;

    /// Lets time pass.
    fn pass(&mut self, time: Duration);

    /// Connects to the node, from an address if one is given.
    fn dial(&mut self, from: Option<IpAddr>) -> Wire;

    /// Listens where a played masternode is registered.
    ///
    /// # Errors
    /// If this machine has no such address.
    fn listen(&mut self, at: SocketAddr) -> Verdict;

    /// The next connection that came in there.
    fn take(&mut self, at: SocketAddr) -> Option<Wire>;

    /// The suite's own end, once the connection is established.
    fn local(&mut self, wire: Wire) -> Option<SocketAddr>;

    /// Writes; what the kernel does not take now waits its turn.
    fn write(&mut self, wire: Wire, bytes: &[u8]);

    /// Appends what has arrived.
    fn read(&mut self, wire: Wire, out: &mut Vec<u8>) -> Stream;

    /// Closes the suite's end.
    fn close(&mut self, wire: Wire);

    /// From now on the suite plays a node with this key.
    fn plays(&mut self, _node: NodeId) {}

    /// The node's process, where the arm has it in hand.
    fn process(&mut self) -> Option<&mut dyn Process>;
}

/// The node's process and its operator.
pub trait Process {
    /// Starts it with what its disk has.
    fn start(&mut self);

    /// Ends it without a word; its kernel closes its sockets.
    fn kill(&mut self);

    /// Keeps it from running for so long, and lets it go on.
    fn freeze(&mut self, time: Duration);

    /// Asks as its operator does, and gives the answer if there is one.
    fn ask(&mut self, request: Request) -> Option<Reply>;

    /// What it has told since the last look.
    fn facts(&mut self) -> Vec<Event>;

    /// The seed of its key.
    fn key(&self) -> [u8; 32];
}

/// Sets up an arm for one case.
pub trait Stage: Sync {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// A node that does not run yet, or the one that is there.
    ///
    /// # Errors
    /// [`Miss::Lacks`] if it has no such scene, [`Miss::Broken`] if it cannot be set up.
    fn set(&self, scene: Scene) -> Result<Box<dyn Arm>, Miss>;
}
