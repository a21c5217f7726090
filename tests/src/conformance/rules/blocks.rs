//! How blocks are proposed, voted for and decided: rules C-1 to C-16.

use std::collections::BTreeMap;
use std::time::Duration;

use timed_core::crypto::{Authenticity, Provider};
use timed_core::wire::block::chunk_hash;
use timed_core::wire::message::{Held, Message, Vote};
use timed_core::wire::signing;
use timed_core::{BlockHash, Header, Height, RegistryHash, Reply, Request, Round, VoteKind, Wall};

use crate::chain_auditor::{ChainAuditor, Origin};
use crate::conformance::council::{Council, fetch};
use crate::conformance::table::listed;
use crate::conformance::{Case, Exam, Miss, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "C-1" Blocks proposes_a_child_of_its_tip,
    "C-2" Blocks serves_blocks_in_the_form_in_which_they_are_final,
    "C-3" Blocks hands_out_the_payload_that_it_has_outlined,
    "C-4" Blocks certifies_what_a_quorum_has_signed,
    "C-5" Blocks proposes_in_its_turn_only,
    "C-6" Blocks proposes_in_the_slot_in_force,
    "C-7" Blocks names_the_registry_in_force,
    "C-8" Blocks prevotes_for_a_block_that_can_stand,
    "C-8" Blocks prevotes_for_no_block_that_cannot,
    "C-9" Blocks signs_one_vote_a_round_and_kind,
    "C-10" Blocks decides_with_a_quorum_and_not_before,
    "C-11" Blocks waits_for_a_proposal_as_long_as_promised,
    "C-12" Blocks says_what_it_holds_and_what_others_lack,
    "C-13" Blocks says_the_same_after_a_restart,
    "C-14" Blocks proposes_nothing_that_cannot_be_decided,
    "C-15" Blocks passes_each_vote_on_once,
    "C-15" Blocks ignores_votes_that_a_stranger_brings,
    "C-16" Blocks passes_one_contradiction_on_and_keeps_it,
];

/// An instant, as the arm measures it.
const MOMENT: Duration = Duration::from_millis(300);

fn proposes_a_child_of_its_tip(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    // Twice: the first block of a chain has no parent to refer to.
    for _ in 0..2 {
        let tip = council.tip.clone();
        let header = council.decide(exam)?;
        let parent = tip.certificate.is_some();
        let sound = header.height == tip.height.next()
            && header.parent == tip.hash
            && (parent || header.certificate.0 == [0; 32])
            && header.slot > tip.slot;
        if !sound {
            return Err(broken(format!("{header:?} is no child of {tip:?}")));
        }
    }
    Ok(())
}

/// The whole chain that the node serves, as it is audited by the rules.
fn audited(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    council.decide(exam)?;
    council.decide(exam)?;
    let config = exam.ground().config.clone();
    let chain = config.chain.ok_or(Miss::Lacks("a network that makes blocks"))?;
    let origin = Origin {
        genesis: config.genesis,
        genesis_time: chain.genesis_time,
        interval: chain.interval,
        registry: config.registry,
    };
    let mut auditor = ChainAuditor::new(origin, Box::new(exam.guest().key));
    while auditor.height() < council.tip.height {
        let from = auditor.height().next();
        for block in fetch(exam, &mut council.observer, from, council.tip.height)? {
            auditor.take(&block, &[]).map_err(broken)?;
        }
    }
    Ok(())
}

fn serves_blocks_in_the_form_in_which_they_are_final(exam: &mut Exam<'_>) -> Verdict {
    audited(exam)
}

fn certifies_what_a_quorum_has_signed(exam: &mut Exam<'_>) -> Verdict {
    audited(exam)
}

fn hands_out_the_payload_that_it_has_outlined(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let transaction = transaction(exam);
    exam.say(&mut council.seats[0].channel, &Message::Transaction(transaction.clone().into()));
    // Those rounds that began before it was here carry nothing.
    for _ in 0..3 {
        let proposal = council.proposal_of_the_node(exam)?;
        let outline = proposal.outline.clone();
        if outline.root() != proposal.header.payload || !outline.is_consistent() {
            return Err(broken(format!("{outline:?} is not the payload of {:?}", proposal.header)));
        }
        if outline.length == 0 {
            council.pass(exam, (proposal.header.height, proposal.round));
            continue;
        }
        let block = proposal.header.hash(&exam.ground().config.genesis);
        let limit = exam.soon();
        let chunk = exam.until(limit, "a chunk of its payload", |exam| {
            council.take_in(exam)?;
            Ok(council.chunks.iter().find(|chunk| chunk.block == block).cloned())
        })?;
        if outline.chunks.get(usize::from(chunk.index)) != Some(&chunk_hash(&chunk.bytes)) {
            return Err(broken("a chunk is not the one outlined"));
        }
        let carries = chunk.bytes.windows(transaction.len()).any(|part| part == transaction);
        return if carries { Ok(()) } else { Err(broken("the payload is not what waits to be in a block")) };
    }
    Err(broken("nothing that waits is proposed"))
}

