//! All connections by [`ConnId`], and the closed ones whose last bytes are under way.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use timed_core::{ConnId, Reading, TransportCause};
use tokio::task::AbortHandle;

use super::link::Link;
use crate::limits::LINGERING;

/// One connection that the core knows.
#[derive(Debug)]
pub(super) struct Connection {
    id: ConnId,
    pub(super) body: Body,
    pub(super) reading: Reading,
    /// Chunks that came while the core wanted none: at most as many as a reader may be ahead.
    pub(super) held: VecDeque<Box<[u8]>>,
    /// The end that came behind them.
    pub(super) lost: Option<TransportCause>,
    /// Whether it waits in the list of those to be flushed.
    pub(super) to_flush: bool,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Body {
    /// A task is connecting.
    Dialing(AbortHandle),
    /// Two tasks serve it.
    Open(Arc<Link>),
}

/// Every open connection, at the index that the core gave it.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    open: usize,
    lingering: VecDeque<Weak<Link>>,
}

impl Connections {
    pub(super) fn insert(&mut self, id: ConnId, body: Body) {
        let index = id.index() as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            debug_assert!(slot.is_none(), "the core gives an index again only after Closed");
            *slot = Some(Box::new(Connection {
                id,
                body,
                reading: Reading::Resume,
                held: VecDeque::new(),
                lost: None,
                to_flush: false,
            }));
            self.open += 1;
        }
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index() as usize)?.as_deref_mut();
        slot.filter(|connection| connection.id == id)
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.get_mut(id)?;
        let removed = self.slots.get_mut(id.index() as usize)?.take()?;
        self.open -= 1;
        Some(*removed)
    }

    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Remembers a closed one; cuts the oldest if too many linger. Whether it did.
    pub(super) fn linger(&mut self, link: &Arc<Link>) -> bool {
        self.lingering.push_back(Arc::downgrade(link));
        if self.lingering.len() <= LINGERING {
            return false;
        }
        self.lingering.retain(|link| link.strong_count() > 0);
        if self.lingering.len() <= LINGERING {
            return false;
        }
        if let Some(oldest) = self.lingering.pop_front().and_then(|link| link.upgrade()) {
            oldest.cut();
        }
        true
    }

    /// Ends everything at once.
    pub(super) fn cut_all(&mut self) {
        for connection in self.slots.iter_mut().filter_map(Option::take) {
            match connection.body {
                Body::Dialing(task) => task.abort(),
                Body::Open(link) => link.cut(),
            }
        }
        self.open = 0;
        for link in self.lingering.drain(..).filter_map(|link| link.upgrade()) {
            link.cut();
        }
    }
}
