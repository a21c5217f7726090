//! The address book in the node: what may enter it, who is asked for addresses and told some, and whom an
//! observer dials from it (rules P-3, P-4, P-5, S-5).

use crate::addr::CanonicalAddr;
use crate::ids::NodeId;
use crate::net::book::Failure;
use crate::node::Node;
use crate::time::Now;

impl Node {
    /// Whether an address is the book's to keep: a masternode's is the registry's (rule G-4), and this node's own
    /// is nobody's to dial from here.
    fn is_bookable(&self, id: &NodeId, addr: &CanonicalAddr) -> bool {
        *id != self.identity.node
            && !self.pool.owns(addr)
            && self.registered_addr(id).is_none()
            && self.config.registry.by_addr(addr).is_none()
    }

    /// This node reached `id` at `addr` by a dial of its own, a probe included, and it proved its key.
    pub(super) fn address_verified(&mut self, now: Now, id: NodeId, addr: CanonicalAddr) {
        if self.is_bookable(&id, &addr) {
            self.book.verified(now, id, addr);
        }
    }

    /// A dial to `addr`, where `id` was expected, ended without a link.
    pub(super) fn address_failed(&mut self, now: Now, id: NodeId, addr: CanonicalAddr, why: Failure) {
        let why = match why {
            Failure::WrongIdentity(Some(found)) if !self.is_bookable(&found, &addr) => {
                Failure::WrongIdentity(None)
            }
            why => why,
        };
        self.book.failed(now, id, addr, why);
    }
}
