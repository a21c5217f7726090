//! The network's blocks as they become final, each once, from whichever node has it first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::super::client::{Api, Method, short, url_of};
use super::super::live::BlockCells;
use super::layout::{Member, Origin};
use super::watch::{ANSWER_WITHIN, Watch};

/// Blocks that are remembered for the screen.
const REMEMBERED: usize = 5;
/// Blocks that wait to be told at most: more come only where nobody reads the lines.
const WAITING: usize = 10_000;

/// One block in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockLine {
    pub(super) height: u64,
    pub(super) text: String,
    /// The same in parts; none for what is said about the chain.
    pub(super) block: Option<BlockCells>,
}

#[derive(Debug, Default)]
struct Blocks {
    /// Not yet taken by [`Chronicle::news`].
    news: VecDeque<BlockLine>,
    /// The newest, oldest first.
    last: VecDeque<BlockLine>,
}

/// Follows the chain for as long as the process lives.
#[derive(Debug)]
pub(super) struct Chronicle {
    blocks: Arc<Mutex<Blocks>>,
}

impl Chronicle {
    /// Begins to follow the chain of a network, whose nodes somebody watches.
    pub(super) fn begin(members: &[Member], origin: Origin, interval: Duration, watch: &Watch) -> Self {
        let blocks = Arc::new(Mutex::new(Blocks::default()));
        let (told, watch, members) = (Arc::clone(&blocks), watch.clone(), members.to_vec());
        // Twice a slot shows each block in its time; oftener than ten times a second nobody can read.
        let every = (interval / 2).clamp(Duration::from_millis(100), Duration::from_secs(1));
        thread::spawn(move || {
            let apis: Vec<Api> =
                members.iter().map(|member| Api::within(url_of(member.api), None, ANSWER_WITHIN)).collect();
            let mut next = (origin == Origin::New).then_some(1);
            loop {
                let heights = watch.known().into_iter().map(|known| known.said.map(|said| said.height));
                if let Some((index, height)) = highest(heights) {
                    let mut found = Vec::new();
                    let from = *next.get_or_insert_with(|| {
                        let text = format!("the chain of the earlier run goes on after height {height}");
                        found.push(BlockLine { height, text, block: None });
                        height + 1
                    });
                    found.extend(apis.get(index).map(|api| read(api, from, &members)).unwrap_or_default());
                    next = found.last().map(|last| last.height + 1).or(next);
                    told.lock().unwrap_or_else(PoisonError::into_inner).add(found);
                }
                thread::sleep(every);
            }
        });
        Self { blocks }
    }

    /// Blocks that nobody has been told of, in their order.
    pub(super) fn news(&self) -> Vec<BlockLine> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).news.drain(..).collect()
    }

    /// The newest blocks, oldest first.
    pub(super) fn last(&self) -> Vec<BlockLine> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).last.iter().cloned().collect()
    }
}

impl Blocks {
    fn add(&mut self, found: Vec<BlockLine>) {
        for line in found {
            if self.last.len() == REMEMBERED {
                self.last.pop_front();
            }
            self.last.push_back(line.clone());
            if self.news.len() < WAITING {
                self.news.push_back(line);
            }
        }
    }
}

/// The node with the most blocks, and how many.
fn highest(heights: impl Iterator<Item = Option<u64>>) -> Option<(usize, u64)> {
    let known = heights.enumerate().filter_map(|(index, height)| Some((index, height?)));
    known.max_by_key(|(index, height)| (*height, std::cmp::Reverse(*index)))
}

fn read(api: &Api, from: u64, members: &[Member]) -> Vec<BlockLine> {
    let answer = api.call(Method::Get, &format!("/blocks?from={from}&limit=100"), "");
    let Ok(answer) = answer else { return Vec::new() };
    let blocks = answer.json.as_array().into_iter().flatten();
    blocks.filter_map(|block| line(block, members)).collect()
}

fn line(block: &Value, members: &[Member]) -> Option<BlockLine> {
    let height = block["height"].as_u64()?;
    let proposer = block["proposer"].as_str()?;
    let by = members.iter().find(|member| member.id.to_string() == proposer);
    let parts = BlockCells {
        height,
        slot: block["time"].as_str()?.to_owned(),
        by: by.map_or(short(proposer).to_owned(), |member| format!("node {}", member.number)),
        round: block["round"].as_u64()?,
        transactions: block["transaction_ids"].as_array()?.len(),
        hash: short(block["hash"].as_str()?).to_owned(),
    };
    let text = format!(
        "block {height}: slot {}, by {}, round {}, {} transactions, hash {}",
        parts.slot, parts.by, parts.round, parts.transactions, parts.hash
    );
    Some(BlockLine { height, text, block: Some(parts) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_of_the_highest_is_asked() {
        assert_eq!(highest([None, Some(3), Some(5), Some(5)].into_iter()), Some((2, 5)));
        assert_eq!(highest([None, None].into_iter()), None);
    }

    #[test]
    fn a_block_is_one_line() {
        let block = json!({
            "height": 7, "proposer": "ab".repeat(32), "round": 1, "time": "2026-01-01T00:00:10.000Z",
            "transaction_ids": ["x", "y"], "hash": "cd".repeat(32),
        });
        let text = "block 7: slot 2026-01-01T00:00:10.000Z, by abababababab, round 1, 2 transactions, hash \
                    cdcdcdcdcdcd";
        let told = line(&block, &[]).unwrap();
        assert_eq!((told.height, told.text.as_str()), (7, text));
        assert_eq!(told.block.map(|block| (block.round, block.transactions)), Some((1, 2)));
        assert_eq!(line(&json!({}), &[]), None);
    }

    #[test]
    fn the_screen_remembers_the_newest_and_lines_are_told_once() {
        let chronicle = Chronicle { blocks: Arc::default() };
        let lines = (1..=8).map(|height| BlockLine { height, text: String::new(), block: None }).collect();
        chronicle.blocks.lock().unwrap().add(lines);
        assert_eq!(chronicle.last().iter().map(|line| line.height).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        assert_eq!((chronicle.news().len(), chronicle.news().len()), (8, 0));
    }
}
