//! Payloads of proposed blocks, put together chunk by chunk (rules C-3 and C-8).
//!
//! Nothing is kept that is not proven: a chunk counts only if its hash is the outline's, and the outline is
//! the header's. A payload that was assembled is kept to serve others.

use bytes::Bytes;

use crate::ids::{BlockHash, Height};
use crate::limits::{CHUNK, Holding, PAYLOADS, holding};
use crate::wire::block::{Outline, chunk_hash};
use crate::wire::message::Chunk;

/// The payloads of the height under way: the newest proposals' and the one that must not be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Assembly {
    /// At most [`PAYLOADS`], oldest first.
    payloads: Vec<Payload>,
}

/// One payload, whole or growing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
struct Payload {
    height: Height,
    block: BlockHash,
    outline: Outline,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum State {
    /// One bit a chunk that is missing. The buffer is made with the first chunk.
    Partial {
        missing: u128,
        #[serde(with = "crate::recorded::buffer")]
        buffer: Vec<u8>,
    },
    Whole(Bytes),
}

/// What a chunk brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[must_use]
pub(crate) enum Progress {
    /// Its payload is not sought: another block, or an evicted one.
    Unsought,
    /// It was here already.
    Repeat,
    /// More are missing.
    Missing,
    /// The payload is whole now.
    Whole,
}

/// A chunk that is not the one that the outline names. Whoever sent it did not check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunk is not the one that its block's outline names")]
pub(crate) struct ForgedChunk;

impl Assembly {
    pub(crate) fn holding(&self) -> Holding {
        holding("payloads of the height under way", self.payloads.len(), PAYLOADS)
    }

    /// Seeks the payload of a proposed block, whose outline is that of its header. With too many, the oldest
    /// that is not `kept` gives way. Nothing happens if it is sought or here already.
    pub(crate) fn seek(
        &mut self,
        height: Height,
        block: BlockHash,
        outline: &Outline,
        kept: Option<&BlockHash>,
    ) {
        let missing = u128::MAX.checked_shr(u128::BITS.saturating_sub(chunk_count(outline))).unwrap_or(0);
        let state = if missing == 0 {
            State::Whole(Bytes::new())
        } else {
            State::Partial { missing, buffer: Vec::new() }
        };
        self.insert(Payload { height, block, outline: outline.clone(), state }, kept);
    }

    /// Keeps a whole payload: our own, or one from the disk.
    pub(crate) fn keep(
        &mut self,
        height: Height,
        block: BlockHash,
        payload: Bytes,
        kept: Option<&BlockHash>,
    ) {
        let outline = Outline::of(&payload);
        self.payloads.retain(|here| here.block != block);
        self.insert(Payload { height, block, outline, state: State::Whole(payload) }, kept);
    }

    fn insert(&mut self, payload: Payload, kept: Option<&BlockHash>) {
        if self.find(&payload.block).is_some() {
            return;
        }
        if self.payloads.len() >= PAYLOADS {
            let given_up = self.payloads.iter().position(|here| Some(&here.block) != kept).unwrap_or(0);
            self.payloads.remove(given_up);
        }
        self.payloads.push(payload);
    }

    /// Takes a chunk in.
    ///
    /// # Errors
    /// If it is not the chunk that its block's outline names.
    pub(crate) fn take(&mut self, chunk: &Chunk) -> Result<Progress, ForgedChunk> {
        let sought = self.payloads.iter_mut().find(|here| here.block == chunk.block);
        let Some(payload) = sought.filter(|here| here.height == chunk.height) else {
            return Ok(Progress::Unsought);
        };
        let expected = payload.outline.chunks.get(usize::from(chunk.index)).ok_or(ForgedChunk)?;
        let State::Partial { missing, buffer } = &mut payload.state else { return Ok(Progress::Repeat) };
        let bit = 1u128.checked_shl(u32::from(chunk.index)).ok_or(ForgedChunk)?;
        if *missing & bit == 0 {
            return Ok(Progress::Repeat);
        }
        let length = length(&payload.outline);
        let start = usize::from(chunk.index) * CHUNK;
        let end = length.min(start + CHUNK);
        if chunk.bytes.len() != end.saturating_sub(start) || chunk_hash(&chunk.bytes) != *expected {
            return Err(ForgedChunk);
        }
        buffer.resize(length, 0);
        buffer.get_mut(start..end).ok_or(ForgedChunk)?.copy_from_slice(&chunk.bytes);
        *missing &= !bit;
        if *missing != 0 {
            return Ok(Progress::Missing);
        }
        payload.state = State::Whole(Bytes::from(std::mem::take(buffer)));
        Ok(Progress::Whole)
    }

