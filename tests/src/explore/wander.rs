//! Schedules drawn at random, for budgets of which not every schedule can be tried.

use std::time::Instant;

use timed_core::Rng;

use super::bounds::Bounds;
use super::ending::Ending;
use super::model::Model;
use super::search::Outcome;
use super::step::Step;
use super::violation::Violation;

/// Executes `walks` schedules drawn at random, each to the end of its budget and to its fair end. The
/// outcome's states are those walks, its steps all that was executed.
pub fn wander(bounds: &Bounds, walks: usize, mut progress: impl FnMut(&Outcome)) -> Outcome {
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    for walk in 0..walks {
        let mut seed = [0; 32];
        for (place, byte) in
            seed.iter_mut().zip(bounds.seed.to_le_bytes().into_iter().chain(walk.to_le_bytes()))
        {
            *place = byte;
        }
        let mut rng = Rng::new(seed);
        let mut bounds = bounds.clone();
        bounds.seed = rng.next_u64();
        let (schedule, ending) = one(&bounds, &mut rng);
        outcome.states += 1;
        outcome.transitions += schedule.len();
        outcome.took = begun.elapsed();
        let Some(ending) = ending else {
            outcome.seed = bounds.seed;
            outcome.violation = Some(Violation::shortest(&bounds, schedule));
            return outcome;
        };
        outcome.ended(&ending, &schedule);
        progress(&outcome);
    }
    outcome
}

/// One schedule, and its fair end, if it was good.
fn one(bounds: &Bounds, rng: &mut Rng) -> (Vec<Step>, Option<Ending>) {
    let mut model = Model::new(bounds);
    let mut schedule = Vec::new();
    loop {
        let steps = model.enabled();
        if steps.is_empty() || (model.is_quiescent() && rng.below(64) == 0) {
            return (schedule, model.end_fairly().ok());
        }
        let weights: Vec<u64> = steps.iter().map(|step| weight(*step)).collect();
        let mut drawn = rng.below(weights.iter().sum());
        let chosen = steps.iter().zip(weights).find(|(_, weight)| {
            let hit = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            hit
        });
        let Some((step, _)) = chosen else { continue };
        model.perform(*step);
        schedule.push(*step);
        if !model.faults().is_empty() {
            return (schedule, None);
        }
    }
}

/// Deliveries are frequent, faults are rare: so that handshakes get anywhere between two of them.
const fn weight(step: Step) -> u64 {
    match step {
        Step::Arrive(_) | Step::Deliver(..) | Step::Persist(_) | Step::Start(..) => 40,
        Step::Timer(_) => 12,
        Step::Connect(_) | Step::Drop(_) | Step::Reset(_) | Step::Refuse(_) => 3,
        Step::Kill(..) | Step::Outage => 1,
    }
}
