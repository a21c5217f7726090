//! Why a verb ends early: a message for a person and an exit code for a script.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of `timed`, as service managers know them from `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It failed while running.
    Failed,
    /// The command line is wrong.
    Usage,
    /// Another process holds the data directory.
    AlreadyRunning,
    /// A file can be read by others, or cannot be read by us.
    UnsafePermissions,
    /// A configuration, genesis or key file is wrong.
    BadConfiguration,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::AlreadyRunning => 75,
            Self::UnsafePermissions => 77,
            Self::BadConfiguration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a verb ends early: an exit code with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the process exits with.
    pub(crate) exit: Exit,
    /// What it says on standard error.
    pub(crate) message: String,
}

impl Failure {
    /// A failure while running: exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    /// A wrong command line that the parser could not see.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// What is in the data directory is wrong: exit code 78.
    pub fn config(message: impl Into<String>) -> Self {
        Self { exit: Exit::BadConfiguration, message: message.into() }
    }

    /// Another process holds what this one needs: exit code 75.
    pub fn already_running(message: impl Into<String>) -> Self {
        Self { exit: Exit::AlreadyRunning, message: message.into() }
    }

    /// An unsafe or unusable file.
    pub(crate) fn permissions(message: impl Into<String>) -> Self {
        Self { exit: Exit::UnsafePermissions, message: message.into() }
    }
}

impl Failure {
    /// Tells a person, and gives the code for a script.
    pub(crate) fn report(self, program: &str) -> ExitCode {
        for (number, part) in self.message.lines().enumerate() {
            if number == 0 {
                eprintln!("{program}: {part}");
            } else {
                eprintln!("{:indent$}{part}", "", indent = program.len() + 2);
            }
        }
        self.exit.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
