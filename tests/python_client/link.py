"""A connection: preamble, Noise, introductions, records, lanes and frames (sections 3 and 5 of core/PROTOCOL.md)."""

import socket
import struct
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from noise.connection import Keypair, NoiseConnection

import rules
from encoding import KINDS, Malformed, decode, encode

MAGIC, REJECT = b"TMD\x01", b"TMD\x00"
REKEY_EVERY = 1 << 14
RECORD = 16_384


def preamble(network_id):
    return MAGIC + network_id + struct.pack("<HH", rules.VERSION, rules.VERSION) + bytes(4)


def noise(initiator, prologue, ephemeral=None):
    """The handshake of rule H-2; `ephemeral` fixes the key for vectors."""
    state = NoiseConnection.from_name(b"Noise_NN_25519_ChaChaPoly_BLAKE2s")
    state.set_as_initiator() if initiator else state.set_as_responder()
    state.set_prologue(prologue)
    if ephemeral:
        state.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    state.start_handshake()
    return state


def read_opening(data):
    """What sixteen bytes at the start of a connection are (rules H-1, H-5)."""
    low, high, code = struct.unpack_from("<HHH", data, 8)
    if data[:4] == REJECT and data[14:] == bytes(2):
        return "reject", code
    if data[:4] == MAGIC and low <= high and data[12:] == bytes(4):
        return "preamble", data[4:8], low, high
    return ("alien",)


def judge_record(length):
    """The reason to close for a record of this length, if there is one (rule W-2)."""
    return None if 17 <= length <= 16_400 else "bad_record"


def judge_frame(lane, length, code):
    """The reason to close for a frame with this header, if there is one (rules W-4, W-6)."""
    name, home, most, _ = KINDS.get(code, (None, lane, 65_536, None))
    if home != lane:
        return "unexpected_message"
    return None if length <= most else "bad_frame"


class Direction:
    """One direction's records, with the key change of rule W-9."""

    def __init__(self, crypt, rekey):
        self.crypt, self.rekey, self.count = crypt, rekey, 0

    def _next(self, data):
        done = bytes(self.crypt(data))
        self.count += 1
        if self.count % REKEY_EVERY == 0:
            self.rekey()
        return done

    def seal(self, lane, frames):
        sealed = self._next(bytes([lane]) + frames)
        return struct.pack("<H", len(sealed)) + sealed

    def open(self, sealed):
        clear = self._next(sealed)
        if clear[0] > 3:
            raise Malformed(f"lane {clear[0]}")
        return clear[0], clear[1:]


def directions(state):
    """What seals our records, what opens the other end's: by the order of keys of Split() (rule H-2)."""
    sending = Direction(state.encrypt, state.rekey_outbound_cipher)
    return sending, Direction(state.decrypt, state.rekey_inbound_cipher)


class Ended(Exception):
    """The node has closed, with the reason of its goodbye if it gave one."""


