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

/// An exit code with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the process exits with.
    pub(crate) exit: Exit,
    /// What it says on standard error.
    pub(crate) message: String,
}

impl Failure {
    /// A failure while running.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    /// A wrong command line that the parser could not see.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// A wrong configuration, genesis or key file.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { exit: Exit::BadConfiguration, message: message.into() }
    }

    /// An unsafe or unusable file.
    pub(crate) fn permissions(message: impl Into<String>) -> Self {
        Self { exit: Exit::UnsafePermissions, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
