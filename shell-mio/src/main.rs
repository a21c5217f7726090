//! The `timed` daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    timed_mio::daemon::main()
}