class Link:
    """A link that this client dialed as an observer without an address."""

    def __init__(self, network, addr, seed, timeout=30):
        self.network, self.timeout = network, timeout
        self.secret = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = self.secret.public_key().public_bytes_raw()
        self.lanes = [b""] * 4
        self.inbox, self.waiting = b"", []
        self.socket = socket.create_connection(addr, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- The handshake

    def connect(self):
        """Goes as far as a live link; returns the node's answer."""
        ours = preamble(self.network.id)
        state = noise(True, ours)
        self.socket.sendall(ours + state.write_message())
        theirs = self._exactly(16)
        what, *fields = read_opening(theirs)
        if what == "reject":
            raise Ended(f"rejected with code {fields[0]}")
        if what == "alien" or fields[0] != self.network.id or not fields[1] <= rules.VERSION <= fields[2]:
            raise Ended(f"no preamble of this network: {theirs.hex()}")
        low, high = fields[1:]
        payload = state.read_message(self._exactly(64))
        if payload != theirs:
            raise Ended("downgrade: the preamble in the channel is another one")
        self.hash = bytes(state.get_handshake_hash())
        self.sending, self.receiving = directions(state)
        hello = self._hello()
        self.say("Hello", hello)
        name, ack = self.hear()
        if name != "HelloAck":
            raise Ended(f"{name} instead of HelloAck")
        words = rules.ack_words(self.hash, ack, hello)
        if not rules.verify(ack["from"]["node"], words, ack["signature"]):
            raise Ended("the signature of HelloAck is wrong")
        if ack["answer"] != (0,):
            raise Ended(f"not accepted: {ack['answer']}")
        if (ack["from"]["network"], ack["from"]["genesis"]) != (self.network.id, self.network.genesis):
            raise Ended("another genesis")
        boot = rules.boot_words(self.network.genesis, ack["from"]["node"], ack["from"]["boot"])
        if not rules.verify(ack["from"]["node"], boot, ack["from"]["proof"]):
            raise Ended("the proof of its boot is wrong")
        if ack["from"]["versions"] != (low, high) or ack["from"]["chosen"] != rules.VERSION:
            raise Ended("downgrade: the signed versions are others")
        # Both ping at once.
        self.say("Ping", {"token": 1})
        return ack

    def _hello(self):
        boot = {"epoch": time.time_ns() // 1_000_000, "nonce": time.time_ns() % 2**64}
        ip, port = self.socket.getpeername()[:2]
        introduction = {
            "node": self.key,
            "advertised": None,
            "boot": boot,
            "proof": self.secret.sign(rules.boot_words(self.network.genesis, self.key, boot)),
            "seen": None,
            "observed": rules.parse_addr(f"{ip}:{port}"),
            "versions": (rules.VERSION, rules.VERSION),
            "chosen": rules.VERSION,
            "features": 0,
            "network": self.network.id,
            "genesis": self.network.genesis,
            "height": 0,
            "tip": bytes(32),
            "role": 1,
            "agent": b"python/1",
        }
        # To a bare address, whose node is unknown, the ordinal is 0 (rule B-5).
        hello = {"from": introduction, "to": None, "ordinal": 0, "intent": (0, 0), "register": None}
        hello["signature"] = self.secret.sign(rules.hello_words(self.hash, hello))
        return hello

    # --- Records and frames

    def say(self, name, value):
        frame, lane = encode(name, value), next(kind[1] for kind in KINDS.values() if kind[0] == name)
        for at in range(0, len(frame), RECORD - 1):
            self.socket.sendall(self.sending.seal(lane, frame[at : at + RECORD - 1]))

    def hear(self, until=None):
        """The next message that is neither a ping nor of an unknown kind; None once the time is over."""
        deadline = until or time.monotonic() + self.timeout
        while True:
            while self.waiting:
                name, value = self.waiting.pop(0)
                if name == "Ping":
                    self.say("Pong", value)
                elif name == "Goodbye":
                    raise Ended(f"goodbye with code {value['reason']}")
                elif name != "Pong":
                    return name, value
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                arrived = self.socket.recv(65_536)
            except TimeoutError:
                return None
            if not arrived:
                raise Ended("closed without a word")
            self.inbox += arrived
            self._records()

    def _records(self):
        while len(self.inbox) >= 2:
            length = struct.unpack_from("<H", self.inbox)[0]
            if judge_record(length):
                raise Malformed(f"a record of {length} bytes")
            if len(self.inbox) < 2 + length:
                return
            lane, frames = self.receiving.open(self.inbox[2 : 2 + length])
            self.inbox = self.inbox[2 + length :]
            self.lanes[lane] += frames
            self._frames(lane)

    def _frames(self, lane):
        while len(self.lanes[lane]) >= 6:
            length, code = struct.unpack_from("<IH", self.lanes[lane])
            if reason := judge_frame(lane, length, code):
                raise Malformed(f"{reason}: {length} bytes of kind {code} on lane {lane}")
            if len(self.lanes[lane]) < 6 + length:
                return
            body = self.lanes[lane][6 : 6 + length]
            self.lanes[lane] = self.lanes[lane][6 + length :]
            if code in KINDS:
                self.waiting.append(decode(code, body))

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise Ended(f"closed after {len(data)} of {count} bytes")
            data += part
        return data
