//! Depth-first search over all schedules, by executing them anew: a node cannot be copied.
//!
//! Sleep sets leave out schedules that differ only in the order of deliveries to different hosts; a state that
//! was met before is entered again only for steps that were left out then.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use super::bounds::Bounds;
use super::ending::Ending;
use super::model::Model;
use super::step::{HostIx, Step};
use super::violation::Violation;

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Distinct states.
    pub states: usize,
    /// Steps executed from them.
    pub transitions: usize,
    /// States in which nothing was in flight, each brought to its fair end.
    pub endings: usize,
    /// The longest time that a fair end took to settle.
    pub longest: Duration,
    /// A schedule after which it took so long.
    pub slowest: Vec<Step>,
    /// The most links that came up at one host in a fair end.
    pub ups: u32,
    /// A schedule after which so many did.
    pub liveliest: Vec<Step>,
    /// Real time.
    pub took: Duration,
    /// The first schedule that went wrong, made short.
    pub violation: Option<Violation>,
    /// The seed of the schedule that went wrong, if schedules were drawn at random.
    pub seed: u64,
    /// Whether every schedule within the bounds was covered.
    pub complete: bool,
}

impl Outcome {
    /// Keeps the worst of the good endings.
    pub(crate) fn ended(&mut self, ending: &Ending, schedule: &[Step]) {
        self.endings += 1;
        if ending.settled_after > self.longest {
            self.longest = ending.settled_after;
            self.slowest = schedule.to_vec();
        }
        if ending.ups > self.ups {
            self.ups = ending.ups;
            self.liveliest = schedule.to_vec();
        }
    }
}

/// A state on the present path.
struct Frame {
    /// Steps still to take, the next one last.
    todo: Vec<Step>,
    /// Steps of which every continuation is covered elsewhere.
    sleep: Vec<Step>,
}

struct Search<'a> {
    bounds: &'a Bounds,
    /// The states met, with the steps that were left out there.
    met: HashMap<u64, Vec<Step>>,
    path: Vec<Step>,
    frames: Vec<Frame>,
    outcome: Outcome,
}

/// Explores every schedule within the bounds, or up to the first that goes wrong. `progress` is told now and
/// then.
pub fn explore(bounds: &Bounds, mut progress: impl FnMut(&Outcome)) -> Outcome {
    let begun = Instant::now();
    let mut search = Search {
        bounds,
        met: HashMap::new(),
        path: Vec::new(),
        frames: Vec::new(),
        outcome: Outcome::default(),
    };
    let wrong = search.run(&mut |outcome| {
        outcome.took = begun.elapsed();
        progress(outcome);
    });
    let mut outcome = search.outcome;
    outcome.complete = wrong.is_none() && outcome.states < bounds.max_states;
    outcome.violation = wrong.map(|schedule| Violation::shortest(bounds, schedule));
    outcome.took = begun.elapsed();
    outcome
}

impl Search<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(&mut Outcome)) -> Option<Vec<Step>> {
        let mut model = Some(Model::new(self.bounds));
        model = match self.enter(model.take()?, Vec::new()) {
            Entered::Wrong => return Some(self.path.clone()),
            Entered::Open(model) => model,
            Entered::Closed => return None,
        };
        while let Some(frame) = self.frames.last_mut() {
            let Some(step) = frame.todo.pop() else {
                self.frames.pop();
                self.path.pop();
                model = None;
                continue;
            };
            let sleep: Vec<Step> = frame.sleep.clone();
            frame.sleep.push(step);
            let mut world = match model.take() {
                Some(world) => world,
                None => self.again(),
            };
            let asleep = sleep.into_iter().filter(|other| independent(&world, *other, step)).collect();
            world.perform(step);
            self.path.push(step);
            self.outcome.transitions += 1;
            if self.outcome.transitions.is_multiple_of(1 << 16) {
                progress(&mut self.outcome);
            }
            match self.enter(world, asleep) {
                Entered::Wrong => return Some(self.path.clone()),
                Entered::Open(world) => model = world,
                Entered::Closed => {
                    self.path.pop();
                }
            }
            if self.outcome.states >= self.bounds.max_states {
                return None;
            }
        }
        None
    }

    fn again(&self) -> Model {
        let mut model = Model::new(self.bounds);
        for step in &self.path {
            model.perform(*step);
        }
        model
    }

    fn enter(&mut self, mut model: Model, sleep: Vec<Step>) -> Entered {
        if !model.faults().is_empty() {
            return Entered::Wrong;
        }
        let todo: Vec<Step> = match self.met.entry(model.digest()) {
            Entry::Vacant(place) => {
                self.outcome.states += 1;
                let todo = model.enabled().into_iter().filter(|step| !sleep.contains(step)).rev().collect();
                place.insert(sleep.clone());
                todo
            }
            Entry::Occupied(mut place) => {
                let left_out = place.get_mut();
                let todo: Vec<Step> = left_out.iter().filter(|step| !sleep.contains(step)).copied().collect();
                left_out.retain(|step| sleep.contains(step));
                if todo.is_empty() {
                    return Entered::Closed;
                }
                self.frames.push(Frame { todo, sleep });
                return Entered::Open(Some(model));
            }
        };
        self.frames.push(Frame { todo, sleep });
        if !model.is_quiescent() {
            return Entered::Open(Some(model));
        }
        match model.end_fairly() {
            Ok(ending) => {
                self.outcome.ended(&ending, &self.path);
                Entered::Open(None)
            }
            Err(_) => Entered::Wrong,
        }
    }
}

#[allow(clippy::large_enum_variant)] // One at a time, on the stack.
enum Entered {
    /// Something is wrong in this state or after its fair end.
    Wrong,
    /// There are steps to take; the model, unless it was used up.
    Open(Option<Model>),
    /// Everything from here is covered.
    Closed,
}

/// Whether two possible steps lead to the same state in both orders: each touches another host only, and none
/// changes what both depend on.
fn independent(model: &Model, one: Step, other: Step) -> bool {
    let host = |step| -> Option<HostIx> {
        match step {
            Step::Deliver(key, side) => model.wire.get(key).map(|conn| conn.host(key, side)),
            Step::Persist(host) => Some(host),
            _ => None,
        }
    };
    match (host(one), host(other)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}
