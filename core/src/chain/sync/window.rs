//! Blocks that are here and not applied yet, encoded, under the heights that they were served for.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::ids::{Height, NodeId};

/// An encoded block and who served it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Kept {
    pub(super) bytes: Bytes,
    pub(super) from: NodeId,
}

/// The blocks, at most one a height: the first that came.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Window {
    blocks: BTreeMap<Height, Kept>,
    bytes: usize,
}

impl Window {
    /// Keeps a block, unless one of its height is here.
    pub(super) fn keep(&mut self, height: Height, bytes: Bytes, from: NodeId) {
        if !self.contains(height) {
            self.bytes += bytes.len();
            self.blocks.insert(height, Kept { bytes, from });
        }
    }

    pub(super) fn contains(&self, height: Height) -> bool {
        self.blocks.contains_key(&height)
    }

    /// Bytes of all blocks here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self, height: Height) -> Option<Kept> {
        let kept = self.blocks.remove(&height)?;
        self.bytes -= kept.bytes.len();
        Some(kept)
    }

    /// Drops the highest block. Answers its height.
    pub(super) fn drop_highest(&mut self) -> Option<Height> {
        let (&height, _) = self.blocks.last_key_value()?;
        let _ = self.take(height);
        Some(height)
    }

    /// Drops everything up to a height.
    pub(super) fn advance(&mut self, tip: Height) {
        while let Some((&lowest, _)) = self.blocks.first_key_value()
            && lowest <= tip
        {
            let _ = self.take(lowest);
        }
    }

    /// Drops everything that a peer served. Answers the heights.
    pub(super) fn drop_from(&mut self, peer: &NodeId) -> Vec<Height> {
        let theirs = self.blocks.iter().filter(|(_, kept)| kept.from == *peer);
        let heights: Vec<Height> = theirs.map(|(height, _)| *height).collect();
        for height in &heights {
            let _ = self.take(*height);
        }
        heights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_01a_a_height_is_kept_once_and_its_bytes_are_counted() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let mut window = Window::default();
        for (height, length, from) in [(5, 10, a), (5, 70, b), (6, 20, b), (9, 30, a)] {
            window.keep(Height(height), Bytes::from(vec![0; length]), from);
        }
        assert_eq!(window.bytes(), 60);
        assert_eq!(window.take(Height(5)).map(|kept| kept.from), Some(a));
        assert!(window.take(Height(5)).is_none());
        assert_eq!(window.drop_from(&a), [Height(9)]);
        window.advance(Height(6));
        assert_eq!((window.bytes(), window.contains(Height(6))), (0, false));
    }
}
