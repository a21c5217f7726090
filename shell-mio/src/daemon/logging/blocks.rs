//! Lines about blocks: what changes for the operator, never one a block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use timed_core::{CommittedVia, Event, Evidence, NodeId, NotProducing, Producing, Statement, SyncState};
use tracing::{debug, info, warn};

use super::super::client::{span, thousands};
use super::super::metrics::{ChainTotal, Totals};
use super::catch_up::{CatchUp, Line, Progress};
use super::screen::Screen;
use super::throttle::{Throttle, Verdict};

/// Between two writings of the line on the screen.
const PAINT_EVERY: Duration = Duration::from_millis(100);

/// A kind of line with a bucket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// This node begins or ceases to propose, by reason.
    Producing(&'static str),
    /// A round has failed.
    Round,
    /// Catching up has begun or is done.
    CatchUp,
    /// Catching up has stalled.
    Stalled,
    /// A masternode equivocated: the registry bounds how many there are.
    Equivocation(NodeId),
}

/// Turns events about blocks into lines, and counts them.
pub(super) struct BlockLines {
    clock: fn() -> Instant,
    totals: Arc<Totals>,
    screen: Screen,
    throttle: Throttle<Kind>,
    /// The reason last told.
    producing: Option<&'static str>,
    /// The newest durable height told.
    tip: u64,
    catch_up: CatchUp,
    /// When the line on the screen was last written.
    painted: Option<Instant>,
}

impl BlockLines {
    pub(super) fn new(clock: fn() -> Instant, totals: Arc<Totals>, screen: Screen) -> Self {
        Self {
            clock,
            totals,
            screen,
            throttle: Throttle::new(5, Duration::from_secs(600)),
            producing: None,
            tip: 0,
            catch_up: CatchUp::default(),
            painted: None,
        }
    }

    /// How many lines of a kind were left out before this one, if it may be written.
    fn admit(&mut self, kind: Kind) -> Option<Option<u64>> {
        match self.throttle.admit(kind, (self.clock)()) {
            Verdict::Write { suppressed } => Some((suppressed > 0).then_some(suppressed)),
            Verdict::Suppress => {
                self.totals.count_suppressed();
                None
            }
        }
    }

    /// Takes an event; those that are not about blocks do nothing.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::BlockCommitted { height, hash, round, slot, proposer, payload_bytes, via } => {
                self.tip = self.tip.max(height.0);
                self.totals.count_chain((*via).into());
                let late = crate::now().wall.since(*slot);
                if *via == CommittedVia::Consensus {
                    self.totals.count_lateness(late);
                }
                debug!(
                    %height, block = %hash, %round, %proposer, payload_bytes, via = %via.as_str(),
                    late_ms = millis(late), "block committed"
                );
            }
            Event::Proposed { height, round, block } => {
                self.totals.count_chain(ChainTotal::Proposed);
                debug!(%height, %round, %block, "block proposed");
            }
            Event::RoundStarted { height, round, leader } => {
                self.totals.count_chain(ChainTotal::LaterRound);
                if let Some(suppressed) = self.admit(Kind::Round) {
                    info!(%height, %round, %leader, suppressed, "the round before decided nothing: another leads");
                }
            }
            Event::Producing(producing) => self.producing(*producing),
            Event::Sync(state) => self.sync(*state),
            Event::Summary(summary) => {
                self.tip = self.tip.max(summary.height.0);
                self.sync(summary.sync);
            }
            Event::Equivocation(evidence) => self.equivocation(evidence),
            _ => {}
        }
    }

    fn producing(&mut self, producing: Producing) {
        let code = match producing {
            Producing::Yes => "yes",
            Producing::No(why) => why.code(),
        };
        if self.producing.replace(code) == Some(code) {
            return debug!(?producing, "producing");
        }
        let Some(suppressed) = self.admit(Kind::Producing(code)) else { return };
        match producing {
            Producing::Yes => info!(suppressed, "producing blocks"),
            Producing::No(why) if needs_operator(why) => {
                warn!(reason = %code, suppressed, "not producing blocks: {why}");
            }
            Producing::No(why) => info!(reason = %code, suppressed, "not producing blocks: {why}"),
        }
    }

    fn sync(&mut self, state: SyncState) {
        let line = self.catch_up.see(state, self.tip, (self.clock)());
        self.totals.set_sync_rate(self.catch_up.rate());
        if self.screen.has_line() {
            self.paint(state);
        }
        match line {
            Some(Line::Began(Progress { height, target, .. })) => {
                let Some(suppressed) = self.admit(Kind::CatchUp) else { return };
                let missing = thousands(target.saturating_sub(height));
                info!(height, target, suppressed, "catching up: {missing} blocks are missing");
            }
            // Where the line on the screen says it, the log need not.
            Some(Line::Going(progress)) if !self.screen.has_line() => {
                let Progress { height, target, rate } = progress;
                info!(
                    height,
                    target,
                    blocks_per_second = rate.map(f64::round),
                    left_s = progress.left().map(|left| left.as_secs()),
                    "catching up: {} of {} blocks",
                    thousands(height),
                    thousands(target)
                );
            }
            Some(Line::Stalled(Progress { height, target, .. })) => {
                if let Some(suppressed) = self.admit(Kind::Stalled) {
                    warn!(
                        height,
                        target, suppressed, "catching up has stalled: no linked peer has the missing blocks"
                    );
                }
            }
            Some(Line::Done { blocks, took, height }) => {
                let Some(suppressed) = self.admit(Kind::CatchUp) else { return };
                info!(height, blocks, took_s = took.as_secs(), suppressed, "caught up");
            }
            Some(Line::Going(_)) | None => {}
        }
    }

    /// Writes the line anew, no oftener than a person can read, but takes it away at once.
    fn paint(&mut self, state: SyncState) {
        let Some(progress) = self.catch_up.progress(state, self.tip) else {
            self.painted = None;
            return self.screen.show("");
        };
        let now = (self.clock)();
        if self.painted.is_none_or(|at| now.duration_since(at) >= PAINT_EVERY) {
            self.painted = Some(now);
            self.screen.show(&painted(&progress));
        }
    }

    fn equivocation(&mut self, evidence: &Evidence) {
        self.totals.count_chain(ChainTotal::Equivocation);
        let Some(suppressed) = self.admit(Kind::Equivocation(evidence.node)) else { return };
        let (kind, height, round) = match &evidence.first {
            Statement::Vote(vote) => (vote.kind.as_str(), vote.height, vote.round),
            Statement::Proposal(proposal) => ("proposal", proposal.height, proposal.round),
        };
        warn!(
            node = %evidence.node, kind, %height, %round, suppressed,
            "a masternode has signed two statements that contradict each other: its key runs twice, or it \
             cheats (timed evidence shows both)"
        );
    }
}

/// Whether a node goes on to produce only if somebody does something about it.
const fn needs_operator(why: NotProducing) -> bool {
    matches!(
        why,
        NotProducing::Clock { .. }
            | NotProducing::VotingRecord { .. }
            | NotProducing::MinPeers { quorum: true, .. }
    )
}

fn painted(progress: &Progress) -> String {
    let Progress { height, target, rate } = *progress;
    let mut line = format!("catching up: {} / {}", thousands(height), thousands(target));
    if let Some(percent) = (height * 100).checked_div(target) {
        line.push_str(&format!(" ({percent} %)"));
    }
    if let Some(rate) = rate {
        line.push_str(&format!(", {rate:.0} blocks/s"));
    }
    if let Some(left) = progress.left() {
        line.push_str(&format!(", {} left", span(left.as_secs())));
    }
    line
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
