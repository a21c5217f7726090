//! Questions and orders from the operator and the application, answered from the one pool.

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, ClosedBy, Event, PeerInfo, Pending, Reply, Status};
use crate::ids::{ConnId, RequestId, SeedId};
use crate::input::{PeerRef, Request};
use crate::limits::MAX_DATAGRAM;
use crate::net::bans::{self, Verdict};
use crate::net::observed;
use crate::net::peer::Peer;
use crate::net::pool::Destination;
use crate::net::slots;
use crate::net::wishes::Wish;
use crate::node::{Node, Run};
use crate::time::{Mono, Now};
use crate::wire::message::{Lane, Message};

/// Whom a request names.
pub(super) enum Named {
    One(Destination),
    Us,
    Nobody,
    Several,
}

impl Node {
    /// Answers at once, or, if something has to be durable before, later.
    pub(super) fn request(&mut self, now: Now, id: RequestId, request: Request) {
        if let Some(reply) = self.answer(now, id, request) {
            self.event(Event::Reply { id, reply });
        }
    }

    fn answer(&mut self, now: Now, id: RequestId, request: Request) -> Option<Reply> {
        let reply = match request {
            Request::Status => Reply::Status(Box::new(self.status(now))),
            Request::Peers => {
                Reply::Peers(self.pool.live().filter_map(|(p, c)| self.peer_info(now, p, c)).collect())
            }
            Request::Matrix => Reply::Matrix(Box::new(self.masternode.matrix(
                now.mono,
                self.own_links(),
                self.absent_seats(),
            ))),
            Request::Masternodes => Reply::Masternodes(self.masternode.masternodes(now.mono)),
            Request::Why(peer) => self.explain(now, &peer),
            Request::Connect { addr, id } => {
                let wishes = Wish::Ordered.into();
                match self.pool.want(addr, id, wishes, &self.config.registry, now, &mut self.rng) {
                    Some(destination) => self.order_dial(now, destination),
                    None if id == Some(self.identity.node) || self.pool.owns(&addr) => Reply::IsSelf,
                    None => Reply::Refused("the table of known peers is full"),
                }
            }
            Request::ConnectKnown(peer) => match self.named(&peer) {
                Named::One(destination) => self.order_dial(now, destination),
                Named::Us => Reply::IsSelf,
                Named::Nobody => Reply::UnknownPeer,
                Named::Several => Reply::AmbiguousPeer,
            },
            Request::Forget(peer) => match self.named(&peer) {
                Named::One(destination) => self.forget_order(now, destination),
                Named::Us => Reply::IsSelf,
                Named::Nobody => Reply::UnknownPeer,
                Named::Several => Reply::AmbiguousPeer,
            },
            Request::Disconnect(peer) => match self.named(&peer) {
                Named::One(destination) => self.disconnect(now, destination),
                Named::Us => Reply::IsSelf,
                Named::Nobody => Reply::UnknownPeer,
                Named::Several => Reply::AmbiguousPeer,
            },
            Request::Send { to, payload } => {
                if payload.len() > MAX_DATAGRAM {
                    return Some(Reply::Refused("a message may have at most 65,536 bytes"));
                }
                if let Some(to) = to {
                    let Some(live) = self.pool.get(&to).and_then(|peer| peer.live) else {
                        return Some(Reply::UnknownPeer);
                    };
                    let frame = self.frames.encode(&Message::Datagram(payload));
                    self.deliver(now, live.conn, Lane::Relay, &frame);
                    return Some(Reply::Sent(1));
                }
                let conns: Vec<ConnId> = self.pool.live().map(|(_, conn)| conn).collect();
                let frame = self.frames.encode(&Message::Datagram(payload));
                for conn in &conns {
                    self.deliver(now, *conn, Lane::Relay, &frame);
                }
                Reply::Sent(conns.len())
            }
            Request::Submit(_) if self.leave.announced().is_some() => Reply::Draining,
            Request::Submit(_) | Request::Transaction(_) | Request::Evidence | Request::Consensus => {
                return self.answer_about_blocks(now, id, request);
            }
            Request::Ban { target, lasts, note } => return self.order_ban(now, id, target, lasts, note),
            Request::Unban(target) => return self.order_unban(now, id, target),
            Request::Bans => Reply::Bans(self.bans.list(now)),
            Request::Reconfigure(new) => self.reconfigure(now, &new),
            Request::Drain { lasts, loss } => self.order_drain(now, lasts, loss),
            Request::Undrain => self.order_undrain(now),
            Request::Stop => {
                self.stop(now, CloseReason::Shutdown);
                Reply::Stopping
            }
        };
        Some(reply)
    }

