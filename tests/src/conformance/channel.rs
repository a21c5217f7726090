//! The suite's end of a connection on which the channel stands.

use std::collections::VecDeque;

use timed_core::wire::message::{HelloAck, Message};
use timed_core::{CloseReason, SessionHash};

use super::arm::Wire;
use crate::scripted::{Heard, Line};

/// What becomes of the node's pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pings {
    /// Each is answered as soon as it is read.
    Answered,
    /// They are left to the case.
    Kept,
}

/// An established channel.
#[derive(Debug)]
pub struct Channel {
    /// Its connection.
    pub wire: Wire,
    /// Its records and frames.
    pub line: Line,
    /// Read and not yet taken, in order.
    pub heard: VecDeque<Heard>,
    /// What becomes of pings.
    pub pings: Pings,
    /// Whether the node has closed it.
    pub ended: bool,
    /// Why, by its goodbye.
    pub goodbye: Option<CloseReason>,
    /// The node's answer, where the suite dialed.
    pub ack: Option<Box<HelloAck>>,
}

impl Channel {
    /// A channel on which nothing has been said.
    #[must_use]
    pub fn new(wire: Wire, line: Line) -> Self {
        Self {
            wire,
            line,
            heard: VecDeque::new(),
            pings: Pings::Answered,
            ended: false,
            goodbye: None,
            ack: None,
        }
    }

    /// The name that both ends derive.
    #[must_use]
    pub const fn hash(&self) -> SessionHash {
        self.line.hash
    }

    /// Forgets what was heard so far.
    pub fn forget(&mut self) {
        self.heard.clear();
    }

    /// The messages that were heard and not taken.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.heard.iter().filter_map(|heard| heard.message.as_ref())
    }
}
