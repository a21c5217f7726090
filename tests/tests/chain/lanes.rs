//! Votes overtake blocks: the control lane comes first on every link (rule W-3).

use std::time::Duration;

use timed_core::limits::MAX_RECORD_PLAINTEXT;
use timed_core::{Height, MasternodeIndex, Reply, Request, Round, Wall};
use timed_tests::sim::{Cut, HostId, Offer, Profile, World, seed};

use super::{committed_at, ms, network, producing, secs, time_of};

/// 2 Mbit/s, in bytes a second.
const RATE: u64 = 250_000;
const SLOT_MS: u64 = 40_000;
/// What the kernel takes of a link before it is sent: two records.
const UNSENT: usize = 2 * MAX_RECORD_PLAINTEXT;

fn seat(world: &mut World, host: HostId) -> MasternodeIndex {
    match world.ask(host, Request::Status) {
        Reply::Status(status) => status.masternode.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Whether a host holds a masternode's precommit of the first round of a height.
fn holds_precommit(world: &mut World, host: HostId, height: Height, of: MasternodeIndex) -> bool {
    let Reply::Consensus(Some(info)) = world.ask(host, Request::Consensus) else { return false };
    info.height == height
        && info.votes.iter().any(|votes| votes.round == Round(0) && votes.precommits.contains(of))
}

#[test]
fn a_vote_behind_a_block_on_a_slow_link_leaves_after_two_records() {
    let slow = Profile { bandwidth: Some(RATE), send_buffer: UNSENT, cut: Cut::Random(32), ..Profile::lan() };
    let mut world = producing(seed(1), &network(4, ms(SLOT_MS)).profile(slow));
    let height = world.chain_height().next();
    let leader = world.leader(height, Round(0));
    let behind = world.ids().into_iter().find(|host| *host != leader).unwrap();
    let leaders = seat(&mut world, leader);
    world.host_mut(leader).application.conduct.offer = Offer::Filler(1_000_000);
    // One node does not read for a while: much of the block still waits for its link when the others have all of it.
    let first = world.slots_from(Height(1))[0];
    let slot = Wall(first.0 + SLOT_MS * (height.0 - 1));
    world.run_for(time_of(slot).since(world.now()) + ms(100));
    world.freeze(behind);
    world.run_for(ms(3_400));
    world.thaw(behind);
    let mut heard = None;
    let committed = loop {
        world.run_for(ms(1));
        if heard.is_none() && holds_precommit(&mut world, behind, height, leaders) {
            heard = Some(world.now());
        }
        if let (Some(at), Some(_)) = (committed_at(&world, leader, height), heard) {
            break at;
        }
    };
    let late = heard.unwrap().since(committed);
    let two_records = Duration::from_millis(UNSENT as u64 * 1_000 / RATE);
    assert!(late <= two_records + ms(5), "{late:?} after the leader had its quorum");
    assert!(world.height(behind) < height, "and long before the block");
    world.run_for(ms(1_500));
    assert!(world.height(behind) < height, "of which more than a second's bytes still waited");
    world.expect("the block", secs(6), |world| world.height(behind) == height);
}