/// A transaction that no other case has.
fn transaction(exam: &mut Exam<'_>) -> Vec<u8> {
    exam.draw().repeat(4)
}

fn proposes_in_its_turn_only(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let subject = exam.ground().subject;
    for _ in 0..2 {
        let proposal = council.proposal_of_the_node(exam)?;
        council.pass(exam, (proposal.header.height, proposal.round));
    }
    for proposal in &council.proposals {
        let (height, round) = (proposal.header.height, proposal.round);
        if council.leader(height, round) != subject {
            return Err(broken(format!(
                "proposes in round {} of height {height}, which is not its turn",
                round.0
            )));
        }
    }
    Ok(())
}

fn proposes_in_the_slot_in_force(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let before = council.slot(exam.wall());
    let proposal = council.proposal_of_the_node(exam)?;
    let (slot, after) = (proposal.header.slot, council.slot(exam.wall()));
    if slot != council.slot(slot) {
        return Err(broken(format!("{} ms is the start of no slot", slot.0)));
    }
    if slot < before || slot > after {
        return Err(broken(format!("proposes for slot {}, between {} and {}", slot.0, before.0, after.0)));
    }
    Ok(())
}

fn names_the_registry_in_force(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let header = council.proposal_of_the_node(exam)?.header;
    let registry = exam.ground().config.registry.hash();
    if header.registry == registry {
        Ok(())
    } else {
        Err(broken(format!("{} is not {registry}", header.registry)))
    }
}

/// What the node prevotes for when this header is proposed in the next round of somebody else's.
fn verdict_on(
    exam: &mut Exam<'_>,
    council: &mut Council,
    spoil: &dyn Fn(&mut Header),
) -> Result<(Vote, BlockHash), Miss> {
    let round = council.coming_turn(exam)?;
    let mut header = council.draft(exam, round);
    spoil(&mut header);
    let block = council.propose(exam, header, round);
    Ok((council.prevote_of_the_node(exam, round)?, block))
}

fn prevotes_for_a_block_that_can_stand(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let (vote, block) = verdict_on(exam, &mut council, &|_| {})?;
    if vote.block == Some(block) {
        Ok(())
    } else {
        Err(broken(format!("{:?} instead of {block}", vote.block)))
    }
}

fn prevotes_for_no_block_that_cannot(exam: &mut Exam<'_>) -> Verdict {
    const HOUR_MS: u64 = 3_600_000;
    type Spoil = fn(&mut Header);
    let mut council = Council::convene(exam)?;
    let spoilt: [(&str, Spoil); 5] = [
        ("another parent", |header| header.parent = BlockHash([7; 32])),
        ("another registry", |header| header.registry = RegistryHash([7; 32])),
        ("no start of a slot", |header| header.slot = Wall(header.slot.0 + 1)),
        ("a slot an hour ahead", |header| header.slot = Wall(header.slot.0 + HOUR_MS)),
        ("a slot an hour ago", |header| header.slot = Wall(header.slot.0 - HOUR_MS)),
    ];
    for (what, spoil) in spoilt {
        let (vote, _) = verdict_on(exam, &mut council, &spoil)?;
        if let Some(block) = vote.block {
            return Err(broken(format!("prevotes for {block}, which has {what}")));
        }
        council.pass(exam, (vote.height, vote.round));
    }
    Ok(())
}

fn signs_one_vote_a_round_and_kind(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let (subject, genesis) = (exam.ground().subject, exam.ground().config.genesis);
    let limit = council.all_turns(exam) * 2;
    // Each of three links brings each of them.
    council.pass_until(exam, limit, "votes of four rounds", |council| {
        (council.votes.len() >= 24).then_some(())
    })?;
    let mut said: BTreeMap<(Height, Round, VoteKind), Option<BlockHash>> = BTreeMap::new();
    for vote in council.votes.clone() {
        let words = signing::vote(&genesis, vote.kind, vote.height, vote.round, vote.block.as_ref());
        if council.seats[0].voice.key.verify(&subject, &words, &vote.signature) != Authenticity::Genuine {
            return Err(broken(format!("{vote:?} is not signed over the bytes of rule C-9")));
        }
        let at = (vote.height, vote.round, vote.kind);
        if said.insert(at, vote.block).is_some_and(|before| before != vote.block) {
            return Err(broken(format!("two votes in {at:?}")));
        }
    }
    Ok(())
}

