//! What other threads do for the core, handed over and answered: records and blocks made durable, payloads built
//! and judged, blocks read, names resolved.

use std::collections::BTreeSet;

use timed_core::{Core, Input, SeedId};

use super::driver::Driver;
use super::sink::{EventSink, ShellEvent, StopCause};
use super::workers::{Load, Loaded, Question, Resolved, Word, Worker};
use crate::application::{ApplicationError, Commitment, Offer};
use crate::store::{Answer, StoreError};

/// What is remembered between two answers.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The application was told to be behind and has not answered since.
    behind: bool,
    /// That a block cannot be read was told.
    load_failed: bool,
    /// Names that the name service was asked about and has not answered.
    resolving: BTreeSet<SeedId>,
    /// Why the application cannot go on.
    pub(super) application_failed: Option<ApplicationError>,
}

impl<C: Core, S: EventSink> Driver<C, S> {
    /// After something was handed to the store.
    pub(super) fn store_took(&mut self, taken: Result<(), StoreError>) {
        if let Err(error) = taken {
            self.sink.shell_event(&ShellEvent::StoreFailed(error));
            self.shared.notify();
        }
    }

    /// Hands a question to the application. One that waits for too many others has its answer at once if there
    /// is one that is always true.
    pub(super) fn ask(&mut self, question: Question) {
        let Err(question) = self.application.offer(question) else { return };
        if !self.state.standing.behind {
            self.state.standing.behind = true;
            self.sink.shell_event(&ShellEvent::ApplicationBehind);
        }
        if let Question::Produce { round, wanted, .. } = question {
            let height = wanted.height;
            let input = Input::Produced { height, round, payload: None, stale: Vec::new() };
            self.core.handle(self.state.now, input);
        }
    }

    /// Has blocks read for a peer. Where too many wait to be read, there are none for it now.
    pub(super) fn load(&mut self, load: Load) {
        if let Err(Load { load, .. }) = self.loader.offer(load) {
            self.core.handle(self.state.now, Input::Loaded { load, blocks: Vec::new() });
        }
    }

    /// Asks the name service. A question that has no answer yet is not asked twice; where there is nobody to ask,
    /// or too many names wait, nothing is known now.
    pub(super) fn resolve(&mut self, seed: SeedId) {
        if self.state.standing.resolving.contains(&seed) {
            return;
        }
        if self.resolver.as_ref().is_some_and(|resolver| resolver.offer(seed).is_ok()) {
            self.state.standing.resolving.insert(seed);
        } else {
            self.core.handle(self.state.now, Input::Resolved { seed, addrs: Vec::new() });
        }
    }

    /// Tells the core what the other threads have done.
    pub(super) fn take_answers(&mut self) {
        while let Some(answer) = self.store.next_answer() {
            self.stored(answer);
            self.drain();
        }
        while let Some(word) = self.application.next() {
            self.state.standing.behind = false;
            self.answered(word);
            self.drain();
        }
        while let Some(loaded) = self.loader.next() {
            self.loaded(loaded);
            self.drain();
        }
        while let Some(Resolved { seed, addrs }) = self.resolver.as_ref().and_then(Worker::next) {
            self.state.standing.resolving.remove(&seed);
            self.core.handle(self.state.now, Input::Resolved { seed, addrs });
            self.drain();
        }
    }

    fn stored(&mut self, answer: Answer) {
        let counters = &mut self.state.counters;
        let input = match answer {
            Answer::Durable { ticket, took } => {
                counters.records += 1;
                counters.store.note(took);
                let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                counters.store_max_ns = counters.store_max_ns.max(took);
                Input::Persisted(ticket)
            }
            Answer::Committed(height, Commitment { registry_changes, included }) => {
                counters.blocks += 1;
                Input::Committed { height, registry_changes, included }
            }
            Answer::Lost(ticket) => Input::PersistFailed(ticket),
            Answer::Broken(error) => return self.sink.shell_event(&ShellEvent::StoreFailed(error)),
        };
        self.core.handle(self.state.now, input);
    }

    fn answered(&mut self, word: Word) {
        let input = match word {
            Word::Produced { height, round, offer: Offer { payload, stale } } => {
                Input::Produced { height, round, payload, stale }
            }
            Word::Validated { block, verdict } => Input::Validated { block, verdict },
            Word::Failed(error) => return self.application_failed(error),
        };
        self.core.handle(self.state.now, input);
    }

    fn application_failed(&mut self, error: ApplicationError) {
        if self.state.standing.application_failed.is_none() {
            self.sink.shell_event(&ShellEvent::ApplicationFailed(error.to_string()));
            self.state.standing.application_failed = Some(error);
            self.end_because_of(StopCause::Application);
        }
    }

    fn loaded(&mut self, Loaded { load, blocks }: Loaded) {
        self.state.counters.loads += 1;
        let blocks = blocks.unwrap_or_else(|error| {
            if !self.state.standing.load_failed {
                self.state.standing.load_failed = true;
                self.sink.shell_event(&ShellEvent::LoadFailed(error));
            }
            Vec::new()
        });
        self.core.handle(self.state.now, Input::Loaded { load, blocks });
    }
}
