//! The answer to one request for blocks: parts come in, whole encoded blocks come out, in order (rule Y-3).

use bytes::Bytes;

use super::wanted::Span;
use crate::ids::Height;
use crate::limits::{MAX_FINAL_BLOCK, PART};
use crate::time::Mono;
use crate::wire::message::BlockPart;

/// Parts of a block at most.
const MAX_PARTS: usize = MAX_FINAL_BLOCK.div_ceil(PART);

/// A request that is not answered to its end.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Incoming {
    pub(super) id: u64,
    /// The height whose parts come next: everything asked for below it has come.
    next: Height,
    last: Height,
    begun: Option<Begun>,
    /// Bytes that it may still bring.
    left: usize,
    pub(super) asked: Mono,
    /// When it last brought something.
    pub(super) progress: Mono,
    /// The request to another peer for what is missing of this one.
    pub(super) raced_by: Option<u64>,
}

/// A block of which not all parts have come.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Begun {
    count: u16,
    next: u16,
    /// `None` if the block is here already.
    #[serde(with = "crate::recorded::some_bytes")]
    bytes: Option<Vec<u8>>,
}

/// What a part brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A piece of a block.
    Piece,
    /// The end of a block.
    Block(Height, Bytes),
    /// The end of a block that is here already.
    Known,
}

/// What is wrong with an answer. The peer is not asked for a while; nobody is charged for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) enum Flaw {
    /// Another part than the next one, or more than was asked for.
    Order,
    /// A part that is neither full nor the last, or an impossible count.
    Size,
    /// More bytes than were asked for.
    Excess,
}

impl Incoming {
    pub(super) fn new(id: u64, span: Span, now: Mono) -> Self {
        Self {
            id,
            next: span.first,
            last: span.last,
            begun: None,
            left: MAX_FINAL_BLOCK,
            asked: now,
            progress: now,
            raced_by: None,
        }
    }

    /// What has not come. `None` if everything has.
    pub(super) fn missing(&self) -> Option<Span> {
        (self.next <= self.last).then_some(Span { first: self.next, last: self.last })
    }

    /// Whether it has brought anything.
    pub(super) fn brought(&self) -> bool {
        self.left < MAX_FINAL_BLOCK
    }

    /// Whether it stands between two blocks.
    pub(super) fn is_between_blocks(&self) -> bool {
        self.begun.is_none()
    }

    /// Bytes that it may hold beside the blocks that it has brought.
    pub(super) fn reserved(&self) -> usize {
        self.left + self.begun.as_ref().and_then(|begun| begun.bytes.as_ref()).map_or(0, Vec::len)
    }

    /// Takes a part. `known` says that the block of its height is here already: then its bytes are dropped.
    pub(super) fn part(&mut self, now: Mono, part: BlockPart, known: bool) -> Result<Arrival, Flaw> {
        let length = part.bytes.len();
        let begun = match self.begun.take() {
            Some(begun) => begun,
            None => self.begin(&part, known)?,
        };
        if part.height != self.next || part.index != begun.next || part.count != begun.count {
            return Err(Flaw::Order);
        }
        let is_last = begun.next + 1 == begun.count;
        if length == 0 || length > PART || (length < PART && !is_last) {
            return Err(Flaw::Size);
        }
        self.left = self.left.checked_sub(length).ok_or(Flaw::Excess)?;
        self.progress = now;
        let bytes = match begun.bytes {
            Some(before) if begun.count > 1 => {
                let mut bytes = before;
                bytes.extend_from_slice(&part.bytes);
                Some(bytes)
            }
            before => before,
        };
        if !is_last {
            self.begun = Some(Begun { bytes, next: begun.next + 1, ..begun });
            return Ok(Arrival::Piece);
        }
        let height = self.next;
        self.next = height.next();
        Ok(match bytes {
            None => Arrival::Known,
            Some(_) if begun.count == 1 => Arrival::Block(height, part.bytes),
            // Without spare room, so that it counts what it holds.
            Some(bytes) => Arrival::Block(height, Bytes::from(bytes.into_boxed_slice())),
        })
    }

