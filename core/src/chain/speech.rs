//! Whether this key may speak yet (rule C-13): what is gathered for [`voting_record::voice`] and when it is asked.

use std::time::Duration;

use crate::chain::question::Question;
use crate::chain::voting_record::{self, OwnStatement, Past, Voice, VotingRecord};
use crate::event::Statement;
use crate::ids::{BootEpoch, Height, NodeId};
use crate::time::Mono;

/// How long a node waits for links to a quorum before it speaks: in a network without a full mesh it may never
/// have them. One that has its voting record has less to learn from them.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_WITHOUT_RECORD: Duration = Duration::from_secs(20);

/// What this process knows of its key's past, and what follows from it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Speech {
    /// Until when links to a quorum are waited for; none when it was asked after that.
    patience: Option<Mono>,
    /// The record, as it was at the start.
    record: Option<VotingRecord>,
    stored: Height,
    certified: Height,
    /// The highest boot epoch that the disk knew at the start.
    used: BootEpoch,
    question: Question,
    /// What the record on the disk lacks of the question while it is open.
    unkept: Change,
    /// Since when a quorum is linked and nothing is missing, and how long that must last.
    settled: Option<Mono>,
    hearing: Duration,
    state: State,
    news: News,
}

/// Whether something was learned since the question was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum News {
    None,
    Some,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum State {
    /// Nothing may be said yet.
    Waiting,
    /// The question was answered; the height, if any, above which a block must be final before anything is said.
    Answered(Option<Height>),
}

/// What changes with something that was learned, or with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[must_use]
pub(crate) enum Change {
    /// Nothing.
    Nothing,
    /// The record must be written anew.
    Record,
}

impl Speech {
    /// At the start of a process of the epoch `boot`, whose disk knew of boots up to `used` and has blocks up to
    /// `stored`. `hearing` is how long a linked quorum is listened to first: long enough for each to show what it
    /// holds of ours (rule C-12). A question that an earlier process has left open is still the same.
    pub(crate) fn new(
        now: Mono,
        record: Option<VotingRecord>,
        stored: Height,
        (used, boot): (BootEpoch, BootEpoch),
        hearing: Duration,
    ) -> Self {
        let left_open = record.as_ref().and_then(|record| record.question.clone());
        let patience = match &record {
            Some(record) if !record.says_nothing() => PATIENCE,
            _ => PATIENCE_WITHOUT_RECORD,
        };
        Self {
            patience: Some(now + patience),
            record,
            stored,
            certified: stored,
            used,
            question: left_open.unwrap_or_else(|| Question::new(used, boot)),
            unkept: Change::Nothing,
            settled: None,
            hearing,
            state: State::Waiting,
            news: News::None,
        }
    }

    /// A certificate of this height was verified.
    pub(crate) fn certified(&mut self, height: Height) {
        self.certified = self.certified.max(height);
    }

    /// A registered masternode has seen this boot of our key, which is not this process.
    pub(crate) fn boot_seen(&mut self, witness: NodeId, epoch: BootEpoch) {
        if self.question.is_foreign(epoch, self.used) && self.question.testified(witness) {
            self.news = News::Some;
            self.unkept = Change::Record;
        }
    }

    /// A genuine statement with our own signature was shown, which `record` may know.
    pub(crate) fn own_shown(&mut self, record: Option<&VotingRecord>, shown: &Statement) {
        let judged = record.map_or(OwnStatement::Unrecorded, |record| record.judge_own(shown));
        if judged == OwnStatement::Unrecorded {
            self.unrecorded(shown.height());
        }
    }

    /// Something of this height was said with our key that this process does not know of.
    pub(crate) fn unrecorded(&mut self, height: Height) {
        let first = self.question.unrecorded().is_none();
        if self.question.shown(height) {
            self.news = News::Some;
            // Whoever catches up finds one in every block: the height after the blocks at hand counts in any case.
            if first || height > self.certified.next() {
                self.unkept = Change::Record;
            }
        }
    }

    /// What is to be kept of an open question; asked before a block is written.
    pub(crate) fn keep(&mut self) -> Change {
        let unkept = std::mem::replace(&mut self.unkept, Change::Nothing);
        if self.is_answered() { Change::Nothing } else { unkept }
    }

