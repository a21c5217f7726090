//! What makes a block a child of its parent, and a proposal one to vote for (rules C-1, C-2, C-5 to C-8).
//!
//! One set of pure functions for whoever makes a block and whoever judges one: a proposer that follows
//! [`draft`] is never refused by [`judge`], whatever either of them believes beside the chain.

use crate::chain::proposer::leader;
use crate::chain::slots::{Grid, Timeliness};
use crate::ids::{BlockHash, CertificateHash, Height, NodeId, Round};
use crate::registry::{Registry, RegistryHash};
use crate::time::Wall;
use crate::wire::block::{Block, Certificate, Header, Outline, VoteKind};
use crate::wire::message::Proposal;

/// What the block before tells of the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Parent {
    /// Its height; 0 is the genesis.
    pub(crate) height: Height,
    /// Its hash; all zero for the genesis.
    pub(crate) hash: BlockHash,
    /// Its slot; none for the genesis.
    pub(crate) slot: Option<Wall>,
}

impl Parent {
    /// A block whose hash is known, as the parent of the next.
    pub(crate) const fn of(header: &Header, hash: BlockHash) -> Self {
        Self { height: header.height, hash, slot: Some(header.slot) }
    }
}

/// What everybody knows of the height to be decided: it follows from the chain below alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The slots.
    pub(crate) grid: Grid,
    /// The block below.
    pub(crate) parent: Parent,
    /// The registry in force at the height.
    pub(crate) registry: &'a Registry,
    /// Its hash.
    pub(crate) registry_hash: RegistryHash,
}

/// Why a block cannot stand at its height, or a proposal gets no vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, serde::Deserialize, serde::Serialize)]
pub(crate) enum Flaw {
    /// It is of another height than its parent's child.
    #[error("it is of another height")]
    Height,
    /// It names another parent.
    #[error("it names another parent")]
    Parent,
    /// The certificate that comes with it is not the parent's, or not the one that the header names.
    #[error("its certificate is not the parent's, or not the one that it names")]
    ParentCertificate,
    /// It names another registry than the one in force.
    #[error("it names another registry than the one in force")]
    Registry,
    /// Its proposer does not lead the round in which it was proposed first.
    #[error("its proposer does not lead its round")]
    Proposer,
    /// No slot begins at its time, or its parent's slot is as late.
    #[error("no slot after its parent's begins at its time")]
    Slot,
    /// Its slot has not come yet by our clock. Perhaps that is wrong: nobody is to blame.
    #[error("its slot lies ahead of the clock")]
    Early,
    /// Its slot is long over by our clock. Perhaps that is wrong: nobody is to blame.
    #[error("its slot is long over by the clock")]
    Late,
    /// The payload, or its outline, is not what the header's root is made of.
    #[error("its payload is not what its root is made of")]
    Payload,
    /// The rounds of the header, the polka and the proposal contradict each other.
    #[error("its rounds contradict each other")]
    Rounds,
}

impl Context<'_> {
    /// The height to be decided.
    pub(crate) const fn height(&self) -> Height {
        self.parent.height.next()
    }

    /// The leader of a round.
    pub(crate) fn leader(&self, round: Round) -> NodeId {
        let seat = leader(self.height(), round, self.registry);
        self.registry.at(seat).map_or_else(NodeId::default, |entry| entry.id)
    }

    /// The slot in which the height begins, and of a block that is made at a wall time.
    pub(crate) fn slot(&self, wall: Wall) -> Wall {
        self.grid.for_child(self.parent.slot, wall)
    }
}

/// The header of a fresh block of ours: `certificate` proves the parent final, `wall` is now.
pub(crate) fn draft(
    context: &Context<'_>,
    round: Round,
    wall: Wall,
    certificate: Option<&Certificate>,
    outline: &Outline,
) -> Header {
    Header {
        height: context.height(),
        round,
        slot: context.slot(wall),
        parent: context.parent.hash,
        certificate: certificate.map_or_else(CertificateHash::default, Certificate::hash),
        payload: outline.root(),
        registry: context.registry_hash,
        proposer: context.leader(round),
    }
}

