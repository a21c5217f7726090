//! Which function holds which rule, and why some rules have none.

use super::arm::{Scene, Verdict};
use super::exam::Exam;
use super::rules;

/// One function about one rule.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The rule's number in `core/PROTOCOL.md`.
    pub rule: &'static str,
    /// The function's name: it says what is seen.
    pub name: &'static str,
    /// The network that it needs.
    pub scene: Scene,
    /// The function.
    pub run: fn(&mut Exam<'_>) -> Verdict,
}

/// A rule that no peer can see kept or broken.
#[derive(Clone, Copy, Debug)]
pub struct Unseen {
    /// The rule's number.
    pub rule: &'static str,
    /// Why not.
    pub why: &'static str,
    /// The test that holds it instead: its file in this repository, and its function.
    pub held_by: &'static str,
}

macro_rules! listed {
    ($($rule:literal $scene:ident $function:ident,)*) => {
        &[$($crate::conformance::Case {
            rule: $rule,
            name: stringify!($function),
            scene: $crate::conformance::Scene::$scene,
            run: $function,
        },)*]
    };
}
pub(crate) use listed;

/// Every case, in the order of the document.
#[must_use]
pub fn cases() -> Vec<&'static Case> {
    rules::ALL.iter().flat_map(|part| part.iter()).collect()
}

macro_rules! unseen {
    ($($rule:literal, $why:literal, $held_by:literal;)*) => {
        &[$(Unseen { rule: $rule, why: $why, held_by: $held_by },)*]
    };
}

/// Rules without a case.
pub const UNSEEN: &[Unseen] = unseen![
    "P-3", "what a node believes shows in whom it dials, among many nodes and over hours",
        "tests/tests/addresses/believing.rs::p_3_nobody_enters_the_book_by_advertising_itself";
    "P-5", "the book is durable state; no peer sees when it is written",
        "tests/tests/addresses/records.rs::p_5_the_book_is_written_when_it_has_changed_and_at_most_every_five_minutes";
    "P-8", "questions go to a name service, not to peers",
        "tests/tests/reach/names.rs::p_8_a_name_without_a_link_is_asked_about_again_whether_it_was_answered_or_not";
    "W-5", "memory shows only in the sender's process",
        "tests/tests/contracts/bounds.rs::c8_a_peer_that_never_reads_holds_bounded_lanes";
    "M-5", "the matrix is a node's own view, told to its operator",
        "tests/tests/sim_links.rs::the_matrix_of_a_third_node_tells_of_a_lost_link_within_two_seconds";
    "M-7", "the estimate of one's own clock is told to the operator",
        "tests/tests/chain/clocks.rs::prod_04b_a_clock_off_by_an_hour_is_named_and_the_others_go_on";
    "Y-5", "that others are served without delay shows in the others' consensus, under load",
        "tests/tests/chain/sync.rs::sync_01b_a_stampede_does_not_starve_consensus";
    "S-4", "in a network of four every masternode has a place kept for it, and displaces nobody",
        "tests/tests/sim_slots.rs::s_4_an_observer_gives_way_to_a_new_masternode_and_keeps_away";
    "S-5", "whom an observer seeks in its book shows among many observers",
        "tests/tests/addresses/observers.rs::s_5_observers_find_one_another_through_one_bootstrap_peer";
    "A-2", "that an answer is not charged shows only where it would have been too much",
        "tests/tests/chain/rates.rs::a_2_what_was_asked_for_exceeds_no_rate_however_low";
    "A-5", "what a node suspects of itself it tells its operator",
        "tests/tests/bans/offences.rs::a_5_a_node_that_finds_fault_with_many_masternodes_suspects_itself_and_punishes_nobody";
];

/// The whole table as a document: each rule in the order given, with its cases or the reason for having none.
#[must_use]
pub fn document(rules: &[&str]) -> String {
    let mut text = String::from(
        "# Rules and the cases that see them\n\n\
         Each numbered rule of `core/PROTOCOL.md`, and the functions of the conformance suite about it\n\
         (`tests/src/conformance/rules`), or why no peer can see it and which test holds it instead. Every case runs on\n\
         the simulator and on each shell over the loopback interface (`cargo test -p timed-tests --test conformance`),\n\
         and against any node (`cargo run -p timed-tests --bin conformance`). Written by\n\
         `TIMED_BLESS=1 cargo test -p timed-tests --test conformance table`.\n\n\
         | rule | cases, or why there is none |\n|---|---|\n",
    );
    let cases = cases();
    for rule in rules {
        let names: Vec<String> =
            cases.iter().filter(|case| case.rule == *rule).map(|case| format!("`{}`", case.name)).collect();
        let cell = match UNSEEN.iter().find(|unseen| unseen.rule == *rule) {
            Some(unseen) => format!("not seen: {}; `{}`", unseen.why, unseen.held_by),
            None => names.join(", "),
        };
        text.push_str(&format!("| {rule} | {cell} |\n"));
    }
    text
}
