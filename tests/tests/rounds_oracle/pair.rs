//! A correct node that is two: our consensus, and the driver beside it, which is given the same and must say the
//! same.
//!
//! Where the two may differ, both being right, the schedule goes around it:
//!
//! - Ours acts on a quorum as soon as it knows the quorum's block, by whichever proposal; the driver waits for the
//!   proposal of the quorum's round. So that proposal comes before the quorum is complete ([`Pair::give`]).
//! - Of what a leader proposes for one round ours considers the first, the driver all in turn. So the driver is not
//!   told of a second one before a quorum has voted for it; and then the time-out of the first comes before
//!   ([`Pair::show`]).
//! - Ours proposes the block of the latest polka that it knows, the driver that of the latest which came in its own
//!   round (line 42), or else a fresh block. So ours does as line 18 says when the two differ
//!   ([`Pair::as_of_line_18`]); what follows from its own choice is for `rounds_storm` and `rounds_explore` to see.
//! - Ours keeps votes of so many rounds only: what is further away is lost on the way ([`Pair::reaches`]).
//!
//! Two differences are left, both of time-outs that come to nothing: see [`Answer`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use timed_core::rounds::{Act, Acts, Consensus, Polka, Timeliness, Timeout, Timer, Voice};
use timed_core::wire::message::Vote;
use timed_core::{BlockHash, Certificate, MasternodeIndex, Round, SeatSet, SignedProposal, Statement, Step};
use timed_tests::rounds::{Body, Ground, Word};

use super::malachite::Oracle;
use super::said::{Answer, Progress, Said};

/// Rounds behind and ahead of a node's whose statements reach it: both machines keep all of these.
const BEHIND: u32 = 7;
const AHEAD: u32 = 3;

/// One verified input.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    Vote(Vote),
    Proposal(SignedProposal),
    Certificate(Certificate),
    TimeOut(Timer),
    /// The application's block, if one was asked for.
    Produced(BlockHash),
}

/// Every proposal that was ever made, by round and block.
pub(crate) type Ledger = BTreeMap<(Round, BlockHash), SignedProposal>;

/// Whether both machines are really given the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    Same,
    /// Ours is not told of the votes of one seat: to see that it is noticed.
    DeafTo(MasternodeIndex),
}

/// The two do not agree.
pub(crate) struct Disagreement {
    seat: MasternodeIndex,
    /// The last of these is what they answered differently.
    given: Vec<Given>,
    ours: (Answer, Progress),
    theirs: (Answer, Progress),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vote(Vote { kind, round, block, voter, .. }) => {
                write!(f, "{kind:?} of {round:?} for {:?} by {}", block.map(name), voter.0[0])
            }
            Self::Proposal(SignedProposal { round, valid_round, block, .. }) => {
                write!(f, "proposal of {round:?} with {valid_round:?}: {}", name(*block))
            }
            Self::Certificate(Certificate { kind, round, block, signers, .. }) => {
                let signers: Vec<u8> = signers.iter().map(|seat| seat.0).collect();
                write!(f, "{kind:?}s of {round:?} for {} by {signers:?}", name(*block))
            }
            Self::TimeOut(timer) => write!(f, "{:?} time-out of {:?}", timer.timeout, timer.round),
            Self::Produced(block) => write!(f, "own block {}", name(*block)),
        }
    }
}

/// The number of a block, in which the invalid ones are odd.
fn name(block: BlockHash) -> u64 {
    block.0[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seat {} was given", self.seat.0)?;
        self.given.iter().try_for_each(|given| writeln!(f, "  {given}"))?;
        writeln!(f, "ours   says {:?}\ntheirs says {:?}", self.ours.0, self.theirs.0)?;
        write!(f, "ours   is at {:?}\ntheirs is at {:?}", self.ours.1, self.theirs.1)
    }
}

/// A node, twice.
pub(crate) struct Pair {
    ground: Ground,
    seat: MasternodeIndex,
    hearing: Hearing,
    ours: Consensus,
    theirs: Oracle,
    /// Proposals that the driver has.
    told: BTreeSet<(Round, BlockHash)>,
    timers: Vec<Timer>,
    asked: Option<Round>,
    out: Vec<Word>,
    accused: SeatSet,
    given: Vec<Given>,
    shown: usize,
    /// As line 42 sets it, in the order of the acts.
    valid: Option<Polka>,
    later_polkas: usize,
    decided: Option<Polka>,
}

impl Pair {
    pub(crate) fn new(ground: &Ground, seat: MasternodeIndex, hearing: Hearing) -> Self {
        let registry = Arc::clone(&ground.registry);
        Self {
            hearing,
            ours: Consensus::new(ground.height, registry, Some(seat), Voice::Speaks),
            theirs: Oracle::new(ground, seat),
            ground: ground.clone(),
            seat,
            told: BTreeSet::new(),
            timers: Vec::new(),
            asked: None,
            out: Vec::new(),
            accused: SeatSet::EMPTY,
            given: Vec::new(),
            shown: 0,
            valid: None,
            later_polkas: 0,
            decided: None,
        }
    }

