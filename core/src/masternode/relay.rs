//! To whom a new item is forwarded (rules M-8 and C-15): only to whom its author has no link, by the author's own
//! signed word. In a full mesh nobody forwards anything; in any connected network everybody hears it.

use crate::ids::NodeId;
use crate::registry::MasternodeIndex;
use crate::seats::SeatSet;

/// Who still has to hear an item, as seen from the node that just verified it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Audience {
    author: MasternodeIndex,
    /// Whom the author says it is linked to.
    linked: SeatSet,
    from: NodeId,
}

impl Audience {
    /// For an item of `author`, with these links by its signed word, that `from` brought.
    pub(crate) const fn new(author: MasternodeIndex, linked: SeatSet, from: NodeId) -> Self {
        Self { author, linked, from }
    }

    /// Whether the author reaches all of so many registered masternodes itself: the case of a full mesh, in which
    /// nobody need be looked at.
    pub(crate) fn is_reached(&self, registered: usize) -> bool {
        let mut reached = self.linked;
        reached.insert(self.author);
        reached.len() >= registered
    }

    /// Whether a live peer is to get it; `seat` is its position in the registry, if it has one.
    ///
    /// Signed links name masternodes only, so nobody can tell which observers the author serves itself: an
    /// observer gets every new heartbeat over each of its links, once, and drops what it has.
    pub(crate) fn includes(&self, peer: &NodeId, seat: Option<MasternodeIndex>) -> bool {
        let needs = seat.is_none_or(|seat| seat != self.author && !self.linked.contains(seat));
        needs && *peer != self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_01a_never_back_never_to_the_author_never_to_whom_it_reaches_itself() {
        let peer = |key| NodeId([key; 32]);
        let audience =
            Audience::new(MasternodeIndex(0), [1, 2].map(MasternodeIndex).into_iter().collect(), peer(2));
        let includes = |key, seat: Option<u8>| audience.includes(&peer(key), seat.map(MasternodeIndex));
        assert!(!includes(0, Some(0)), "the author");
        assert!(!includes(1, Some(1)), "linked to the author");
        assert!(!includes(2, Some(2)), "who brought it");
        assert!(includes(3, Some(3)), "a masternode without a link to the author");
        assert!(includes(99, None), "an observer");
        assert!(audience.is_reached(3) && !audience.is_reached(4));
        assert!(!Audience::new(MasternodeIndex(0), SeatSet::EMPTY, peer(99)).includes(&peer(99), None));
    }
}