fn decides_with_a_quorum_and_not_before(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let proposal = council.proposal_of_the_node(exam)?;
    let block = proposal.header.hash(&exam.ground().config.genesis);
    let at = (proposal.header.height, proposal.round);
    // With the node's own these are as many as may fail to be a quorum by one.
    let quorum = exam.ground().config.registry.quorum();
    for seat in 0..quorum - 2 {
        council.votes(exam, seat, VoteKind::Prevote, at, Some(block));
        council.votes(exam, seat, VoteKind::Precommit, at, Some(block));
    }
    let half = council.interval() / 2;
    exam.never(
        &mut council.observer,
        half,
        "a block without a quorum",
        |message| matches!(message, Message::Tip(tip) if tip.block == block),
    )?;
    council.agree(exam, at, block);
    council.hears_of(exam, block)
}

fn waits_for_a_proposal_as_long_as_promised(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    // Nobody proposes in it; its beginning follows the end of the round before.
    let round = council.coming_turn(exam)?;
    let height = council.height();
    let before = Round(round.0 - 1);
    council.prevote_of_the_node(exam, before)?;
    let tenth = council.interval() / 10;
    let began = exam.now();
    council.pass(exam, (height, before));
    council.prevote_of_the_node(exam, round)?;
    // The precommits of the one, the proposal of the other.
    let promised = tenth + tenth * before.0 + 2 * tenth + tenth * round.0;
    let took = exam.now() - began;
    if took + Duration::from_millis(20) < promised {
        return Err(broken(format!("gives a leader up after {took:?}, before {promised:?}")));
    }
    Ok(())
}

fn says_what_it_holds_and_what_others_lack(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let limit = council.all_turns(exam);
    let held = council.hear(exam, limit, "Held", |council, _, _, message| match message {
        Message::Held(held) if held.height == council.height() => Some((**held).clone()),
        _ => None,
    })?;
    // One vote of its own there is at the height, and somebody says that he has none.
    let said = council.pass_until(exam, limit, "a vote", |council| {
        council.votes.iter().find(|vote| vote.height == held.height).cloned()
    })?;
    exam.pass(council.interval() / 10);
    council.settle(exam)?;
    let nothing = Held { height: said.height, round: said.round, proposal: None, rounds: Vec::new() };
    exam.say(&mut council.seats[0].channel, &Message::Held(Box::new(nothing)));
    council.hear(exam, limit, "the same vote again", |_, _, seat, message| match message {
        Message::Vote(vote) if seat == 0 && **vote == said => Some(()),
        _ => None,
    })
}

fn says_the_same_after_a_restart(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    let mut council = Council::convene(exam)?;
    let subject = exam.ground().subject;
    let mut said: BTreeMap<(Height, Round, VoteKind), Option<BlockHash>> = BTreeMap::new();
    for start in 0..3 {
        let end = exam.now() + council.interval() * 2;
        while exam.now() < end {
            let left = end.saturating_sub(exam.now());
            let heard = council.hear(exam, left, "a vote", |_, _, _, message| match message {
                Message::Vote(vote) if vote.voter == subject => Some((**vote).clone()),
                _ => None,
            });
            let Ok(vote) = heard else { break };
            let at = (vote.height, vote.round, vote.kind);
            if said.insert(at, vote.block).is_some_and(|before| before != vote.block) {
                return Err(broken(format!("start {start} says something else in {at:?}")));
            }
            council.pass(exam, (vote.height, vote.round));
        }
        exam.restart()?;
        council = Council::convene(exam)?;
    }
    if said.len() < 3 { Err(broken(format!("{} votes in three starts", said.len()))) } else { Ok(()) }
}

