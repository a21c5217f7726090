//! Hosts of their own for the daemons: a network namespace each, on one bridge, so that a test can cut the power
//! or a cable and drop packets one way. Needs root and `ip`; the tests say so and pass where these are missing.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::loopback::own_number;

use super::kernel::{self, Link};
use super::{Network, PORT};
use crate::operator::text;

/// Namespaces with the prefix `name`, of one test.
pub struct Hosts {
    name: String,
    pub network: Network,
    up: Vec<u8>,
}

fn execute(line: &str) -> Output {
    let mut words = line.split_ascii_whitespace();
    Command::new(words.next().unwrap()).args(words).output().unwrap()
}

fn must(line: &str) {
    let done = execute(line);
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Hosts {
    /// A network of these masternodes, one a host, all started; nothing where the machine does not allow it.
    pub fn standing(hosts: &[u8]) -> Option<Self> {
        Self::with_blocks(hosts, 10 * super::SECOND)
    }

    /// The same with a block at each of these intervals.
    pub fn with_blocks(hosts: &[u8], interval: Duration) -> Option<Self> {
        let number = own_number();
        let name = format!("timed{number}-{}", std::process::id());
        let switch = format!("{name}-sw");
        let made = Command::new("ip").args(["netns", "add", &switch]).output();
        if !made.as_ref().is_ok_and(|made| made.status.success()) {
            println!("SKIPPED: network namespaces need root and the program ip: {made:?}");
            return None;
        }
        let network = Network::made([10, 77, number], hosts, interval);
        let mut this = Self { name, network, up: Vec::new() };
        must(&format!("ip -n {switch} link add br0 type bridge"));
        must(&format!("ip -n {switch} link set br0 up"));
        for host in hosts {
            this.boot(*host);
        }
        for host in hosts {
            this.start(*host);
        }
        this.await_mesh(hosts, 10);
        Some(this)
    }

    fn namespace(&self, host: u8) -> String {
        format!("{}-{host}", self.name)
    }

    /// Makes the machine: the same address as ever, hardware's included.
    pub fn boot(&mut self, host: u8) {
        let (ns, switch, ip) = (self.namespace(host), format!("{}-sw", self.name), self.network.ip(host));
        must(&format!("ip netns add {ns}"));
        self.up.push(host);
        must(&format!("ip -n {switch} link add p{host} type veth peer name eth0 netns {ns}"));
        must(&format!("ip -n {switch} link set p{host} master br0 up"));
        must(&format!("ip -n {ns} link set eth0 address 02:00:00:00:00:{host:02x}"));
        must(&format!("ip -n {ns} addr add {ip}/24 dev eth0"));
        must(&format!("ip -n {ns} link set lo up"));
        must(&format!("ip -n {ns} link set eth0 up"));
    }

    pub fn start(&mut self, host: u8) {
        let ns = self.namespace(host);
        let dir = self.network.path(host);
        let plain = self.network.command(host, &dir);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &ns]).arg(plain.get_program());
        // The API is for this host alone.
        let listen = self.network.addr(host);
        command.args(["run", "--data-dir", text(&dir), "--listen", &listen, "--api", "127.0.0.1:8332"]);
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.network.adopt_logged(host, &mut command);
    }

    /// The machine is gone at once: no FIN, no RST, no kernel that answers for it.
    pub fn cut_power(&mut self, host: u8) {
        self.cable(host, "down");
        self.network.kill(host);
        must(&format!("ip netns del {}", self.namespace(host)));
        self.up.retain(|up| *up != host);
        // The kernel keeps the namespace while sockets without a process try to say goodbye, but not its cable.
        must(&format!("ip -n {}-sw link del p{host}", self.name));
    }

    /// Pulls a host's cable (`down`) or puts it in (`up`).
    pub fn cable(&self, host: u8, state: &str) {
        must(&format!("ip -n {}-sw link set p{host} {state}", self.name));
    }

    /// Adds a packet filter rule on a host, in hook `input` or `output`; whether the machine can.
    pub fn filter(&self, host: u8, hook: &str, rule: &str) -> bool {
        let ns = self.namespace(host);
        let script = format!(
            "table ip timed {{\nchain {hook} {{\ntype filter hook {hook} priority 0;\n}}\n}}\nadd rule ip timed {hook} {rule}\n"
        );
        let file = self.network.path(host).join("filter.nft");
        std::fs::write(&file, script).unwrap();
        let done = Command::new("ip").args(["netns", "exec", &ns, "nft", "-f", text(&file)]).output();
        let done = done.unwrap();
        if !done.status.success() {
            println!("SKIPPED: no packet filter: {}", String::from_utf8_lossy(&done.stderr));
        }
        done.status.success()
    }

    /// Takes away what [`Self::filter`] has added.
    pub fn unfilter(&self, host: u8) {
        must(&format!("ip netns exec {} nft delete table ip timed", self.namespace(host)));
    }

    /// A verb's answer on a host; null if it has none.
    pub fn json(&self, host: u8, verb: &str) -> Value {
        let dir = self.network.path(host);
        let done = Command::new("ip")
            .args(["netns", "exec", &self.namespace(host), env!("CARGO_BIN_EXE_timed")])
            .args(verb.split(' '))
            .arg("--json")
            .args(["--api", "http://127.0.0.1:8332", "--data-dir", text(&dir)])
            .output()
            .unwrap();
        serde_json::from_slice(&done.stdout).unwrap_or_default()
    }

    pub fn session(&self, host: u8, with: u8) -> Option<Value> {
        let peers = self.json(host, "peers").as_array().cloned().unwrap_or_default();
        peers.into_iter().find(|peer| peer["node_id"] == self.network.id(with))
    }

    /// Each host's own sockets, as its kernel shows them: dialed by it, then accepted by it.
    pub fn links(&self, host: u8) -> Vec<Link> {
        let [a, b, c, _] = self.network.ip(host).octets();
        let table = format!("/proc/{}/net/tcp", self.network.pid(host));
        let mut sockets = kernel::sockets(&table);
        for socket in &mut sockets {
            if socket.local.port() == PORT {
                std::mem::swap(&mut socket.local, &mut socket.remote);
            }
        }
        kernel::links(&sockets, [a, b, c], PORT)
    }

    pub fn is_meshed(&self, hosts: &[u8]) -> bool {
        hosts.iter().all(|host| {
            let others = hosts.iter().filter(|other| *other != host);
            let peers = self.json(*host, "peers").as_array().cloned().unwrap_or_default();
            let linked = |other: &u8| peers.iter().any(|peer| peer["node_id"] == self.network.id(*other));
            others.into_iter().all(linked)
        })
    }

    pub fn await_mesh(&self, hosts: &[u8], seconds: u32) {
        self.network.eventually("every link stands", seconds * super::SECOND, || self.is_meshed(hosts));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.network.kill_all();
        let hosts = self.up.iter().map(|host| self.namespace(*host));
        for ns in hosts.chain([format!("{}-sw", self.name)]) {
            let _ = execute(&format!("ip netns del {ns}"));
        }
    }
}
