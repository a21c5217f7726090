//! What comes from whoever lies costs little and changes nothing.

use super::*;
use crate::chain::fixture::{certificate, vote};
use crate::chain::validity;
use crate::event::{Offence, Statement};
use crate::ids::{CertificateHash, Signature};
use crate::wire::block::{Certificate, FinalBlock, Outline, VoteKind};
use crate::wire::message::Vote;
use crate::wire::signing;

/// Four masternodes and an observer that hear nothing of each other; at host 0 height 1 has begun `begun`.
fn deaf(begun: bool) -> Net {
    let mut net = Net::with(4, 5, settings());
    net.lose = Box::new(|_, _, _| true);
    let to = Duration::from_millis(100);
    net.run(if begun { LEAD + to } else { LEAD - to });
    net
}

/// What host 0 does about a message.
fn receive(net: &mut Net, from: usize, message: Message) -> Effects {
    let now = net.reading(0);
    let mut effects = Effects::new();
    let host = &mut net.hosts[0];
    host.chain.received(now, id(from), message, &mut host.signer, &mut effects);
    effects
}

/// A block of the leader of round 0 of height 1, which is host 1.
fn proposal(net: &Net, payload: &[u8]) -> Box<Proposal> {
    let outline = Outline::of(payload);
    let context = net.hosts[0].chain.context().unwrap();
    let header = validity::draft(&context, Round(0), net.reading(0).wall, None, &outline);
    assert_eq!(header.proposer, id(1));
    let message = signing::proposal(&GENESIS, header.height, Round(0), None, &header.hash(&GENESIS));
    let signature = sign_as(&id(1), &message);
    Box::new(Proposal { header, round: Round(0), valid_round: None, certificate: None, outline, signature })
}

fn is_forwarded(effects: &Effects) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Broadcast(Recipients::Forward { .. }, _)))
}

fn evidence_told(effects: &Effects) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Event(Event::Equivocation(_)))).count()
}

/// With what it charges whom, where it does nothing else.
fn charged(effects: &Effects) -> Vec<(NodeId, Offence)> {
    let offence = |effect: &Effect| match effect {
        Effect::Offence(peer, offence) => (*peer, *offence),
        other => panic!("{other:?}"),
    };
    effects.iter().map(offence).collect()
}

#[test]
fn ban_02a_what_nobody_passes_on_is_charged_to_whoever_did() {
    let mut net = deaf(true);
    let (height, round, block) = (Height(1), Round(0), BlockHash([7; 32]));
    let mut forged = vote(3, VoteKind::Prevote, height, round, Some(block));
    forged.signature = Signature([1; 64]);
    let mut short = certificate(0..3, VoteKind::Precommit, height, round, block);
    short.signatures.pop();
    let few = certificate(0..2, VoteKind::Prevote, height, round, block);
    let mut altered = certificate(0..3, VoteKind::Precommit, height, round, block);
    altered.round = Round(3);
    let mut unsigned = proposal(&net, b"payload");
    unsigned.signature = Signature([1; 64]);
    for (message, offence) in [
        (Message::Vote(Box::new(forged)), Offence::BadSignature),
        (Message::Commit(Box::new(short)), Offence::InvalidBlock),
        (Message::Polka(Box::new(few)), Offence::InvalidBlock),
        (Message::Commit(Box::new(altered)), Offence::InvalidBlock),
        (Message::Proposal(unsigned), Offence::BadSignature),
    ] {
        let shown = format!("{message:?}");
        assert_eq!(charged(&receive(&mut net, 2, message)), [(id(2), offence)], "{shown}");
    }
}

