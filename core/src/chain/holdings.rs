//! How full the tables of the chain are (contract C8).

use crate::chain::Chain;
use crate::chain::consensus::Consensus;
use crate::limits::{CERTIFICATES_KEPT, COMMITS_UNDER_WAY, EARLY_PROPOSALS, Holding, ROUNDS_KEPT, holding};
use crate::registry::MAX_MASTERNODES;

/// Heights whose votes are kept: the tip's, the next one's and the one's after that.
const HEIGHTS: usize = 3;

impl Chain {
    /// Each table, where at most so many peers are live.
    pub(crate) fn holdings(&self, peers: usize) -> Vec<Holding> {
        let heights = [&self.past, &self.consensus, &self.next];
        let kept = || heights.into_iter().flatten().map(Consensus::kept);
        let votes = kept().map(|(votes, _)| votes).sum();
        let certificates = kept().map(|(_, certificates)| certificates).sum();
        let own = [
            holding("linked peers", self.linked.len(), peers),
            holding("votes", votes, HEIGHTS * ROUNDS_KEPT * 2 * MAX_MASTERNODES),
            holding("certificates", certificates, HEIGHTS * CERTIFICATES_KEPT),
            holding("proposals of the next height", self.early.len(), EARLY_PROPOSALS),
            holding("registries", self.registries.len(), 3 + COMMITS_UNDER_WAY),
            self.commits.holding(),
            self.evidence.holding(),
        ];
        let parts = self.candidates.holdings().into_iter().chain(self.mempool.holdings(peers));
        let catching_up = self.sync.holdings(peers).into_iter().chain(self.serving.holdings(peers));
        own.into_iter().chain(parts).chain(catching_up).collect()
    }
}
