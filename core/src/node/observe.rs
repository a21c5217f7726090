//! What exhaustive exploration and the recorder need of a node: its state as a value to compare, and its randomness as an input.

use std::fmt::{self, Write};
use std::hash::Hasher;

use crate::node::Node;
use crate::rng::Rng;

/// Feeds formatted text to a hasher without building it.
struct Feed<'a, H>(&'a mut H);

impl<H: Hasher> Write for Feed<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Node {
    /// Feeds everything on which this node's links will ever depend to `hasher`: two nodes of one
    /// configuration with equal digests behave alike from now on, up to what they draw at random. Counters,
    /// the memory of attempts and the heartbeats stay out of it. Absolute times are part of it.
    #[doc(hidden)]
    pub fn digest(&self, hasher: &mut impl Hasher) {
        // Every field by name: a new one has to be decided upon.
        let Self {
            config: _,
            identity,
            crypto: _,
            rng: _,
            clock,
            gate,
            boot_ticket,
            past,
            standing,
            raises,
            run,
            links,
            unauthenticated,
            deferred,
            // Two nodes never owe enough for it to matter.
            effort: _,
            dialing,
            waiting,
            pool,
            leave,
            replacing,
            reach,
            seeds,
            // Exploration is of masternodes, which dial nobody from their book.
            addresses: _,
            scores,
            bans,
            saving: _,
            masternode: _,
            // Exploration is of networks without blocks: links do not depend on what they carry.
            chain: _,
            outbox: _,
            rates: _,
            timers,
            commands: _,
            frames: _,
            arrivals: _,
            scratch: _,
            counters: _,
            summary: _,
        } = self;
        let mut feed = Feed(hasher);
        // Writing to a hasher cannot fail.
        let _ = write!(
            feed,
            "{:?}{gate:?}{boot_ticket:?}{past:?}{standing:?}{raises}{run:?}{unauthenticated:?}{deferred:?}{dialing:?}\
             {waiting:?}{leave:?}{replacing:?}{clock:?}{timers:?}{reach:?}{seeds:?}{scores:?}{bans:?}",
            identity.boot,
        );
        for (conn, link) in links.iter() {
            let _ = write!(feed, "{conn}{link:?}");
        }
        for destination in pool.destinations() {
            let decision = pool.decide(clock.now().mono, destination, bans);
            let dialing = pool.dialing(destination);
            let plan =
                dialing.map(|d| (d.backoff, d.in_flight, d.order, d.held, d.settling, d.passive, d.absence));
            let _ = write!(feed, "{destination:?}{decision:?}{plan:?}");
        }
        for peer in pool.peers() {
            let place = (peer.wishes, peer.addr, peer.found, peer.reached, peer.probes);
            let pair = (peer.seen, peer.highest, peer.register, peer.live);
            let _ = write!(feed, "{place:?}{pair:?}");
        }
    }

    /// Drops what is only kept to be used again.
    pub(crate) fn forget_free_buffers(&mut self) {
        self.frames.forget();
    }

    /// Continues with another stream of randomness, so that what is drawn next does not depend on the order
    /// of what happened before.
    #[doc(hidden)]
    pub fn reseed(&mut self, seed: [u8; 32]) {
        self.rng = Rng::new(seed);
    }
}