#[test]
fn ban_02a_what_another_state_may_explain_is_charged_to_nobody() {
    let mut net = deaf(true);
    let (round, block) = (Round(0), BlockHash([7; 32]));
    let genuine = proposal(&net, b"payload");
    // By another registry somebody else leads.
    let mut led_by_another = genuine.clone();
    led_by_another.header.proposer = id(3);
    let message = signing::proposal(&GENESIS, Height(1), round, None, &led_by_another.header.hash(&GENESIS));
    led_by_another.signature = sign_as(&id(3), &message);
    // On another chain, or long ago, or of a slot that a clock does not see.
    let mut of_another_parent = genuine;
    of_another_parent.header.parent = block;
    let message =
        signing::proposal(&GENESIS, Height(1), round, None, &of_another_parent.header.hash(&GENESIS));
    of_another_parent.signature = sign_as(&id(1), &message);
    for message in [
        Message::Proposal(led_by_another),
        Message::Proposal(of_another_parent),
        Message::Vote(Box::new(vote(3, VoteKind::Prevote, Height(9), round, Some(block)))),
        Message::Commit(Box::new(certificate(0..3, VoteKind::Precommit, Height(9), round, block))),
        Message::Vote(Box::new(vote(77, VoteKind::Prevote, Height(1), round, Some(block)))),
    ] {
        let shown = format!("{message:?}");
        let effects = receive(&mut net, 2, message);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Offence(..))), "{shown}");
    }
}

#[test]
fn no_signature_of_a_stranger_is_looked_at() {
    let mut net = deaf(true);
    let before = net.hosts[0].signer.verified;
    let (height, round) = (Height(1), Round(0));
    let block = BlockHash([7; 32]);
    let polka = Box::new(certificate(0..3, VoteKind::Prevote, height, round, block));
    let commit = Box::new(certificate(0..3, VoteKind::Precommit, height, round, block));
    let proposed = proposal(&net, b"payload");
    for _ in 0..100 {
        for message in [
            Message::Vote(Box::new(vote(2, VoteKind::Prevote, height, round, Some(block)))),
            Message::Polka(polka.clone()),
            Message::Commit(commit.clone()),
            Message::Proposal(proposed.clone()),
        ] {
            assert!(receive(&mut net, 4, message).is_empty());
        }
    }
    assert_eq!(net.hosts[0].signer.verified, before);
    // The same from a masternode counts.
    assert!(!receive(&mut net, 2, Message::Commit(commit)).is_empty());
    assert_eq!(net.hosts[0].signer.verified, before + 3);
}

#[test]
fn a_genuine_proposal_dressed_otherwise_is_neither_verified_nor_passed_on_nor_in_the_way() {
    let mut net = deaf(true);
    let genuine = proposal(&net, b"payload");
    let other = certificate(0..4, VoteKind::Precommit, Height(0), Round(0), BlockHash::default());
    type Change<'a> = &'a dyn Fn(&mut Proposal);
    let changes: [Change<'_>; 4] = [
        &|p| p.outline = Outline::of(b"another"),
        &|p| p.certificate = Some(Box::new(other.clone())),
        &|p| p.round = Round(1),
        &|p| p.valid_round = Some(Round(0)),
    ];
    let before = net.hosts[0].signer.verified;
    for change in changes {
        let mut dressed = genuine.clone();
        change(&mut dressed);
        assert_eq!(
            charged(&receive(&mut net, 2, Message::Proposal(dressed))),
            [(id(2), Offence::InvalidBlock)]
        );
    }
    assert_eq!(net.hosts[0].signer.verified, before);
    assert!(is_forwarded(&receive(&mut net, 2, Message::Proposal(genuine))));
    assert!(net.hosts[0].chain.consensus.as_ref().and_then(|c| c.proposed(Round(0))).is_some());
}

#[test]
fn prod_06_a_leader_that_floods_with_blocks_is_evidence_once_and_then_ignored() {
    for begun in [true, false] {
        let mut net = deaf(begun);
        let blocks: Vec<_> = (0..50u8).map(|seed| proposal(&net, &[seed])).collect();
        let before = net.hosts[0].signer.verified;
        let (mut forwarded, mut told) = (0, 0);
        for block in &blocks {
            let effects = receive(&mut net, 1, Message::Proposal(block.clone()));
            forwarded += usize::from(is_forwarded(&effects));
            told += evidence_told(&effects);
        }
        // The one that is followed, and the proof.
        assert_eq!((forwarded, told, net.hosts[0].signer.verified - before), (2, 1, 2), "begun: {begun}");
        let kept = net.hosts[0].chain.evidence();
        assert_eq!((kept.len(), kept[0].node), (1, id(1)));
        for statement in [&kept[0].first, &kept[0].second] {
            let message = signing::statement(&GENESIS, statement);
            assert_eq!(statement.signature(), sign_as(&id(1), &message));
        }
    }
}

