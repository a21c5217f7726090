//! A schedule that goes wrong: made short, and repeated step by step as text.

use super::bounds::Bounds;
use super::ending::Ending;
use super::model::Model;
use super::step::Step;

/// A schedule that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The schedule.
    pub schedule: Vec<Step>,
    /// What is wrong at its end.
    pub faults: Vec<String>,
}

/// Executes a schedule and its fair end, step by step as text. Steps that are not possible are left out and
/// named.
pub fn replay(bounds: &Bounds, schedule: &[Step]) -> (Vec<String>, Result<Ending, Vec<String>>) {
    let mut model = Model::new(bounds);
    model.record();
    let mut lines = Vec::new();
    for step in schedule {
        if model.take(*step).is_err() {
            lines.push(format!("              {step} is not possible here"));
        }
        lines.extend(model.recorded());
    }
    lines.push("              the fair end:".to_owned());
    let ending = model.end_fairly();
    lines.extend(model.recorded());
    (lines, ending)
}

/// What is wrong with a schedule, if anything. Steps that are not possible are left out.
fn faults(bounds: &Bounds, schedule: &[Step]) -> Option<(Vec<Step>, Vec<String>)> {
    let mut model = Model::new(bounds);
    let mut taken = Vec::new();
    for step in schedule {
        if model.take(*step).is_ok() {
            taken.push(*step);
        }
        if !model.faults().is_empty() {
            return Some((taken, model.faults().to_vec()));
        }
    }
    // A host that nobody has started again is no fault of the network.
    model.all_started().then(|| model.end_fairly().err()).flatten().map(|faults| (taken, faults))
}

impl Violation {
    /// Leaves out every step without which the schedule goes wrong as well.
    pub(crate) fn shortest(bounds: &Bounds, schedule: Vec<Step>) -> Self {
        let Some((mut schedule, mut wrong)) = faults(bounds, &schedule) else {
            return Violation {
                schedule,
                faults: vec!["not repeatable: the model is not deterministic".to_owned()],
            };
        };
        let mut at = 0;
        while at < schedule.len() {
            let mut shorter = schedule.clone();
            shorter.remove(at);
            match faults(bounds, &shorter) {
                Some((taken, found)) if taken.len() < schedule.len() => {
                    (schedule, wrong) = (taken, found);
                    at = 0;
                }
                _ => at += 1,
            }
        }
        Self { schedule, faults: wrong }
    }
}