    /// What the record must tell, where `tip` is the newest final block: the height above which one must be final
    /// before this key speaks, and the question while it is open.
    pub(crate) fn recorded(&self, tip: Height) -> (Option<Height>, Option<Question>) {
        match self.state {
            State::Waiting => {
                let silent = self.record.as_ref().and_then(|record| record.silent_until_above);
                (silent, Some(self.question.clone()))
            }
            State::Answered(_) => (self.silent_until_above(tip), None),
        }
    }

    /// Whether a linked quorum is being listened to before anything is said.
    pub(crate) const fn is_hearing(&self) -> bool {
        self.settled.is_some() && matches!(self.state, State::Waiting)
    }

    /// Whether anything may be said that is not in the record.
    pub(crate) const fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }

    /// When to look again whether the question may be asked; it stands until it is looked at.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        let heard = self.settled.map(|since| since + self.hearing);
        let ends = [self.patience, heard];
        ends.into_iter().flatten().min().filter(|_| self.state == State::Waiting)
    }

    /// Asks, if the time has come: a quorum is linked and was listened to, or was waited for long enough, and
    /// every block that is certified is here. Asks again when more is known. `tolerated` masternodes may lie.
    pub(crate) fn ask(
        &mut self,
        now: Mono,
        surroundings: Surroundings,
        tip: Height,
        tolerated: usize,
    ) -> Change {
        self.patience = self.patience.filter(|until| *until > now);
        let waited = self.patience.is_none();
        self.settled = match surroundings {
            Surroundings::Complete => self.settled.or(Some(now)),
            Surroundings::Syncing | Surroundings::Sparse => None,
        };
        let heard = self.settled.is_some_and(|since| now.since(since) >= self.hearing);
        let ripe = match (self.state, surroundings) {
            (State::Answered(_), _) => self.news == News::Some,
            (State::Waiting, Surroundings::Syncing) => false,
            (State::Waiting, Surroundings::Sparse) => waited,
            (State::Waiting, Surroundings::Complete) => heard,
        };
        if !ripe {
            return Change::Nothing;
        }
        self.news = News::None;
        let before = match self.state {
            State::Waiting => None,
            State::Answered(until_above) => until_above,
        };
        let past = Past {
            record: self.record.as_ref(),
            stored: self.stored,
            certified: self.certified,
            unrecorded: self.question.unrecorded(),
            foreign_boots: self.question.witnesses(),
            tolerated,
            abstained: before,
        };
        let answer = match voting_record::voice(&past, tip) {
            Voice::Speaks => None,
            Voice::Abstains { until_above } => Some(until_above),
        };
        self.state = State::Answered(answer.max(before));
        if answer > before { Change::Record } else { Change::Nothing }
    }

    /// The height above which a block must be final before this key speaks again, where `tip` is the newest.
    pub(crate) fn silent_until_above(&self, tip: Height) -> Option<Height> {
        match self.state {
            State::Waiting => None,
            State::Answered(until_above) => until_above.filter(|until_above| *until_above >= tip),
        }
    }
}

