//! What every part of a world shares while an event is handled: the time, the seed's stream, the agenda, the
//! trace, and what was found to be wrong.

use std::collections::BTreeSet;

use timed_core::{NodeId, Rng};

use super::agenda::Agenda;
use super::clock::SimTime;
use super::host::HostId;
use super::ledger::Ledger;
use super::net::NetEvent;
use super::trace::Trace;
use super::wire::{Side, TcpId};

/// What is due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// Something in the network.
    Net(NetEvent),
    /// The kernel has something for a process.
    Wake(HostId),
    /// A process's timer; void if it was set anew since.
    Timer(HostId),
    /// A disk write ends.
    Disk(HostId),
    /// An application has an answer.
    Answer(HostId),
    /// A slow reader takes another look at an end.
    Look(TcpId, Side),
    /// The action with this number, entered by a test or a fault plan.
    Action(u64),
}

/// The shared part of a world.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: SimTime,
    pub(crate) rng: Rng,
    pub(crate) agenda: Agenda<Due>,
    pub(crate) trace: Trace,
    /// The chain, if the world has one.
    pub(crate) ledger: Option<Ledger>,
    /// Keys that a script plays: nothing is promised of their conduct.
    pub(crate) played: BTreeSet<NodeId>,
    violations: Vec<String>,
}

impl Context {
    pub(crate) fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            now: SimTime(0),
            rng: Rng::new(key),
            agenda: Agenda::new(),
            trace: Trace::new(),
            ledger: None,
            played: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    /// Notes a broken invariant; the world fails with it at the end of the step.
    pub(crate) fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    pub(crate) fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }
}
