//! A registry that blocks have changed comes into force (rule C-7): every machine that knows masternodes by
//! their positions follows in one step.

use crate::config::MasternodeMode;
use crate::crypto::WeakKey;
use crate::ids::NodeId;
use crate::net::pool::Destination;
use crate::node::Node;
use crate::registry::Registry;
use crate::time::Now;
use crate::wire::message::Role;

impl Node {
    /// From now on this registry says who is a masternode, and where. Links stay as they are; who is new is
    /// dialed, or awaited, as at a start.
    ///
    /// # Errors
    /// If a key is unusable: then nothing has changed. The chain lets no such key into a registry.
    pub(super) fn registry_changed(&mut self, now: Now, registry: Registry) -> Result<(), WeakKey> {
        let keys: Vec<NodeId> = registry.entries().iter().map(|entry| entry.id).collect();
        self.crypto.trust(&keys)?;
        let seat = registry.index_of(&self.identity.node);
        let acts = seat.is_some() && self.config.masternode != MasternodeMode::Disabled;
        self.identity.role = if acts { Role::Masternode } else { Role::Observer };
        if let Some(own) = registry.get(&self.identity.node) {
            self.identity.advertised = Some(own.addr);
        }
        let mut events = Vec::new();
        self.masternode.registry_changed(now, registry.clone(), seat.filter(|_| acts), &mut events);
        self.pool.registry_changed(&registry, self.config.masternode, now, &mut self.rng);
        self.config.registry = registry;
        self.sources_changed();
        self.forget_registered();
        self.pardon_registered(now);
        // Sessions that stand belong to masternodes that are new as such.
        let live: Vec<_> = self.pool.live().map(|(peer, conn)| (peer.id, conn)).collect();
        for (peer, conn) in live {
            let Some(session) = self
                .links
                .get(conn)
                .and_then(|link| link.peering())
                .map(|peering| peering.ballot.session.tag())
            else {
                continue;
            };
            self.masternode.session_up(now, &peer, session, &mut events);
        }
        self.emit(now, events);
        self.arm_masternode();
        self.watch_quality(now);
        self.count_votes();
        self.arm_probes();
        let destinations: Vec<Destination> = self.pool.destinations().collect();
        for destination in destinations {
            self.pursue(now, destination);
        }
        self.touch(now);
        Ok(())
    }
}
