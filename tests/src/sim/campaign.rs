//! A long run of a network that makes blocks: storms of faults, each followed by a calm in which everything has to be
//! as if nothing had happened.

use std::fmt;
use std::time::Duration;

use timed_core::Height;

use super::clock::SimTime;
use super::faults::{Fault, Swarm};
use super::host::{HostId, MakeProvider};
use super::path::Profile;
use super::setup::Setup;
use super::trace::TraceHash;
use super::world::World;

/// A storm lasts so many slots at most.
const STORM: u32 = 60;
/// A connection that the network has forgotten stands until its silence is noticed (rule L-3).
const SILENCE: Duration = Duration::from_secs(16);
/// How long links may take to stand again, and how long they get to come to rest.
const LINKS: Duration = Duration::from_secs(60);
/// A run of more than so much time has storms of half the length, and between them calms that show what changes slowly.
const LONG_RUN: Duration = Duration::from_secs(6 * 3_600);
/// The calms of such a run.
const LONG_CALM: Duration = Duration::from_secs(300);
/// Without faults: the time between two looks.
const LOOK: Duration = Duration::from_secs(600);

/// What the network has to bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nothing: every slot has its block, and no link ever moves.
    Fair,
    /// For each storm a few of these kinds, drawn from the seed.
    Storms(Vec<Fault>),
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Its seed, on which everything depends.
    pub seed: u64,
    /// Masternodes.
    pub masternodes: usize,
    /// Nodes that are none.
    pub observers: usize,
    /// The length of a slot.
    pub interval: Duration,
    /// How long it takes, in virtual time; at least one storm and one calm.
    pub time: Duration,
    /// What it has to bear.
    pub weather: Weather,
    /// Whether the first masternode is a traitor; only where the others are enough.
    pub traitor: Traitor,
    /// Whose cryptography.
    pub provider: MakeProvider,
}

/// Whether there is a traitor among the masternodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traitor {
    /// None.
    None,
    /// The first one.
    First,
}

/// What a run has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Virtual time.
    pub time: Duration,
    /// Events handled.
    pub steps: u64,
    /// Storms that are over.
    pub storms: u64,
    /// Faults that have struck, by kind.
    pub faults: Vec<(Fault, u64)>,
    /// Blocks.
    pub blocks: u64,
    /// Of these, blocks that were not decided in the first round.
    pub late: u64,
    /// The longest from the end of a storm to all links, and to the next block.
    pub longest: (Duration, Duration),
    /// Links of masternodes at the end.
    pub links: usize,
    /// Hash of everything that happened.
    pub hash: Option<TraceHash>,
}

impl Campaign {
    /// Runs it; tells of each storm and calm that is over. `repeat` is the command that runs it again.
    ///
    /// # Panics
    /// With the seed, the step, the last events and that command, if anything is not as it must be.
    pub fn run(&self, repeat: Option<String>, mut progress: impl FnMut(&Tally)) -> Tally {
        let mut world = World::new(self.seed, &self.setup());
        if let Some(repeat) = repeat {
            world.repeated_by(repeat);
        }
        if self.has_traitor() {
            world.play_traitor(HostId(0));
        }
        world.start_all();
        world.expect("the first links", LINKS, World::is_meshed);
        let mut tally = Tally::default();
        let kinds = self.kinds();
        while world.now().since(SimTime(0)) < self.time {
            match self.weather {
                Weather::Fair => self.fair(&mut world),
                Weather::Storms(_) => self.storm(&mut world, &kinds, &mut tally),
            }
            self.count(&world, &mut tally);
            progress(&tally);
        }
        self.count(&world, &mut tally);
        tally
    }

    /// What may strike in this run. A clock that has once been ahead leaves an epoch that others remember: nobody can
    /// tell a key that has lost it, in this storm or a later one, from a second process. So it is the one or the other.
    fn kinds(&self) -> Vec<Fault> {
        let Weather::Storms(kinds) = &self.weather else { return Vec::new() };
        let loses = |fault: &Fault| matches!(fault, Fault::OldBackup | Fault::LostDirectory);
        let ahead = |fault: &Fault| *fault == Fault::WallStep;
        let both = kinds.iter().any(loses) && kinds.iter().any(ahead);
        let keeps_clock = self.seed.is_multiple_of(2);
        let fits = |fault: &Fault| !both || if keeps_clock { !ahead(fault) } else { !loses(fault) };
        kinds.iter().copied().filter(fits).collect()
    }

    fn has_traitor(&self) -> bool {
        self.traitor == Traitor::First && self.masternodes >= 4
    }

    fn setup(&self) -> Setup {
        let setup = Setup::new(self.provider)
            .masternodes(self.masternodes)
            .observers(self.observers)
            .chain(self.interval);
        match self.weather {
            Weather::Fair => setup.profile(Profile::lan()),
            // What a slow network can do in a slot is the slot's to allow.
            Weather::Storms(_) if self.interval >= Duration::from_secs(4) => setup.any_profile(),
            Weather::Storms(_) => setup.fsync(Duration::ZERO, Duration::from_millis(20)),
        }
    }