#[test]
fn prod_06_a_voter_that_votes_for_everything_is_evidence_once_and_then_ignored() {
    let mut net = deaf(true);
    let before = net.hosts[0].signer.verified;
    let mut told = 0;
    for seed in 1..50u8 {
        let vote = vote(2, VoteKind::Prevote, Height(1), Round(0), Some(BlockHash([seed; 32])));
        told += evidence_told(&receive(&mut net, 2, Message::Vote(Box::new(vote))));
    }
    assert_eq!((told, net.hosts[0].signer.verified - before), (1, 2));
    let kept = net.hosts[0].chain.evidence();
    assert!(matches!(kept[0].first, Statement::Vote(Vote { kind: VoteKind::Prevote, .. })));
}

/// What a node makes of a second block with this in place of its parent's certificate, in all else what its leader
/// would propose.
fn judged_with(parents: impl FnOnce(&Net) -> Option<Certificate>) -> Option<consensus::Verdict> {
    let mut net = Net::new(4);
    net.run(LEAD + SECOND * 5);
    net.lose = Box::new(|_, _, _| true);
    net.run(SECOND * 10);
    let context = net.hosts[0].chain.context().unwrap();
    assert_eq!(context.height(), Height(2));
    let certificate = parents(&net);
    let outline = Outline::of(b"payload");
    let mut header = validity::draft(&context, Round(0), net.reading(0).wall, certificate.as_ref(), &outline);
    if certificate.is_none() {
        header.certificate = CertificateHash::default();
    }
    let block = header.hash(&GENESIS);
    let message = signing::proposal(&GENESIS, Height(2), Round(0), None, &block);
    let signature = sign_as(&header.proposer, &message);
    let from = net.index(&header.proposer);
    let certificate = certificate.map(Box::new);
    let proposal = Proposal { header, round: Round(0), valid_round: None, certificate, outline, signature };
    let _ = receive(&mut net, from, Message::Proposal(Box::new(proposal)));
    net.hosts[0].chain.consensus.as_ref().unwrap().verdict(&block)
}

/// The hash of no certificate stands at height 1 only.
#[test]
fn a_block_that_hides_its_parents_certificate_gets_no_vote() {
    assert_eq!(judged_with(|_| None), Some(consensus::Verdict::Invalid));
}

#[test]
fn c_4_c_8_c_9_nothing_with_a_forged_signature_counts() {
    let mut net = deaf(true);
    let (height, round, block) = (Height(1), Round(0), BlockHash([7; 32]));
    let stolen = |message: &[u8]| sign_as(&id(3), message);
    let mut forged_vote = vote(2, VoteKind::Prevote, height, round, Some(block));
    forged_vote.signature = stolen(b"another vote");
    let mut forged_next = vote(2, VoteKind::Prevote, Height(2), round, Some(block));
    forged_next.signature = stolen(b"another vote");
    let forged = |kind| {
        let mut certificate = certificate(0..3, kind, height, round, block);
        certificate.signatures[1] = stolen(b"another vote");
        Box::new(certificate)
    };
    let mut forged_proposal = proposal(&net, b"payload");
    forged_proposal.signature = stolen(b"another proposal");
    for message in [
        Message::Vote(Box::new(forged_vote)),
        Message::Vote(Box::new(forged_next)),
        Message::Polka(forged(VoteKind::Prevote)),
        Message::Commit(forged(VoteKind::Precommit)),
        Message::Proposal(forged_proposal),
    ] {
        let invalid = net.hosts[0].chain.counts.invalid;
        assert_eq!(charged(&receive(&mut net, 2, message.clone())).len(), 1, "{message:?}");
        assert_eq!(net.hosts[0].chain.counts.invalid, invalid + 1, "{message:?}");
    }
    let consensus = net.hosts[0].chain.consensus.as_ref().unwrap();
    assert_eq!((consensus.proposed(round), consensus.commit()), (None, None));
    let counted = |consensus: &Consensus| consensus.held().iter().any(|held| !held.prevotes.is_empty());
    assert!(!counted(consensus));
}

