//! What a service manager hears: that the node is ready, reloads or stops, one line of how it is, and that its
//! event loop still turns.
//!
//! These are the datagrams of sd_notify(3), sent without ever waiting: a manager that does not read misses news, and
//! the loop goes on. The watchdog is fed by the loop's own turns, so that a loop that hangs is restarted, however well
//! the other threads are.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use timed_core::{Event, Mono, Producing, Summary, SyncState};

use crate::{EventSink, ShellEvent};

/// Where the manager listens: a path, or an abstract name behind an `@`.
const SOCKET: &str = "NOTIFY_SOCKET";
/// Microseconds after which an unfed watchdog ends this process.
const WATCHDOG: &str = "WATCHDOG_USEC";
/// The process that the watchdog is for.
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// The line of status changes no more often.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// The manager that has started this process.
#[derive(Clone, Debug)]
pub(crate) struct ServiceManager(Arc<UnixDatagram>);

impl ServiceManager {
    /// The manager that the environment names, if it names one.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub(crate) fn from_environment() -> io::Result<Option<Self>> {
        let name = std::env::var_os(SOCKET).filter(|name| !name.is_empty());
        name.map(|name| Self::at(&name)).transpose()
    }

    fn at(name: &OsStr) -> io::Result<Self> {
        let addr = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect_addr(&addr)?;
        Ok(Self(Arc::new(socket)))
    }

    /// The node does what it is there for; also the end of a reload.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    fn tell(&self, news: &str) {
        // A full queue or a manager that is gone: nobody is there whom it could be told instead.
        let _: io::Result<usize> = self.0.send(news.as_bytes());
    }
}

/// Tells a service manager what the event loop does; called on the loop's thread.
#[derive(Debug)]
pub(crate) struct ServiceNews {
    manager: ServiceManager,
    /// Between two feeds of the watchdog: half of its patience.
    feed_every: Option<Duration>,
    fed: Option<Mono>,
    ready: bool,
    summary: Option<Summary>,
    /// The last line of status, and when it was told.
    status: Option<(Mono, String)>,
}

impl ServiceNews {
    /// News for this manager, with the watchdog that the environment asks for.
    pub(crate) fn new(manager: ServiceManager) -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
        let patience = number(WATCHDOG).filter(|micros| ours && *micros > 0).map(Duration::from_micros);
        Self::with_watchdog(manager, patience)
    }

    fn with_watchdog(manager: ServiceManager, patience: Option<Duration>) -> Self {
        let feed_every = patience.map(|patience| patience / 2);
        Self { manager, feed_every, fed: None, ready: false, summary: None, status: None }
    }

    fn feed(&mut self, now: Mono) {
        let Some(every) = self.feed_every else { return };
        if self.fed.is_none_or(|fed| now.since(fed) >= every) {
            self.fed = Some(now);
            self.manager.tell("WATCHDOG=1");
        }
    }

    fn tell_status(&mut self, now: Mono) {
        if self.status.as_ref().is_some_and(|(told, _)| now.since(*told) < STATUS_EVERY) {
            return;
        }
        let Some(summary) = self.summary.take() else { return };
        let line = status(&summary);
        if self.status.as_ref().is_none_or(|(_, told)| *told != line) {
            self.manager.tell(&format!("STATUS={line}"));
            self.status = Some((now, line));
        }
    }
}

impl EventSink for ServiceNews {
    fn event(&mut self, event: &Event) {
        if let Event::Summary(summary) = event {
            self.summary = Some(*summary);
        }
    }

    fn shell_event(&mut self, event: &ShellEvent) {
        match event {
            ShellEvent::Reload => {
                let now = clock_gettime(ClockId::Monotonic);
                let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000);
                self.manager.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
            }
            ShellEvent::Stopping(cause) => {
                self.manager.tell(&format!("STOPPING=1\nSTATUS=stopping: {cause}"));
            }
            _ => {}
        }
    }

    fn turned(&mut self, at: Mono) {
        if !self.ready {
            self.ready = true;
            self.manager.ready();
        }
        self.feed(at);
        self.tell_status(at);
    }
}

/// How a node is, in one line.
fn status(summary: &Summary) -> String {
    let links = summary.links;
    let mut line = format!("height {}, links {}/{}", summary.height, links.up, links.expected);
    match summary.sync {
        SyncState::Synced => {}
        SyncState::Syncing { target, .. } => line.push_str(&format!(", catching up to {target}")),
        SyncState::Stalled { target, .. } => line.push_str(&format!(", stalled below {target}")),
    }
    if let Producing::No(why) = summary.producing {
        line.push_str(&format!(", proposes no blocks: {why}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StopCause;
    use timed_core::{Height, LinkCounts};

    /// A manager that listens, and news for it.
    fn manager(patience: Option<Duration>) -> (UnixDatagram, ServiceNews) {
        let name = format!("timed-test-{}-{:?}", std::process::id(), std::thread::current().id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = ServiceManager::at(OsStr::new(&format!("@{name}"))).unwrap();
        (socket, ServiceNews::with_watchdog(manager, patience))
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|count| buffer[..count].to_vec()))
            .map(|news| String::from_utf8(news).unwrap())
            .collect()
    }

    const fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    #[test]
    fn ready_at_the_first_turn_and_fed_by_turns_alone() {
        let (socket, mut news) = manager(Some(Duration::from_secs(10)));
        assert!(heard(&socket).is_empty(), "nothing is ready before the loop turns");
        news.turned(at(0));
        assert_eq!(heard(&socket), ["READY=1", "WATCHDOG=1"]);
        news.turned(at(4_999));
        news.event(&Event::Summary(Summary::default()));
        news.shell_event(&ShellEvent::AcceptResumed { failures: 1 });
        assert!(heard(&socket).is_empty(), "events alone are no sign of a loop that turns");
        news.turned(at(5_000));
        assert_eq!(heard(&socket).iter().filter(|news| *news == "WATCHDOG=1").count(), 1);
    }

    #[test]
    fn the_status_is_told_when_it_changes_and_once_a_second_at_most() {
        let (socket, mut news) = manager(None);
        let links = LinkCounts { expected: 3, up: 2, ..LinkCounts::default() };
        let height = |height| Summary {
            height: Height(height),
            links,
            producing: Producing::Yes,
            ..Summary::default()
        };
        news.turned(at(0));
        news.event(&Event::Summary(height(7)));
        news.turned(at(1));
        assert_eq!(heard(&socket), ["READY=1", "STATUS=height 7, links 2/3"]);
        for millis in 2..900 {
            news.event(&Event::Summary(height(millis)));
            news.turned(at(millis));
        }
        assert!(heard(&socket).is_empty());
        news.turned(at(1_001));
        assert_eq!(heard(&socket), ["STATUS=height 899, links 2/3"]);
        news.event(&Event::Summary(height(899)));
        news.turned(at(5_000));
        assert!(heard(&socket).is_empty(), "nothing has changed");
    }

    #[test]
    fn reloading_and_stopping_are_told_at_once() {
        let (socket, mut news) = manager(None);
        news.shell_event(&ShellEvent::Reload);
        news.shell_event(&ShellEvent::Stopping(StopCause::Signal));
        let heard = heard(&socket);
        assert!(heard[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{heard:?}");
        assert_eq!(heard[1], "STOPPING=1\nSTATUS=stopping: signal");
    }

    #[test]
    fn a_manager_that_does_not_read_stops_nobody() {
        let (socket, news) = manager(None);
        for _ in 0..10_000 {
            news.manager.tell("STATUS=x");
        }
        assert!(heard(&socket).len() < 10_000, "the queue was never full: this test proves nothing");
    }
}