    fn left(&self, world: &World) -> Duration {
        self.time.saturating_sub(world.now().since(SimTime(0)))
    }

    /// Nothing happens, for a while: no dial, no link that ends, no slot without a block.
    fn fair(&self, world: &mut World) {
        world.run_for(LINKS);
        self.calm(world, LOOK.min(self.left(world)).max(self.interval * 3), "without a fault");
    }

    fn storm(&self, world: &mut World, kinds: &[Fault], tally: &mut Tally) {
        let swarm = world.draw_swarm_from(kinds);
        let is_long = self.time > LONG_RUN;
        let most = self.interval * if is_long { STORM / 2 } else { STORM };
        let lasts = most / 2 + world.random(most / 2);
        let (began, links, height) = (world.now(), world.links(), world.chain_height());
        world.unleash(&swarm, lasts);
        if !self.has_traitor() {
            if swarm.faults.iter().all(|fault| fault.spares_links()) && world.links() != links {
                world.fail(&format!("{swarm:?} has ended links\n{}", world.describe()));
            }
            if swarm.faults.iter().all(|fault| fault.spares_slots()) {
                self.keeps_pace(world, began, height, &format!("in {swarm:?}"));
                let late = world.late_blocks(height);
                if late > 0 {
                    world.fail(&format!("in {swarm:?}: {late} blocks were not decided in the first round"));
                }
            }
        }
        tally.storms += 1;
        self.recovers(world, &swarm, tally);
        world.run_for(LINKS);
        let calm = if is_long { LONG_CALM } else { LINKS };
        self.calm(world, calm.max(self.interval * 3), &format!("after {swarm:?}"));
    }

    /// All links, and blocks again.
    fn recovers(&self, world: &mut World, swarm: &Swarm, tally: &mut Tally) {
        world.run_for(SILENCE);
        let links = world.expect(&format!("the links after {swarm:?}"), LINKS, World::is_meshed);
        world.run_for(Duration::from_secs(1));
        // Up to three leaders in a row may be strangers to the block that a quorum is locked on, each after an outage
        // in whose rounds the time-outs have grown.
        let block = world.expect_blocks(&format!("a block after {swarm:?}"), 1, self.interval * 12);
        // A traitor spoils the first rounds of its turns.
        let slots = if self.has_traitor() { 12 } else { 7 };
        world.expect_blocks(&format!("blocks after {swarm:?}"), 5, self.interval * slots);
        tally.longest = (tally.longest.0.max(links + SILENCE), tally.longest.1.max(block));
    }

    /// Nothing moves but the chain.
    fn calm(&self, world: &mut World, time: Duration, when: &str) {
        let (began, height) = (world.now(), world.chain_height());
        let links = world.links();
        world.run_for(time);
        if self.has_traitor() {
            return;
        }
        let fault = if world.links() != links {
            Some("a link was replaced".to_owned())
        } else if world.dials_since(began) > 0 {
            Some("somebody dials".to_owned())
        } else {
            let held = |host: &HostId| world.held(*host) > world.seen(*host).live.len();
            world
                .nodes()
                .iter()
                .find(|host| held(host))
                .map(|host| format!("{host} has more sockets than links"))
        };
        if let Some(fault) = fault {
            world.fail(&format!("in the calm {when}: {fault}\n{}", world.describe()));
        }
        self.keeps_pace(world, began, height, &format!("in the calm {when}"));
    }

    /// Every slot since a time has had its block, perhaps but for the present one.
    fn keeps_pace(&self, world: &World, began: SimTime, height: Height, when: &str) {
        let time = world.now().since(began);
        let slots = u64::try_from(time.as_nanos() / self.interval.as_nanos().max(1)).unwrap_or(0);
        let made = world.chain_height().0 - height.0;
        if made + 1 < slots {
            world.fail(&format!("{when}: {made} blocks in {slots} slots\n{}", world.describe()));
        }
    }

    fn count(&self, world: &World, tally: &mut Tally) {
        let height = world.chain_height();
        tally.late += world.late_blocks(Height(tally.blocks));
        tally.time = world.now().since(SimTime(0));
        tally.steps = world.steps();
        tally.blocks = height.0;
        tally.faults = world.struck().iter().map(|(fault, times)| (*fault, *times)).collect();
        tally.links = world.links().len();
        tally.hash = Some(world.trace_hash());
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        writeln!(f, "virtual time        {:.2} h", self.time.as_secs_f64() / 3_600.0)?;
        writeln!(f, "events              {}", self.steps)?;
        writeln!(f, "blocks              {}, {} of them not in the first round", self.blocks, self.late)?;
        writeln!(f, "links at the end    {}", self.links)?;
        writeln!(f, "storms              {}", self.storms)?;
        if self.storms > 0 {
            writeln!(f, "longest to links    {}", secs(self.longest.0))?;
            writeln!(f, "longest to a block  {}", secs(self.longest.1))?;
        }
        for (fault, times) in &self.faults {
            writeln!(f, "  {:<18}{times}", fault.name())?;
        }
        match self.hash {
            Some(hash) => writeln!(f, "trace               {hash:?}"),
            None => Ok(()),
        }
    }
}
