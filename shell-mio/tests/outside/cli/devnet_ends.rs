//! `timed devnet` ends: no process and no socket is left, however its end came.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::mpsc::channel;

use crate::loopback::own_net;
use crate::network::SECOND;
use crate::network::kernel::{self, Link, Socket, State};
use crate::operator::{Process, eventually, lives, signal, timed};

/// A running network as its screen describes it.
struct Devnet {
    process: Process,
    net: [u8; 3],
    pids: Vec<u32>,
    commands: Vec<String>,
}

impl Devnet {
    /// Starts four nodes and reads the lines until the network is up.
    fn up() -> Self {
        let net = own_net();
        let base = Ipv4Addr::new(net[0], net[1], net[2], 1).to_string();
        let mut process = Process::start(&mut timed(&["devnet", "--base-ip", &base]));
        let (tell, lines) = channel();
        let screen = BufReader::new(process.0.stdout.take().unwrap());
        std::thread::spawn(move || {
            screen.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
        });
        let (mut pids, mut commands, mut said) = (Vec::new(), Vec::new(), Vec::new());
        while !said.last().is_some_and(|line: &String| line.starts_with("network up")) {
            let line = lines.recv_timeout(60 * SECOND).unwrap_or_else(|_| panic!("no network: {said:?}"));
            if let Some((_, rest)) = line.split_once(" pid ") {
                assert!(line.contains(&format!("http://{}.{}.{}.", net[0], net[1], net[2])), "{line}");
                pids.push(rest.split(' ').next().unwrap().parse().unwrap());
                commands.push(line.split_once("command: ").unwrap().1.to_owned());
            }
            said.push(line);
        }
        assert!(said.last().unwrap().contains("6/6 links"), "{said:?}");
        assert_eq!(pids.len(), 4, "{said:?}");
        Self { process, net, pids, commands }
    }

    /// Runs a node's printed command line.
    fn run_again(&self, node: usize) -> Process {
        let mut words = self.commands[node].split(' ');
        Process::start(Command::new(words.next().unwrap()).args(words))
    }

    fn links(&self) -> Vec<Link> {
        kernel::links(&self.sockets(), self.net, 24_100)
    }

    fn sockets(&self) -> Vec<Socket> {
        let mut sockets = kernel::sockets("/proc/net/tcp");
        // What a peer closed first stays with the kernel for a minute, with no process behind it.
        sockets
            .retain(|socket| socket.local.ip().octets()[..3] == self.net && socket.state != State::TimeWait);
        sockets
    }

    fn is_gone(&self) -> bool {
        self.sockets().is_empty() && self.pids.iter().all(|pid| !lives(*pid))
    }
}

#[test]
fn ctrl_c_leaves_no_process_and_no_socket() {
    for name in ["INT", "TERM"] {
        let devnet = Devnet::up();
        let listening = devnet.sockets().iter().filter(|socket| socket.state == State::Listening).count();
        assert_eq!(listening, 8, "four nodes, four APIs");
        let mut dialers = BTreeMap::new();
        for link in devnet.links() {
            assert!(link.dialer < link.acceptor, "{link:?}");
            *dialers.entry(link.dialer).or_insert(0) += 1;
        }
        assert_eq!(dialers, BTreeMap::from([(1, 3), (2, 2), (3, 1)]));
        let parent = devnet.process.pid();
        signal(name, parent);
        eventually("all are gone", 50 * SECOND, || devnet.is_gone() && !lives(parent));
    }
}

#[test]
fn a_killed_parent_leaves_no_process_and_no_socket() {
    let devnet = Devnet::up();
    signal("KILL", devnet.process.pid());
    eventually("all are gone", 25 * SECOND, || devnet.is_gone());
}

#[test]
fn a_printed_command_line_starts_a_killed_child_again() {
    let devnet = Devnet::up();
    let mut restarted = Vec::new();
    // Lowest and highest.
    for node in [0, 3] {
        let host = u8::try_from(node + 1).unwrap();
        let (before, kept) = (devnet.links(), crate::network::without(&devnet.links(), host));
        signal("KILL", devnet.pids[node]);
        // At once: a process that was killed may hold its files and sockets for a while yet.
        let again = devnet.run_again(node);
        eventually("its links are back", 15 * SECOND, || {
            let links = devnet.links();
            links.len() == 6 && links.iter().all(|link| kept.contains(link) || !before.contains(link))
        });
        signal("TERM", again.pid());
        assert_eq!(again.end(10 * SECOND).code, 0);
        eventually("it said goodbye", 5 * SECOND, || devnet.links().len() == 3);
        assert_eq!(devnet.links(), kept, "the others' links moved");
        restarted.push(devnet.run_again(node));
        eventually("and back once more", 15 * SECOND, || devnet.links().len() == 6);
        assert_eq!(crate::network::without(&devnet.links(), host), kept, "the others' links moved");
        assert!(devnet.links().iter().all(|link| link.dialer < link.acceptor));
    }
}
