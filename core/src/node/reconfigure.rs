//! What the operator may change while the node runs: the lists of peers, and which rules are enforced.

use crate::config::{Config, Reconfiguration, Seed};
use crate::event::Reply;
use crate::limits::MAX_SEEDS;
use crate::net::pool::Destination;
use crate::node::{Node, Run, lifecycle};
use crate::time::Now;

impl Node {
    /// All of it takes effect at once, or nothing does.
    pub(super) fn reconfigure(&mut self, now: Now, new: &Reconfiguration) -> Reply {
        if self.run != Run::Working {
            return Reply::Refused("the node is stopping");
        }
        if new.seeds.len() > MAX_SEEDS {
            return Reply::Refused("the lists of peers have more than 64 names");
        }
        let mut config = Config {
            bootstrap: new.bootstrap.clone(),
            reserved: new.reserved.clone(),
            seeds: new.seeds.iter().map(|name| name.seed).collect::<Vec<Seed>>(),
            ..self.config.clone()
        };
        if lifecycle::check_known_peers(&config, self.identity.node).is_err() {
            return Reply::Refused(
                "limits.known_peers has no room for these lists beside the masternodes and network.max_peers",
            );
        }
        config.limits.punish = new.punish;
        config.limits.rates = new.rates;
        let rates_differ = config.limits.rates != self.config.limits.rates;
        self.config = config;
        if rates_differ {
            self.rates_changed();
        }
        self.pool.relisted(new, &self.config.registry, self.config.masternode, now, &mut self.rng);
        self.seeds.reconfigure(&new.seeds, now.mono);
        self.forget_outdated(now);
        self.ask_for_names(now);
        let destinations: Vec<Destination> = self.pool.destinations().collect();
        for destination in destinations {
            self.pursue(now, destination);
        }
        self.watch_quality(now);
        self.touch(now);
        Reply::Reconfigured
    }
}
