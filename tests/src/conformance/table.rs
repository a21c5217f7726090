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
    /// Why not, and which test holds it instead.
    pub why: &'static str,
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

/// Rules without a case.
pub const UNSEEN: &[Unseen] = &[];
