//! The driver of Malachite, an implementation of the same algorithm by others, for one node at one height: the
//! types that it wants from its users, and a translation of what it says into what is compared.

use std::collections::VecDeque;
use std::fmt;

use malachitebft_core_driver::{Driver, Input, Output, Step as DriverStep, ThresholdParams};
use malachitebft_core_types::{
    Context, ExtendedCommitCertificate, ExtendedCommitSignature, LinearTimeouts, NilOrVal, PolkaCertificate,
    PolkaSignature, SignedExtension, SignedMessage, SigningScheme, TimeoutKind, Validity, VoteType,
};
use timed_core::rounds::{OwnVote, Timeout, Timer, Verdict};
use timed_core::wire::message::Vote;
use timed_core::{
    BlockHash, Certificate, Height, MasternodeIndex, Round, SeatSet, SignedProposal, Step, VoteKind,
};
use timed_tests::rounds::Ground;

use super::said::{Progress, Said};

/// The driver of one node, at one height.
pub(crate) struct Oracle {
    ground: Ground,
    driver: Driver<Same>,
}

impl Oracle {
    pub(crate) fn new(ground: &Ground, seat: MasternodeIndex) -> Self {
        let validators = Validators((0..ground.size()).map(|seat| Validator(Address(seat))).collect());
        let context = Same { ground: ground.clone() };
        let (height, own) = (Tall(ground.height.0), Address(seat.0));
        let driver = Driver::new(context, height, validators, own, ThresholdParams::default());
        Self { ground: ground.clone(), driver }
    }

    /// The height begins.
    pub(crate) fn start(&mut self) -> Vec<Said> {
        self.carry_out(vec![Output::NewRound(Tall(self.ground.height.0), theirs(Round(0)))])
    }

    pub(crate) fn vote(&mut self, vote: &Vote) -> Vec<Said> {
        let voter = self.ground.registry.index_of(&vote.voter).expect("a registered voter");
        let cast = OwnVote { kind: vote.kind, round: vote.round, block: vote.block };
        let ballot = Ballot::new(self.ground.height, cast, Address(voter.0));
        self.process(Input::Vote(SignedMessage::new(ballot, ())))
    }

    pub(crate) fn proposal(&mut self, proposal: &SignedProposal, verdict: Verdict) -> Vec<Said> {
        let validity = Validity::from_bool(verdict == Verdict::Valid);
        let leader = Address(self.ground.leader(proposal.round).0);
        let offer = Offer {
            height: Tall(self.ground.height.0),
            round: theirs(proposal.round),
            shown: proposal.valid_round.map_or(TheirRound::Nil, theirs),
            value: Value(proposal.block),
            leader,
        };
        self.process(Input::Proposal(SignedMessage::new(offer, ()), validity))
    }

    pub(crate) fn certificate(&mut self, certificate: &Certificate) -> Vec<Said> {
        let Certificate { kind, round, block, signers, .. } = *certificate;
        let (height, round) = (Tall(self.ground.height.0), theirs(round));
        let signers = signers.iter().map(|seat| Address(seat.0));
        self.process(match kind {
            VoteKind::Prevote => Input::PolkaCertificate(PolkaCertificate {
                height,
                round,
                value_id: Id(block),
                polka_signatures: signers.map(|signer| PolkaSignature::new(signer, ())).collect(),
            }),
            VoteKind::Precommit => Input::CommitCertificate(ExtendedCommitCertificate {
                height,
                round,
                value_id: Id(block),
                commit_signatures: signers
                    .map(|signer| ExtendedCommitSignature::new(signer, (), None))
                    .collect(),
            }),
        })
    }

    pub(crate) fn timeout(&mut self, timer: Timer) -> Vec<Said> {
        let kind = match timer.timeout {
            Timeout::Propose => TimeoutKind::Propose,
            Timeout::Prevote => TimeoutKind::Prevote,
            Timeout::Precommit => TimeoutKind::Precommit,
        };
        self.process(Input::TimeoutElapsed(TheirTimeout::new(theirs(timer.round), kind)))
    }

