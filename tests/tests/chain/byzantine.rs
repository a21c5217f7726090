//! A masternode that lies: two blocks, double votes, wrong proposals, tips of blocks that do not exist. The others
//! make one chain, keep the evidence, and are not stopped.

use bytes::Bytes;
use timed_core::wire::message::{BlockPart, BlocksEnd, Message, Served, Tip};
use timed_core::{BlockHash, Event, Height, Reply, Request, Round, VoteKind};
use timed_tests::sim::{Draft, HostId, Puppet, World, forged};

use super::{ms, network, secs};

const LIAR: HostId = HostId(0);
const HONEST: [HostId; 3] = [HostId(1), HostId(2), HostId(3)];

/// A network of four whose first masternode is played by this script.
fn with_liar(
    seed: u64,
    script: impl FnMut(&mut World, &mut Puppet, Option<(HostId, &Message)>) + 'static,
) -> World {
    let mut world = World::new(seed, &network(4, secs(1)));
    world.play(LIAR, script);
    for host in HONEST {
        world.start(host);
    }
    world.expect("links of the honest", secs(10), |world| world.links().len() == 3);
    world.run_for(secs(3));
    world
}

/// The chain goes on at every honest node.
fn goes_on(world: &mut World, blocks: u64) {
    let slots = u32::try_from(blocks + blocks / 4 + 3).expect("a small number");
    world.expect_blocks("blocks go on", blocks, world.origin().interval * slots);
}

fn evidence(world: &mut World, host: HostId) -> usize {
    match world.ask(host, Request::Evidence) {
        Reply::Evidence(evidence) => evidence.len(),
        other => panic!("{other:?}"),
    }
}

fn equivocations(world: &World, host: HostId) -> usize {
    world.seen(host).count(|event| matches!(event, Event::Equivocation(_)))
}

/// Once for each height that the liar leads first, as soon as its slot has begun.
fn at_its_turn(mut act: impl FnMut(&mut World, &mut Puppet, Draft)) -> impl FnMut(&mut World, &mut Puppet) {
    let mut acted = Height(0);
    move |world, puppet| {
        let height = world.chain_height().next();
        if height > acted && puppet.is_linked(world) && puppet.leads(world, height, Round(0)) {
            let draft = puppet.draft(world, Bytes::new());
            if draft.header.slot <= world.wall() {
                acted = height;
                act(world, puppet, draft);
            }
        }
    }
}

#[test]
fn a_played_masternode_that_says_nothing_is_like_one_that_is_down() {
    let mut world = with_liar(1, |_, _, _| {});
    goes_on(&mut world, 20);
}

#[test]
fn prod_06_a_leader_that_proposes_two_blocks_never_gets_both() {
    let mut turn = at_its_turn(|_, puppet, draft| {
        let (height, mut other) = (draft.header.height, draft.clone());
        other.header.slot = draft.header.slot + secs(1);
        let (first, one) = puppet.propose(&draft, Round(0), None);
        let (second, two) = puppet.propose(&other, Round(0), None);
        for (number, host) in HONEST.into_iter().enumerate() {
            puppet.say(host, if number == 0 { &one } else { &two });
        }
        for kind in [VoteKind::Prevote, VoteKind::Precommit] {
            for block in [first, second] {
                let vote = puppet.vote(kind, height, Round(0), Some(block));
                puppet.say_to_all(&vote);
            }
        }
    });
    let mut world = with_liar(1, move |world, puppet, heard| {
        if heard.is_none() {
            turn(world, puppet);
        }
    });
    goes_on(&mut world, 30);
    for host in HONEST {
        assert!(evidence(&mut world, host) > 0, "{host} keeps the evidence");
        assert!(equivocations(&world, host) > 0, "{host} tells of it");
    }
    // It outlives a restart.
    let before = evidence(&mut world, HONEST[0]);
    world.kill(HONEST[0]);
    world.start(HONEST[0]);
    world.run_for(secs(1));
    assert!(evidence(&mut world, HONEST[0]) >= before);
    goes_on(&mut world, 5);
}

#[test]
fn prod_06_double_votes_are_kept_as_evidence_and_count_once() {
    let mut world = with_liar(2, |_, puppet, heard| {
        if let Some((_, Message::Vote(vote))) = heard {
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                for block in [vote.block, None, Some(BlockHash([7; 32]))] {
                    let vote = puppet.vote(kind, vote.height, vote.round, block);
                    puppet.say_to_all(&vote);
                }
            }
        }
    });
    goes_on(&mut world, 30);
    for host in HONEST {
        let kept = evidence(&mut world, host);
        assert!((1..=64).contains(&kept), "{host}: {kept}");
    }
}

