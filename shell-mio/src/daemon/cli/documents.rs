//! Completion scripts and the manual page, from the command definition itself.

use std::io::{self, Write as _};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

use super::super::failure::Failure;

/// Prints the completion script of a shell.
pub(super) fn completions(command: &mut Command, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "timed", &mut script);
    print(&script)
}

/// Prints the manual page: the command, then every verb.
pub(super) fn manual(command: &Command) -> Result<(), Failure> {
    let mut page = Vec::new();
    let failed = |error: io::Error| Failure::failed(format!("cannot write the manual page: {error}"));
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    for verb in verbs(command, command.get_name()) {
        let man = clap_mangen::Man::new(verb);
        man.render_name_section(&mut page).map_err(failed)?;
        man.render_synopsis_section(&mut page).map_err(failed)?;
        man.render_options_section(&mut page).map_err(failed)?;
    }
    print(&page)
}

/// Every verb, and the verbs of verbs behind them, with the words that call it.
fn verbs(command: &Command, called: &str) -> Vec<Command> {
    let named = command.get_subcommands().filter(|verb| verb.get_name() != "help");
    let with_its_own = |verb: &Command| {
        let called = format!("{called} {}", verb.get_name());
        let below = verbs(verb, &called);
        std::iter::once(verb.clone().bin_name(called)).chain(below)
    };
    named.flat_map(with_its_own).collect()
}

/// Writes one page for the command and one for every verb into a directory that is there.
pub(super) fn manual_pages(command: Command, dir: &Path) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::failed(format!("cannot write pages into {}: {error}", dir.display()));
    clap_mangen::generate_to(command.disable_help_subcommand(true), dir).map_err(failed)
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