    /// The first part of a block.
    fn begin(&self, part: &BlockPart, known: bool) -> Result<Begun, Flaw> {
        if self.next > self.last {
            return Err(Flaw::Order);
        }
        let count = usize::from(part.count);
        if count == 0 || count > MAX_PARTS {
            return Err(Flaw::Size);
        }
        let room = if count > 1 { (count * PART).min(self.left) } else { 0 };
        let bytes = (!known).then(|| Vec::with_capacity(room));
        Ok(Begun { count: part.count, next: 0, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(height: u64, index: u16, count: u16, length: usize) -> BlockPart {
        BlockPart {
            id: 7,
            height: Height(height),
            index,
            count,
            bytes: Bytes::from(vec![index as u8; length]),
        }
    }

    fn incoming(first: u64, last: u64) -> Incoming {
        Incoming::new(7, Span { first: Height(first), last: Height(last) }, Mono(1))
    }

    #[test]
    fn parts_become_blocks_in_order() {
        let mut incoming = incoming(4, 6);
        let small = incoming.part(Mono(2), part(4, 0, 1, 100), false);
        assert_eq!(small, Ok(Arrival::Block(Height(4), vec![0; 100].into())));
        assert_eq!(incoming.part(Mono(3), part(5, 0, 2, PART), false), Ok(Arrival::Piece));
        assert!(!incoming.is_between_blocks());
        let Ok(Arrival::Block(Height(5), large)) = incoming.part(Mono(4), part(5, 1, 2, 9), false) else {
            panic!("no block");
        };
        assert_eq!((large.len(), large[PART - 1], large[PART]), (PART + 9, 0, 1));
        assert_eq!(incoming.part(Mono(5), part(6, 0, 1, 50), true), Ok(Arrival::Known));
        assert_eq!((incoming.missing(), incoming.progress), (None, Mono(5)));
        assert_eq!(incoming.part(Mono(6), part(7, 0, 1, 50), false), Err(Flaw::Order));
    }

    #[test]
    fn parts_that_lie_are_named() {
        let bad = |parts: &[BlockPart]| {
            let mut incoming = incoming(4, 400);
            parts.iter().cloned().find_map(|part| incoming.part(Mono(2), part, false).err())
        };
        assert_eq!(bad(&[part(5, 0, 1, 9)]), Some(Flaw::Order), "another height");
        assert_eq!(bad(&[part(4, 1, 2, PART)]), Some(Flaw::Order), "not the first part");
        assert_eq!(bad(&[part(4, 0, 2, PART), part(4, 0, 2, PART)]), Some(Flaw::Order), "twice");
        assert_eq!(bad(&[part(4, 0, 3, PART), part(4, 1, 2, PART)]), Some(Flaw::Order), "another count");
        assert_eq!(bad(&[part(4, 0, 2, PART), part(5, 0, 1, 9)]), Some(Flaw::Order), "left unfinished");
        assert_eq!(bad(&[part(4, 0, 0, 9)]), Some(Flaw::Size), "no parts");
        assert_eq!(bad(&[part(4, 0, u16::MAX, PART)]), Some(Flaw::Size), "too many parts");
        assert_eq!(bad(&[part(4, 0, 1, 0)]), Some(Flaw::Size), "empty");
        assert_eq!(bad(&[part(4, 0, 1, PART + 1)]), Some(Flaw::Size), "oversize");
        assert_eq!(bad(&[part(4, 0, 2, PART - 1)]), Some(Flaw::Size), "a short part in the middle");
        let full: Vec<BlockPart> = (4..100).map(|height| part(height, 0, 1, PART)).collect();
        assert_eq!(bad(&full), Some(Flaw::Excess), "more bytes than asked for");
    }

    #[test]
    fn c8_a_request_never_holds_more_than_it_was_promised() {
        let mut incoming = incoming(1, 400);
        let count = u16::try_from(MAX_PARTS).unwrap();
        for index in 0..count - 1 {
            assert_eq!(incoming.part(Mono(2), part(1, index, count, PART), false), Ok(Arrival::Piece));
            assert_eq!(incoming.reserved(), MAX_FINAL_BLOCK);
        }
        let held = incoming.begun.as_ref().and_then(|begun| begun.bytes.as_ref()).map(Vec::capacity);
        assert_eq!(held, Some(MAX_FINAL_BLOCK));
    }
}