#[test]
fn prod_04_wrong_proposals_cost_their_slot_half_and_nothing_else() {
    type Spoil = fn(&mut Draft);
    let spoils: [Spoil; 9] = [
        |draft| draft.header.parent = BlockHash([9; 32]),
        |draft| draft.header.height = Height(draft.header.height.0 + 1),
        |draft| draft.header.slot = draft.header.slot + secs(3_600),
        |draft| draft.header.slot.0 += 1,
        |draft| draft.header.registry.0[0] ^= 1,
        |draft| draft.certificate = None,
        |draft| draft.payload = Bytes::from_static(b"not what the root says"),
        |draft| draft.payload = Bytes::from(vec![7; 1_075_200]),
        |draft| {
            if let Some(certificate) = &mut draft.certificate {
                certificate.signatures.iter_mut().for_each(|signature| *signature = forged());
                draft.header.certificate = certificate.hash();
            }
        },
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let mut turn = at_its_turn(move |_, puppet, mut draft| {
            spoil(&mut draft);
            let (block, proposal) = puppet.propose(&draft, Round(0), None);
            puppet.say_to_all(&proposal);
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                let vote = puppet.vote(kind, draft.header.height, Round(0), Some(block));
                puppet.say_to_all(&vote);
            }
        });
        let mut world = with_liar(3, move |world, puppet, heard| match heard {
            None => turn(world, puppet),
            Some((from, Message::GetPayload(asked))) => {
                for chunk in puppet.chunks(asked) {
                    puppet.say(from, &chunk);
                }
            }
            Some(_) => {}
        });
        let from = world.chain_height();
        goes_on(&mut world, 16);
        assert!(super::missed_slots(&world, from) <= 1, "spoilt in way {number}");
    }
}

#[test]
fn prod_06_forged_chunks_do_not_get_into_a_block() {
    let mut turn = at_its_turn(|_, puppet, mut draft| {
        draft.payload = Bytes::from(vec![1; 40_000]);
        draft.header.payload = timed_core::wire::block::Outline::of(&draft.payload).root();
        let (_, proposal) = puppet.propose(&draft, Round(0), None);
        puppet.say_to_all(&proposal);
    });
    let mut world = with_liar(4, move |world, puppet, heard| match heard {
        None => turn(world, puppet),
        Some((from, Message::GetPayload(asked))) => {
            for mut chunk in puppet.chunks(asked) {
                if let Message::Chunk(chunk) = &mut chunk {
                    chunk.bytes = Bytes::from(vec![2; chunk.bytes.len()]);
                }
                puppet.say(from, &chunk);
            }
        }
        Some(_) => {}
    });
    goes_on(&mut world, 20);
}

#[test]
fn prod_08_a_tip_that_does_not_exist_stops_nobody() {
    let mut world = with_liar(5, |world, puppet, heard| match heard {
        None if world.now().0 % 500_000_000 < 2_000_000 => {
            let tip = Tip { height: Height(1_000_000), block: BlockHash([5; 32]) };
            puppet.introduction().height = Height(1_000_000);
            puppet.say_to_all(&Message::Tip(tip));
        }
        Some((from, Message::GetBlocks(asked))) => {
            let bytes = Bytes::from(vec![3; 500]);
            let part = BlockPart { id: asked.id, height: asked.from, index: 0, count: 1, bytes };
            puppet.say(from, &Message::BlockPart(Box::new(part)));
            puppet.say(from, &Message::BlocksEnd(BlocksEnd { id: asked.id, served: Served::All }));
        }
        _ => {}
    });
    goes_on(&mut world, 30);
}

#[test]
fn a_liar_that_serves_garbage_does_not_keep_a_node_from_catching_up() {
    let mut world = with_liar(6, |_, puppet, heard| {
        if let Some((from, Message::GetBlocks(asked))) = heard {
            let bytes = Bytes::from(vec![3; 500]);
            let part = BlockPart { id: asked.id, height: asked.from, index: 0, count: 1, bytes };
            puppet.say(from, &Message::BlockPart(Box::new(part)));
            puppet.say(from, &Message::BlocksEnd(BlocksEnd { id: asked.id, served: Served::All }));
        }
    });
    world.kill(HostId(3));
    world.run_for(secs(60));
    // Two honest ones decide nothing alone; what is missing is the little from before.
    world.start(HostId(3));
    world.expect("the links", secs(10), |world| world.links().len() == 3);
    goes_on(&mut world, 10);
}

#[test]
fn the_livelock_of_an_equivocator_and_a_lock_is_overcome() {
    // The liar gives its prevote for the leader's block to one node alone, which locks, and is silent from then
    // on; the fourth has prevoted for none. Without the polka shown as a unit nobody else ever has a reason to
    // prevote that block again, and the locked one none to prevote another.
    for seed in 1..=8 {
        let late = HONEST[0];
        let mut done = false;
        let mut world = with_liar(seed, move |world, puppet, heard| {
            let Some((_, Message::Proposal(proposal))) = heard else { return };
            let (height, leader) = (proposal.header.height, world.host_of(&proposal.header.proposer));
            let first = proposal.round == Round(0) && proposal.valid_round.is_none();
            if done || height < Height(8) || !first || leader == Some(late) {
                return;
            }
            done = true;
            let locked = if seed % 2 == 0 {
                leader
            } else {
                HONEST.into_iter().find(|host| *host != late && Some(*host) != leader)
            };
            let block = proposal.header.hash(&world.origin().genesis);
            let yes = puppet.vote(VoteKind::Prevote, height, Round(0), Some(block));
            let no = puppet.vote(VoteKind::Prevote, height, Round(0), None);
            for host in HONEST {
                puppet.say(host, if Some(host) == locked { &yes } else { &no });
            }
        });
        // The fourth's application has a word only after the time-out.
        world.host_mut(late).application.conduct.thinking = (ms(400), ms(450));
        world.expect("the scene", secs(30), |world| world.chain_height() >= Height(7));
        world.expect_blocks("the chain goes on", 8, secs(30));
    }
}
