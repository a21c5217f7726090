//! The processes of a local network: started, watched for their end, and stopped together.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::failure::Failure;
use super::super::run::PARENT;
use super::layout::Member;

/// A node gets this long to say goodbye before it is killed.
const GOODBYE: Duration = Duration::from_secs(10);

/// How a node's process ended without having been told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Somebody sent it a signal, or told it to stop.
    BySomebody(ExitStatus),
    /// It gave up or crashed.
    ByItself(ExitStatus),
}

impl End {
    fn of(status: ExitStatus) -> Self {
        let crashes =
            [Signal::ABORT, Signal::BUS, Signal::FPE, Signal::ILL, Signal::SEGV, Signal::TRAP, Signal::SYS];
        match status.signal() {
            Some(signal) if crashes.iter().any(|crash| crash.as_raw() == signal) => Self::ByItself(status),
            Some(_) => Self::BySomebody(status),
            None if status.success() => Self::BySomebody(status),
            None => Self::ByItself(status),
        }
    }

    /// In words.
    pub(super) fn describe(self) -> String {
        let (Self::BySomebody(status) | Self::ByItself(status)) = self;
        match (status.signal(), status.code()) {
            (Some(signal), _) => format!("was killed by signal {signal}"),
            (None, Some(0)) => "was stopped".to_owned(),
            (None, code) => format!("failed with exit code {}", code.unwrap_or(-1)),
        }
    }
}

/// One node's process.
#[derive(Debug)]
pub(super) struct Running {
    /// The node.
    pub(super) member: Member,
    /// Its process id.
    pub(super) pid: u32,
    /// How it was started.
    pub(super) command_line: String,
    /// How it ended, once it has.
    pub(super) end: Option<End>,
    child: Child,
}

/// All processes. Dropping it kills those that still run.
#[derive(Debug)]
pub(super) struct Children {
    nodes: Vec<Running>,
}

impl Children {
    /// Starts every node. The calling thread must live as long as they do: their end is tied to it.
    pub(super) fn start(members: Vec<Member>) -> Result<Self, Failure> {
        let programs = members.iter().map(|member| member.runner.program()).collect::<Result<Vec<_>, _>>()?;
        let mut children = Self { nodes: Vec::with_capacity(members.len()) };
        for (member, program) in members.into_iter().zip(programs) {
            let started = start(&program, &member);
            let (child, command_line) = started
                .map_err(|error| Failure::failed(format!("cannot start node {}: {error}", member.number)))?;
            let pid = child.id();
            children.nodes.push(Running { member, pid, command_line, end: None, child });
        }
        Ok(children)
    }

    /// All of them, the ended ones too.
    pub(super) fn nodes(&self) -> &[Running] {
        &self.nodes
    }

    /// Notes which have ended; returns the numbers of those that ended since the last call.
    pub(super) fn reap(&mut self) -> Vec<usize> {
        let mut ended = Vec::new();
        for node in self.nodes.iter_mut().filter(|node| node.end.is_none()) {
            if let Ok(Some(status)) = node.child.try_wait() {
                node.end = Some(End::of(status));
                ended.push(node.member.number);
            }
        }
        ended
    }

    /// Stops all that run, in parallel; kills those that take too long, or all when `hurry` says so.
    /// Returns how many had to be killed.
    pub(super) fn stop(&mut self, mut hurry: impl FnMut() -> bool) -> usize {
        for node in self.nodes.iter().filter(|node| node.end.is_none()) {
            node.signal(Signal::TERM);
            // A suspended process must run to end.
            node.signal(Signal::CONT);
        }
        let until = Instant::now() + GOODBYE;
        while Instant::now() < until && !hurry() {
            self.reap();
            if self.nodes.iter().all(|node| node.end.is_some()) {
                return 0;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.kill()
    }

    fn kill(&mut self) -> usize {
        let mut killed = 0;
        for node in self.nodes.iter_mut().filter(|node| node.end.is_none()) {
            // Fails only for a process that has ended, which `wait` then collects.
            let _ = node.child.kill();
            if let Ok(status) = node.child.wait() {
                node.end = Some(End::of(status));
            }
            killed += 1;
        }
        killed
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        // The child is not yet waited for, so that its id names no other process.
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

fn start(program: &PathBuf, member: &Member) -> io::Result<(Child, String)> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(member.log())?;
    let mut command = Command::new(program);
    command.arg("run").arg("--data-dir").arg(member.dir.path());
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ");
    let child = command
        .env(PARENT, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // The terminal's Ctrl-C is for the parent, which stops its children in order.
        .process_group(0)
        .spawn()?;
    Ok((child, line))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_somebodys_or_the_nodes_own() {
        let somebody = |raw| matches!(End::of(ExitStatus::from_raw(raw)), End::BySomebody(_));
        assert!(somebody(9) && somebody(15) && somebody(0));
        assert!(!somebody(11) && !somebody(6) && !somebody(1 << 8) && !somebody(78 << 8));
        assert_eq!(End::of(ExitStatus::from_raw(9)).describe(), "was killed by signal 9");
        assert_eq!(End::of(ExitStatus::from_raw(78 << 8)).describe(), "failed with exit code 78");
    }

    #[test]
    fn command_lines_can_be_pasted() {
        assert_eq!(quoted("/a/b-1.c"), "/a/b-1.c");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}
