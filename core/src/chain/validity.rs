//! What makes a block a child of its parent, and a proposal one to vote for (rules C-1, C-2, C-5 to C-8).
//!
//! One set of pure functions for whoever makes a block and whoever judges one: a proposer that follows
//! [`draft`] is never refused by [`judge`], whatever either of them believes beside the chain.

use crate::chain::certificates::BadCertificate;
use crate::chain::proposer::leader;
use crate::chain::slots::{Grid, Timeliness};
use crate::ids::{BlockHash, CertificateHash, Height, NodeId, Round};
use crate::registry::{Registry, RegistryHash};
use crate::time::Wall;
use crate::wire::block::{Block, Certificate, Header, Outline, VoteKind};
use crate::wire::message::Proposal;

/// What the block before tells of the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// The certificate's votes do not prove the parent final.
    #[error("its parent's certificate proves nothing: {0}")]
    Unproven(BadCertificate),
    /// It names another registry than the one in force.
    #[error("it names another registry than the one in force")]
    Registry,
    /// Its proposer does not lead the round in which it was proposed first.
    #[error("its proposer does not lead its round")]
    Proposer,
    /// No slot begins at its time, or its parent's slot is as late.
    #[error("no slot after its parent's begins at its time")]
    Slot,
    /// Its slot has not come yet by our clock.
    #[error("its slot lies ahead of the clock")]
    Early,
    /// Its slot is long over by our clock.
    #[error("its slot is long over by the clock")]
    Late,
    /// The payload, or its outline, is not what the header's root is made of.
    #[error("its payload is not what its root is made of")]
    Payload,
    /// The rounds of the header, the polka and the proposal contradict each other.
    #[error("its rounds contradict each other")]
    Rounds,
    /// The application refuses the payload.
    #[error("the application refuses the payload")]
    Application,
}

impl Flaw {
    /// Whether only a wrong clock, perhaps our own, or the application tells it from a sound block: nobody is
    /// to blame (rule C-8).
    pub(crate) const fn is_opinion(self) -> bool {
        matches!(self, Self::Early | Self::Late | Self::Application)
    }
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

/// Judges a proposal, but for signatures and the application's word. `wall` is now.
///
/// # Errors
/// Names the first flaw, cheapest check first.
pub(crate) fn judge(proposal: &Proposal, context: &Context<'_>, wall: Wall) -> Result<(), Flaw> {
    let Proposal { header, round, valid_round, certificate, outline, signature: _ } = proposal;
    let coherent = match valid_round {
        None => header.round == *round,
        Some(valid) => header.round <= *valid && valid < round,
    };
    if !coherent {
        return Err(Flaw::Rounds);
    }
    judge_header(header, certificate.as_deref(), context)?;
    if !outline.is_consistent() || outline.root() != header.payload {
        return Err(Flaw::Payload);
    }
    // A polka has believed the slot already: a block that is proposed again does not grow too old.
    match (valid_round, context.grid.timeliness(header.slot, wall)) {
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
    let outline = Outline::of(&block.payload);
    if outline.is_consistent() && outline.root() == block.header.payload {
        Ok(())
    } else {
        Err(Flaw::Payload)
    }
}

/// What holds of a header whenever it is looked at.
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
        None => context.parent.height == Height(0) && header.certificate == CertificateHash::default(),
        Some(certificate) => {
            context.parent.height != Height(0)
                && certificate.kind == VoteKind::Precommit
                && certificate.height == context.parent.height
                && certificate.block == context.parent.hash
                && certificate.hash() == header.certificate
        }
    };
    if proves { Ok(()) } else { Err(Flaw::ParentCertificate) }
}
