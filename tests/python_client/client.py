"""Joins a network as an observer, hears and verifies heartbeats, asks for peers and blocks, verifies certificates.

    python3 client.py --addr IP:PORT --genesis FILE [--heartbeats N] [--blocks N] [--for SECONDS]

Written from core/PROTOCOL.md and the golden vectors alone: proof that they are enough. Prints a line for each thing
that it has seen, and exits with 0 once it has seen all that it was asked for."""

import argparse
import os
import time

import rules
from encoding import Malformed, decode_final_block
from link import Ended, Link


class Heartbeats:
    """Marks and verdicts of rule M-3, as far as an observer that forwards nothing needs them."""

    def __init__(self, network):
        self.network, self.marks, self.genuine = network, {}, {}

    def take(self, beat):
        mark = (beat["epoch"], beat["sequence"])
        if beat["network"] != self.network.id or beat["signer"] not in self.network.keys:
            return "of a stranger"
        if mark <= self.marks.get(beat["signer"], (0, 0)):
            return "a repeat"
        words = rules.heartbeat_words(beat)
        if not rules.verify(beat["signer"], words, beat["signature"]):
            return "forged"
        self.marks[beat["signer"]] = mark
        self.genuine[beat["signer"]] = rules.digest(words)[:8]
        if abs(time.time() * 1000 - beat["wall"]) > 60_000:
            return "off time"
        if beat["registry"] != self.network.registry[:8]:
            return "of another registry"
        return None


class Fetch:
    """Asks for blocks from the first one on, a few at a time, and follows the chain (rules Y-2 to Y-4)."""

    def __init__(self, network, wanted):
        self.chain, self.wanted = rules.Chain(network), wanted
        self.id, self.parts, self.not_before = 0, {}, 0.0

    @property
    def done(self):
        return self.chain.height >= self.wanted

    def ask(self, link):
        self.id += 1
        self.parts = {}
        from_ = self.chain.height + 1
        link.say("GetBlocks", {"id": self.id, "from": from_, "to": self.wanted, "bytes": 1 << 20})
        self.not_before = float("inf")

    def part(self, part):
        if part["id"] != self.id:
            return
        parts = self.parts.setdefault(part["height"], [])
        if part["index"] != len(parts):
            raise rules.Broken("Y-3 parts out of order")
        parts.append(part["bytes"])
        if len(parts) == part["count"]:
            block = decode_final_block(b"".join(parts))
            self.chain.take(block)
            signers = block["certificate"]["signers"].bit_count()
            print(f"block {self.chain.height} {self.chain.hash.hex()} certified by {signers}", flush=True)

    def end(self, end):
        if end["id"] == self.id:
            wait = end["outcome"][1] / 1000 if end["outcome"][0] == 2 else 0.0 if end["outcome"][0] == 0 else 0.5
            self.not_before = time.monotonic() + wait


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--addr", required=True, help="IP:PORT of a node")
    parser.add_argument("--genesis", required=True, help="the network's genesis.toml")
    parser.add_argument("--heartbeats", type=int, default=1, help="masternodes whose heartbeats are waited for")
    parser.add_argument("--blocks", type=int, default=1, help="blocks that are fetched and verified")
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds to wait for all that")
    order = parser.parse_args()

    network = rules.Network.load(order.genesis)
    host, _, port = order.addr.rpartition(":")
    link = Link(network, (host.strip("[]"), int(port)), os.urandom(32))
    ack = link.connect()
    print(f"linked with {ack['from']['node'].hex()} at height {ack['from']['height']}", flush=True)

    beats, fetch, peers = Heartbeats(network), Fetch(network, order.blocks), None
    link.say("GetPeers", {"most": 64})
    fetch.ask(link)
    deadline = time.monotonic() + order.seconds
    while time.monotonic() < deadline:
        if len(beats.genuine) >= order.heartbeats and fetch.done and peers is not None:
            print("all seen", flush=True)
            return
        heard = link.hear(until=min(deadline, time.monotonic() + 0.2))
        name, value = heard or (None, None)
        if name == "Heartbeat":
            verdict = beats.take(value)
            who = value["signer"].hex()
            print(f"heartbeat {value['sequence']} of {who}: {verdict or 'valid'}", flush=True)
            if verdict not in (None, "a repeat"):
                raise SystemExit(f"a node sends what is {verdict}")
        elif name == "Peers":
            peers = value["peers"]
            print(f"told of {len(peers)} peers", flush=True)
        elif name == "BlockPart":
            fetch.part(value)
        elif name == "BlocksEnd":
            fetch.end(value)
        elif name == "Tip":
            fetch.not_before = min(fetch.not_before, time.monotonic())
        if not fetch.done and time.monotonic() >= fetch.not_before:
            fetch.ask(link)
    missing = f"{len(beats.genuine)} heartbeats, {fetch.chain.height} blocks, peers: {peers}"
    raise SystemExit(f"not all seen in {order.seconds} s: {missing}")


if __name__ == "__main__":
    try:
        main()
    except (Ended, Malformed, rules.Broken, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