    fn status(&self, now: Now) -> Status {
        let mut counters = self.counters;
        if let Some(chain) = &self.chain {
            chain.tally(&mut counters);
        }
        Status {
            node: self.identity.node,
            advertised: self.identity.advertised,
            masternode: self.config.registry.index_of(&self.identity.node),
            epoch: self.identity.boot.epoch,
            external_ip: self.reach.observed.learned(),
            seen_as: observed::tally(self.votes()),
            summary: self.summary(now),
            bans: self.bans.count(),
            pending: self.pending(now.mono),
            counters,
        }
    }

    fn pending(&self, now: Mono) -> Pending {
        let links = || self.links.iter().map(|(_, link)| link);
        let stalls = links().filter_map(|link| link.peering()?.vitals.stalled);
        Pending {
            unauthenticated: self.unauthenticated.len(),
            deferred: self.deferred.len(),
            dialing: self.dialing.len(),
            queued_bytes: Lane::ALL.map(|lane| links().map(|link| link.out.held(lane)).sum()),
            stalled: stalls.map(|since| now.since(since)).max().unwrap_or_default(),
        }
    }

    pub(super) fn named(&self, peer: &PeerRef) -> Named {
        let one = |mut found: Vec<Destination>| match (found.pop(), found.len()) {
            (Some(only), 0) => Named::One(only),
            (None, _) => Named::Nobody,
            _ => Named::Several,
        };
        let peers = |matches: &dyn Fn(&Peer) -> bool| -> Vec<Destination> {
            self.pool.peers().filter(|peer| matches(peer)).map(|peer| Destination::Peer(peer.id)).collect()
        };
        match peer {
            PeerRef::Id(id) if *id == self.identity.node => Named::Us,
            PeerRef::Id(id) => one(peers(&|peer| peer.id == *id)),
            PeerRef::Addr(addr) if self.pool.owns(addr) => Named::Us,
            PeerRef::Addr(addr) => {
                let found =
                    peers(&|peer| peer.addr == Some(*addr) || self.remote(peer) == Some(addr.socket()));
                let bare = Destination::Addr(*addr);
                if found.is_empty() && self.pool.dialing(bare).is_some() {
                    Named::One(bare)
                } else {
                    one(found)
                }
            }
            PeerRef::Ip(ip) => {
                let ip = ip.to_canonical();
                let mut found = peers(&|peer| {
                    peer.addr.is_some_and(|addr| addr.ip() == ip)
                        || self.remote(peer).is_some_and(|remote| remote.ip() == ip)
                });
                let bare = |addr: &CanonicalAddr| addr.ip() == ip;
                found.extend(self.pool.bare().filter(bare).map(Destination::Addr));
                let own = self.identity.advertised.is_some_and(|addr| addr.ip() == ip);
                if own && found.is_empty() { Named::Us } else { one(found) }
            }
            PeerRef::Seed(seed) => self.behind_name(*seed),
            PeerRef::IdPrefix(prefix) => {
                let found = peers(&|peer| peer.id.to_string().starts_with(prefix.as_str()));
                if found.is_empty() && self.identity.node.to_string().starts_with(prefix.as_str()) {
                    Named::Us
                } else {
                    one(found)
                }
            }
        }
    }

    /// Whom a configured name leads to: where it leads to several, whoever of them has the one live session.
    fn behind_name(&self, seed: SeedId) -> Named {
        let Some((id, addrs, _)) = self.seeds.stands_for(seed) else { return Named::Nobody };
        if let Some(id) = id {
            return if id == self.identity.node { Named::Us } else { self.named(&PeerRef::Id(id)) };
        }
        let leads = |peer: &Peer| {
            let at =
                [peer.addr, peer.found_at(), self.remote(peer).and_then(|at| CanonicalAddr::new(at).ok())];
            at.into_iter().flatten().any(|at| addrs.contains(&at))
        };
        let meant: Vec<&Peer> = self.pool.peers().filter(|peer| leads(peer)).collect();
        let live: Vec<&&Peer> = meant.iter().filter(|peer| peer.live.is_some()).collect();
        if let [only] = live.as_slice() {
            return Named::One(Destination::Peer(only.id));
        }
        let bare = self.pool.bare().filter(|addr| addrs.contains(addr)).map(Destination::Addr);
        let all: Vec<Destination> = meant.iter().map(|peer| Destination::Peer(peer.id)).chain(bare).collect();
        match all.as_slice() {
            [only] => Named::One(*only),
            [] if addrs.iter().any(|addr| self.pool.owns(addr)) => Named::Us,
            [] => Named::Nobody,
            _ => Named::Several,
        }
    }

