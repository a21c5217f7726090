//! `timed replay`: a recording run again through the same core, its events printed.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use timed_core::flight::{Flight, ReplayError, Replayed, replay as run_again};
use timed_core::{Command, Now};
use zeroize::Zeroizing;

use super::api::{Fact, fact};
use super::arguments::ReplayArgs;
use super::data_dir::{Existing, Secrecy, write_durably};
use super::failure::Failure;
use super::keys::fill_random;
use super::rfc3339;

/// Runs a recording again: exit code 0 only if this run was the recorded one to its end, 1 where it differs, 78 if the
/// file is not one that can be run.
pub(crate) fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let mut flight = read(&args.file)?;
    if args.redact {
        let mut seed = Zeroizing::new([0; 32]);
        fill_random(&mut *seed)?;
        flight = flight.redacted(*seed).map_err(|error| ended(&args.file, &error))?;
    }
    if let Some(output) = &args.output {
        return write_durably(output, &flight.encode(), Secrecy::Private, Existing::Keep)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", output.display())));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut broken = None;
    let played = run_again(&flight, |now, command| {
        if broken.is_none() {
            broken = print(&mut out, args, now, command).err();
        }
    });
    let flushed = broken.map_or_else(|| out.flush(), Err);
    let done = played.map_err(|error| ended(&args.file, &error))?;
    match flushed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::failed(format!("cannot write to standard output: {error}")));
        }
        _ => {}
    }
    eprintln!("{}", summary(&done));
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Flight, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::config(format!("cannot read {}: {error}", path.display())))?;
    Flight::decode(&bytes).map_err(|error| ended(path, &error.into()))
}

/// This run differs, which is a finding; or the file is at fault, and nothing is found.
fn ended(path: &Path, error: &ReplayError) -> Failure {
    let message = format!("{}: {error}", path.display());
    match error {
        ReplayError::Diverged { .. } => Failure::failed(message),
        ReplayError::File(_) => Failure::config(message),
    }
}

/// One line a command or event.
fn print(out: &mut impl Write, args: &ReplayArgs, now: Now, command: &Command) -> io::Result<()> {
    let at = rfc3339(now.wall);
    match command {
        Command::Event(event) => match fact(now.wall, event.clone()) {
            Some(Fact { name, data }) if args.json => {
                writeln!(out, "{}", json!({ "at": at, "mono_ns": now.mono.0, "event": name, "data": data }))
            }
            Some(Fact { name, mut data }) => {
                if let Some(fields) = data.as_object_mut() {
                    fields.remove("at");
                }
                writeln!(out, "{at} {name} {data}")
            }
            None if args.commands && !args.json => writeln!(out, "{at} {event:?}"),
            None => Ok(()),
        },
        command if args.commands && !args.json => writeln!(out, "{at} {command:?}"),
        command if args.commands => {
            writeln!(out, "{}", json!({ "at": at, "mono_ns": now.mono.0, "command": format!("{command:?}") }))
        }
        _ => Ok(()),
    }
}

fn summary(done: &Replayed) -> String {
    let Replayed { calls, commands, states, span, cut } = done;
    let span = span.map_or_else(String::new, |(first, last)| {
        format!(", {} to {}", rfc3339(first.wall), rfc3339(last.wall))
    });
    let states = match states {
        0 => String::new(),
        states => format!(" and {states} states of the machine on the way"),
    };
    let end = if *cut { "; the recording ends within a call" } else { "" };
    format!("replayed {calls} calls{span}: {commands} commands{states} are the recorded ones{end}")
}
