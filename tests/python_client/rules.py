"""Hashes, signed bytes and what makes a block final: sections 1, 3.2, 7 and 8 of core/PROTOCOL.md."""

import re
import tomllib
from datetime import datetime, timezone
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from encoding import (
    ADDR, BOOT, CERTIFICATE, CHUNK, HEADER, HEARTBEAT_FIELDS, HELLO_FIELDS, INTRODUCTION_FIELDS, ANSWER, U8, U16, U32,
    U64, optional, KEY, addr_order,
)

VERSION = 1


class Broken(Exception):
    """A rule is broken; the first word is its number."""


def digest(*parts):
    return sha256(b"".join(parts)).digest()


# --- Keys (rule N-3)

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def _decompress(data):
    y = int.from_bytes(data, "little") & (2**255 - 1)
    sign = data[31] >> 7
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == P - u % P and u % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if v * x * x % P != u:
        return None
    return (x if x & 1 == sign else P - x) % P, y % P


def _double(point):
    x, y = point
    t = D * x * x * y * y % P
    return 2 * x * y * pow(1 + t, -1, P) % P, (y * y + x * x) * pow(1 - t, -1, P) % P


def is_strong(data):
    """Whether these bytes are a point of the curve that is not of small order."""
    point = _decompress(data)
    if point is None:
        return False
    for _ in range(3):
        point = _double(point)
    return point != (0, 1)


