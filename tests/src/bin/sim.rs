//! Runs a network in virtual time, through storms of faults or none:
//!
//! ```text
//! cargo run -p timed-tests --release --bin sim -- --nodes 50 --seed 7 --hours 24 --faults all
//! ```
//!
//! Everything depends on the seed. What must hold is checked at every step; a run that fails prints its seed, the
//! step, the last events and the command that repeats it.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use timed_tests::sim::{Campaign, Fault, Tally, Traitor, Weather, noise, null};

/// The masternodes of a run of many seeds, by its seed.
const SIZES: [usize; 8] = [1, 2, 3, 4, 4, 5, 7, 10];
/// The slots of a run of many seeds, in milliseconds, by its seed.
const SLOTS: [u64; 3] = [500, 1_000, 10_000];

#[derive(Parser)]
#[command(about = "A network in virtual time, through storms of faults or none")]
struct Order {
    /// Masternodes [14; with --seeds 1 to 10, by the seed]
    #[arg(long)]
    nodes: Option<usize>,
    /// Nodes that are no masternodes
    #[arg(long, default_value_t = 0)]
    observers: usize,
    /// The seed, or the first of several
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs so many seeds in a row, and goes on after one that fails
    #[arg(long)]
    seeds: Option<u64>,
    /// Virtual hours
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// `all`, `none`, or names with commas between them: see --list
    #[arg(long, default_value = "all")]
    faults: String,
    /// The length of a slot in milliseconds [10000; with --seeds 500, 1000 or 10000, by the seed]
    #[arg(long)]
    slot_ms: Option<u64>,
    /// Has the first masternode break the rules of voting [with --seeds: of every third eight]
    #[arg(long)]
    traitor: bool,
    /// Which cryptography
    #[arg(long, value_enum, default_value_t = Crypto::Null)]
    crypto: Crypto,
    /// Runs everything twice and compares the traces
    #[arg(long)]
    twice: bool,
    /// Lists the names of the faults
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Crypto {
    /// Checksums: fast, protects nothing
    Null,
    /// What real nodes use
    Noise,
}

fn main() -> ExitCode {
    let order = Order::parse();
    if order.list {
        for fault in Fault::ALL.into_iter().chain(Fault::CHAIN) {
            println!("{}", fault.name());
        }
        return ExitCode::SUCCESS;
    }
    let weather = match weather(&order.faults) {
        Ok(weather) => weather,
        Err(name) => {
            eprintln!("{name:?} is no fault: see --list");
            return ExitCode::from(2);
        }
    };
    let provider = match order.crypto {
        Crypto::Null => "null (checksums)",
        Crypto::Noise => "Noise, ed25519",
    };
    println!("cryptography        {provider}");
    // A failure says all that there is to say.
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload();
        let text = what.downcast_ref::<String>().map(String::as_str);
        eprintln!("\n{}", text.or_else(|| what.downcast_ref().copied()).unwrap_or("it panics"));
    }));
    let seeds: Vec<u64> = (order.seed..order.seed + order.seeds.unwrap_or(1)).collect();
    let begun = Instant::now();
    let mut failed = Vec::new();
    for seed in &seeds {
        let campaign = order.campaign(*seed, weather.clone());
        if run(&order, &campaign).is_none() {
            failed.push(*seed);
        }
    }
    if seeds.len() > 1 {
        println!("{} seeds in {:.0?}, {} failed: {failed:?}", seeds.len(), begun.elapsed(), failed.len());
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn weather(names: &str) -> Result<Weather, String> {
    let all = || Fault::ALL.into_iter().chain(Fault::CHAIN).collect();
    match names {
        "none" => Ok(Weather::Fair),
        "all" => Ok(Weather::Storms(all())),
        names => {
            let fault = |name: &str| Fault::of_name(name).ok_or_else(|| name.to_owned());
            names.split(',').map(fault).collect::<Result<_, _>>().map(Weather::Storms)
        }
    }
}

/// One seed, perhaps twice. `None` if it failed.
fn run(order: &Order, campaign: &Campaign) -> Option<Tally> {
    let begun = Instant::now();
    let mut told = Instant::now();
    let once = |progress: &mut dyn FnMut(&Tally)| {
        let repeat = order.repeat(campaign);
        catch_unwind(AssertUnwindSafe(|| campaign.run(Some(repeat), progress))).ok()
    };
    let result = once(&mut |tally: &Tally| {
        if order.seeds.is_none() && told.elapsed() > Duration::from_millis(500) {
            told = Instant::now();
            let hours = tally.time.as_secs_f64() / 3_600.0;
            eprint!(
                "\rseed {}: {hours:.2} of {} h, {} storms, {} blocks, {:.0?}   ",
                campaign.seed,
                order.hours,
                tally.storms,
                tally.blocks,
                begun.elapsed()
            );
            // A progress line that cannot be written is not worth a failure.
            let _ = std::io::stderr().flush();
        }
    });
    let took = begun.elapsed();
    if order.seeds.is_none() {
        eprintln!();
    }
    let Some(tally) = result else {
        println!("seed {:<6} FAILED after {took:.1?}", campaign.seed);
        return None;
    };
    if order.twice {
        let again = once(&mut |_| {})?;
        if again.hash != tally.hash {
            println!("seed {}: the second run differs: {:?} and {:?}", campaign.seed, tally.hash, again.hash);
            return None;
        }
    }
    if order.seeds.is_some() {
        println!(
            "seed {:<6} {} nodes, {:.2} h, {} storms, {} blocks, {took:.1?}",
            campaign.seed,
            campaign.masternodes,
            tally.time.as_secs_f64() / 3_600.0,
            tally.storms,
            tally.blocks
        );
    } else {
        println!("masternodes         {}", campaign.masternodes);
        println!("seed                {}", campaign.seed);
        print!("{tally}");
        println!("took                {:.1} s", took.as_secs_f64());
    }
    Some(tally)
}

impl Order {
    fn campaign(&self, seed: u64, weather: Weather) -> Campaign {
        let many = self.seeds.is_some();
        let drawn = |choices: &[u64]| choices[usize::try_from(seed % choices.len() as u64).unwrap_or(0)];
        let sizes = SIZES.map(|size| size as u64);
        let drawn_size = usize::try_from(drawn(&sizes)).unwrap_or(1);
        let slot = self.slot_ms.unwrap_or(if many { drawn(&SLOTS) } else { 10_000 });
        let traitor = self.traitor || (many && (seed / 8).is_multiple_of(3));
        Campaign {
            seed,
            masternodes: self.nodes.unwrap_or(if many { drawn_size } else { 14 }),
            observers: self.observers,
            interval: Duration::from_millis(slot),
            time: Duration::from_secs_f64(self.hours * 3_600.0),
            weather,
            traitor: if traitor { Traitor::First } else { Traitor::None },
            provider: match self.crypto {
                Crypto::Null => null,
                Crypto::Noise => noise,
            },
        }
    }

    /// The command that runs one seed of this order again.
    fn repeat(&self, campaign: &Campaign) -> String {
        let crypto = match self.crypto {
            Crypto::Null => "null",
            Crypto::Noise => "noise",
        };
        let traitor = if campaign.traitor == Traitor::First { " --traitor" } else { "" };
        format!(
            "cargo run -p timed-tests --release --bin sim -- --nodes {} --observers {} --seed {} --hours {} \
             --faults {} --slot-ms {} --crypto {crypto}{traitor}",
            campaign.masternodes,
            campaign.observers,
            campaign.seed,
            self.hours,
            self.faults,
            campaign.interval.as_millis()
        )
    }
}