    fn remote(&self, peer: &Peer) -> Option<std::net::SocketAddr> {
        self.links.get(peer.live?.conn).map(|link| link.remote)
    }

    fn order_dial(&mut self, now: Now, destination: Destination) -> Reply {
        if self.run != Run::Working {
            return Reply::Refused("the node is stopping");
        }
        if let Verdict::Banned(_) =
            bans::verdict(now.mono, &self.pool.grounds(now.mono, &self.bans, destination))
        {
            return Reply::Refused("a ban on this peer is in force: lift it first");
        }
        if self.pool.addr_of(destination).is_none() {
            return Reply::Refused("no address of this peer is known");
        }
        if let Destination::Peer(id) = destination {
            if self.pool.get(&id).is_some_and(|peer| self.pool.verdict(peer) == slots::Verdict::Full) {
                return Reply::Refused(
                    "every place that such a peer may have here is taken: list it in network.reserved_peers, or raise \
                     network.max_peers",
                );
            }
            if self.pool.get(&id).is_some_and(|peer| peer.live.is_some()) {
                if let Some(dialing) = self.pool.dialing_mut(destination) {
                    dialing.held = None;
                }
                self.pool.ordered(destination);
                return Reply::AlreadyConnected(id);
            }
        }
        // Whoever says that it listens there may be right: only a dial shows it (section 2).
        let claims = |conn| match destination {
            Destination::Addr(addr) => self.links.get(conn)?.peering()?.advertised.filter(|at| *at == addr),
            Destination::Peer(_) => None,
        };
        let claimed_by = self.pool.live().find(|(_, conn)| claims(*conn).is_some()).map(|(peer, _)| peer.id);
        self.pool.ordered(destination);
        self.connect(now, destination);
        Reply::Dialing { claimed_by }
    }

    fn forget_order(&mut self, now: Now, destination: Destination) -> Reply {
        if !self.pool.not_ordered(destination) {
            return Reply::NotOrdered;
        }
        self.pursue(now, destination);
        self.touch(now);
        Reply::Forgotten
    }

    fn disconnect(&mut self, now: Now, destination: Destination) -> Reply {
        let until = now.mono + self.config.timings.operator_hold;
        let Some(dialing) = self.pool.dialing_mut(destination) else { return Reply::UnknownPeer };
        dialing.held = Some(until);
        dialing.order = crate::net::dialer::Order::None;
        let flying = dialing.in_flight;
        let live = match destination {
            Destination::Peer(id) => self.pool.get(&id).and_then(|peer| peer.live).map(|live| live.conn),
            Destination::Addr(_) => None,
        };
        for conn in live.into_iter().chain(flying) {
            self.end(now, conn, CloseReason::OperatorDisconnect, ClosedBy::Us);
        }
        self.pursue(now, destination);
        match destination {
            Destination::Peer(id) => Reply::Disconnected(Some(id)),
            Destination::Addr(_) => Reply::Disconnected(None),
        }
    }

    pub(super) fn peer_info(&self, now: Now, peer: &Peer, conn: ConnId) -> Option<PeerInfo> {
        let link = self.links.get(conn)?;
        let peering = link.peering()?;
        Some(PeerInfo {
            node: peer.id,
            remote: link.remote,
            advertised: peering.advertised,
            direction: link.direction(),
            because: peering.because,
            since: peering.since_wall,
            age: now.mono.since(peering.since),
            session: peering.ballot.session.tag(),
            masternode: peer.masternode,
            class: self.pool.class(peer),
            height: peering.height,
            rtt: peer.quality.rtt,
            health: self.health(now, peer, conn)?,
            bytes_in: link.bytes_in,
            bytes_out: link.bytes_out,
            queued_bytes: link.waiting(),
            reconnects_1h: peer.reconnects(now.mono),
            excessive: self.excessive(now.mono, &peer.id, &peering.meter),
            agent: peering.agent.clone(),
        })
    }
}