    /// The whole payload of a block, if it is here.
    pub(crate) fn payload(&self, block: &BlockHash) -> Option<&Bytes> {
        match &self.find(block)?.state {
            State::Whole(payload) => Some(payload),
            State::Partial { .. } => None,
        }
    }

    /// The chunks to ask for, one bit each; none if the block's payload is whole or not sought.
    pub(crate) fn missing(&self, block: &BlockHash) -> Option<u128> {
        match &self.find(block)?.state {
            State::Whole(_) => None,
            State::Partial { missing, .. } => Some(*missing),
        }
    }

    /// Those of the wanted chunks of a block that are here, in order.
    pub(crate) fn chunks(&self, block: &BlockHash, wanted: u128) -> impl Iterator<Item = Chunk> {
        let payload = self.find(block);
        let count = payload.map_or(0, |payload| payload.outline.chunks.len());
        let indices = (0..u16::try_from(count).unwrap_or(0)).filter(move |index| has(wanted, *index));
        indices.filter_map(move |index| payload?.chunk(index))
    }

    /// Gives up every payload of another height than the one under way.
    pub(crate) fn at_height(&mut self, height: Height) {
        self.payloads.retain(|here| here.height == height);
    }

    fn find(&self, block: &BlockHash) -> Option<&Payload> {
        self.payloads.iter().find(|here| here.block == *block)
    }
}

impl Payload {
    fn chunk(&self, index: u16) -> Option<Chunk> {
        let start = usize::from(index) * CHUNK;
        let range = start..length(&self.outline).min(start + CHUNK);
        let bytes = match &self.state {
            State::Whole(payload) => payload.slice(range),
            State::Partial { missing, .. } if has(*missing, index) => return None,
            State::Partial { buffer, .. } => Bytes::copy_from_slice(buffer.get(range)?),
        };
        Some(Chunk { height: self.height, block: self.block, index, bytes })
    }
}

fn has(mask: u128, index: u16) -> bool {
    mask.checked_shr(u32::from(index)).is_some_and(|rest| rest & 1 == 1)
}

fn chunk_count(outline: &Outline) -> u32 {
    u32::try_from(outline.chunks.len()).unwrap_or(u32::MAX)
}

fn length(outline: &Outline) -> usize {
    usize::try_from(outline.length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{MAX_CHUNKS, MAX_PAYLOAD};

    const HEIGHT: Height = Height(3);

    fn block(number: u8) -> BlockHash {
        BlockHash([number; 32])
    }

    fn payload(length: usize, seed: u8) -> Bytes {
        (0..length).map(|at| (at % 251) as u8 ^ seed).collect()
    }

    /// An assembly that has one payload whole, as its proposer's does.
    fn proposer(block: BlockHash, payload: &Bytes) -> Assembly {
        let mut assembly = Assembly::default();
        assembly.keep(HEIGHT, block, payload.clone(), None);
        assembly
    }

    fn seeker(block: BlockHash, payload: &[u8]) -> Assembly {
        let mut assembly = Assembly::default();
        assembly.seek(HEIGHT, block, &Outline::of(payload), None);
        assembly
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Any length, any order, any repeats: the payload comes out, and every step says what is missing.
        #[test]
        fn chunks_in_any_order_make_the_payload(
            length in prop_oneof![
                0..3 * CHUNK, Just(CHUNK), Just(2 * CHUNK), Just(MAX_PAYLOAD - 1), Just(MAX_PAYLOAD)
            ],
            order in any::<prop::sample::Index>(),
            stride in 1..70usize,
        ) {
            let whole = payload(length, 1);
            let chunks: Vec<Chunk> = proposer(block(1), &whole).chunks(&block(1), u128::MAX).collect();
            prop_assert_eq!(chunks.len(), length.div_ceil(CHUNK));
            let mut assembly = seeker(block(1), &whole);
            let count = chunks.len();
            let first = order.index(count.max(1));
            let mut here = 0u128;
            for step in 0..count * count {
                let chunk = &chunks[(first + step * stride) % count];
                let bit = 1u128 << chunk.index;
                let expected = match () {
                    () if here & bit != 0 => Progress::Repeat,
                    () if (here | bit).count_ones() as usize == count => Progress::Whole,
                    () => Progress::Missing,
                };
                prop_assert_eq!(assembly.take(chunk), Ok(expected));
                here |= bit;
                let missing = (0..count).map(|at| 1u128 << at).sum::<u128>() & !here;
                prop_assert_eq!(assembly.missing(&block(1)), Some(missing).filter(|missing| *missing != 0));
                // What is here is served to others, whole or not.
                prop_assert!(assembly.chunks(&block(1), here).all(|served| chunks.contains(&served)));
                prop_assert_eq!(assembly.chunks(&block(1), u128::MAX).count(), here.count_ones() as usize);
            }
            for chunk in &chunks {
                let _ = assembly.take(chunk);
            }
            prop_assert_eq!(assembly.payload(&block(1)), Some(&whole));
            prop_assert_eq!(assembly.missing(&block(1)), None);
        }
    }

    #[test]
    fn a_forged_chunk_is_an_error_and_leaves_no_trace() {
        let whole = payload(2 * CHUNK + 100, 1);
        let chunks: Vec<Chunk> = proposer(block(1), &whole).chunks(&block(1), u128::MAX).collect();
        let mut assembly = seeker(block(1), &whole);
        let changed = |change: &dyn Fn(&mut Chunk)| {
            let mut chunk = chunks[1].clone();
            change(&mut chunk);
            chunk
        };
        for forged in [
            changed(&|c| c.bytes = payload(CHUNK, 2)),
            changed(&|c| c.bytes = c.bytes.slice(1..)),
            changed(&|c| c.bytes = Bytes::new()),
            changed(&|c| c.index = 0),
            changed(&|c| c.index = 2),
            changed(&|c| c.index = 3),
            changed(&|c| c.index = 128),
            changed(&|c| c.index = u16::MAX),
        ] {
            let before = assembly.clone();
            assert_eq!(assembly.take(&forged), Err(ForgedChunk), "{}", forged.index);
            assert_eq!(assembly, before);
        }
        for stray in [changed(&|c| c.block = block(2)), changed(&|c| c.height = Height(4))] {
            assert_eq!(assembly.take(&stray), Ok(Progress::Unsought));
        }
        for chunk in &chunks {
            assert!(matches!(assembly.take(chunk), Ok(Progress::Missing | Progress::Whole)));
        }
        assert_eq!(assembly.payload(&block(1)), Some(&whole));
    }

    #[test]
    fn an_empty_payload_is_whole_at_once() {
        let assembly = seeker(block(1), b"");
        assert_eq!(assembly.payload(&block(1)), Some(&Bytes::new()));
        assert_eq!(assembly.missing(&block(1)), None);
    }

    #[test]
    fn only_what_is_wanted_is_sent() {
        let whole = payload(MAX_PAYLOAD, 1);
        let assembly = proposer(block(1), &whole);
        let sent = |wanted| assembly.chunks(&block(1), wanted).map(|chunk| chunk.index).collect::<Vec<_>>();
        assert_eq!(sent(0b1001), [0, 3]);
        assert_eq!(sent(1 << (MAX_CHUNKS - 1)), [69]);
        assert!(sent(1 << MAX_CHUNKS).is_empty() && sent(1 << 127).is_empty() && sent(0).is_empty());
        assert!(assembly.chunks(&block(2), u128::MAX).next().is_none());
    }

    #[test]
    fn the_oldest_payload_gives_way_and_never_the_one_that_is_kept() {
        let mut assembly = Assembly::default();
        let valid = payload(100, 1);
        assembly.keep(HEIGHT, block(1), valid.clone(), None);
        for number in 2..9 {
            assembly.seek(HEIGHT, block(number), &Outline::of(&payload(CHUNK, number)), Some(&block(1)));
            assert!(assembly.payloads.len() <= PAYLOADS);
            assert_eq!(assembly.payload(&block(1)), Some(&valid));
            assert_eq!(assembly.missing(&block(number)), Some(1));
        }
        assert_eq!(assembly.payloads.len(), PAYLOADS);
        // Sought again, nothing that is here is lost.
        assembly.seek(HEIGHT, block(1), &Outline::of(&valid), None);
        assert_eq!(assembly.payload(&block(1)), Some(&valid));
        // The whole one takes the place of the growing one.
        assembly.keep(HEIGHT, block(8), payload(CHUNK, 8), Some(&block(1)));
        assert_eq!(assembly.payload(&block(8)), Some(&payload(CHUNK, 8)));
        assembly.at_height(HEIGHT);
        assert_eq!(assembly.payloads.len(), PAYLOADS);
        assembly.at_height(HEIGHT.next());
        assert_eq!(assembly, Assembly::default());
    }
}
