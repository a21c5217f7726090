"""What happens to the machines of a network, and what must come of it. Each case has a network of its own."""

import pathlib
import time

from nodes import PORT, eventually, expect
from topology import SUBNET

HERE = pathlib.Path(__file__).parent


def cut(ones, others):
    """No packet passes between two groups, in either direction."""
    for node in ones:
        there = ", ".join(other.machine.ip for other in others)
        node.machine.rules(f"incoming ip saddr {{ {there} }} drop", f"outgoing ip daddr {{ {there} }} drop")


def heal(nodes):
    for node in nodes:
        node.machine.without_rules()


def partition_in_halves(network):
    """2|2: no side decides a block and every survivor says why; healed, blocks go on at one height."""
    network.stand()
    ones, others = network.nodes[:2], network.nodes[2:]
    cut(ones, others)
    reasons = lambda: [(node.ask("consensus") or node.ask("status") or {}).get("not_producing_reason") for node in network.nodes]
    eventually("links across the cut are gone", 25, lambda: all(len(node.peers()) == 1 for node in network.nodes))
    eventually("everybody says why", 10, lambda: all(reasons()))
    before = max(node.height() for node in network.nodes)
    time.sleep(4)
    expect(max(node.height() for node in network.nodes) == before, "a half decided a block")
    heal(ones)
    network.await_mesh(30)
    network.await_blocks(10)
    network.same_chain()


def partition_of_one(network):
    """3|1: three go on, the fourth catches up once it is back."""
    network.stand()
    cut(network.nodes[3:], network.nodes[:3])
    network.await_blocks(20, among=network.nodes[:3], more=6)
    heal(network.nodes[3:])
    network.await_mesh(30)
    network.await_blocks(15)
    network.same_chain()


def one_way(network):
    """A can reach D but not the other way round, and the reverse for B and C: every link stands all the same."""
    a, b, c, d = network.nodes
    d.machine.rules(f"incoming ip saddr {a.machine.ip} tcp dport {PORT} tcp flags syn / syn,ack drop")
    b.machine.rules(f"incoming ip saddr {c.machine.ip} tcp dport {PORT} tcp flags syn / syn,ack drop")
    network.stand(within=40)
    lost = network.links_lost()
    time.sleep(10)
    expect(network.links_lost() == lost, "a link that stands was lost")


def dials_out_only(network):
    """A masternode that nobody can dial has its links by its own dials."""
    last = network.nodes[3]
    last.machine.rules(f"incoming tcp dport {PORT} tcp flags syn / syn,ack drop")
    network.stand(within=40)
    expect(all(peer["direction"] == "outbound" for peer in last.peers()), "somebody got through")


def behind_one_address(network):
    """Two observers behind one router follow the chain, and neither takes the other's place."""
    network.stand()
    observers = [network.observer(f"o{at}", machine) for at, machine in enumerate(network.hidden(50, 2), 1)]
    for observer in observers:
        observer.start()
    masternodes = {node.name for node in network.nodes}
    eventually("both have every link", 20, lambda: all(network.linked(one) == masternodes for one in observers))
    network.await_blocks(20, among=observers, more=3)
    lost = network.links_lost()
    time.sleep(10)
    expect(network.links_lost() == lost, "a link behind the router was lost")


def power_cut(network):
    """A machine loses its power and comes back: the others hold half-open sockets, and the links are back."""
    network.stand()
    victim = network.nodes[1]
    victim.machine.cable("down")
    victim.kill()
    network.await_blocks(20, among=[node for node in network.nodes if node is not victim], more=3)
    victim.machine.cable("up")
    victim.start()
    network.await_mesh(15)
    network.await_blocks(15)
    network.same_chain()


def one_packet_in_ten_lost(network):
    """Every tenth packet is lost everywhere: no link is lost, and blocks go on."""
    network.stand()
    lost, height, seconds = network.links_lost(), max(node.height() for node in network.nodes), 60
    for node in network.nodes:
        node.machine.rules("incoming numgen random mod 10 == 0 drop")
    time.sleep(seconds)
    made = max(node.height() for node in network.nodes) - height
    print(f"      {made} blocks in {seconds} slots", flush=True)
    expect(network.links_lost() == lost, "a link was lost")
    expect(made >= seconds // 2, "too few blocks")
    heal(network.nodes)
    network.await_blocks(10)
    network.same_chain()


def slow_lines(network):
    """2 Mbit/s for everybody, with blocks of transactions: no link is closed for being slow."""
    network.stand()
    for node in network.nodes:
        node.machine.rate("2mbit")
    lost, payload = network.links_lost(), network.dir / "transaction"
    begun, sent = time.monotonic(), 0
    while time.monotonic() - begun < 30:
        payload.write_bytes(sent.to_bytes(4, "big") * 4_000)
        expect(network.nodes[sent % 4].ask("submit", payload) is not None, "a transaction was refused")
        sent += 1
        time.sleep(1)
    network.await_blocks(20)
    expect(network.links_lost() == lost, "a link was lost")
    network.same_chain()


def the_same_address_twice(network):
    """A stranger's machine takes a masternode's address for a while: nobody is banned, and the links are back."""
    network.stand()
    taken = network.nodes[2]
    thief = network.keep(type(taken.machine)("thief", taken.machine.ip))
    thief.attach(network.switch)
    stranger = network.prepare("thief", thief)
    (stranger.dir / "genesis.toml").write_text(network.genesis.read_text())
    # Its key is not the one that is registered there, so it says so and ends; the address stays taken.
    stranger.start()
    thief.inside("ping", "-c", "3", "-i", "0.2", network.nodes[0].machine.ip, check=False)
    time.sleep(20)
    others = [node for node in network.nodes if node is not taken]
    network.await_blocks(15, among=others)
    thief.cable("down")
    taken.machine.inside("ping", "-c", "3", "-i", "0.2", network.nodes[0].machine.ip, check=False)
    network.await_mesh(40)
    network.await_blocks(15)
    network.same_chain()


def a_long_line(network):
    """All links of one node are 150 ms long each way: they stand, blocks go on, and the time is shown."""
    far = network.nodes[0]
    far.machine.start("python3", HERE / "relay.py", 24200, 150, log=network.dir / "relay.log")
    far.machine.rules(f"detour meta mark != 77 ip daddr {SUBNET}.0/24 tcp dport {PORT} redirect to :24200")
    network.stand(within=30)
    network.await_blocks(30, more=10)
    lost = network.links_lost()
    times = lambda: [peer.get("rtt_ms") for peer in far.peers()]
    eventually("round trips of 300 ms are shown", 90, lambda: all(time_ and time_ >= 290 for time_ in times()))
    expect(network.links_lost() == lost, "a link was lost")


CASES = [
    partition_in_halves,
    partition_of_one,
    one_way,
    dials_out_only,
    behind_one_address,
    power_cut,
    one_packet_in_ten_lost,
    slow_lines,
    the_same_address_twice,
    a_long_line,
]
