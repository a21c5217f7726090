//! What a node believes of heights that it does not have, and who can keep it from proposing.

use super::*;

const HUGE: u64 = u64::MAX - 3;

/// A node at the tip of a chain of 50, with three honest masternodes of four (this node is the fourth).
fn settled(others: u8, seed: u8) -> World {
    let chain = chain(50, 100);
    let mut world = World::new(&chain, others, seed);
    for number in 0..others {
        world.join(masternode(number), honest(50));
    }
    assert!(world.reach(50, 5 * SECOND).is_some());
    world.wait(10 * SECOND);
    assert_eq!((world.sync.state(), world.sync.heard()), (SyncState::Synced, Height(50)));
    world
}

/// Blocks by votes every second; the state is checked at every step.
fn lives_on(world: &mut World, slots: u32) {
    let from = world.applied;
    for slot in 1..=slots {
        world.plan(slot * SECOND, Happening::Grows);
        world.plan(slot * SECOND + 50 * MS, Happening::Votes(from + u64::from(slot)));
    }
    let took = world.run((slots + 2) * SECOND, |world| {
        assert_eq!(world.sync.state(), SyncState::Synced);
        // It may know a block of which the votes are on their way, never more.
        assert!(world.sync.heard().0 <= world.applied + 1);
        world.applied == from + u64::from(slots)
    });
    assert!(took.is_some(), "stuck");
}

#[test]
fn no_stranger_can_make_a_node_believe_that_it_lacks_blocks() {
    let mut world = settled(3, 1);
    for number in 0..20 {
        let conduct = if number % 2 == 0 { Conduct::Silent } else { Conduct::Nothing };
        world.join(stranger(number), Server { told: HUGE, ..acting(conduct, 0) });
    }
    for beat in 0..60 {
        world.plan(beat * SECOND, Happening::Tip(stranger(1), HUGE + u64::from(beat) / 20));
    }
    lives_on(&mut world, 60);
    // Nor are they asked all the time, nor are blocks fetched that votes bring.
    let counts = world.sync.counts();
    assert!(counts.requests < 20 * 8, "{counts:?}");
}

#[test]
fn no_single_masternode_of_four_can_either() {
    let mut world = settled(3, 2);
    world.peers.get_mut(&masternode(0)).unwrap().conduct = Conduct::Silent;
    world.plan(Duration::ZERO, Happening::Tip(masternode(0), HUGE));
    lives_on(&mut world, 60);
}

#[test]
fn a_liar_that_delivers_true_blocks_cannot_either() {
    // It has every block as soon as the others have, hands over what it is asked for, and lies about the rest.
    let mut world = settled(3, 3);
    world.join(stranger(1), Server { told: HUGE, latency: MS, ..honest(50) });
    for beat in 0..60 {
        world.plan(beat * SECOND, Happening::Tip(stranger(1), HUGE));
    }
    lives_on(&mut world, 60);
}

#[test]
fn more_masternodes_than_may_be_faulty_are_believed() {
    for (others, needed) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (12, 5)] {
        let mut world = settled(others, 4);
        for number in 0..others {
            world.peers.get_mut(&masternode(number)).unwrap().conduct = Conduct::Silent;
        }
        for number in 0..needed {
            assert_eq!(world.sync.heard(), Height(50), "{number} of {others}");
            world.plan(Duration::ZERO, Happening::Tip(masternode(number), 70 + u64::from(number)));
            world.wait(MS);
        }
        assert_eq!(world.sync.heard(), Height(70), "{needed} of {others}");
        assert_eq!(world.sync.state(), SyncState::Syncing { height: Height(50), target: Height(70) });
        world.wait(11 * SECOND);
        assert_eq!(world.sync.state(), SyncState::Stalled { height: Height(50), target: Height(70) });
    }
}

#[test]
fn a_verified_certificate_is_believed_for_ever() {
    let mut world = settled(3, 5);
    let mut effects = Effects::new();
    world.sync.certified(world.now, Height(60), &mut effects);
    // Nobody has it: it is waited for, not asked for.
    assert!(effects.is_empty());
    let stalled = SyncState::Stalled { height: Height(50), target: Height(60) };
    assert_eq!(world.sync.state(), stalled);
    world.wait(100 * SECOND);
    assert_eq!(world.sync.state(), stalled);
}

#[test]
fn prod_08_a_block_that_is_certified_is_not_proposed_against() {
    let mut world = settled(3, 5);
    let mut effects = Effects::new();
    world.sync.certified(world.now, Height(51), &mut effects);
    // Votes are about to bring it, so nothing is lacking; but the height is taken.
    assert_eq!((world.sync.state(), world.sync.heard()), (SyncState::Synced, Height(51)));
    world.wait(2 * SECOND);
    assert!(matches!(world.sync.state(), SyncState::Stalled { .. }));
}

#[test]
fn fork_01a_silence_takes_nothing_back() {
    let mut world = settled(3, 6);
    for number in 0..3 {
        world.peers.get_mut(&masternode(number)).unwrap().conduct = Conduct::Silent;
        world.plan(Duration::ZERO, Happening::Tip(masternode(number), 60));
    }
    world.wait(MS);
    // Everybody goes: that nobody tells of the blocks any more does not mean that they never were.
    let mut effects = Effects::new();
    for number in 0..3 {
        world.sync.peer_down(world.now, masternode(number), &mut effects);
    }
    let stalled = SyncState::Stalled { height: Height(50), target: Height(60) };
    assert_eq!(world.sync.state(), stalled);
    // One comes back without them, which is no answer for the others. Two make a quorum with this node.
    world.sync.peer_up(world.now, masternode(0), Height(50), &mut effects);
    assert_eq!(world.sync.state(), stalled);
    world.sync.peer_up(world.now, masternode(1), Height(50), &mut effects);
    assert_eq!(world.sync.state(), SyncState::Synced);
}

#[test]
fn a_single_source_is_believed_while_it_delivers() {
    // A node with one link, to a stranger: the others are out of reach.
    let chain = chain(3000, 100);
    let mut world = World::new(&chain, 9, 7);
    world.join(stranger(0), Server { told: 4000, ..honest(3000) });
    world.wait(SECOND);
    assert_eq!(
        world.sync.state(),
        SyncState::Syncing { height: Height(world.applied), target: Height(4000) }
    );
    assert!(world.reach(3000, 10 * SECOND).is_some());
    world.wait(6 * SECOND);
    assert_eq!((world.sync.state(), world.sync.heard()), (SyncState::Synced, Height(3000)));
}

#[test]
fn another_registry_counts_other_masternodes() {
    let mut world = settled(3, 8);
    for number in [3, 4] {
        let server = Server { told: 90, ..acting(Conduct::Silent, 0) };
        world.join(masternode(number), server);
    }
    world.wait(MS);
    assert_eq!(world.sync.heard(), Height(50));
    world.sync.registered(world.now, &registry(5), &mut Effects::new());
    assert_eq!(world.sync.heard(), Height(90));
}