#[test]
fn c_4_a_parents_certificate_with_a_forged_signature_gets_no_vote() {
    let genuine = |net: &Net| net.hosts[0].chain.commits.tip().unwrap().certificate.clone();
    assert_ne!(judged_with(|net| Some(genuine(net))), Some(consensus::Verdict::Invalid));
    let forged = |net: &Net| {
        let mut forged = genuine(net);
        forged.signatures[0] = sign_as(&id(3), b"another vote");
        Some(forged)
    };
    assert_eq!(judged_with(forged), Some(consensus::Verdict::Invalid));
}

#[test]
fn y_4_a_fetched_block_with_a_forged_certificate_is_not_taken() {
    let mut net = Net::new(4);
    net.crash(3);
    net.run(SECOND * 45);
    for host in 0..3 {
        let stored = net.hosts[host].blocks.get_mut(&Height(2)).unwrap();
        let mut block = FinalBlock::decode(stored).unwrap();
        block.certificate.signatures[0] = sign_as(&id(3), b"another vote");
        *stored = block.encode();
    }
    net.charge = Box::new(|host, _, offence| assert_eq!((host, offence), (3, Offence::InvalidBlock)));
    net.restart(3);
    net.run(SECOND * 8);
    assert_eq!(net.height(3), 1);
    assert!(net.hosts[3].chain.counts.invalid > 0);
}

#[test]
fn c_8_what_is_known_or_of_no_use_is_not_verified() {
    let mut net = deaf(true);
    let genuine = proposal(&net, b"payload");
    let polka = Box::new(certificate(0..3, VoteKind::Prevote, Height(1), Round(0), BlockHash([7; 32])));
    let mut far = genuine.clone();
    (far.round, far.header.round) = (Round(9), Round(9));
    let _ = receive(&mut net, 1, Message::Proposal(genuine.clone()));
    let _ = receive(&mut net, 1, Message::Polka(polka.clone()));
    let before = net.hosts[0].signer.verified;
    for message in [Message::Proposal(genuine), Message::Polka(polka), Message::Proposal(far)] {
        assert!(receive(&mut net, 2, message).is_empty());
    }
    assert_eq!(net.hosts[0].signer.verified, before);
}

#[test]
fn prod_03c_proposals_of_the_next_height_are_verified_and_few_are_kept() {
    let mut net = deaf(true);
    let next = |seed: u8, signer: usize| {
        let mut early = proposal(&net, &[seed]);
        // Host 2 leads round 0 of height 2.
        (early.header.height, early.header.proposer) = (Height(2), id(2));
        let block = early.header.hash(&GENESIS);
        early.signature =
            sign_as(&id(signer), &signing::proposal(&GENESIS, Height(2), Round(0), None, &block));
        Message::Proposal(early)
    };
    let (forged, genuine): (_, Vec<_>) = (next(0, 3), (0..50).map(|seed| next(seed, 2)).collect());
    let kept = |net: &Net| net.hosts[0].chain.early.len();
    let _ = receive(&mut net, 3, forged);
    assert_eq!(kept(&net), 0);
    for _ in 0..2 {
        let _ = receive(&mut net, 2, genuine[0].clone());
        assert_eq!(kept(&net), 1);
    }
    for message in genuine {
        let _ = receive(&mut net, 2, message);
    }
    assert_eq!(kept(&net), crate::limits::EARLY_PROPOSALS);
}

#[test]
fn c_8_the_word_on_a_payload_that_nobody_asked_about_is_nobodys() {
    let mut net = deaf(true);
    let genuine = proposal(&net, b"payload");
    let block = genuine.header.hash(&GENESIS);
    let _ = receive(&mut net, 1, Message::Proposal(genuine));
    net.call(0, |chain, now, signer, effects| {
        chain.validated(now, block, PayloadVerdict::Valid, signer, effects);
    });
    assert_eq!(net.hosts[0].chain.consensus.as_ref().unwrap().verdict(&block), None);
}

#[test]
fn prod_08_a_leader_whose_clock_is_ahead_gets_no_vote_and_costs_its_round_alone() {
    let mut net = Net::new(4);
    net.hosts[1].skew = 15_000;
    net.run(SECOND * 12);
    let first = net.committed(0).first().map(|(height, round, slot, _)| (*height, *round, *slot));
    assert_eq!(first, Some((1, Round(1), Wall(NOON))));
}
