//! Two nodes, at times a third process with the key of one of them, and a schedule that the bytes choose: whatever
//! dials, drops, resets, restarts and outages there were, one link stands in the end that both name alike.
//!
//! The same model as `timed_tests::explore` goes through exhaustively, far beyond what can be exhausted.

use timed_tests::driver::Choices;
use timed_tests::explore::{Bounds, Budget, Cast, DiskPace, HostIx, Memory, Model, Step, line};

/// Steps of one schedule.
const LONGEST: usize = 400;

/// The world and the adversary's budget, then a byte a step.
///
/// # Panics
/// If the schedule ends otherwise, with the line that repeats it.
pub fn body(input: &[u8]) {
    let mut choices = Choices(input);
    let bounds = bounds(&mut choices);
    let mut model = Model::new(&bounds);
    let mut schedule: Vec<Step> = Vec::new();
    while choices.more() && schedule.len() < LONGEST {
        let steps = model.enabled();
        // Deliveries come first: a low byte takes one of the first.
        let Some(step) = steps.get(choices.below(steps.len())) else { break };
        take(&mut model, *step, &mut schedule);
        assert!(model.faults().is_empty(), "{:?} after {bounds:?}: {}", model.faults(), line(&schedule));
    }
    // What is on its way arrives and whoever is down is started: the end is judged from where nothing is in flight.
    while !model.is_quiescent() {
        let calm = |step: &Step| {
            matches!(
                step,
                Step::Arrive(_) | Step::Deliver(..) | Step::Persist(_) | Step::Start(_, Memory::Whole)
            )
        };
        let step = model.enabled().into_iter().find(calm).expect("nothing stays in flight");
        take(&mut model, step, &mut schedule);
    }
    if let Err(faults) = model.end_fairly() {
        panic!("{faults:?} after {bounds:?}: {}", line(&schedule));
    }
}

fn take(model: &mut Model, step: Step, schedule: &mut Vec<Step>) {
    model.take(step).expect("a step that is possible");
    schedule.push(step);
}

fn bounds(choices: &mut Choices<'_>) -> Bounds {
    let mut most = |most: usize| u8::try_from(choices.below(most + 1)).unwrap_or(0);
    let budget = Budget {
        timers: most(40),
        dials: most(6),
        drops: most(4),
        resets: most(4),
        restarts: most(3),
        lost_epochs: most(1),
        outages: most(2),
    };
    let world = choices.byte();
    let mut bounds = Bounds { seed: choices.byte().into(), ..Bounds::pair(budget) };
    match world % 8 {
        0 => bounds.cast = Cast::Twin(HostIx(0)),
        1 => bounds.cast = Cast::Twin(HostIx(1)),
        2 => bounds.disk = DiskPace::AnyTime,
        3 => bounds = bounds.forgetful(),
        _ => {}
    }
    bounds
}

/// Quiet starts, crossing dials, drops and restarts, in each world.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for world in 0..8u8 {
        for steps in [&[0; 30][..], &[0, 1, 2, 0, 0, 3, 1, 0, 2, 5, 0, 0, 1, 4, 0, 0, 6, 0, 0, 0]] {
            seeds.push([&[10, 2, 1, 1, 1, world % 2, 1, world, world][..], steps].concat());
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn duplicates_hold_on_seeds_and_noise() {
        crate::smoke::run("duplicates", &super::seeds(), 150, super::body);
    }
}
