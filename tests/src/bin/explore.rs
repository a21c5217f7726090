//! Explores every schedule of two nodes within bounds given on the command line, or repeats one.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use timed_tests::explore::{
    Bounds, Budget, Cast, DiskPace, HostIx, Outcome, explore, line, parse, replay, wander,
};

const USAGE: &str = "\
explore [--timers N] [--dials N] [--drops N] [--resets N] [--restarts N] [--lost-epochs N] [--outages N]
        [--twin A|B] [--deaf A|B] [--slow-disk] [--forgetful] [--seed N] [--max-states N] [--walks N] [--replay 'A1+ A1> ...']";

struct Order {
    bounds: Bounds,
    /// The options, to be repeated in front of a schedule.
    options: String,
    replay: Option<String>,
    walks: Option<usize>,
}

fn number<T: FromStr>(name: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number"))?;
    value.parse().map_err(|_| format!("{name}: {value:?} is no number that fits"))
}

fn order(mut args: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut order = Order {
        bounds: Bounds::pair(Budget { timers: 6, ..Budget::default() }),
        options: String::new(),
        replay: None,
        walks: None,
    };
    while let Some(name) = args.next() {
        let bounds = &mut order.bounds;
        let budget = &mut bounds.budget;
        let mut take = |counter: &mut u8| -> Result<String, String> {
            *counter = number(&name, args.next())?;
            Ok(counter.to_string())
        };
        let value = match name.as_str() {
            "--timers" => take(&mut budget.timers)?,
            "--dials" => take(&mut budget.dials)?,
            "--drops" => take(&mut budget.drops)?,
            "--resets" => take(&mut budget.resets)?,
            "--restarts" => take(&mut budget.restarts)?,
            "--lost-epochs" => take(&mut budget.lost_epochs)?,
            "--outages" => take(&mut budget.outages)?,
            "--seed" => {
                bounds.seed = number(&name, args.next())?;
                continue;
            }
            "--walks" => {
                order.walks = Some(number(&name, args.next())?);
                continue;
            }
            "--max-states" => {
                bounds.max_states = number(&name, args.next())?;
                bounds.max_states.to_string()
            }
            "--twin" => {
                let of = args.next().and_then(|of| of.parse().ok()).filter(|of| *of < HostIx(2));
                let of = of.ok_or("--twin needs A or B")?;
                bounds.cast = Cast::Twin(of);
                of.to_string()
            }
            "--deaf" => {
                let host = args.next().and_then(|of| of.parse().ok()).filter(|of| *of < HostIx(2));
                bounds.deaf = Some(host.ok_or("--deaf needs A or B")?);
                host.map(|host| host.to_string()).unwrap_or_default()
            }
            "--slow-disk" => {
                bounds.disk = DiskPace::AnyTime;
                String::new()
            }
            "--forgetful" => {
                order.bounds = order.bounds.forgetful();
                String::new()
            }
            "--replay" => {
                order.replay = Some(args.next().ok_or("--replay needs a schedule")?);
                continue;
            }
            _ => return Err(format!("{name:?} is no option\n{USAGE}")),
        };
        order.options += &format!(" {name} {value}");
    }
    Ok(order)
}

fn told(outcome: &Outcome) -> String {
    format!(
        "{} states, {} steps, {} endings, at most {:.1?} and {} links to settle, {:.1?}",
        outcome.states, outcome.transitions, outcome.endings, outcome.longest, outcome.ups, outcome.took
    )
}

fn main() -> ExitCode {
    let order = match order(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    if let Some(text) = &order.replay {
        let schedule = match parse(text) {
            Ok(schedule) => schedule,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let (lines, ending) = replay(&order.bounds, &schedule);
        for line in lines {
            println!("{line}");
        }
        println!("{ending:?}");
        return if ending.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut next = Duration::from_secs(5);
    let progress = |outcome: &Outcome| {
        if outcome.took >= next {
            eprintln!("... {}", told(outcome));
            next = outcome.took + Duration::from_secs(5);
        }
    };
    let outcome = match order.walks {
        Some(walks) => wander(&order.bounds, walks, progress),
        None => explore(&order.bounds, progress),
    };
    println!("{}", told(&outcome));
    println!("slowest: {}", line(&outcome.slowest));
    println!("liveliest: {}", line(&outcome.liveliest));
    match (&outcome.violation, outcome.complete) {
        (Some(violation), _) => {
            println!("WRONG: {}", violation.faults.join("; "));
            let seed = if order.walks.is_some() { outcome.seed } else { order.bounds.seed };
            println!(
                "repeat with: explore{} --seed {seed} --replay '{}'",
                order.options,
                line(&violation.schedule)
            );
            ExitCode::FAILURE
        }
        (None, false) if order.walks.is_some() => {
            println!("every schedule that was drawn ends with one lasting link");
            ExitCode::SUCCESS
        }
        (None, true) => {
            println!("every schedule within the bounds ends with one lasting link");
            ExitCode::SUCCESS
        }
        (None, false) => {
            println!("gave up at the bound of states; nothing wrong so far");
            ExitCode::from(3)
        }
    }
}
