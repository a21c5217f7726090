//! From the start to the end of a process: what a configuration must fulfil, the boot epoch, checks and
//! snapshots on their timers, stopping and halting.

use std::time::Duration;

use bytes::Bytes;

use crate::chain::{self, Chain};
use crate::command::Command;
use crate::config::{Config, ConfigError, MasternodeMode};
use crate::crypto::Provider;
use crate::event::{CloseReason, ClosedBy, Event, Fatal, LinkCounts, Summary};
use crate::ids::{BlockHash, BootNonce, ConnId, Height, NodeId, Signature, Ticket};
use crate::journal::{Record, RecordKey};
use crate::limits::{MAX_AGENT, MAX_SEEDS};
use crate::link::handshake::Identity;
use crate::masternode::{Masternode, Setup};
use crate::net::epoch::{self, Past, Standing};
use crate::net::pool::Destination;
use crate::node::{Node, Parked, Run, TimerKey};
use crate::rng::Rng;
use crate::time::{Now, Wall};
use crate::wire::message::{Boot, Role};
use crate::wire::preamble::{NetworkId, VersionRange};

/// A snapshot is told at most this often.
const SUMMARY_EVERY: Duration = Duration::from_millis(250);

/// Checks what a configuration must fulfil before anything starts.
pub(super) fn check(config: &Config, me: NodeId) -> Result<(), ConfigError> {
    if config.agent.len() > MAX_AGENT || !config.agent.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(ConfigError::Agent);
    }
    if config.seeds.len() > MAX_SEEDS {
        return Err(ConfigError::TooManySeeds(config.seeds.len()));
    }
    let t = &config.timings;
    if t.ping_after >= t.silent_after {
        return Err(ConfigError::Timings("the ping must come before a link counts as silent"));
    }
    let positive =
        [t.dial_timeout, t.handshake_timeout, t.write_timeout, t.passive_wait, t.backoff_first, t.heartbeat];
    if positive.iter().any(Duration::is_zero) {
        return Err(ConfigError::Timings("a time-out of zero can never be met"));
    }
    check_known_peers(config, me)?;
    match (config.registry.get(&me), config.advertised) {
        (None, _) if config.masternode == MasternodeMode::Required => Err(ConfigError::NotRegistered(me)),
        (Some(entry), None) => Err(ConfigError::NoAdvertisedAddr { registered: entry.addr }),
        (Some(entry), Some(configured)) if configured != entry.addr => {
            Err(ConfigError::AdvertisedDiffers { configured, registered: entry.addr })
        }
        (None, Some(addr)) => match config.registry.by_addr(&addr) {
            Some(other) => Err(ConfigError::AddressOfAnother { addr, other: other.id }),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Every configured peer, every registered masternode, and whoever else has a place needs a record. A table that is
/// full of those who are never forgotten refuses all others, and masternodes that blocks add are not sought.
pub(super) fn check_known_peers(config: &Config, me: NodeId) -> Result<(), ConfigError> {
    let (known, max_peers) = (config.limits.known_peers, config.limits.max_peers);
    let configured = config.bootstrap.len() + config.reserved.len();
    let masternodes = config.registry.entries().iter().filter(|entry| entry.id != me).count();
    if known < configured + masternodes.max(max_peers) {
        return Err(ConfigError::TooFewKnown { known, configured, masternodes, max_peers });
    }
    Ok(())
}

/// What earlier starts of this key left behind, and the records that are the chain's to read.
pub(super) fn past(journal: impl IntoIterator<Item = Record>) -> Result<(Past, Vec<Record>), ConfigError> {
    let mut past = Past::default();
    let mut records = Vec::new();
    for record in journal {
        match record.key {
            RecordKey::Boot => {
                past = Past::decode(&record.bytes).ok_or(ConfigError::DamagedRecord(record.key.name()))?;
            }
            _ => records.push(record),
        }
    }
    Ok((past, records))
}

/// The chain of this process, if the network makes blocks.
pub(super) fn chain(
    config: &Config,
    identity: &Identity,
    past: Past,
    records: Vec<Record>,
    now: Now,
    rng: &mut Rng,
) -> Result<Option<Box<Chain>>, ConfigError> {
    let Some(settings) = &config.chain else { return Ok(None) };
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    let setup = chain::Setup {
        genesis: config.genesis,
        node: identity.node,
        conduct: match config.masternode {
            MasternodeMode::Disabled => chain::Conduct::Observes,
            MasternodeMode::Auto | MasternodeMode::Required => chain::Conduct::Acts,
        },
        registry: config.registry.clone(),
        settings: settings.clone(),
        used: past.used,
        boot: identity.boot.epoch,
        limits: &config.limits,
        rng: Rng::new(seed),
    };
    Chain::new(now, setup, records).map(|chain| Some(Box::new(chain)))
}

/// Who this process is: the key, the place, and a boot epoch above every earlier one.
pub(super) fn identity(
    config: &Config,
    crypto: &mut dyn Provider,
    nonce: BootNonce,
    past: Past,
    wall: Wall,
) -> Identity {
    let me = crypto.node_id();
    let acts = config.registry.get(&me).is_some() && config.masternode != MasternodeMode::Disabled;
    let mut identity = Identity {
        node: me,
        advertised: config.advertised,
        boot: Boot { epoch: epoch::next_epoch(past, wall), nonce },
        proof: Signature::default(),
        network: NetworkId::of(&config.network),
        versions: VersionRange::OURS,
        genesis: config.genesis,
        role: if acts { Role::Masternode } else { Role::Observer },
        agent: config.agent.clone(),
        height: Height(0),
        tip: BlockHash::default(),
    };
    identity.prove(crypto);
    identity
}

/// The heartbeats machine of this process.
pub(super) fn masternode(config: &Config, identity: &Identity, now: Now, rng: &mut Rng) -> Masternode {
    let seat = config.registry.index_of(&identity.node);
    let setup = Setup {
        network: identity.network,
        node: identity.node,
        acting: seat.filter(|_| identity.role == Role::Masternode),
        epoch: identity.boot.epoch,
    };
    Masternode::new(now, &setup, config.registry.clone(), &config.timings, rng)
}

impl Node {
    /// The first commands of a process.
    pub(super) fn begin(&mut self, now: Now) {
        self.event(Event::Started {
            epoch: self.identity.boot.epoch,
            worst_case_bytes: self.config.limits.worst_case_bytes(),
        });
        self.persist_boot();
        let destinations: Vec<Destination> = self.pool.destinations().collect();
        for destination in destinations {
            self.pursue(now, destination);
        }
        self.ask_for_names(now);
        self.timers.set(TimerKey::PeerCheck, Some(now.mono + self.config.timings.peer_check));
        self.watch_quality(now);
        self.arm_exchange(now);
        self.arm_bans();
        self.arm_masternode();
        self.with_chain(now, |chain, crypto, effects| chain.begin(now, crypto, effects));
        self.summarise(now);
    }

    /// Makes our epoch durable; until it is, no signed word leaves (rule E-2).
    pub(super) fn persist_boot(&mut self) {
        self.past.used = self.identity.boot.epoch;
        self.boot_ticket = self.persist_past();
    }

    pub(super) fn persist_past(&mut self) -> Ticket {
        let ticket = self.gate.issue();
        let record = Bytes::copy_from_slice(&self.past.encode());
        self.commands.push_back(Command::Persist { ticket, key: RecordKey::Boot, record });
        ticket
    }

    /// A link is known to be live at both ends: from now on this process has a standing to defend.
    pub(super) fn confirm(&mut self) {
        if self.standing == Standing::Newcomer {
            self.standing = Standing::Confirmed;
            self.past.confirmed = self.identity.boot.epoch;
            self.persist_past();
        }
    }

    pub(super) fn persisted(&mut self, now: Now, ticket: Ticket) {
        self.gate.persisted(ticket);
        while let Some(parked) = self.gate.next_open() {
            self.unpark(now, parked);
        }
    }

    pub(super) fn unpark(&mut self, now: Now, parked: Parked) {
        match parked {
            Parked::Hello(conn) => self.send_hello(now, conn),
            Parked::Answer(conn) => self.send_answer(now, conn),
            Parked::Binding(binding) => {
                self.with_chain(now, |chain, crypto, effects| chain.durable(now, *binding, crypto, effects));
            }
            Parked::Commit(height) => {
                self.with_chain(now, |chain, crypto, effects| chain.stored(now, height, crypto, effects));
            }
            Parked::Bans => self.bans_saved(now),
        }
    }

    pub(super) fn persist_failed(&mut self, now: Now) {
        self.gate.poison();
        self.halt(now, Fatal::PersistFailed);
    }

    pub(super) fn open_links(&self) -> Vec<ConnId> {
        self.links.iter().filter(|(_, link)| !link.is_closing()).map(|(conn, _)| conn).collect()
    }

    /// Says goodbye to everyone; `Stopped` follows when every connection is closed and every record durable.
    pub(super) fn stop(&mut self, now: Now, reason: CloseReason) {
        if self.run != Run::Working {
            return;
        }
        self.run = Run::Stopping;
        if reason == CloseReason::Halted {
            for link in self.links.iter_mut() {
                link.fall_silent();
            }
        }
        for conn in self.open_links() {
            self.end(now, conn, reason, ClosedBy::Us);
        }
        if let Some(chain) = &mut self.chain {
            chain.leave();
        }
        if reason != CloseReason::Halted {
            self.write_book(now);
        }
        self.save_bans_at_last(now, reason);
        for key in [
            TimerKey::Masternode,
            TimerKey::PeerCheck,
            TimerKey::Probes,
            TimerKey::Names,
            TimerKey::Exchange,
            TimerKey::Quality,
            TimerKey::Bans,
            TimerKey::Chain,
        ] {
            self.timers.set(key, None);
        }
        self.waiting.clear();
    }

    pub(super) fn halt(&mut self, now: Now, fatal: Fatal) {
        if self.run == Run::Working {
            self.event(Event::Fatal(fatal));
            self.stop(now, CloseReason::Halted);
        }
    }

    pub(super) fn finish_stopping(&mut self) {
        if self.run == Run::Stopping && self.links.len() == 0 && self.gate.is_settled() {
            self.run = Run::Stopped;
            self.event(Event::Stopped);
        }
    }

    /// The periodic check (rule D-6): one event; every peer's next decision is made anew.
    pub(super) fn check_peers(&mut self, now: Now) {
        self.timers.set(TimerKey::PeerCheck, Some(now.mono + self.config.timings.peer_check));
        self.event(Event::PeerCheck { expected: self.pool.expected(), up: self.pool.expected_up() });
        self.refresh_addresses(now);
        let destinations: Vec<Destination> = self.pool.destinations().collect();
        for destination in destinations {
            self.pursue(now, destination);
        }
    }

    pub(super) fn summary(&self, now: Now) -> Summary {
        let blocks = self.chain.as_ref().map(|chain| chain.overview()).unwrap_or_default();
        let outbound = self.pool.live().filter(|(_, conn)| self.is_outbound(*conn)).count();
        let connected = self.pool.live().count();
        Summary {
            active_masternodes: self.masternode.active_count(),
            connected_peers: connected,
            height: blocks.tip.height,
            tip: blocks.tip.hash,
            links: LinkCounts {
                expected: self.pool.expected(),
                up: self.pool.expected_up(),
                inbound: connected - outbound,
                outbound,
                duplicates: self.duplicates(),
                absent: self.pool.excused(),
            },
            leaving: self.leave.announced(),
            slots: self.pool.slots(),
            addresses: self.addresses.counts(),
            last_slot: blocks.tip.slot,
            producing: blocks.producing,
            sync: blocks.sync,
            mempool: blocks.mempool,
            clock_offset_ms: self.masternode.clock_offset_ms(now.mono),
        }
    }

    fn is_outbound(&self, conn: ConnId) -> bool {
        self.links.get(conn).is_some_and(|link| link.direction() == crate::event::Direction::Outbound)
    }

    /// Something that a snapshot shows has changed.
    pub(super) fn touch(&mut self, now: Now) {
        let at = self.summary.map_or(now.mono, |(told, _)| (told + SUMMARY_EVERY).max(now.mono));
        self.timers.set(TimerKey::Summary, Some(at));
    }

    pub(super) fn summarise(&mut self, now: Now) {
        let summary = self.summary(now);
        let unchanged = self.summary.is_some_and(|(_, before)| before == summary);
        self.summary = Some((now.mono, summary));
        if !unchanged {
            self.event(Event::Summary(summary));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Bootstrap, fixture};
    use crate::registry::{Masternode, Registry};

    #[test]
    fn p_1_the_table_of_peers_has_room_for_the_registry_and_for_everybody_with_a_place() {
        let me = NodeId([1; 32]);
        let at = |last: u8| format!("10.0.0.{last}:24100").parse().unwrap();
        let entry = |last: u8| Masternode { id: NodeId([last; 32]), addr: at(last) };
        let mut config = fixture::config(Registry::new((1..=30).map(entry).collect()).unwrap());
        config.advertised = Some(at(1));
        config.bootstrap = vec![Bootstrap { addr: at(99), id: None }];
        for (max_peers, needed) in [(5, 30), (29, 30), (50, 51)] {
            config.limits.max_peers = max_peers;
            config.limits.known_peers = needed;
            assert_eq!(check(&config, me), Ok(()));
            config.limits.known_peers = needed - 1;
            let refused = check(&config, me).unwrap_err();
            let told =
                ConfigError::TooFewKnown { known: needed - 1, configured: 1, masternodes: 29, max_peers };
            assert_eq!(refused, told);
            assert!(refused.to_string().ends_with(&format!("it has to be {needed} at least")), "{refused}");
        }
    }
}
