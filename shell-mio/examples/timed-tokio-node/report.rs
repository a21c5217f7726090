//! The node's events as the daemon logs and publishes them, and its signals.

use std::io;
use std::time::Duration;

use timed_core::Fatal;
use timed_mio::daemon::hosting::Reporter;
use timed_mio::{EventSink as _, Exit, ShellEvent, StopCause, StoreError};
use timed_tokio::{Events, Handle, Notice};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;

/// A driver that has not turned for so long hangs: the service manager is to hear nothing then.
const HANGS_AFTER: Duration = Duration::from_secs(3);

/// Reports until the node has ended; SIGTERM and SIGINT stop it, a second one at once, SIGHUP reloads, SIGUSR2 has what
/// is recorded written.
pub(crate) async fn report(handle: Handle, events: Events, reporter: Reporter) -> Exit {
    let kinds =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::user_defined2()];
    match kinds.map(signal) {
        [Ok(terminate), Ok(interrupt), Ok(hangup), Ok(record)] => {
            attend(handle, events, reporter, [terminate, interrupt, hangup, record]).await
        }
        _ => {
            let _ = handle.shutdown().await;
            Exit::Io(io::Error::other("cannot handle signals"))
        }
    }
}

async fn attend(
    handle: Handle,
    mut events: Events,
    mut reporter: Reporter,
    [mut terminate, mut interrupt, mut hangup, mut record]: [Signal; 4],
) -> Exit {
    let mut turns = interval(Duration::from_secs(1));
    let mut signalled = 0;
    loop {
        tokio::select! {
            notice = events.next() => match notice {
                Some(Notice::Core(event)) => reporter.event(&event),
                Some(Notice::Shell(event)) => {
                    let cause = if signalled > 0 { StopCause::Signal } else { StopCause::Order };
                    if let Some(event) = shell_event(event, cause) {
                        reporter.shell_event(&event);
                    }
                }
                // More at once than the ring holds: what it was is in the counters.
                Some(_) => {}
                None => return exit(handle.ended().await),
            },
            _ = turns.tick() => {
                if handle.last_turn_age() < HANGS_AFTER {
                    reporter.turned(timed_mio::now().mono);
                }
            }
            _ = hangup.recv() => reporter.shell_event(&ShellEvent::Reload),
            _ = record.recv() => reporter.shell_event(&ShellEvent::Record),
            () = stop(&mut terminate, &mut interrupt) => {
                signalled += 1;
                let handle = handle.clone();
                tokio::spawn(async move {
                    if signalled == 1 { handle.shutdown().await } else { handle.abort().await }
                });
            }
        }
    }
}

async fn stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn shell_event(event: timed_tokio::ShellEvent, cause: StopCause) -> Option<ShellEvent> {
    use timed_tokio::ShellEvent as Tokio;
    Some(match event {
        Tokio::Stopping => ShellEvent::Stopping(cause),
        Tokio::AcceptPaused { cause, retry_in } => ShellEvent::AcceptPaused { cause, retry_in },
        Tokio::AcceptResumed { failures } => ShellEvent::AcceptResumed { failures },
        Tokio::StoreFailed(why) => ShellEvent::StoreFailed(StoreError::Other(why.to_string())),
        Tokio::LoadFailed(why) => ShellEvent::LoadFailed(StoreError::Other(why.to_string())),
        Tokio::ApplicationBehind => ShellEvent::ApplicationBehind,
        Tokio::ApplicationFailed(why) => ShellEvent::ApplicationFailed(why.to_string()),
        _ => return None,
    })
}

fn exit(exit: timed_tokio::Exit) -> Exit {
    use timed_tokio::Exit as Tokio;
    match exit {
        Tokio::Stopped => Exit::Stopped,
        Tokio::Aborted => Exit::Interrupted,
        Tokio::StopTimedOut => Exit::StopTimedOut,
        Tokio::Fatal(fatal) => Exit::Fatal(fatal),
        // The reason was told when it happened.
        Tokio::Store(_) => Exit::Fatal(Fatal::PersistFailed),
        Tokio::Application(why) => Exit::Application(why.to_string().into()),
        other => Exit::Io(io::Error::other(format!("the tokio shell ended as {other:?}"))),
    }
}