    /// The height begins, before anything is heard of it: the driver takes nothing before.
    pub(crate) fn start(&mut self) -> Result<(), Box<Disagreement>> {
        let acts = self.ours.start();
        let ours = self.carry_out(acts);
        let theirs = self.theirs.start();
        self.compare(&ours, &theirs)
    }

    /// Gives both an input, and before it what they need to act on it. False if that cannot be arranged: then the
    /// input is lost.
    pub(crate) fn give(&mut self, given: &Given, ledger: &Ledger) -> Result<bool, Box<Disagreement>> {
        for (round, block) in self.quorums_after(given) {
            if self.told.contains(&(round, block)) {
                continue;
            }
            let proposal = ledger.get(&(round, block)).expect("a correct node has prevoted it");
            match self.ours.proposed(round) {
                None => self.give_now(&Given::Proposal(proposal.clone()))?,
                Some(_) if round > self.ours.round() => return Ok(false),
                Some(_) => self.show(proposal)?,
            }
        }
        self.give_now(given)?;
        Ok(true)
    }

    /// Whether a statement of that round comes through.
    pub(crate) fn reaches(&self, round: Round) -> bool {
        let now = self.ours.round();
        round.0 + BEHIND >= now.0 && round.0 <= now.0 + AHEAD
    }

    pub(crate) fn take_out(&mut self) -> Vec<Word> {
        std::mem::take(&mut self.out)
    }

