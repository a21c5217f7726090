//! What a test sees of a world: hosts, links that both ends hold, dials, connections.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use timed_core::flight::Flight;
use timed_core::{DialedBecause, Direction, Holding, LinkTag, NodeId};

use super::clock::SimTime;
use super::faults::Fault;
use super::host::{Exit, Host, HostId, Role};
use super::observe::Seen;
use super::trace::TraceHash;
use super::world::World;

/// A link that both ends hold under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The end that dialed.
    pub dialer: HostId,
    /// The other.
    pub acceptor: HostId,
    /// Why it was dialed.
    pub because: DialedBecause,
    /// Its name.
    pub session: LinkTag,
}

impl World {
    /// All hosts.
    #[must_use]
    pub fn ids(&self) -> Vec<HostId> {
        (0..self.hosts.len()).map(HostId).collect()
    }

    /// The hosts that run nodes, or would.
    #[must_use]
    pub fn nodes(&self) -> Vec<HostId> {
        self.hosts.iter().filter(|host| host.role == Role::Node).map(|host| host.id).collect()
    }

    /// How often each fault has struck so far.
    #[must_use]
    pub const fn struck(&self) -> &BTreeMap<Fault, u64> {
        &self.struck
    }

    /// One host.
    #[must_use]
    pub fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.0]
    }

    /// One host, to change its configuration or its disk.
    pub fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0]
    }

    /// What a host's present or last process has shown.
    #[must_use]
    pub fn seen(&self, host: HostId) -> &Seen {
        &self.hosts[host.0].seen
    }

    /// How a host's last process ended, if none runs.
    #[must_use]
    pub fn exit(&self, host: HostId) -> Option<&Exit> {
        self.hosts[host.0].exit.as_ref()
    }

    /// The link of two hosts, if both hold it under one name.
    #[must_use]
    pub fn link(&self, a: HostId, b: HostId) -> Option<Link> {
        let [here, there] = [a, b].map(|id| &self.hosts[id.0]);
        if !here.is_up() || !there.is_up() {
            return None;
        }
        let ours = here.seen.link(&there.node_id)?;
        let theirs = there.seen.link(&here.node_id)?;
        if ours.session != theirs.session || ours.direction == theirs.direction {
            return None;
        }
        let (dialer, acceptor) = if ours.direction == Direction::Outbound { (a, b) } else { (b, a) };
        Some(Link { dialer, acceptor, because: ours.because, session: ours.session })
    }

    /// All links that both ends hold.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let pairs = self.hosts.iter().flat_map(|a| self.hosts.iter().map(move |b| (a.id, b.id)));
        pairs.filter(|(a, b)| a < b).filter_map(|(a, b)| self.link(a, b)).collect()
    }

    /// Whether every two running masternodes have a link that both hold.
    #[must_use]
    pub fn is_meshed(&self) -> bool {
        let registered =
            |host: &&Host| host.is_running() && host.config.registry.get(&host.node_id).is_some();
        let nodes: Vec<&Host> = self.hosts.iter().filter(registered).collect();
        // Cheap first: this is asked after every step.
        nodes.iter().all(|node| node.seen.live.len() + 1 >= nodes.len())
            && nodes.iter().enumerate().all(|(index, a)| {
                nodes[..index].iter().all(|b| a.node_id == b.node_id || self.link(a.id, b.id).is_some())
            })
    }

    /// Links whose dialer is not the end with the numerically lower advertised address.
    #[must_use]
    pub fn wrong_direction(&self) -> Vec<Link> {
        let addr = |id: HostId| self.hosts[id.0].config.advertised;
        let wrong = |link: &Link| match (addr(link.dialer), addr(link.acceptor)) {
            (Some(dialer), Some(acceptor)) => dialer > acceptor,
            (None, _) => false,
            (Some(_), None) => true,
        };
        self.links().into_iter().filter(wrong).collect()
    }

    /// `Dial` commands of all present processes from a time on.
    #[must_use]
    pub fn dials_since(&self, since: SimTime) -> usize {
        self.hosts.iter().map(|host| host.seen.dials_since(since)).sum()
    }

    /// Connections that the kernels know.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.net.size()
    }

    /// Connections that both processes hold at present.
    #[must_use]
    pub fn established(&self) -> usize {
        self.net.established().count()
    }

    /// How full the tables of a host's process are; nothing if none runs.
    #[must_use]
    pub fn holdings(&self, host: HostId) -> Vec<Holding> {
        self.hosts[host.0].process.as_ref().map(|process| process.node.node().holdings()).unwrap_or_default()
    }

    /// What is recorded of a host's process, and every command that it gave, written out.
    #[must_use]
    pub fn flight(&self, host: HostId) -> Option<(Flight, Vec<String>)> {
        let host = &self.hosts[host.0];
        let now = host.clock.read(self.cx.now);
        let (flight, said) = host.process.as_ref()?.node.flight(now)?;
        Some((flight, said.to_vec()))
    }

    /// The length of everything that a host's process holds, written out: what grows without a row in
    /// [`World::holdings`] shows here.
    #[must_use]
    pub fn state_length(&self, host: HostId) -> usize {
        struct Length(usize);
        impl fmt::Write for Length {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0 += text.len();
                Ok(())
            }
        }
        let mut length = Length(0);
        if let Some(process) = &self.hosts[host.0].process {
            // Counting cannot fail.
            let _ = write!(length, "{:?}", process.node.node());
        }
        length.0
    }

    /// The hash of everything that happened so far.
    #[must_use]
    pub fn trace_hash(&self) -> TraceHash {
        self.cx.trace.hash()
    }

    /// The host with a key, if there is exactly one.
    #[must_use]
    pub fn host_of(&self, id: &NodeId) -> Option<HostId> {
        let mut hosts = self.hosts.iter().filter(|host| host.node_id == *id).map(|host| host.id);
        hosts.next().filter(|_| hosts.next().is_none())
    }

    /// Every host in a line: whether it runs and whom it is linked to.
    #[must_use]
    pub fn describe(&self) -> String {
        let name = |id: &NodeId| self.host_of(id).map_or_else(|| format!("{id:?}"), |host| host.to_string());
        let mut text = String::new();
        for host in self.hosts.iter().filter(|host| host.role == Role::Node) {
            let state = match (&host.exit, host.is_up(), host.is_running()) {
                (_, true, true) => "runs".to_owned(),
                (_, true, false) => "is frozen".to_owned(),
                (Some(exit), false, _) => format!("is down ({exit:?})"),
                (None, false, _) => "was never started".to_owned(),
            };
            let mut links: Vec<String> = host.seen.live.iter().map(|link| name(&link.peer)).collect();
            links.sort_by_key(|name| (name.len(), name.clone()));
            let addr =
                host.config.advertised.map_or_else(|| "no address".to_owned(), |addr| addr.to_string());
            let chain = match host.config.chain {
                Some(_) => format!("; {}", host.chain_state()),
                None => String::new(),
            };
            text.push_str(&format!(
                "  {} {addr} {state}, {} links: {}{chain}\n",
                host.id,
                links.len(),
                links.join(" ")
            ));
        }
        text
    }
}
