//! Applications that misjudge. The word of an application is taken once a process and block: whoever has called a
//! valid block invalid will not vote for it at that height, like a masternode that breaks the rules. So a chain
//! bears as many of them at one height as it bears traitors, and the swarm lets one application misjudge, always the
//! same one.

use std::time::Duration;

use timed_tests::sim::{Conduct, HostId, Judgement, Packets, Profile, World};

use super::{ms, network, secs};

const ALL: [HostId; 4] = [HostId(0), HostId(1), HostId(2), HostId(3)];

fn judge(world: &mut World, hosts: &[HostId], judgement: Judgement) {
    for host in hosts {
        world.host_mut(*host).application.conduct = Conduct { judgement, ..Conduct::default() };
    }
}

fn packets_to(world: &mut World, hosts: &[HostId], packets: Packets) {
    for to in hosts {
        for from in ALL.into_iter().filter(|from| from != to) {
            world.packets(from, *to, packets);
        }
    }
}

/// Four masternodes prevote a block; the others than `forgetful` see that, and are bound to it. The forgetful die
/// before they see it, and come back with applications that refuse the very block for three seconds.
fn after_a_change_of_mind(forgetful: &[HostId]) -> World {
    let profile = Profile { latency: (ms(20), ms(20)), jitter: Duration::ZERO, ..Profile::lan() };
    let mut world = World::new(1, &network(4, secs(1)).profile(profile));
    world.start_all();
    world.expect("the mesh", secs(10), World::is_meshed);
    world.expect_blocks("the first blocks", 3, secs(6));
    // The slot begins; a proposal takes 25 ms to everybody and its prevotes as long again.
    let into_second = world.now().0 % 1_000_000_000;
    world.run_for(Duration::from_nanos(1_000_000_000 - into_second) + ms(35));
    packets_to(&mut world, forgetful, Packets::Vanish);
    world.run_for(ms(65));
    for host in forgetful {
        world.kill(*host);
    }
    packets_to(&mut world, forgetful, Packets::Arrive);
    judge(&mut world, forgetful, Judgement::Refusal);
    for host in forgetful {
        world.start(*host);
    }
    world.run_for(secs(3));
    judge(&mut world, forgetful, Judgement::Fair);
    world
}

#[test]
fn app_01_one_of_four_that_changes_its_mind_is_borne() {
    let mut world = after_a_change_of_mind(&[HostId(1)]);
    world.expect_blocks("blocks go on", 5, secs(10));
}

#[test]
fn app_01_two_of_four_that_change_their_mind_stop_the_chain_until_one_is_asked_again() {
    let mut world = after_a_change_of_mind(&[HostId(1), HostId(2)]);
    let stopped = world.chain_height();
    world.run_for(secs(60));
    // Two are bound to the block, two have refused it: that is three of nothing.
    assert_eq!(world.chain_height(), stopped, "{}", world.describe());
    world.kill(HostId(1));
    world.start(HostId(1));
    world.expect_blocks("blocks go on", 5, secs(30));
}
