"""Bodies of messages, written from core/PROTOCOL.md: every kind, both ways, strictly (rules W-1, W-4, W-7)."""

import struct


class Malformed(Exception):
    """Bytes that no node may send."""


class Reader:
    """Takes fields off the front of some bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Malformed(f"{count} bytes wanted, {len(self.data) - self.at} there")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        if self.at != len(self.data):
            raise Malformed(f"{len(self.data) - self.at} bytes too many")


class Field:
    """How one field is read and written."""

    def __init__(self, read, write):
        self.read, self.write = read, write


def integer(code):
    size = struct.calcsize(code)
    return Field(lambda r: struct.unpack(code, r.take(size))[0], lambda v: struct.pack(code, v))


U8, U16, U32, U64 = integer("<B"), integer("<H"), integer("<I"), integer("<Q")


def fixed(count):
    return Field(lambda r: r.take(count), bytes)


def checked(field, is_good, what):
    def read(r):
        value = field.read(r)
        if not is_good(value):
            raise Malformed(f"{what}: {value!r}")
        return value

    return Field(read, field.write)


def one_of(field, *values):
    return checked(field, lambda value: value in values, f"none of {values}")


def optional(field):
    def read(r):
        return field.read(r) if TAG.read(r) else None

    return Field(read, lambda v: b"\0" if v is None else b"\1" + field.write(v))


def record(*fields):
    """Fields one after the other, as a dict."""

    def read(r):
        return {name: field.read(r) for name, field in fields}

    return Field(read, lambda v: b"".join(field.write(v[name]) for name, field in fields))


def listed(field, most, key=None):
    """A u16 count, then the items, their keys strictly ascending."""

    def read(r):
        count = U16.read(r)
        if count > most:
            raise Malformed(f"{count} items, {most} at most")
        items = [field.read(r) for _ in range(count)]
        if key and any(key(a) >= key(b) for a, b in zip(items, items[1:])):
            raise Malformed("items out of order")
        return items

    return Field(read, lambda v: U16.write(len(v)) + b"".join(map(field.write, v)))


def text_of(length, most):
    """A length, then so many bytes."""

    def read(r):
        count = length.read(r)
        if count > most:
            raise Malformed(f"{count} bytes, {most} at most")
        return r.take(count)

    return Field(read, lambda v: length.write(len(v)) + v)


TAG = one_of(U8, 0, 1)
REST = Field(lambda r: r.rest(), bytes)


def _read_addr(r):
    kind = r.take(1)[0]
    if kind not in (4, 6):
        raise Malformed(f"an address of kind {kind}")
    ip, port = r.take(4 if kind == 4 else 16), U16.read(r)
    if port == 0 or not any(ip):
        raise Malformed("an address that is none")
    if kind == 4 and (224 <= ip[0] <= 239 or ip == b"\xff" * 4):
        raise Malformed("a multicast or broadcast address")
    if kind == 6 and (ip[0] == 0xFF or ip[:12] == bytes(10) + b"\xff\xff"):
        raise Malformed("a multicast or mapped address")
    return ip, port


def _write_addr(addr):
    ip, port = addr
    return bytes([4 if len(ip) == 4 else 6]) + ip + U16.write(port)


ADDR = Field(_read_addr, _write_addr)
BOOT = record(("epoch", U64), ("nonce", U64))
BALLOT = record(
    ("epoch_of_lower_key", U64),
    ("epoch_of_other", U64),
    ("ordinal", U64),
    ("rank", one_of(U8, 0, 1)),
    ("handshake_hash", fixed(32)),
)
AGENT = checked(text_of(U16, 32), lambda text: all(0x20 <= byte <= 0x7E for byte in text), "an agent of")


def _read_versions(r):
    low, high = U16.read(r), U16.read(r)
    if low > high:
        raise Malformed("versions the wrong way round")
    return low, high


VERSIONS = Field(_read_versions, lambda v: U16.write(v[0]) + U16.write(v[1]))

INTRODUCTION_FIELDS = [
    ("node", fixed(32)),
    ("advertised", optional(ADDR)),
    ("boot", BOOT),
    ("proof", fixed(64)),
    ("seen", optional(record(("boot", BOOT), ("proof", fixed(64))))),
    ("observed", optional(ADDR)),
    ("versions", VERSIONS),
    ("chosen", U16),
    ("features", U64),
    ("network", fixed(4)),
    ("genesis", fixed(32)),
    ("height", U64),
    ("tip", fixed(32)),
    ("role", one_of(U8, 0, 1)),
    ("agent", AGENT),
]
INTRODUCTION = record(*INTRODUCTION_FIELDS)

# A session is (0, because), a knock (1,), a probe (2,).
INTENT = Field(
    lambda r: (0, one_of(U8, 0, 1, 2).read(r)) if (tag := one_of(U8, 0, 1, 2).read(r)) == 0 else (tag,),
    bytes,
)
# Accepted (0,), will_dial (1,), have_session (2,), refused (3, reason), here (4,).
ANSWER = Field(
    lambda r: (3, U16.read(r)) if (tag := one_of(U8, 0, 1, 2, 3, 4).read(r)) == 3 else (tag,),
    lambda v: U8.write(v[0]) + b"".join(U16.write(reason) for reason in v[1:]),
)
HELLO_FIELDS = [
    ("from", INTRODUCTION),
    ("to", optional(fixed(32))),
    ("ordinal", U64),
    ("intent", INTENT),
    ("register", optional(BALLOT)),
]
INDEX = checked(U8, lambda index: index < 128, "an index of")
LINK = record(("peer", INDEX), ("direction", one_of(U8, 0, 1)), ("because", one_of(U8, 0, 1, 2)), ("tag", fixed(8)))
WITNESS = record(("signer", INDEX), ("sequence", U64), ("digest", fixed(8)))
HEARTBEAT_FIELDS = [
    ("network", fixed(4)),
    ("signer", fixed(32)),
    ("epoch", U64),
    ("sequence", U64),
    ("wall", U64),
    ("height", U64),
    ("tip", fixed(32)),
    ("registry", fixed(8)),
    ("links", listed(LINK, 128, key=lambda link: link["peer"])),
    ("duplicates", U16),
    ("witnessed", listed(WITNESS, 128, key=lambda witness: witness["signer"])),
]
HEADER = record(
    ("height", U64),
    ("round", U32),
    ("slot", U64),
    ("parent", fixed(32)),
    ("certificate", fixed(32)),
    ("payload", fixed(32)),
    ("registry", fixed(32)),
    ("proposer", fixed(32)),
)
SET = Field(lambda r: int.from_bytes(r.take(16), "little"), lambda v: v.to_bytes(16, "little"))


def _read_certificate(r, kinds=(0, 1)):
    certificate = record(
        ("kind", one_of(U8, *kinds)), ("height", U64), ("round", U32), ("block", fixed(32)), ("signers", SET)
    ).read(r)
    certificate["signatures"] = [r.take(64) for _ in range(certificate["signers"].bit_count())]
    return certificate


def _write_certificate(v):
    head = U8.write(v["kind"]) + U64.write(v["height"]) + U32.write(v["round"]) + v["block"]
    return head + SET.write(v["signers"]) + b"".join(v["signatures"])


def certificate_of(*kinds):
    return Field(lambda r: _read_certificate(r, kinds), _write_certificate)


CERTIFICATE = certificate_of(0, 1)
CHUNK, PART = 15_360, 32_768


def _read_outline(r):
    length, count = U32.read(r), U16.read(r)
    if count > 70 or length > 1_075_200 or count != -(-length // CHUNK):
        raise Malformed(f"an outline of {length} bytes in {count} chunks")
    return {"length": length, "chunks": [r.take(32) for _ in range(count)]}


OUTLINE = Field(
    _read_outline, lambda v: U32.write(v["length"]) + U16.write(len(v["chunks"])) + b"".join(v["chunks"])
)
ROUND_HELD = record(("round", U32), ("prevotes", SET), ("precommits", SET))
OUTCOME = Field(
    lambda r: (2, U32.read(r)) if (tag := one_of(U8, 0, 1, 2).read(r)) == 2 else (tag,),
    lambda v: U8.write(v[0]) + b"".join(U32.write(wait) for wait in v[1:]),
)
KEY = fixed(32)
IDS = record(("ids", listed(KEY, 512)))
TOLD = record(("key", KEY), ("addr", ADDR), ("age", U32))


def addr_order(addr):
    """IPv4 before IPv6, then the octets, then the port (rule D-1)."""
    ip, port = addr
    return len(ip), ip, port


# kind: (name, lane, longest body, body)
KINDS = {
    1: ("Hello", 0, 1024, record(*HELLO_FIELDS, ("signature", fixed(64)))),
    2: ("HelloAck", 0, 1024, record(("from", INTRODUCTION), ("highest", U64), ("answer", ANSWER), ("signature", fixed(64)))),
    3: ("Goodbye", 0, 64, record(("reason", U16), ("highest", U64))),
    4: ("Ping", 0, 16, record(("token", U64))),
    5: ("Pong", 0, 16, record(("token", U64))),
    6: ("Absence", 0, 16, record(("seconds", U32))),
    16: ("Heartbeat", 0, 4608, record(*HEARTBEAT_FIELDS, ("signature", fixed(64)))),
    32: ("Proposal", 0, 11024, record(
        ("header", HEADER), ("round", U32), ("valid_round", optional(U32)), ("certificate", optional(certificate_of(1))),
        ("outline", OUTLINE), ("signature", fixed(64)))),
    33: ("Vote", 0, 192, record(
        ("kind", one_of(U8, 0, 1)), ("height", U64), ("round", U32), ("block", optional(KEY)), ("voter", KEY),
        ("signature", fixed(64)))),
    34: ("Polka", 0, 8272, certificate_of(0)),
    35: ("Commit", 0, 8272, certificate_of(1)),
    36: ("Held", 0, 256, record(
        ("height", U64), ("round", U32), ("proposal", optional(KEY)),
        ("rounds", listed(ROUND_HELD, 4, key=lambda held: held["round"])))),
    37: ("Tip", 0, 64, record(("height", U64), ("hash", KEY))),
    38: ("GetPayload", 0, 64, record(("height", U64), ("block", KEY), ("missing", fixed(16)))),
    39: ("GetBlocks", 0, 64, record(("id", U64), ("from", U64), ("to", U64), ("bytes", U32))),
    40: ("Chunk", 1, 15424, record(("height", U64), ("block", KEY), ("index", U16), ("bytes", text_of(U32, CHUNK)))),
    48: ("Datagram", 2, 65536, record(("bytes", REST))),
    49: ("Transaction", 2, 65536, record(("bytes", checked(REST, len, "an empty transaction")))),
    50: ("TransactionOffer", 2, 16386, IDS),
    51: ("TransactionWant", 2, 16386, IDS),
    52: ("GetPeers", 2, 16, record(("most", U16))),
    53: ("Peers", 2, 3522, record(("peers", listed(TOLD, 64, key=lambda told: addr_order(told["addr"]))))),
    64: ("BlockPart", 3, 32832, record(
        ("id", U64), ("height", U64), ("index", U16), ("count", U16), ("bytes", text_of(U32, PART)))),
    65: ("BlocksEnd", 3, 64, record(("id", U64), ("outcome", OUTCOME))),
}
CODES = {name: code for code, (name, *_) in KINDS.items()}


def decode(code, body):
    """The name and fields of a known kind's body."""
    name, _, most, field = KINDS[code]
    if len(body) > most:
        raise Malformed(f"{name} of {len(body)} bytes, {most} at most")
    reader = Reader(body)
    value = field.read(reader)
    reader.end()
    return name, value


def encode(name, value):
    """The frame of a message, without its record."""
    code = CODES[name]
    body = KINDS[code][3].write(value)
    return U32.write(len(body)) + U16.write(code) + body


def decode_final_block(data):
    """A block as it is stored and served (rule C-2)."""
    if len(data) > 1_092_000:
        raise Malformed("a final block that is too long")
    reader = Reader(data)
    block = record(
        ("header", HEADER),
        ("parent_certificate", optional(CERTIFICATE)),
        ("payload", text_of(U32, 1_075_200)),
        ("certificate", certificate_of(1)),
    ).read(reader)
    reader.end()
    return block