/// Judges what of a proposal needs no knowledge of the chain: that its rounds agree, and that its certificate and
/// outline are those that its header names. Of one that fails the block may be sound: whoever passed it on may
/// have put it together from a genuine one.
///
/// # Errors
/// Names the first flaw.
pub(crate) fn check_form(proposal: &Proposal) -> Result<(), Flaw> {
    let Proposal { header, round, valid_round, certificate, outline, signature: _ } = proposal;
    let agree = match valid_round {
        None => header.round == *round,
        Some(valid) => header.round <= *valid && valid < round,
    };
    if !agree {
        return Err(Flaw::Rounds);
    }
    let named = certificate.as_deref().map_or_else(CertificateHash::default, Certificate::hash);
    if named != header.certificate {
        return Err(Flaw::ParentCertificate);
    }
    if outline.is_consistent() && outline.root() == header.payload { Ok(()) } else { Err(Flaw::Payload) }
}

/// Judges a proposal whose form is sound, but for signatures and the application's word. `wall` is now.
///
/// # Errors
/// Names the first flaw, cheapest check first.
pub(crate) fn judge(proposal: &Proposal, context: &Context<'_>, wall: Wall) -> Result<(), Flaw> {
    judge_header(&proposal.header, proposal.certificate.as_deref(), context)?;
    // A polka has believed the slot already: a block that is proposed again does not grow too old.
    match (proposal.valid_round, context.grid.timeliness(proposal.header.slot, wall)) {
        (Some(_), _) | (None, Timeliness::Timely) => Ok(()),
        (None, Timeliness::Early) => Err(Flaw::Early),
        (None, Timeliness::Late) => Err(Flaw::Late),
    }
}

/// Judges a whole block as the child of its parent, whenever it was made.
///
/// # Errors
/// Names the first flaw.
pub(crate) fn judge_block(block: &Block, context: &Context<'_>) -> Result<(), Flaw> {
    judge_header(&block.header, block.certificate.as_deref(), context)?;
    let named = block.certificate.as_deref().map_or_else(CertificateHash::default, Certificate::hash);
    if named != block.header.certificate {
        return Err(Flaw::ParentCertificate);
    }
    let outline = Outline::of(&block.payload);
    if outline.is_consistent() && outline.root() == block.header.payload {
        Ok(())
    } else {
        Err(Flaw::Payload)
    }
}