    /// The application has made a block for a round.
    pub(crate) fn produced(&mut self, round: Round, block: BlockHash) -> Vec<Said> {
        self.process(Input::ProposeValue(theirs(round), Value(block)))
    }

    pub(crate) fn progress(&self) -> Progress {
        let state = self.driver.round_state();
        Progress {
            round: ours(state.round),
            step: match state.step {
                DriverStep::Unstarted => Step::Waiting,
                DriverStep::Propose => Step::Propose,
                DriverStep::Prevote => Step::Prevote,
                DriverStep::Precommit => Step::Precommit,
                DriverStep::Commit => Step::Decided,
            },
            locked: state.locked.as_ref().map(|held| (ours(held.round), held.value.0)),
            valid: state.valid.as_ref().map(|held| (ours(held.round), held.value.0)),
        }
    }

    /// Who has been seen to vote twice.
    pub(crate) fn accused(&self) -> SeatSet {
        let evidence = self.driver.votes().evidence();
        let seats = (0..self.ground.size()).filter(|seat| evidence.get(&Address(*seat)).is_some());
        seats.map(MasternodeIndex).collect()
    }

    fn process(&mut self, input: Input<Same>) -> Vec<Said> {
        let outputs = self.driver.process(input).expect("the input is one that the driver takes");
        self.carry_out(outputs)
    }

    /// What a user of the driver does: enters the rounds that it is told to, and gives it its own proposals.
    fn carry_out(&mut self, outputs: Vec<Output<Same>>) -> Vec<Said> {
        let mut said = Vec::new();
        let mut open = VecDeque::from(outputs);
        while let Some(output) = open.pop_front() {
            let back = match output {
                Output::NewRound(height, round) => {
                    said.push(Said::Round(ours(round)));
                    let leader = Address(self.ground.leader(ours(round)).0);
                    Some(Input::NewRound(height, round, leader))
                }
                Output::Propose(offer) => {
                    let shown = offer.shown.as_u32().map(Round);
                    said.push(Said::Propose(ours(offer.round), shown, offer.value.0));
                    Some(Input::Proposal(SignedMessage::new(offer, ()), Validity::Valid))
                }
                Output::Vote(ballot) => {
                    said.push(Said::Vote(ballot.cast));
                    None
                }
                Output::Decide(_, offer) => {
                    said.push(Said::Decide(ours(offer.round), offer.value.0));
                    None
                }
                Output::ScheduleTimeout(timeout) => {
                    said.push(Said::Schedule(self.timer(timeout)));
                    None
                }
                Output::GetValue(_, round, _) => {
                    said.push(Said::Ask(ours(round)));
                    None
                }
            };
            if let Some(input) = back {
                open.extend(self.driver.process(input).expect("the driver asked for it"));
            }
        }
        said
    }

    fn timer(&self, timeout: TheirTimeout) -> Timer {
        let kind = match timeout.kind {
            TimeoutKind::Propose => Timeout::Propose,
            TimeoutKind::Prevote => Timeout::Prevote,
            TimeoutKind::Precommit => Timeout::Precommit,
            TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => {
                panic!("the driver sets no {timeout:?}")
            }
        };
        Timer { height: self.ground.height, round: ours(timeout.round), timeout: kind }
    }
}

type TheirRound = malachitebft_core_types::Round;
type TheirTimeout = malachitebft_core_types::Timeout;

fn theirs(round: Round) -> TheirRound {
    TheirRound::new(round.0)
}

fn ours(round: TheirRound) -> Round {
    Round(round.as_u32().expect("the height has begun"))
}

