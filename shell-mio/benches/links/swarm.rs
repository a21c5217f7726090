//! Thousands of nodes in a process of their own, on one thread: the other ends of a hub's links, so that what the
//! hub's process uses and holds is the hub's alone. They dial the hub, keep their link, and send back what they
//! receive.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};
use timed_core::{Command, ConnId, Event, Input, Mono, Node, Request, RequestId, Transmit, TransportCause};

use crate::measure::network::{Member, Reach, Setting, node};

const WORD: &str = "--swarm";
/// Handshakes under way at once.
const AT_ONCE: usize = 16;

/// A swarm in a child process; it ends when this is dropped.
pub(crate) struct Swarm(Child);

impl Swarm {
    /// Starts `size` nodes, numbered from `first`, that dial `hub`; returns when all links stand.
    pub(crate) fn start(hub: SocketAddr, first: u32, size: u32, ping_after: Duration) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Process::new(program)
            .args([WORD, &hub.to_string(), &first.to_string(), &size.to_string()])
            .arg(ping_after.as_secs().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is piped");
        assert_eq!(line.trim(), "linked", "the swarm did not come up");
        Self(child)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        // The end of its standard input tells it to exit.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Whether this process was started as a swarm.
pub(crate) fn is_asked_for() -> bool {
    std::env::args().any(|arg| arg == WORD)
}

/// Runs the swarm until standard input ends.
pub(crate) fn run() {
    let mut args = std::env::args().skip_while(|arg| arg != WORD).skip(1);
    let mut next = || args.next().expect("five arguments");
    let hub: SocketAddr = next().parse().expect("an address");
    let first: u32 = next().parse().expect("a number");
    let size: u32 = next().parse().expect("a number");
    let ping_after = Duration::from_secs(next().parse().expect("seconds"));
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let mut host = Host::new(hub, ping_after);
    let mut started = 0;
    let mut announced = false;
    loop {
        while started < size && (started as usize) < host.linked + AT_ONCE {
            host.join(first + started);
            started += 1;
        }
        if host.linked == size as usize && !announced {
            announced = true;
            println!("linked");
            std::io::stdout().flush().expect("it is piped");
        }
        host.turn();
    }
}

struct Seat {
    node: Node,
    source: SocketAddr,
    link: Option<(ConnId, TcpStream)>,
    dialing: bool,
    due: Option<Mono>,
}

struct Host {
    hub: Member,
    ping_after: Duration,
    poll: Poll,
    seats: Vec<Seat>,
    deadlines: BTreeSet<(Mono, usize)>,
    linked: usize,
    events: Option<Events>,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

impl Host {
    fn new(hub: SocketAddr, ping_after: Duration) -> Self {
        Self {
            hub: Member::new(0, hub),
            ping_after,
            poll: Poll::new().expect("descriptors are left"),
            seats: Vec::new(),
            deadlines: BTreeSet::new(),
            linked: 0,
            events: Some(Events::with_capacity(1024)),
            buffer: vec![0; 64 * 1024],
            out: Vec::new(),
        }
    }

    fn join(&mut self, number: u32) {
        let [_, high, middle, low] = number.to_be_bytes();
        let source = SocketAddr::from(([127, 2 + high, middle, low], 0));
        let member = Member::new(number, SocketAddr::new(source.ip(), 1));
        let setting = Setting {
            reach: Reach::DialsOnly,
            ping_after: self.ping_after,
            ..Setting::knowing(vec![self.hub.entry()])
        };
        let node = node(&member, setting, timed_mio::now());
        self.seats.push(Seat { node, source, link: None, dialing: false, due: None });
        self.settle(self.seats.len() - 1);
    }

    fn turn(&mut self) {
        let now = timed_mio::now().mono;
        let wait = self.deadlines.first().map_or(Duration::from_secs(1), |(due, _)| due.since(now));
        let mut events = self.events.take().expect("it is put back");
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => result.expect("the poll lives"),
        }
        for event in &events {
            self.ready(event.token().0, event.is_writable());
        }
        self.events = Some(events);
        let now = timed_mio::now();
        while let Some((due, index)) = self.deadlines.first().copied().filter(|(due, _)| *due <= now.mono) {
            self.deadlines.remove(&(due, index));
            self.seats[index].due = None;
            self.seats[index].node.handle(now, Input::Tick);
            self.settle(index);
        }
    }

    fn ready(&mut self, index: usize, writable: bool) {
        let seat = &mut self.seats[index];
        let Some((conn, stream)) = &mut seat.link else { return };
        let conn = *conn;
        if seat.dialing {
            if !writable {
                return;
            }
            seat.dialing = false;
            let Ok(local) = stream.local_addr() else { return };
            seat.node.handle(timed_mio::now(), Input::Dialed { conn, local });
            self.settle(index);
        }
        while let Some((conn, stream)) = &mut self.seats[index].link {
            let conn = *conn;
            let read = match stream.read(&mut self.buffer) {
                Ok(0) => return self.lost(index, TransportCause::Eof),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.lost(index, TransportCause::Reset),
            };
            self.seats[index]
                .node
                .handle(timed_mio::now(), Input::Data { conn, bytes: &self.buffer[..read] });
            self.settle(index);
            if read < self.buffer.len() {
                return;
            }
        }
    }

    fn lost(&mut self, index: usize, cause: TransportCause) {
        let seat = &mut self.seats[index];
        if let Some((conn, _)) = seat.link.take() {
            seat.node.handle(timed_mio::now(), Input::Closed { conn, cause });
        }
        self.settle(index);
    }

    fn settle(&mut self, index: usize) {
        let now = timed_mio::now();
        let seat = &mut self.seats[index];
        while let Some(command) = seat.node.next_command() {
            match command {
                Command::Dial { conn, addr } => {
                    let mut stream = dial(seat.source, addr.socket());
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut stream, Token(index), interest).expect("a socket");
                    seat.link = Some((conn, stream));
                    seat.dialing = true;
                }
                Command::Send { conn } => flush(seat, conn, &mut self.out),
                Command::Close { conn, .. } => {
                    flush(seat, conn, &mut self.out);
                    seat.link = seat.link.take().filter(|(live, _)| *live != conn);
                    seat.node.handle(now, Input::Closed { conn, cause: TransportCause::Commanded });
                }
                Command::Produce { .. }
                | Command::Validate { .. }
                | Command::Commit { .. }
                | Command::Load { .. }
                | Command::Resolve { .. } => {}
                Command::Persist { ticket, .. } => seat.node.handle(now, Input::Persisted(ticket)),
                Command::Event(Event::LinkUp { .. }) => self.linked += 1,
                Command::Event(Event::LinkDown { reason, .. }) => {
                    eprintln!("swarm: link {index} down: {reason}");
                }
                Command::Event(Event::Datagram { from, payload }) => {
                    let request = Request::Send { to: Some(from), payload };
                    seat.node.handle(now, Input::Request { id: RequestId(1), request });
                }
                Command::Reading { .. } | Command::Event(_) => {}
            }
        }
        let due = seat.node.deadline();
        if due != seat.due {
            if let Some(old) = seat.due {
                self.deadlines.remove(&(old, index));
            }
            if let Some(new) = due {
                self.deadlines.insert((new, index));
            }
            seat.due = due;
        }
    }
}

/// Writes what waits. What a swarm sends always fits an empty socket.
fn flush(seat: &mut Seat, conn: ConnId, out: &mut Vec<u8>) {
    out.clear();
    while seat.node.transmit(timed_mio::now(), conn, 64 * 1024, out) == Transmit::More {}
    if let Some((_, stream)) = &mut seat.link {
        // A broken connection is told by the next read.
        let _ = stream.write(out);
    }
}

fn dial(source: SocketAddr, hub: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(hub), Type::STREAM, None).expect("descriptors are left");
    socket.set_nonblocking(true).expect("it is a socket");
    socket.set_tcp_nodelay(true).expect("it is a TCP socket");
    socket.bind(&source.into()).expect("loopback is all of 127.0.0.0/8");
    // In progress: what becomes of it is told by the poll.
    let _ = socket.connect(&hub.into());
    TcpStream::from_std(socket.into())
}