/// What is around this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// It catches up.
    Syncing,
    /// No quorum is linked.
    Sparse,
    /// A quorum is linked and it lacks no block that it has heard of.
    Complete,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARING: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Mono {
        Mono(0) + Duration::from_secs(seconds)
    }

    fn started(record: Option<VotingRecord>) -> Speech {
        Speech::new(at(0), record, Height(0), (BootEpoch(0), BootEpoch(5)), HEARING)
    }

    fn ask(speech: &mut Speech, seconds: u64, surroundings: Surroundings) -> bool {
        let change = speech.ask(at(seconds), surroundings, Height(0), 1);
        assert_eq!(change, Change::Nothing);
        speech.is_answered()
    }

    #[test]
    fn c_13_a_linked_quorum_is_listened_to_before_anything_is_said() {
        let mut speech = started(None);
        assert!(!ask(&mut speech, 1, Surroundings::Complete));
        assert!(speech.is_hearing());
        // However late it is looked at, the time that it was to be looked at does not pass unnoticed.
        assert_eq!(speech.deadline(), Some(at(2)));
        // Links are lost on the way: it listens anew.
        assert!(!ask(&mut speech, 1, Surroundings::Sparse));
        assert!(!ask(&mut speech, 2, Surroundings::Complete));
        assert!(ask(&mut speech, 3, Surroundings::Complete));
    }

    #[test]
    fn c_13_links_are_waited_for_with_patience_and_blocks_for_ever() {
        let (blank, record) = (VotingRecord::of(Height(1)), VotingRecord::of(Height(2)));
        for (record, patience) in [(None, 20), (Some(blank), 20), (Some(record), 10)] {
            let mut speech = started(record);
            assert!(!ask(&mut speech, patience - 1, Surroundings::Sparse));
            assert_eq!(speech.deadline(), Some(at(patience)));
            assert!(!ask(&mut speech, 3_600, Surroundings::Syncing));
            assert_eq!(speech.deadline(), None, "it was looked at, and more blocks wake it");
            assert!(ask(&mut speech, 3_600, Surroundings::Sparse));
        }
    }

    #[test]
    fn c_13_silence_is_to_be_recorded_and_what_turns_up_later_counts() {
        let mut speech = started(None);
        assert!(ask(&mut speech, 20, Surroundings::Sparse));
        speech.unrecorded(Height(9));
        assert_eq!(speech.ask(at(21), Surroundings::Syncing, Height(0), 1), Change::Record);
        assert_eq!(speech.silent_until_above(Height(9)), Some(Height(9)));
        assert_eq!(speech.silent_until_above(Height(10)), None);
        assert_eq!(speech.ask(at(22), Surroundings::Syncing, Height(0), 1), Change::Nothing);
    }

    /// A process ends before it has asked: the next goes on with what its record holds, and the same disk.
    fn restarted(speech: &Speech, boot: u64) -> Speech {
        let (silent_until_above, question) = speech.recorded(Height(0));
        let record = VotingRecord { silent_until_above, question, ..VotingRecord::of(Height(1)) };
        Speech::new(at(0), Some(record), Height(3), (BootEpoch(boot - 1), BootEpoch(boot)), HEARING)
    }

    fn abstains(mut speech: Speech) -> bool {
        let _ = speech.ask(at(0), Surroundings::Complete, Height(3), 1);
        let _ = speech.ask(at(1), Surroundings::Complete, Height(3), 1);
        assert!(speech.is_answered());
        assert_eq!(speech.recorded(Height(3)).1, None, "it was answered");
        speech.silent_until_above(Height(3)).is_some()
    }

    #[test]
    fn prod_06_what_speaks_against_a_key_outlasts_processes_that_end_before_they_ask() {
        let witness = |of: u8| NodeId([of; 32]);
        // One masternode in each life has seen a boot from before this directory: two are more than may lie.
        let mut speech = started(None);
        speech.boot_seen(witness(1), BootEpoch(4));
        assert_eq!((speech.keep(), speech.keep()), (Change::Record, Change::Nothing));
        let mut speech = restarted(&restarted(&speech, 6), 7);
        assert_eq!(speech.keep(), Change::Nothing);
        assert!(!abstains(speech.clone()));
        speech.boot_seen(witness(1), BootEpoch(4));
        assert_eq!(speech.keep(), Change::Nothing, "it has said so");
        // Boots of this directory's own processes tell nothing.
        speech.boot_seen(witness(2), BootEpoch(5));
        speech.boot_seen(witness(3), BootEpoch(6));
        assert_eq!(speech.keep(), Change::Nothing);
        assert!(!abstains(speech.clone()));
        speech.boot_seen(witness(2), BootEpoch(4));
        assert!(abstains(speech));
        // A block that the first process has fetched bears our signature: no other fetches it again.
        let mut speech = started(None);
        speech.unrecorded(Height(1));
        assert_eq!(speech.keep(), Change::Record);
        assert!(abstains(restarted(&restarted(&speech, 6), 7)));
        // Nothing was found.
        assert!(!abstains(restarted(&restarted(&started(None), 6), 7)));
    }

    #[test]
    fn while_blocks_are_fetched_the_record_is_written_once() {
        let mut speech = started(None);
        let writes = (1..=1_000).map(Height).filter(|height| {
            speech.unrecorded(*height);
            let change = speech.keep();
            speech.certified(*height);
            change == Change::Record
        });
        assert_eq!(writes.count(), 1);
        speech.unrecorded(Height(1_002));
        assert_eq!(speech.keep(), Change::Record);
    }

    #[test]
    fn c_13_an_abstention_is_not_forgotten_while_the_question_is_open_again() {
        let kept = VotingRecord { silent_until_above: Some(Height(9)), ..VotingRecord::of(Height(1)) };
        assert_eq!(started(Some(kept)).recorded(Height(3)).0, Some(Height(9)));
    }
}