/// What holds of a header whenever it is looked at; that it names the hash of `certificate` was checked.
fn judge_header(
    header: &Header,
    certificate: Option<&Certificate>,
    context: &Context<'_>,
) -> Result<(), Flaw> {
    if header.height != context.height() {
        return Err(Flaw::Height);
    }
    if header.parent != context.parent.hash {
        return Err(Flaw::Parent);
    }
    if header.registry != context.registry_hash {
        return Err(Flaw::Registry);
    }
    if header.proposer != context.leader(header.round) {
        return Err(Flaw::Proposer);
    }
    let follows = context.parent.slot.is_none_or(|parent| header.slot > parent);
    if !follows || !context.grid.is_start(header.slot) {
        return Err(Flaw::Slot);
    }
    let proves = match certificate {
        None => context.parent.height == Height(0),
        Some(certificate) => {
            context.parent.height != Height(0)
                && certificate.kind == VoteKind::Precommit
                && certificate.height == context.parent.height
                && certificate.block == context.parent.hash
        }
    };
    if proves { Ok(()) } else { Err(Flaw::ParentCertificate) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::time::Duration;

    use super::*;
    use crate::chain::fixture::{self, NOON};
    use crate::ids::{PayloadRoot, Signature};

    /// As a receiver judges.
    fn verdict(proposal: &Proposal, context: &Context<'_>, wall: Wall) -> Result<(), Flaw> {
        check_form(proposal)?;
        judge(proposal, context, wall)
    }

    /// A height in the middle of a chain.
    struct Stage {
        registry: Registry,
        grid: Grid,
        parent: Parent,
        certificate: Option<Certificate>,
    }

    impl Stage {
        /// The child of the block at `height` is to be decided; 0 is the genesis.
        fn above(height: u64, registry: Registry, interval: u64) -> Self {
            let grid = Grid::new(Wall(NOON), Duration::from_millis(interval));
            let (height, hash) = (Height(height), BlockHash([5; 32]));
            if height == Height(0) {
                return Self { registry, grid, parent: Parent::default(), certificate: None };
            }
            let slot = Some(Wall(NOON + height.0 * interval));
            let quorum = 0..registry.quorum();
            let certificate = fixture::certificate(quorum, VoteKind::Precommit, height, Round(2), hash);
            Self { registry, grid, parent: Parent { height, hash, slot }, certificate: Some(certificate) }
        }

        fn context(&self) -> Context<'_> {
            Context {
                grid: self.grid,
                parent: self.parent,
                registry: &self.registry,
                registry_hash: self.registry.hash(),
            }
        }

        fn propose(&self, round: Round, wall: Wall, payload: &[u8]) -> Proposal {
            let outline = Outline::of(payload);
            let header = draft(&self.context(), round, wall, self.certificate.as_ref(), &outline);
            Proposal {
                header,
                round,
                valid_round: None,
                certificate: self.certificate.clone().map(Box::new),
                outline,
                signature: Signature::default(),
            }
        }
    }

    proptest! {
        /// Whoever proposes and whoever judges: other clocks within the tolerance, any registry, round, lag.
        #[test]
        fn prod_04b_what_a_proposer_drafts_every_validator_takes(
            height in prop_oneof![Just(0), 1..1_000_000u64],
            size in 1..40usize,
            round in 0..9u32,
            interval in 50..20_000u64,
            lag in 0..10_000_000u64,
            off in -2_000..=2_000i64,
            payload in proptest::collection::vec(any::<u8>(), 0..40_000),
        ) {
            let stage = Stage::above(height, fixture::registry(size), interval);
            let most = i64::try_from(stage.grid.tolerance().as_millis()).unwrap();
            let wall = Wall(NOON + (height + 1) * interval + lag);
            let theirs = Wall(wall.0.checked_add_signed(off.clamp(-most, most)).unwrap());
            let proposal = stage.propose(Round(round), wall, &payload);
            prop_assert_eq!(verdict(&proposal, &stage.context(), theirs), Ok(()));
            prop_assert_eq!(proposal.header.proposer, stage.context().leader(Round(round)));
            // The same header stands in a stored block, whenever that is read.
            let Proposal { header, certificate, .. } = proposal;
            let block = Block { header, certificate, payload: payload.into() };
            prop_assert_eq!(judge_block(&block, &stage.context()), Ok(()));
        }
    }

    /// Everything that may be wrong with a proposal, one thing at a time.
    #[test]
    fn every_wrong_field_is_named() {
        let stage = Stage::above(7, fixture::registry(4), 10_000);
        let wall = Wall(NOON + 80_300);
        type Change = fn(&mut Proposal);
        let table: [(Flaw, Change); 22] = [
            (Flaw::Height, |p| p.header.height = Height(9)),
            (Flaw::Height, |p| p.header.height = Height(7)),
            (Flaw::Parent, |p| p.header.parent = BlockHash([6; 32])),
            (Flaw::Registry, |p| p.header.registry = RegistryHash([0; 32])),
            (Flaw::Proposer, |p| p.header.proposer = fixture::id(3)),
            (Flaw::Slot, |p| p.header.slot = Wall(NOON + 80_001)),
            (Flaw::Slot, |p| p.header.slot = Wall(NOON + 70_000)),
            (Flaw::Slot, |p| p.header.slot = Wall(NOON - 10_000)),
            (Flaw::Early, |p| p.header.slot = Wall(NOON + 90_000)),
            (Flaw::ParentCertificate, |p| p.header.certificate = CertificateHash([1; 32])),
            (Flaw::ParentCertificate, |p| p.certificate = None),
            (Flaw::ParentCertificate, |p| {
                p.certificate = None;
                p.header.certificate = CertificateHash::default();
            }),
            (Flaw::ParentCertificate, |p| other_certificate(p, |c| c.height = Height(6))),
            (Flaw::ParentCertificate, |p| other_certificate(p, |c| c.kind = VoteKind::Prevote)),
            (Flaw::ParentCertificate, |p| other_certificate(p, |c| c.block = BlockHash([6; 32]))),
            (Flaw::Payload, |p| p.header.payload = PayloadRoot([1; 32])),
            (Flaw::Payload, |p| p.outline.length += 1),
            (Flaw::Payload, |p| p.outline.chunks.clear()),
            (Flaw::Rounds, |p| p.header.round = Round(0)),
            (Flaw::Rounds, |p| p.round = Round(2)),
            (Flaw::Rounds, |p| p.valid_round = Some(Round(1))),
            (Flaw::Rounds, |p| {
                p.round = Round(3);
                p.valid_round = Some(Round(0));
            }),
        ];
        for (line, (flaw, change)) in table.into_iter().enumerate() {
            let mut proposal = stage.propose(Round(1), wall, b"payload");
            assert_eq!(verdict(&proposal, &stage.context(), wall), Ok(()));
            change(&mut proposal);
            assert_eq!(verdict(&proposal, &stage.context(), wall), Err(flaw), "line {line}");
        }
    }

    /// The header names the other certificate, so only its content is wrong.
    fn other_certificate(proposal: &mut Proposal, change: fn(&mut Certificate)) {
        let certificate = proposal.certificate.as_mut().unwrap();
        change(certificate);
        proposal.header.certificate = certificate.hash();
    }

    #[test]
    fn the_first_block_has_no_certificate() {
        let stage = Stage::above(0, fixture::registry(4), 10_000);
        let mut proposal = stage.propose(Round(0), Wall(NOON), b"");
        assert_eq!(proposal.header.slot, Wall(NOON));
        assert_eq!(verdict(&proposal, &stage.context(), Wall(NOON)), Ok(()));
        let certificate =
            fixture::certificate(0..3, VoteKind::Precommit, Height(0), Round(0), BlockHash::default());
        proposal.header.certificate = certificate.hash();
        proposal.certificate = Some(Box::new(certificate));
        assert_eq!(verdict(&proposal, &stage.context(), Wall(NOON)), Err(Flaw::ParentCertificate));
    }

    #[test]
    fn prod_08_no_block_of_a_slot_ahead_of_the_clock() {
        let stage = Stage::above(7, fixture::registry(4), 10_000);
        let fast = Wall(NOON + 90_000);
        let proposal = stage.propose(Round(0), fast, b"");
        for (behind, expected) in [(2_000, Ok(())), (2_001, Err(Flaw::Early)), (3_600_000, Err(Flaw::Early))]
        {
            let ours = Wall(fast.0 - behind);
            assert_eq!(verdict(&proposal, &stage.context(), ours), expected, "{behind}");
        }
    }

    #[test]
    fn prod_05b_a_block_that_is_proposed_again_with_its_polka_never_grows_too_old() {
        let stage = Stage::above(7, fixture::registry(4), 10_000);
        let made = Wall(NOON + 80_000);
        let hour = Wall(made.0 + 3_600_000);
        let mut proposal = stage.propose(Round(1), made, b"");
        assert_eq!(verdict(&proposal, &stage.context(), hour), Err(Flaw::Late));
        (proposal.round, proposal.valid_round) = (Round(40), Some(Round(1)));
        assert_eq!(verdict(&proposal, &stage.context(), hour), Ok(()));
        // The round of a fresh block is the proposal's own: what missed its quorum is not proposed again.
        proposal.valid_round = None;
        assert_eq!(verdict(&proposal, &stage.context(), made), Err(Flaw::Rounds));
    }
}