fn proposes_nothing_that_cannot_be_decided(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let (subject, genesis) = (exam.ground().subject, exam.ground().config.genesis);
    let limit = council.all_turns(exam);
    // It speaks; then one link is left of those to masternodes, with its own two of four.
    council.pass_until(exam, limit, "a vote of the node's", |council| council.votes.first().map(|_| ()))?;
    let mut silent: Vec<_> = council.seats.drain(1..).collect();
    for seat in &silent {
        exam.close(seat.channel.wire);
    }
    exam.pass(MOMENT);
    council.settle(exam)?;
    let parted = council.at;
    // Everybody's votes come by that one, so that its turn comes.
    let end = exam.now() + council.all_turns(exam) * 3;
    let (mut turns, mut at) = (0, parted);
    while turns < 2 && exam.now() < end {
        turns += u32::from(at > parted && council.leader(at.0, at.1) == subject);
        council.pass(exam, at);
        for seat in &mut silent {
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                let words = signing::vote(&genesis, kind, at.0, at.1, None);
                let ((height, round), signature) = (at, seat.voice.key.sign(&words));
                let vote = Vote { kind, height, round, block: None, voter: seat.voice.id(), signature };
                exam.say(&mut council.seats[0].channel, &Message::Vote(Box::new(vote)));
            }
        }
        let left = end.saturating_sub(exam.now());
        let next =
            council.hear(exam, left, "a vote of the next round", |_, _, _, message| match message {
                Message::Proposal(proposal) if proposal.header.proposer == subject => {
                    ((proposal.header.height, proposal.round) > parted).then_some(None)
                }
                Message::Vote(vote) if vote.voter == subject && (vote.height, vote.round) > at => {
                    Some(Some((vote.height, vote.round)))
                }
                _ => None,
            })?;
        at = next.ok_or_else(|| broken("proposes with links to fewer than a quorum"))?;
    }
    if turns == 2 { Ok(()) } else { Err(broken("its turn did not come")) }
}

/// How often a vote comes on a link within a moment.
fn copies(exam: &mut Exam<'_>, council: &mut Council, seat: usize, vote: &Vote) -> Result<usize, Miss> {
    let end = exam.now() + MOMENT;
    let mut count = 0;
    while exam.now() < end {
        exam.pump(&mut council.seats[seat].channel)?;
        for heard in council.seats[seat].channel.heard.drain(..) {
            count += usize::from(matches!(&heard.message, Some(Message::Vote(other)) if **other == *vote));
        }
        exam.pass(Duration::from_millis(2));
    }
    Ok(count)
}

/// Three votes of one masternode that contradict each other, of the round after the one that the node is in.
fn contradictions(exam: &mut Exam<'_>, council: &mut Council) -> Result<Vec<Vote>, Miss> {
    let limit = council.all_turns(exam);
    if council.at.0 < council.height() {
        council.hear(exam, limit, "the beginning of the height", |council, _, _, _| {
            (council.at.0 == council.height()).then_some(())
        })?;
    }
    let at = (council.at.0, Round(council.at.1.0 + 1));
    let blocks = [None, Some(BlockHash([1; 32])), Some(BlockHash([2; 32]))];
    Ok(blocks.into_iter().map(|block| council.vote(exam, 0, VoteKind::Precommit, at, block)).collect())
}

fn passes_each_vote_on_once(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let vote = contradictions(exam, &mut council)?.remove(0);
    for (time, wanted) in [("at first", 1), ("again", 0)] {
        exam.say(&mut council.seats[0].channel, &Message::Vote(Box::new(vote.clone())));
        let count = copies(exam, &mut council, 1, &vote)?;
        if count != wanted {
            return Err(broken(format!("a vote is passed on {count} times when it comes {time}")));
        }
    }
    if copies(exam, &mut council, 0, &vote)? != 0 {
        return Err(broken("a vote is given back to its author"));
    }
    // A forged one is not passed on at all.
    let mut forged = contradictions(exam, &mut council)?.remove(1);
    forged.signature.0[0] ^= 1;
    exam.say(&mut council.seats[0].channel, &Message::Vote(Box::new(forged.clone())));
    match copies(exam, &mut council, 1, &forged)? {
        0 => Ok(()),
        _ => Err(broken("a forged vote is passed on")),
    }
}

fn ignores_votes_that_a_stranger_brings(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let vote = contradictions(exam, &mut council)?.remove(0);
    exam.say(&mut council.observer, &Message::Vote(Box::new(vote.clone())));
    if copies(exam, &mut council, 1, &vote)? > 0 {
        return Err(broken("passes on a vote that a stranger has brought"));
    }
    exam.lives(&mut council.observer)
}

fn passes_one_contradiction_on_and_keeps_it(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let liar = council.seats[0].voice.id();
    for (vote, wanted) in contradictions(exam, &mut council)?.into_iter().zip([1, 1, 0]) {
        exam.say(&mut council.seats[0].channel, &Message::Vote(Box::new(vote.clone())));
        let count = copies(exam, &mut council, 1, &vote)?;
        if count != wanted {
            return Err(broken(format!("{vote:?} is passed on {count} times, not {wanted}")));
        }
    }
    if let Ok(process) = exam.process() {
        match process.ask(Request::Evidence) {
            Some(Reply::Evidence(all)) if all.iter().any(|evidence| evidence.node == liar) => {}
            other => return Err(broken(format!("no evidence of it: {other:?}"))),
        }
    }
    Ok(())
}
