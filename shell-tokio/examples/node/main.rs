//! A node of a daemon's network on the tokio shell: what `timed devnet --shell tokio` starts for each node, in the place
//! of `timed run`.
//!
//! `timed-tokio-node run --data-dir DIR`
//!
//! It takes the same data directory, as `timed init` and `timed genesis` make it, and serves the routes that clients of
//! one network ask of it, with the daemon's answers. It is no daemon: no metrics, no events, no dashboard, no reload.

mod answers;
mod files;
mod routes;
#[path = "../shared/mod.rs"]
mod shared;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use files::{DataDir, Refused};
use timed_tokio::application::FifoPayload;
use timed_tokio::core::Event;
use timed_tokio::{Events, Exit, Node, Notice, RedbStore};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Names the process whose end is this one's, too. Set by `timed devnet` for its children.
const PARENT: &str = "TIMED_DEVNET_PARENT";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(|error| Refused::failed(error.to_string())).and_then(|runtime| {
        follow_parent()?;
        runtime.block_on(run(data_dir()?))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refused { code, message }) => {
            eprintln!("timed-tokio-node: {message}");
            ExitCode::from(code)
        }
    }
}

fn data_dir() -> Result<PathBuf, Refused> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [run, flag, dir] if run == "run" && flag == "--data-dir" => Ok(dir.into()),
        _ => Err(Refused { code: 2, message: "usage: timed-tokio-node run --data-dir DIR".to_owned() }),
    }
}

/// Ends with the process that started this one, where that is wanted: nothing is left running.
fn follow_parent() -> Result<(), Refused> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else {
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| Refused::failed(format!("cannot follow the parent process: {error}")))?;
    // The parent may have ended before the line above.
    match rustix::process::getppid() {
        Some(pid) if pid.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err(Refused::failed(format!("the parent process {parent} has ended"))),
    }
}

async fn run(dir: PathBuf) -> Result<(), Refused> {
    let dir = DataDir::open(dir)?;
    let failed = |what: &'static str| move |error| Refused::failed(format!("cannot {what}: {error}"));
    let store = Arc::new(RedbStore::open(dir.store()).map_err(|error| Refused::failed(error.to_string()))?);
    let application = FifoPayload::new(store.clone());
    let (handle, events) = Node::spawn(dir.config(), dir.identity(), store, application)
        .await
        .map_err(|error| Refused::failed(error.to_string()))?;
    let listener: TcpListener = TcpListener::bind(dir.api).await.map_err(failed("serve the API"))?;
    let token = dir.write_cookie()?;
    let at = |addr: Option<SocketAddr>| addr.map_or_else(|| "nowhere".to_owned(), |addr| addr.to_string());
    println!("node {} listens at {}, API at {}", handle.id(), at(handle.local_addr()), dir.api);
    let log = tokio::spawn(log(events));
    let router = routes::router(handle.clone(), &dir, token);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut terminated = signal(SignalKind::terminate()).map_err(failed("handle signals"))?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed("handle signals"))?;
    let exit = tokio::select! {
        exit = handle.ended() => exit,
        _ = terminated.recv() => handle.shutdown().await,
        _ = interrupted.recv() => handle.shutdown().await,
    };
    dir.remove_cookie();
    let _ = log.await;
    match exit {
        Exit::Stopped => {
            println!("stopped");
            Ok(())
        }
        exit => Err(Refused::failed(format!("ended by {exit:?}"))),
    }
}

/// One line a change of state.
async fn log(mut events: Events) {
    while let Some(notice) = events.next().await {
        match notice {
            Notice::Core(Event::LinkUp { peer, remote, direction, because, .. }) => {
                println!("link up: {peer} at {remote}, {} ({})", direction.as_str(), because.as_str());
            }
            Notice::Core(Event::LinkDown { peer, reason, by, .. }) => {
                println!("link down: {peer}, {reason} by {}", by.as_str());
            }
            Notice::Core(Event::BlockCommitted { height, hash, round, via, .. }) => {
                println!("block {height}: {hash}, round {round}, by {}", via.as_str());
            }
            Notice::Core(Event::Warning(warning)) => println!("warning: {warning:?}"),
            Notice::Core(Event::Fatal(fatal)) => println!("halted ({}): {fatal}", fatal.code()),
            Notice::Shell(event) => println!("{event:?}"),
            Notice::Missed(count) => println!("{count} events were not logged"),
            _ => {}
        }
    }
}
