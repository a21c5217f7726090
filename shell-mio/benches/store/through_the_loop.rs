//! A core that asks for durable writes and takes the time of each.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use timed_core::{
    CloseReason, Command, CommitPace, ConnId, Event, FinalBlock, Input, Mono, Now, RecordKey, Refused,
    Request, Ticket, Transmit,
};
use timed_mio::{Core, Exit, Shell, ShellConfig, Store};

/// What is asked for.
pub(crate) enum Asked {
    /// Records of this size.
    Records(usize),
    /// The blocks of a chain.
    Blocks(CommitPace, Vec<FinalBlock>),
}

impl Asked {
    /// So many commands, with tickets from 0.
    fn commands(self, count: usize) -> VecDeque<Command> {
        match self {
            Self::Records(size) => (0..count as u64)
                .map(|ticket| Command::Persist {
                    ticket: Ticket(ticket),
                    key: RecordKey::Voting,
                    record: Bytes::from(vec![7; size]),
                })
                .collect(),
            Self::Blocks(pace, blocks) => (0..)
                .zip(blocks)
                .map(|(ticket, block)| Command::Commit {
                    ticket: Ticket(ticket),
                    hash: block.certificate.block,
                    bytes: block.encode(),
                    block: Arc::new(block),
                    pace,
                })
                .collect(),
        }
    }
}

/// How long each of so many writes took in a new store, with so many under way at a time; the whole run.
pub(crate) fn waits(count: usize, under_way: usize, asked: Asked) -> (Vec<Duration>, Duration) {
    let folder = tempfile::tempdir().expect("a directory for the files");
    let (store, _) = Store::open(folder.path().join("store")).expect("a new store");
    let anywhere = "127.0.0.1:0".parse().expect("an address");
    let shell = Shell::bind(ShellConfig::listening_on(anywhere)).expect("a free port");
    let (told, done) = std::sync::mpsc::channel();
    let core = Asking {
        commands: asked.commands(count),
        room: under_way,
        begun: VecDeque::new(),
        waits: Vec::with_capacity(count),
        stopping: false,
        told: Box::new(move |waits| told.send(waits).expect("somebody waits for it")),
    };
    let begun = Instant::now();
    let exit = shell.run(core, store, |_: &Event| {});
    assert!(matches!(exit, Exit::Stopped), "{exit:?}");
    let waits = done.recv().expect("told before the end");
    (waits, begun.elapsed())
}

struct Asking {
    commands: VecDeque<Command>,
    room: usize,
    begun: VecDeque<Instant>,
    waits: Vec<Duration>,
    stopping: bool,
    told: Box<dyn Fn(Vec<Duration>)>,
}

impl Core for Asking {
    fn accept(&mut self, _: Now, _: SocketAddr) -> Result<ConnId, Refused> {
        Err(Refused(CloseReason::SlotsFull))
    }

    fn handle(&mut self, _: Now, input: Input<'_>) {
        match input {
            Input::Persisted(_) => {
                self.room += 1;
                self.waits.extend(self.begun.pop_front().map(|begun| begun.elapsed()));
                self.stopping = self.commands.is_empty() && self.begun.is_empty();
            }
            Input::PersistFailed(_) => panic!("a disk that flushes"),
            Input::Request { request: Request::Stop, .. } => self.stopping = true,
            _ => {}
        }
    }

    fn next_command(&mut self) -> Option<Command> {
        if std::mem::take(&mut self.stopping) {
            (self.told)(std::mem::take(&mut self.waits));
            return Some(Command::Event(Event::Stopped));
        }
        self.room = self.room.checked_sub(1)?;
        let command = self.commands.pop_front();
        match command {
            Some(_) => self.begun.push_back(Instant::now()),
            None => self.room += 1,
        }
        command
    }

    fn transmit(&mut self, _: Now, _: ConnId, _: usize, _: &mut Vec<u8>) -> Transmit {
        Transmit::Drained
    }

    fn deadline(&self) -> Option<Mono> {
        None
    }
}
