//! A registered masternode with a genuine key that breaks the rules of voting as best it can, by the world's seed:
//! two blocks in one round, votes for both, for none, for what nobody proposed; often it does nothing.

use std::time::Duration;

use bytes::Bytes;
use timed_core::wire::message::Message;
use timed_core::{BlockHash, Height, Round, VoteKind};

use super::host::{HostId, Role};
use super::puppet::Puppet;
use super::world::World;

/// How often it takes a look.
const LOOKS_EVERY: Duration = Duration::from_millis(20);

impl World {
    /// Has a traitor play a masternode from now on; its machine runs no node. It counts among those that a chain
    /// can bear.
    pub fn play_traitor(&mut self, host: HostId) {
        let mut acted = Height(0);
        self.play_every(
            LOOKS_EVERY,
            host,
            move |world: &mut Self, puppet: &mut Puppet, heard: Option<(HostId, &Message)>| match heard {
                Some((from, Message::GetPayload(asked))) => {
                    for chunk in puppet.chunks(asked) {
                        puppet.say(from, &chunk);
                    }
                }
                Some((_, Message::Proposal(proposal))) => {
                    let block = proposal.header.hash(&world.origin().genesis);
                    votes(world, puppet, proposal.header.height, proposal.round, Some(block));
                }
                Some((_, Message::Vote(vote))) if world.random_below(4) == 0 => {
                    votes(world, puppet, vote.height, vote.round, vote.block);
                }
                Some(_) => {}
                None => {
                    let height = world.chain_height().next();
                    if height > acted && puppet.leads(world, height, Round(0)) {
                        let draft = puppet.draft(world, Bytes::new());
                        if draft.header.slot <= world.wall() {
                            acted = height;
                            proposes(world, puppet, &draft);
                        }
                    }
                }
            },
        );
    }
}

/// One block to some, another to the rest, or the one to all.
fn proposes(world: &mut World, puppet: &mut Puppet, draft: &super::Draft) {
    let mut other = draft.clone();
    other.payload = super::assemble(&[Bytes::from(draft.header.height.0.to_le_bytes().to_vec())], 1_000);
    other.header.payload = timed_core::wire::block::Outline::of(&other.payload).root();
    let (_, one) = puppet.propose(draft, Round(0), None);
    let (_, two) = puppet.propose(&other, Round(0), None);
    let lies = world.random_below(4) > 0;
    for host in nodes(world) {
        let proposal = if lies && world.random_below(2) == 0 { &two } else { &one };
        puppet.say(host, proposal);
    }
}

/// To each node a vote of its own liking.
fn votes(world: &mut World, puppet: &mut Puppet, height: Height, round: Round, block: Option<BlockHash>) {
    for host in nodes(world) {
        for kind in [VoteKind::Prevote, VoteKind::Precommit] {
            let block = match world.random_below(5) {
                0 | 1 => block,
                2 => None,
                3 => Some(BlockHash([7; 32])),
                _ => continue,
            };
            let vote = puppet.vote(kind, height, round, block);
            puppet.say(host, &vote);
        }
    }
}

fn nodes(world: &World) -> Vec<HostId> {
    world.ids().into_iter().filter(|host| world.host(*host).role == Role::Node).collect()
}
