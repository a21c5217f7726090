"""Machines on one switch: a network namespace each, joined by veth pairs to a bridge in a namespace of its own.

Everything lives in namespaces whose names begin with `timed-hosts-`, and goes with them.
"""

import itertools
import os
import shutil
import subprocess

PREFIX = f"timed-hosts-{os.getpid()}"
SUBNET = "10.78.0"


class Failed(Exception):
    """A command of the system that must work did not."""


def run(*words, check=True, **options):
    """Runs a command to its end and gives back what it printed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def missing():
    """Why this machine cannot hold such networks; None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "tc", "nft", "curl"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    probe = f"{PREFIX}-probe"
    try:
        run("ip", "netns", "add", probe)
        run("ip", "netns", "exec", probe, "nft", "add", "table", "inet", "probe")
        run("ip", "netns", "exec", probe, "tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "100ms")
    except Failed as failed:
        return str(failed)
    finally:
        run("ip", "netns", "del", probe, check=False)
    return None


class Machine:
    """A namespace with one network interface, `eth0`."""

    def __init__(self, name, ip, gateway=None):
        self.namespace = f"{PREFIX}-{name}"
        self.ip = ip
        self.processes = []
        run("ip", "netns", "add", self.namespace)
        self.inside("ip", "link", "set", "lo", "up")
        self.gateway = gateway

    def inside(self, *words, **options):
        """Runs a command in the namespace."""
        return run("ip", "netns", "exec", self.namespace, *words, **options)

    def start(self, *words, log):
        """Starts a process that stays; it goes with the machine."""
        with open(log, "a", encoding="utf-8") as sink:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *map(str, words)], stdout=sink, stderr=sink, stdin=subprocess.DEVNULL
            )
        self.processes.append(process)
        return process

    def attach(self, network):
        """Plugs `eth0` into a switch."""
        network.plug(self, "eth0")
        self.inside("ip", "addr", "add", f"{self.ip}/24", "dev", "eth0")
        if self.gateway:
            self.inside("ip", "route", "add", "default", "via", self.gateway)

    def rules(self, *lines):
        """Adds rules to the packet filter, whose chains are `incoming`, `outgoing`, `detour` and `hiding`."""
        self.inside(
            "nft", "-f", "-",
            input="\n".join(
                [
                    "add table ip hosts",
                    "add chain ip hosts incoming { type filter hook input priority 0; }",
                    "add chain ip hosts outgoing { type filter hook output priority 0; }",
                    "add chain ip hosts detour { type nat hook output priority -100; }",
                    "add chain ip hosts hiding { type nat hook postrouting priority 100; }",
                    *(f"add rule ip hosts {line}" for line in lines),
                ]
            ),
        )

    def without_rules(self):
        """Takes every rule out again."""
        self.inside("nft", "delete", "table", "ip", "hosts", check=False)

    def cable(self, state):
        """Pulls the cable out (`down`), or plugs it in (`up`)."""
        self.inside("ip", "link", "set", "eth0", state)

    def rate(self, bits):
        """Limits what leaves `eth0`, for example to `2mbit`."""
        self.inside("tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", bits, "burst", "16kb", "latency", "2s")

    def gone(self):
        """Ends its processes without a word, and takes it away."""
        for process in self.processes:
            run("pkill", "-KILL", "-P", process.pid, check=False)
            process.kill()
            process.wait()
        run("ip", "netns", "del", self.namespace, check=False)


class Switch:
    """A bridge in a namespace of its own."""

    def __init__(self, name):
        self.namespace = f"{PREFIX}-{name}"
        self.ports = itertools.count(1)
        run("ip", "netns", "add", self.namespace)
        run("ip", "-n", self.namespace, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.namespace, "link", "set", "br0", "up")

    def plug(self, machine, interface):
        """Joins a new interface of a machine to the bridge."""
        port = f"p{next(self.ports)}"
        run("ip", "-n", self.namespace, "link", "add", port, "type", "veth", "peer", "name", interface, "netns", machine.namespace)
        run("ip", "-n", self.namespace, "link", "set", port, "master", "br0", "up")
        machine.inside("ip", "link", "set", interface, "up")

    def gone(self):
        """Takes it away."""
        run("ip", "netns", "del", self.namespace, check=False)


class Router(Machine):
    """Hides a subnet behind its own address, as home routers do: out only, nothing is forwarded in."""

    def __init__(self, name, ip, inner):
        super().__init__(name, ip)
        self.inner = inner

    def attach_inner(self, switch):
        """Plugs the inner interface in, and begins to forward."""
        switch.plug(self, "eth1")
        self.inside("ip", "addr", "add", f"{self.inner}/24", "dev", "eth1")
        self.inside("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        self.rules("hiding oifname eth0 masquerade")
