//! The daemon on the tokio shell, `timed-tokio-node run --data-dir DIR`: what `timed devnet --shell tokio` starts for each
//! node in the place of `timed run`.
//!
//! Flags, files, log, API and metrics are the daemon's own; only what moves the bytes and keeps the blocks is another.

mod door;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use timed_mio::Remote;
use timed_mio::daemon::hosting::{self, Driving, Failure, Machine, Plan};
use timed_tokio::application::FifoPayload;
use timed_tokio::store::RedbError;
use timed_tokio::{Node, RedbStore, SocketOptions, Surroundings, SystemClock, Tcp};
use tokio::runtime::Builder;
use zeroize::Zeroizing;

use door::{Door, Shelf};
use report::report;

/// A call of the store that has not returned by then is left behind.
const STORE_FREE_WITHIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    hosting::main("timed-tokio-node", drive)
}

fn failed(error: &impl ToString) -> Failure {
    Failure::failed(error.to_string())
}

fn drive(plan: &Plan<'_>) -> Result<Driving, Failure> {
    if plan.own_store().exists() {
        return Err(Failure::config(format!(
            "{}: the daemon has run here, and what its key has promised is in there; give this shell a directory of \
             its own",
            plan.own_store().display()
        )));
    }
    let store = RedbStore::open(plan.data_dir().join("tokio-store")).map_err(|error| match error {
        RedbError::InUse(_) => Failure::already_running(error.to_string()),
        error => failed(&error),
    })?;
    let store = Arc::new(store);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let (listen, (keepalive_time, keepalive_interval)) = (plan.listen(), plan.keepalive());
    let surroundings = Surroundings {
        network: Tcp {
            dial_from: Some(listen.ip()).filter(|ip| !ip.is_unspecified()),
            sockets: SocketOptions { keepalive_time, keepalive_interval, ..SocketOptions::default() },
        },
        clock: Arc::new(SystemClock::new()),
        listen: Some(listen),
        names: plan.names(),
    };
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| failed(&error))?;
    let mut recording = None;
    let make = |records, now| {
        let machine = Machine::new(plan, *seed, records, now)?;
        recording = machine.recording();
        Ok(machine)
    };
    let application = FifoPayload::new(store.clone());
    let node = Node::spawn_core(surroundings, plan.id(), Arc::clone(&store), application, make);
    let (handle, events) = runtime.block_on(node).map_err(|error| failed(&error))?;
    Ok(Driving {
        recording,
        remote: Remote::to(Door::new(handle.clone(), runtime.handle().clone())),
        blocks: Arc::new(Shelf::new(&store)),
        listen: handle.local_addr().unwrap_or(listen),
        run: Box::new(move |reporter| {
            let exit = runtime.block_on(report(handle, events, reporter));
            drop(store);
            runtime.shutdown_timeout(STORE_FREE_WITHIN);
            exit
        }),
    })
}
