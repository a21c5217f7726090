//! The programs that a node of a local network may be run by.

use std::path::{Path, PathBuf};

use super::super::arguments::DevnetShell;
use super::super::data_dir::DataDir;
use super::super::failure::Failure;

/// What the tokio shell's program is called.
const TOKIO: &str = "timed-tokio-node";

/// What drives a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    /// This program.
    Own,
    /// The tokio shell's, which is beside this one.
    Tokio,
}

impl Runner {
    /// The runner of the node of a number, counted from 1.
    pub(super) const fn of(shell: DevnetShell, number: usize) -> Self {
        match shell {
            DevnetShell::Mio => Self::Own,
            DevnetShell::Tokio => Self::Tokio,
            DevnetShell::Mixed if number % 2 == 1 => Self::Own,
            DevnetShell::Mixed => Self::Tokio,
        }
    }

    /// Refuses a directory in which the other one keeps what this node's key has promised.
    pub(super) fn check(self, dir: &DataDir, number: usize) -> Result<(), Failure> {
        let others = match self {
            Self::Own => dir.path().join("tokio-store"),
            Self::Tokio => dir.store(),
        };
        if others.exists() {
            return Err(Failure::usage(format!(
                "{} is of node {number}'s earlier run under another shell: give the --shell of that run, or another \
                 --dir",
                others.display()
            )));
        }
        Ok(())
    }

    /// The program.
    pub(super) fn program(self) -> Result<PathBuf, Failure> {
        let own = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("cannot find this program's own file: {error}")))?;
        match self {
            Self::Own => Ok(own),
            Self::Tokio => beside(&own).ok_or_else(|| absent(&own)),
        }
    }
}

/// Cargo puts examples into a folder beside the programs.
fn beside(own: &Path) -> Option<PathBuf> {
    let folder = own.parent()?;
    [folder.join(TOKIO), folder.join("examples").join(TOKIO)].into_iter().find(|path| path.is_file())
}

fn absent(own: &Path) -> Failure {
    let release = own.parent().is_some_and(|folder| folder.ends_with("release"));
    let flag = if release { " --release" } else { "" };
    Failure::failed(format!(
        "there is no {TOKIO} beside {}: build it with: cargo build{flag} -p timed-mio --example {TOKIO}",
        own.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_is_half_and_half() {
        let runners = |shell| [1, 2, 3, 4].map(|number| Runner::of(shell, number));
        assert_eq!(runners(DevnetShell::Mio), [Runner::Own; 4]);
        assert_eq!(runners(DevnetShell::Tokio), [Runner::Tokio; 4]);
        assert_eq!(runners(DevnetShell::Mixed), [Runner::Own, Runner::Tokio, Runner::Own, Runner::Tokio]);
    }

    #[test]
    fn the_other_program_is_looked_for_beside_this_one_and_its_absence_told_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("release").join("timed");
        std::fs::create_dir_all(own.with_file_name("examples")).unwrap();
        assert_eq!(beside(&own), None);
        let told = absent(&own).to_string();
        let remedy = "cargo build --release -p timed-mio --example timed-tokio-node";
        assert!(told.contains(remedy), "{told}");
        let example = own.with_file_name("examples").join(TOKIO);
        std::fs::write(&example, b"").unwrap();
        assert_eq!(beside(&own), Some(example));
        let program = own.with_file_name(TOKIO);
        std::fs::write(&program, b"").unwrap();
        assert_eq!(beside(&own), Some(program));
    }
}