def verify(key, message, signature):
    """Strictly: S below the group order, neither the key nor R of small order, the equation without cofactor."""
    if not is_strong(key) or not is_strong(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


# --- Genesis and registry (rules G-1 to G-3)

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def duration_ms(text):
    parts = re.findall(r"(\d+)\s*(ms|s|m|h)", text)
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def parse_addr(text):
    import ipaddress

    host, _, port = text.rpartition(":")
    return ipaddress.ip_address(host.strip("[]")).packed, int(port)


class Network:
    """What every node of a network agrees on from the start."""

    def __init__(self, name, interval_ms, time_ms, masternodes):
        self.name, self.interval_ms, self.time_ms = name, interval_ms, time_ms
        # Ordered by key; an index is a position in this order.
        self.masternodes = sorted(masternodes)
        self.registry = digest(
            b"timed-registry-v1",
            U64.write(len(self.masternodes)),
            *(key + ADDR.write(addr) for key, addr in self.masternodes),
        )
        name = self.name.encode()
        time = b"\0" if time_ms is None else b"\1" + U64.write(time_ms)
        self.genesis = digest(
            b"timed-genesis-v1", U64.write(len(name)), name, U64.write(interval_ms), time, self.registry
        )
        self.id = digest(b"timed-network-v1", name)[:4]

    @classmethod
    def load(cls, path):
        with open(path, "rb") as file:
            table = tomllib.load(file)
        time = table.get("genesis_time")
        if isinstance(time, str):
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
        if time is not None:
            time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
            time = round(time.timestamp() * 1000)
        nodes = [(bytes.fromhex(entry["id"]), parse_addr(entry["addr"])) for entry in table["masternode"]]
        return cls(table["network"], duration_ms(table["block_interval"]), time, nodes)

    @property
    def keys(self):
        return [key for key, _ in self.masternodes]

    @property
    def quorum(self):
        return 2 * len(self.masternodes) // 3 + 1


# --- Signed bytes (rules W-8, E-7, M-1, C-8, C-9)

RAW_ADDR = lambda addr: b"\0" if addr is None else ADDR.write(addr)


def words_of_introduction(value):
    """W(introduction): addresses without a byte in front, the agent's length in four bytes."""
    out = b""
    for name, field in INTRODUCTION_FIELDS:
        if name in ("advertised", "observed"):
            out += RAW_ADDR(value[name])
        elif name == "agent":
            out += U32.write(len(value[name])) + value[name]
        else:
            out += field.write(value[name])
    return out


def words_of_hello(value):
    rest = [field.write(value[name]) for name, field in HELLO_FIELDS[1:]]
    return words_of_introduction(value["from"]) + b"".join(rest)


def hello_words(handshake_hash, hello):
    return b"timed-hello-v1" + b"\0" + handshake_hash + words_of_hello(hello)


def ack_words(handshake_hash, ack, hello):
    return b"".join([
        b"timed-hello-v1", b"\1", handshake_hash, words_of_introduction(ack["from"]), U64.write(ack["highest"]),
        ANSWER.write(ack["answer"]), words_of_hello(hello), hello["signature"],
    ])


def boot_words(genesis, key, boot):
    return b"timed-boot-v1" + genesis + key + BOOT.write(boot)


def heartbeat_words(beat):
    """As the body, but for the counts, which have four bytes, and the signature."""
    out = b"timed-heartbeat-v1"
    for name, field in HEARTBEAT_FIELDS:
        written = field.write(beat[name])
        out += U32.write(len(beat[name])) + written[2:] if name in ("links", "witnessed") else written
    return out


def proposal_words(genesis, height, round_, valid_round, block):
    return b"".join([
        b"timed-proposal-v1", genesis, U64.write(height), U32.write(round_), optional(U32).write(valid_round), block,
    ])


def vote_words(genesis, kind, height, round_, block):
    return b"timed-vote-v1" + genesis + U8.write(kind) + U64.write(height) + U32.write(round_) + optional(KEY).write(block)


# --- Blocks (rules C-1 to C-7)


def block_hash(genesis, header):
    return digest(b"timed-block-v1", genesis, HEADER.write(header))


def certificate_hash(certificate):
    return digest(b"timed-certificate-v1", CERTIFICATE.write(certificate))


def payload_root(payload):
    chunks = [payload[at : at + CHUNK] for at in range(0, len(payload), CHUNK)]
    return digest(b"timed-payload-v1", U32.write(len(payload)), *map(digest, chunks))


def check_certificate(network, certificate, height, block):
    """Raises unless it is a sound commit of this block by a quorum of the registry."""
    if (certificate["kind"], certificate["height"], certificate["block"]) != (1, height, block):
        raise Broken("C-4 the certificate is of something else")
    signers = [index for index in range(128) if certificate["signers"] >> index & 1]
    if len(signers) < network.quorum or signers[-1] >= len(network.keys):
        raise Broken(f"C-4 signed by {signers}, {network.quorum} of {len(network.keys)} needed")
    words = vote_words(network.genesis, 1, height, certificate["round"], block)
    for index, signature in zip(signers, certificate["signatures"]):
        if not verify(network.keys[index], words, signature):
            raise Broken(f"C-4 the signature of {index} is not genuine")


class Chain:
    """Follows a chain whose registry never changes: each next block is the child of the one before."""

    def __init__(self, network):
        self.network = network
        self.height, self.hash, self.slot = 0, bytes(32), None

    def take(self, block):
        header, network = block["header"], self.network
        if header["height"] != self.height + 1:
            raise Broken(f"C-1 height {header['height']} after {self.height}")
        if header["registry"] != network.registry:
            raise Broken("C-7 another registry")
        if header["proposer"] != network.keys[(header["height"] + header["round"]) % len(network.keys)]:
            raise Broken("C-5 proposed by another one than the leader")
        since = header["slot"] - (network.time_ms or 0)
        if since < 0 or since % network.interval_ms or (self.slot is not None and header["slot"] <= self.slot):
            raise Broken("C-6 no slot, or none after its parent's")
        if header["parent"] != self.hash:
            raise Broken("C-1 another parent")
        parent = block["parent_certificate"]
        if self.height == 0:
            if parent is not None or header["certificate"] != bytes(32):
                raise Broken("C-2 the first block has no parent's certificate")
        elif parent is None or certificate_hash(parent) != header["certificate"] or parent["block"] != self.hash:
            raise Broken("C-2 not the parent's certificate that the header names")
        if payload_root(block["payload"]) != header["payload"]:
            raise Broken("C-3 another payload")
        if block["certificate"]["round"] < header["round"]:
            raise Broken("C-4 decided before it was proposed")
        hash_ = block_hash(network.genesis, header)
        check_certificate(network, block["certificate"], header["height"], hash_)
        self.height, self.hash, self.slot = header["height"], hash_, header["slot"]
        return hash_
