//! Final blocks on their way to the disk and to the application, in the order of their heights: the tip is the
//! newest that both have taken.

use std::collections::VecDeque;

use crate::chain::validity::Parent;
use crate::event::CommittedVia;
use crate::ids::{Height, NodeId, Round, TxId};
use crate::limits::{COMMITS_UNDER_WAY, Holding, holding};
use crate::wire::block::{Certificate, FinalBlock, Header};

/// A final block, as far as it is kept once it is on its way.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Final {
    /// What the next block is a child of.
    pub(crate) parent: Parent,
    /// The votes that made it final.
    pub(crate) certificate: Certificate,
    /// Who proposed it.
    pub(crate) proposer: NodeId,
    /// Bytes of its payload.
    pub(crate) payload_bytes: usize,
    /// How it came here.
    pub(crate) via: CommittedVia,
}

impl Final {
    /// The block of a certificate.
    pub(crate) fn of(block: &FinalBlock, via: CommittedVia) -> Self {
        let header: &Header = &block.block.header;
        Self {
            parent: Parent::of(header, block.certificate.block),
            certificate: block.certificate.clone(),
            proposer: header.proposer,
            payload_bytes: block.block.payload.len(),
            via,
        }
    }

    /// The round in which it was decided.
    pub(crate) const fn round(&self) -> Round {
        self.certificate.round
    }
}

/// A block that is durable and with the application.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Done {
    /// The block.
    pub(crate) block: Final,
    /// The transactions that it carries and that waited here.
    pub(crate) included: Vec<TxId>,
}

/// A block under way.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
struct UnderWay {
    block: Final,
    disk: Disk,
    included: Option<Vec<TxId>>,
}

/// What is known of a block's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum Disk {
    Written,
    Durable,
}

/// The tip, and the blocks above it that are final but not yet taken in.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Commits {
    tip: Option<Final>,
    under_way: VecDeque<UnderWay>,
}

impl Commits {
    /// A chain whose newest durable block is `tip`.
    pub(crate) const fn new(tip: Option<Final>) -> Self {
        Self { tip, under_way: VecDeque::new() }
    }

    pub(crate) fn holding(&self) -> Holding {
        holding("final blocks that are not durable", self.under_way.len(), 1 + COMMITS_UNDER_WAY)
    }

    /// The newest block that is durable and with the application.
    pub(crate) const fn tip(&self) -> Option<&Final> {
        self.tip.as_ref()
    }

    /// The newest final block, durable or not.
    pub(crate) fn head(&self) -> Option<&Final> {
        self.under_way.back().map(|under_way| &under_way.block).or(self.tip.as_ref())
    }

    /// What the next block is a child of.
    pub(crate) fn parent(&self) -> Parent {
        self.head().map_or_else(Parent::default, |head| head.parent)
    }

    /// Height of the tip.
    pub(crate) fn height(&self) -> Height {
        self.tip.as_ref().map_or(Height(0), |tip| tip.parent.height)
    }

    /// Whether every final block is durable and with the application.
    pub(crate) fn is_settled(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The child of the head is final and handed out: false, and nothing happens, for any other block, so that
    /// each height is committed once, by whichever path comes first.
    pub(crate) fn begin(&mut self, block: Final) -> bool {
        let follows = block.parent.height == self.parent().height.next();
        if follows {
            self.under_way.push_back(UnderWay { block, disk: Disk::Written, included: None });
        }
        follows
    }

    /// Every block up to this height is durable.
    pub(crate) fn stored(&mut self, height: Height) {
        for under_way in self.under_way.iter_mut().filter(|here| here.block.parent.height <= height) {
            under_way.disk = Disk::Durable;
        }
    }

    /// Whether the application was asked to take a block in, and has not said so yet.
    pub(crate) fn awaits(&self, height: Height) -> bool {
        self.under_way.iter().any(|here| here.block.parent.height == height && here.included.is_none())
    }

    /// The application has taken a block in, and these of its transactions wait here.
    pub(crate) fn taken_in(&mut self, height: Height, included: Vec<TxId>) {
        let sought = self.under_way.iter_mut().find(|here| here.block.parent.height == height);
        if let Some(under_way) = sought.filter(|here| here.included.is_none()) {
            under_way.included = Some(included);
        }
    }

    /// The next block that has become the tip.
    pub(crate) fn next_done(&mut self) -> Option<Done> {
        let first = self.under_way.front()?;
        if first.disk != Disk::Durable || first.included.is_none() {
            return None;
        }
        let UnderWay { block, included, .. } = self.under_way.pop_front()?;
        self.tip = Some(block.clone());
        Some(Done { block, included: included.unwrap_or_default() })
    }
}