    pub(crate) fn timers(&self) -> &[Timer] {
        &self.timers
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(crate) fn consensus(&self) -> &Consensus {
        &self.ours
    }

    /// Round and block of the decision.
    pub(crate) fn decided(&self) -> Option<Polka> {
        self.decided
    }

    /// Who has been seen to vote twice, by either.
    pub(crate) fn accused(&self) -> (SeatSet, SeatSet) {
        (self.accused, self.theirs.accused())
    }

    pub(crate) fn inputs(&self) -> usize {
        self.given.len()
    }

    /// How many second proposals of leaders were needed.
    pub(crate) fn shown(&self) -> usize {
        self.shown
    }

    /// How often a polka was known that is later than line 42 knows.
    pub(crate) fn later_polkas(&self) -> usize {
        self.later_polkas
    }

    /// What line 18 proposes again where ours chooses this polka.
    fn as_of_line_18(&mut self, chosen: Polka) -> Option<Polka> {
        if self.valid != Some(chosen) {
            let (round, block) = chosen;
            assert!(self.valid.is_none_or(|(valid, _)| valid < round), "{chosen:?} before {:?}", self.valid);
            let polka = self.ours.polka(round).expect("it is known");
            assert_eq!(polka.block, block);
            self.later_polkas += 1;
        }
        self.valid
    }

    fn hears(&self, vote: &Vote) -> bool {
        match self.hearing {
            Hearing::Same => true,
            Hearing::DeafTo(seat) => self.ground.registry.index_of(&vote.voter) != Some(seat),
        }
    }

    /// What quorums want, as far as it makes a difference, once ours has been given something.
    fn quorums_after(&self, given: &Given) -> Vec<Polka> {
        let mut ours = self.ours.clone();
        match given {
            Given::Vote(vote) => drop(ours.vote(vote)),
            Given::Certificate(certificate) => drop(ours.certificate(certificate)),
            Given::Proposal(_) | Given::TimeOut(_) | Given::Produced(_) => return Vec::new(),
        }
        let found = [ours.commit(), ours.polka(ours.round())];
        found.into_iter().flatten().map(|certificate| (certificate.round, certificate.block)).collect()
    }

    /// A second proposal of a leader, which a quorum has voted for.
    fn show(&mut self, proposal: &SignedProposal) -> Result<(), Box<Disagreement>> {
        let round = proposal.round;
        if (self.ours.round(), self.ours.step()) == (round, Step::Propose) {
            let height = self.ground.height;
            self.give_now(&Given::TimeOut(Timer { height, round, timeout: Timeout::Propose }))?;
        }
        self.shown += 1;
        self.given.push(Given::Proposal(proposal.clone()));
        let verdict = Ground::verdict(&proposal.block);
        let mut acts = self.ours.proposal(proposal, Timeliness::Timely);
        acts.extend(self.ours.block_judged(proposal.block, verdict));
        let ours = self.carry_out(acts);
        self.told.insert((round, proposal.block));
        let theirs = self.theirs.proposal(proposal, verdict);
        self.compare(&ours, &theirs)
    }

    fn give_now(&mut self, given: &Given) -> Result<(), Box<Disagreement>> {
        self.given.push(given.clone());
        let (acts, theirs) = match given {
            Given::Vote(vote) => {
                let acts = if self.hears(vote) { self.ours.vote(vote) } else { Acts::new() };
                (acts, self.theirs.vote(vote))
            }
            Given::Certificate(certificate) => {
                (self.ours.certificate(certificate), self.theirs.certificate(certificate))
            }
            Given::TimeOut(timer) => {
                self.timers.retain(|other| other != timer);
                (self.ours.timeout(*timer), self.theirs.timeout(*timer))
            }
            Given::Proposal(proposal) => self.hear(proposal),
            Given::Produced(block) => {
                let Some(round) = self.asked.take() else { return Ok(()) };
                let theirs = self.theirs.produced(round, *block);
                let ours = self.propose(round, None, *block);
                return self.compare(&ours, &theirs);
            }
        };
        let ours = self.carry_out(acts);
        self.compare(&ours, &theirs)
    }

    fn hear(&mut self, proposal: &SignedProposal) -> (Acts, Vec<Said>) {
        let (round, block) = (proposal.round, proposal.block);
        let first = self.ours.proposed(round).is_none();
        let mut acts = self.ours.proposal(proposal, Timeliness::Timely);
        if self.ours.proposed(round) != Some(block) {
            return (acts, Vec::new());
        }
        let verdict = Ground::verdict(&block);
        acts.extend(self.ours.block_judged(block, verdict));
        let theirs = if first {
            self.told.insert((round, block));
            self.theirs.proposal(proposal, verdict)
        } else {
            Vec::new()
        };
        (acts, theirs)
    }

    /// Our own proposal, unless it comes too late.
    fn propose(&mut self, round: Round, shown: Option<Round>, block: BlockHash) -> Vec<Said> {
        let proposal = self.ground.proposal(round, shown, block);
        let Ok(acts) = self.ours.propose(&proposal) else { return Vec::new() };
        self.told.insert((round, block));
        let polka = shown.map(|shown| self.ours.polka(shown).expect("that of the valid block is kept"));
        self.out.push(Word::Proposal { proposal, polka, body: Body::Sent, timeliness: Timeliness::Timely });
        let mut said = vec![Said::Propose(round, shown, block)];
        said.extend(self.carry_out(acts));
        said
    }

    fn carry_out(&mut self, acts: Acts) -> Vec<Said> {
        let (mut said, mut again) = (Vec::new(), None);
        for act in acts {
            match act {
                Act::RoundStarted(round) => {
                    self.asked = None;
                    said.push(Said::Round(round));
                }
                Act::Propose(round, None) => {
                    self.asked = Some(round);
                    said.push(Said::Ask(round));
                }
                Act::Propose(round, Some(chosen)) => match self.as_of_line_18(chosen) {
                    Some((shown, block)) => again = Some((round, shown, block)),
                    None => {
                        self.asked = Some(round);
                        said.push(Said::Ask(round));
                    }
                },
                Act::Schedule(timer) => {
                    self.timers.push(timer);
                    said.push(Said::Schedule(timer));
                }
                Act::Vote(vote) => {
                    self.out.push(Word::Vote(self.ground.vote(self.seat, vote)));
                    said.push(Said::Vote(vote));
                }
                Act::Decide(commit) => {
                    self.decided = Some((commit.round, commit.block));
                    said.push(Said::Decide(commit.round, commit.block));
                }
                Act::Equivocation(evidence) => {
                    if let Statement::Vote(_) = evidence.first {
                        let seat = self.ground.registry.index_of(&evidence.node);
                        self.accused.insert(seat.expect("a registered voter"));
                    }
                }
                // The driver has this in its state, where it is compared.
                Act::Valid(polka) => self.valid = Some((polka.round, polka.block)),
                Act::Certified(_) | Act::Foreign(_) => panic!("{act:?}, as {:?} were given", self.given),
            }
        }
        if let Some((round, shown, block)) = again {
            said.extend(self.propose(round, Some(shown), block));
        }
        said
    }

    fn compare(&self, ours: &[Said], theirs: &[Said]) -> Result<(), Box<Disagreement>> {
        let progress = Progress {
            round: self.ours.round(),
            step: self.ours.step(),
            locked: self.ours.locked(),
            valid: self.ours.valid(),
        };
        let ours = (Answer::new(ours).without_time_out_of_proposing_again(), progress);
        let theirs = (Answer::new(theirs).without_time_out_of_a_step_that_is_over(), self.theirs.progress());
        if ours == theirs {
            return Ok(());
        }
        Err(Box::new(Disagreement { seat: self.seat, given: self.given.clone(), ours, theirs }))
    }
}