/// The types of the driver, made of ours. Signatures are left out: everything is verified.
#[derive(Clone, Debug)]
pub(crate) struct Same {
    ground: Ground,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tall(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(u8);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validator(Address);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators(Vec<Validator>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value(BlockHash);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(BlockHash);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    height: Tall,
    round: TheirRound,
    shown: TheirRound,
    value: Value,
    leader: Address,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ballot {
    height: Tall,
    cast: OwnVote,
    value: NilOrVal<Id>,
    voter: Address,
}

/// Proposals are not sent in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoPart;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoSignatures;

impl Ballot {
    fn new(height: Height, cast: OwnVote, voter: Address) -> Self {
        let value = cast.block.map_or(NilOrVal::Nil, |block| NilOrVal::Val(Id(block)));
        Self { height: Tall(height.0), cast, value, voter }
    }
}

impl Same {
    fn ballot(&self, kind: VoteKind, round: TheirRound, value: &NilOrVal<Id>, voter: Address) -> Ballot {
        let block = match value {
            NilOrVal::Nil => None,
            NilOrVal::Val(id) => Some(id.0),
        };
        Ballot::new(self.ground.height, OwnVote { kind, round: ours(round), block }, voter)
    }
}

impl Context for Same {
    type Address = Address;
    type Height = Tall;
    type ProposalPart = NoPart;
    type Proposal = Offer;
    type Validator = Validator;
    type ValidatorSet = Validators;
    type Timeouts = LinearTimeouts;
    type Value = Value;
    type Vote = Ballot;
    type Extension = ();
    type SigningScheme = NoSignatures;

    fn select_proposer<'a>(&self, set: &'a Validators, _: Tall, round: TheirRound) -> &'a Validator {
        &set.0[usize::from(self.ground.leader(ours(round)).0)]
    }

    fn new_proposal(
        &self,
        height: Tall,
        round: TheirRound,
        value: Value,
        shown: TheirRound,
        leader: Address,
    ) -> Offer {
        Offer { height, round, shown, value, leader }
    }

    fn new_prevote(&self, _: Tall, round: TheirRound, value: NilOrVal<Id>, voter: Address) -> Ballot {
        self.ballot(VoteKind::Prevote, round, &value, voter)
    }

    fn new_precommit(&self, _: Tall, round: TheirRound, value: NilOrVal<Id>, voter: Address) -> Ballot {
        self.ballot(VoteKind::Precommit, round, &value, voter)
    }
}

impl malachitebft_core_types::Height for Tall {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0 + n)
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl malachitebft_core_types::Address for Address {}

impl malachitebft_core_types::Validator<Same> for Validator {
    fn address(&self) -> &Address {
        &self.0
    }

    fn public_key(&self) -> &() {
        &()
    }

    fn voting_power(&self) -> u64 {
        1
    }
}

impl malachitebft_core_types::ValidatorSet<Same> for Validators {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.0.len() as u64
    }

    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.get_by_index(usize::from(address.0))
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

impl malachitebft_core_types::Value for Value {
    type Id = Id;

    fn id(&self) -> Id {
        Id(self.0)
    }
}

impl malachitebft_core_types::Proposal<Same> for Offer {
    fn height(&self) -> Tall {
        self.height
    }

    fn round(&self) -> TheirRound {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> TheirRound {
        self.shown
    }

    fn validator_address(&self) -> &Address {
        &self.leader
    }
}

impl malachitebft_core_types::ProposalPart<Same> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

impl malachitebft_core_types::Vote<Same> for Ballot {
    fn height(&self) -> Tall {
        self.height
    }

    fn round(&self) -> TheirRound {
        theirs(self.cast.round)
    }

    fn value(&self) -> &NilOrVal<Id> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<Id> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        match self.cast.kind {
            VoteKind::Prevote => VoteType::Prevote,
            VoteKind::Precommit => VoteType::Precommit,
        }
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Same>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Same>> {
        None
    }

    fn extend(self, _: SignedExtension<Same>) -> Self {
        self
    }
}

impl SigningScheme for NoSignatures {
    type DecodingError = String;
    type Signature = ();
    type PublicKey = ();
    type PrivateKey = ();

    fn decode_signature(_: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn encode_signature((): &()) -> Vec<u8> {
        Vec::new()
    }

    fn decode_public_key(_: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn encode_public_key((): &()) -> Vec<u8> {
        Vec::new()
    }
}

impl fmt::Display for Tall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
