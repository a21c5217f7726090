"""Nodes of one network on machines of their own, driven by the daemon's own commands."""

import json
import pathlib
import signal
import time

from topology import PREFIX, SUBNET, Failed, Machine, Router, Switch, run

PORT = 24100


class Unmet(Exception):
    """What a case expects did not come about."""


class Node:
    """One daemon on one machine."""

    def __init__(self, timed, machine, directory):
        self.timed, self.machine, self.dir = timed, machine, directory
        self.log = directory / "log"
        self.process = None

    @property
    def name(self):
        return self.dir.name

    def start(self, *flags):
        """Starts the daemon, which serves its API on the machine's loopback address."""
        self.process = self.machine.start(self.timed, "run", "--data-dir", self.dir, *flags, log=self.log)

    def kill(self):
        """Kills it without a word."""
        run("pkill", "-KILL", "-P", self.process.pid, check=False)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, *words):
        """The answer of the running node to a command, as JSON; None if it does not answer."""
        try:
            return json.loads(self.machine.inside(self.timed, *words, "--json", "--data-dir", self.dir))
        except (Failed, json.JSONDecodeError):
            return None

    def peers(self):
        return self.ask("peers") or []

    def height(self):
        status = self.ask("status")
        return status["height"] if status else -1

    def counter(self, name):
        """A metric without labels."""
        text = self.machine.inside("curl", "-s", "-m", "5", "http://127.0.0.1:8332/metrics", check=False)
        for line in text.splitlines():
            if line.split(" ")[0] == name:
                return float(line.split(" ")[1])
        raise Unmet(f"{self.name} has no metric {name}")


class Network:
    """Masternodes on machines at one switch, and whatever a case adds."""

    def __init__(self, timed, directory, masternodes, interval="1s"):
        self.timed, self.dir, self.parts = timed, pathlib.Path(directory), []
        self.switch = self.keep(Switch("switch"))
        self.nodes, places = [], []
        for number in range(1, masternodes + 1):
            node = self.prepare(f"n{number}", self.machine(f"n{number}", number))
            places += ["--masternode", f"{self.id_of(node)}@{node.machine.ip}:{PORT}"]
            self.nodes.append(node)
        self.genesis = self.dir / "genesis.toml"
        run(timed, "genesis", "--block-interval", interval, "--out", self.genesis, *places)
        for node in self.nodes:
            (node.dir / "genesis.toml").write_text(self.genesis.read_text())

    def keep(self, part):
        self.parts.append(part)
        return part

    def machine(self, name, number):
        """A machine at the switch."""
        machine = self.keep(Machine(name, f"{SUBNET}.{number}"))
        machine.attach(self.switch)
        return machine

    def hidden(self, number, count):
        """Machines behind one router with the address `number`: they can dial out and are never reached."""
        router = self.keep(Router("router", f"{SUBNET}.{number}", "192.168.7.1"))
        router.attach(self.switch)
        inner = self.keep(Switch("inner"))
        router.attach_inner(inner)
        machines = [Machine(f"hidden{at}", f"192.168.7.{at + 1}", "192.168.7.1") for at in range(1, count + 1)]
        for machine in machines:
            self.keep(machine).attach(inner)
        return machines

    def prepare(self, name, machine, local_ip=True):
        """A node's data directory."""
        directory = self.dir / name
        run(self.timed, "init", "--data-dir", directory, *(["--local-ip", machine.ip] if local_ip else []))
        return Node(self.timed, machine, directory)

    def observer(self, name, machine):
        """A node without a registered key that is reached by nobody."""
        node = self.prepare(name, machine, local_ip=False)
        (node.dir / "genesis.toml").write_text(self.genesis.read_text())
        return node

    def id_of(self, node):
        return run(self.timed, "id", "--data-dir", node.dir).strip()

    def stand(self, within=15):
        """Starts every masternode and waits until all links stand and blocks come."""
        for node in self.nodes:
            node.start()
        self.await_mesh(within)
        self.await_blocks(within)

    def linked(self, node, among=None):
        """Names of the masternodes with which a node has a link."""
        ids = {self.id_of(other): other.name for other in among or self.nodes}
        return {ids[peer["node_id"]] for peer in node.peers() if peer["node_id"] in ids}

    def await_mesh(self, within, among=None):
        among = among or self.nodes
        everybody = {node.name for node in among}
        eventually(
            f"all links among {sorted(everybody)}", within,
            lambda: all(self.linked(node, among) == everybody - {node.name} for node in among),
        )

    def await_blocks(self, within, among=None, more=2):
        among = among or self.nodes
        goal = max(node.height() for node in among) + more
        eventually(f"height {goal}", within, lambda: all(node.height() >= goal for node in among))

    def links_lost(self):
        """Links that ended, over all nodes."""
        return sum(int(node.counter("timed_links_down_total")) for node in self.nodes)

    def same_chain(self):
        """Every node has the same block at the lowest common height."""
        height = min(node.height() for node in self.nodes)
        hashes = {node.ask("block", height)["hash"] for node in self.nodes}
        expect(len(hashes) == 1, f"height {height} has {len(hashes)} blocks")

    def gone(self):
        for part in reversed(self.parts):
            part.gone()


def eventually(what, within, holds):
    """Waits for something and tells how long it took."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > within:
            raise Unmet(f"{what}: not within {within} s")
        time.sleep(0.2)
    print(f"      {what}: after {time.monotonic() - begun:.1f} s of {within} s", flush=True)


def expect(holds, otherwise):
    if not holds:
        raise Unmet(otherwise)


__all__ = ["Network", "Node", "PORT", "PREFIX", "Unmet", "eventually", "expect"]
