//! What a height costs: signatures made and verified, counted by the provider of cryptography.

use std::cell::RefCell;
use std::collections::BTreeMap;

use timed_core::crypto::{Authenticity, Handshake, Provider, WeakKey};
use timed_core::{NodeId, Signature};
use timed_tests::sim::{HostId, NodeKey, Profile, Setup, World, null, seed};
use zeroize::Zeroizing;

use super::{ms, producing, secs};

/// One verification: by whom, of whose signature.
type Check = (NodeId, NodeId, Vec<u8>, Signature);

#[derive(Default)]
struct Tally {
    verified: BTreeMap<Check, usize>,
    signed: BTreeMap<(NodeId, &'static str), usize>,
}

thread_local! {
    static TALLY: RefCell<Tally> = RefCell::default();
}

fn tally<T>(read: impl FnOnce(&mut Tally) -> T) -> T {
    TALLY.with(|tally| read(&mut tally.borrow_mut()))
}

/// What is signed, by its domain.
fn domain(message: &[u8]) -> &'static str {
    ["timed-hello", "timed-heartbeat", "timed-proposal", "timed-vote"]
        .into_iter()
        .find(|domain| message.starts_with(domain.as_bytes()))
        .unwrap_or("unknown")
}

/// Counts for its node. The simulator verifies by itself, too, with a provider that never signs.
#[derive(Debug)]
struct Counting {
    provider: Box<dyn Provider>,
    signs: bool,
}

fn counting(key: &NodeKey) -> Box<dyn Provider> {
    Box::new(Counting { provider: null(key), signs: false })
}

impl Provider for Counting {
    fn node_id(&self) -> NodeId {
        self.provider.node_id()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        self.signs = true;
        let by = (self.node_id(), domain(message));
        tally(|tally| *tally.signed.entry(by).or_default() += 1);
        self.provider.sign(message)
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        if self.signs {
            let check = (self.node_id(), *signer, message.to_vec(), *signature);
            tally(|tally| *tally.verified.entry(check).or_default() += 1);
        }
        self.provider.verify(signer, message, signature)
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        self.provider.trust(keys)
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        self.provider.initiate(prologue, ephemeral)
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        self.provider.respond(prologue, ephemeral)
    }
}

/// Runs for so many slots and counts.
fn counted(world: &mut World, slots: u32) -> (u64, Tally) {
    let from = world.chain_height();
    tally(std::mem::take);
    world.run_for(world.origin().interval * slots);
    (world.chain_height().0 - from.0, tally(std::mem::take))
}

/// Those of one domain that a node verified.
fn verified(tally: &Tally, by: NodeId, of: &str) -> usize {
    let its = |(node, _, message, _): &&Check| *node == by && domain(message) == of;
    tally.verified.keys().filter(its).count()
}

fn none_twice(tally: &Tally) {
    for ((by, signer, message, _), times) in &tally.verified {
        assert_eq!(*times, 1, "{by:?} verifies a {} of {signer:?} again", domain(message));
    }
}

#[test]
fn each_signature_is_made_and_verified_once() {
    for masternodes in [4, 16] {
        let setup = Setup::new(counting).masternodes(masternodes).observers(1).chain(secs(10));
        let mut world = producing(seed(1), &setup);
        world.run_for(secs(20));
        let (heights, tally) = counted(&mut world, 10);
        none_twice(&tally);
        let heights = usize::try_from(heights).unwrap();
        for host in world.ids() {
            let node = world.host(host).node_id;
            let made = |of| tally.signed.get(&(node, of)).copied().unwrap_or(0);
            let votes = verified(&tally, node, "timed-vote");
            // One height may be cut at either end of the time that is counted.
            if host.0 < masternodes {
                let others = 2 * (masternodes - 1) * (heights + 1);
                assert!(votes <= others, "{host} of {masternodes}: {votes} votes in {heights} heights");
                assert!(made("timed-vote") <= 2 * (heights + 1), "{host} of {masternodes}");
                assert!(verified(&tally, node, "timed-proposal") <= heights + 1);
            } else {
                assert!(votes <= masternodes * (heights + 1), "{votes} votes verified by an observer");
                assert_eq!(verified(&tally, node, "timed-proposal") + made("timed-vote"), 0);
            }
        }
    }
}

#[test]
fn rounds_that_fail_and_messages_that_come_again_cost_no_signature_twice() {
    let setup = Setup::new(counting).masternodes(7).chain(secs(2)).profile(Profile::internet());
    let mut world = producing(seed(1), &setup);
    world.kill(HostId(3));
    world.run_for(secs(1));
    let (heights, tally) = counted(&mut world, 30);
    assert!(heights >= 28);
    none_twice(&tally);
    world.freeze(HostId(1));
    world.run_for(ms(700));
    world.thaw(HostId(1));
    let (_, tally) = counted(&mut world, 10);
    none_twice(&tally);
}
