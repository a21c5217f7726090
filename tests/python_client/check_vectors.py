"""Holds this client against every file of golden vectors: python3 check_vectors.py ../vectors"""

import pathlib
import sys
import tomllib

import rules
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from encoding import ADDR, BALLOT, CODES, KINDS, Malformed, Reader, addr_order, decode, decode_final_block, encode
from link import directions, judge_frame, judge_record, noise, read_opening

FIELDS = ["epoch_of_lower_key", "epoch_of_other", "ordinal", "rank", "handshake_hash"]


def unhex(text):
    return bytes.fromhex(text)


def same(what, ours, theirs):
    if ours != theirs:
        raise SystemExit(f"{what}:\n  ours   {ours!r}\n  vector {theirs!r}")


def kinds(vectors):
    for name, entry in vectors.items():
        _, lane, most, _ = KINDS[CODES[name]]
        same(name, (CODES[name], lane, most), (entry["code"], entry["lane_code"], entry["max_body"]))
    same("kinds", set(CODES), set(vectors))


def headers(vectors):
    for name, entry in vectors.items():
        if "prefix" in entry:
            verdict = judge_record(int.from_bytes(unhex(entry["prefix"]), "little"))
        else:
            header = unhex(entry["header"])
            verdict = judge_frame(entry["lane"], *(int.from_bytes(part, "little") for part in (header[:4], header[4:])))
        same(name, verdict or "accepted", entry["verdict"])


def preambles(vectors):
    for name, entry in vectors.items():
        what, *fields = read_opening(unhex(entry["bytes"]))
        same(name, what, entry["meaning"].split(",")[0].split(":")[0])
        if what == "reject":
            same(name, f"code {fields[0]}", entry["meaning"].split(", ")[1])


def messages(vectors):
    for name, entry in vectors.items():
        frame = unhex(entry["frame"])
        length, code = int.from_bytes(frame[:4], "little"), int.from_bytes(frame[4:6], "little")
        same(name, len(frame), 6 + length)
        same(name, encode(*decode(code, frame[6:])), frame)


def bad_messages(vectors):
    for name, entry in vectors.items():
        try:
            decoded = decode(entry["kind"], unhex(entry["body"]))
        except Malformed:
            continue
        raise SystemExit(f"{name} is taken for {decoded}")


def ballots(vectors):
    values = []
    for name, entry in vectors.items():
        reader = Reader(unhex(entry["bytes"]))
        ballot = BALLOT.read(reader)
        reader.end()
        same(name, ballot["ordinal"], int(entry["ordinal"]))
        same(name, BALLOT.write(ballot), unhex(entry["bytes"]))
        values.append(tuple(ballot[field] for field in FIELDS))
    same("the order", values, sorted(values))


def identity(vectors):
    addrs = []
    for name, entry in vectors.items():
        if "seed" in entry:
            public = Ed25519PrivateKey.from_private_bytes(unhex(entry["seed"])).public_key().public_bytes_raw()
            same(name, public, unhex(entry["key"]))
        elif "id" in entry:
            same(name, rules.Network(entry["name"], 1, None, []).id, unhex(entry["id"]))
        elif "genesis_hash" in entry:
            nodes = [value.split("@") for key, value in entry.items() if key.startswith("masternode_")]
            nodes = [(unhex(key), rules.parse_addr(addr)) for key, addr in nodes]
            network = rules.Network(
                entry["network"], entry["block_interval_ms"], entry.get("genesis_time_ms"), nodes
            )
            same(name, network.registry, unhex(entry["registry_hash"]))
            same(name, network.genesis, unhex(entry["genesis_hash"]))
        else:
            addrs.append(addr_order(rules.parse_addr(entry["addr"])))
    same("the order of addresses", addrs, sorted(addrs))


def signing(vectors):
    def signed(name, key, words):
        same(name, words, unhex(vectors[name]["signing_bytes"]))
        signature = unhex(vectors[name]["signature"])
        if not rules.verify(key, words, signature):
            raise SystemExit(f"{name}: the signature does not verify")
        spoilt = bytes([signature[0] ^ 1]) + signature[1:]
        if rules.verify(key, words, spoilt):
            raise SystemExit(f"{name}: a spoilt signature verifies")

    dialer, acceptor = unhex(vectors["dialer"]["key"]), unhex(vectors["acceptor"]["key"])
    entry = vectors["boot"]
    boot = {"epoch": entry["epoch"], "nonce": entry["nonce"]}
    signed("boot", dialer, rules.boot_words(unhex(entry["genesis"]), dialer, boot))
    hello = None
    for name in ("hello_knock", "hello_probe", "hello_fallback", "hello"):
        _, hello = decode(CODES["Hello"], unhex(vectors[name]["body"]))
        signed(name, dialer, rules.hello_words(unhex(vectors[name]["session"]), hello))
    entry = vectors["hello_ack"]
    _, ack = decode(CODES["HelloAck"], unhex(entry["body"]))
    signed("hello_ack", acceptor, rules.ack_words(unhex(entry["session"]), ack, hello))
    entry = vectors["heartbeat"]
    _, beat = decode(CODES["Heartbeat"], unhex(entry["body"]))
    signed("heartbeat", dialer, rules.heartbeat_words(beat))
    same("the digest of a heartbeat", rules.digest(rules.heartbeat_words(beat))[:8], unhex(entry["digest"]))
    for name in ("prevote", "prevote_nil", "precommit", "precommit_nil", "proposal_fresh", "proposal_again"):
        # Height, round and block are in no field of their own: the signature alone is looked at.
        entry = vectors[name]
        if not rules.verify(unhex(entry["key"]), unhex(entry["signing_bytes"]), unhex(entry["signature"])):
            raise SystemExit(f"{name}: the signature does not verify")


def handshake(vectors):
    dialed, answered = unhex(vectors["1_dialer"]["bytes"]), unhex(vectors["2_acceptor"]["bytes"])
    dialer = noise(True, dialed[:16], unhex(vectors["1_dialer"]["ephemeral"]))
    acceptor = noise(False, dialed[:16], unhex(vectors["2_acceptor"]["ephemeral"]))
    same("the opening", bytes(dialer.write_message()), dialed[16:])
    acceptor.read_message(dialed[16:])
    same("the reply", bytes(acceptor.write_message(answered[:16])), answered[16:])
    same("its payload", bytes(dialer.read_message(answered[16:])), answered[:16])
    hash_ = bytes(dialer.get_handshake_hash())
    same("the handshake hash", hash_, unhex(vectors["session"]["handshake_hash"]))
    same("the link tag", hash_[:8], unhex(vectors["session"]["link_tag"]))
    sending, reading = directions(dialer)
    answering, opening = directions(acceptor)

    def sealed(name, direction, other):
        plaintext, record = unhex(vectors[name]["plaintext"]), unhex(vectors[name]["bytes"])
        same(name, direction.seal(plaintext[0], plaintext[1:]), record)
        same(name, other.open(record[2:]), (plaintext[0], plaintext[1:]))
        return decode(int.from_bytes(plaintext[5:7], "little"), plaintext[7:])[1]

    hello = sealed("3_dialer", sending, opening)
    ack = sealed("4_acceptor", answering, reading)
    for value, words in ((hello, rules.hello_words(hash_, hello)), (ack, rules.ack_words(hash_, ack, hello))):
        who = value["from"]
        if not rules.verify(who["node"], words, value["signature"]):
            raise SystemExit("an introduction's signature does not verify")
        if not rules.verify(who["node"], rules.boot_words(who["genesis"], who["node"], who["boot"]), who["proof"]):
            raise SystemExit("the proof of a boot does not verify")
    sealed("5_dialer", sending, opening)
    ping = unhex(vectors["5_dialer"]["plaintext"])
    for _ in range(2, (1 << 14) - 1):
        opening.open(sending.seal(ping[0], ping[1:])[2:])
    sealed("16384th_record_of_the_dialer_last_under_the_first_key", sending, opening)
    sealed("16385th_record_of_the_dialer_first_under_the_second_key", sending, opening)


def network_of_blocks(vectors):
    entry = vectors["network"]
    nodes = [vectors[f"masternode_{index}"] for index in range(4)]
    nodes = [(unhex(node["key"]), rules.parse_addr(node["addr"])) for node in nodes]
    network = rules.Network("samples", entry["interval_ms"], entry["genesis_time_ms"], nodes)
    same("the registry", network.registry, unhex(entry["registry_hash"]))
    # The samples' genesis hash is no hash of anything.
    network.genesis = unhex(entry["genesis"])
    return network


def blocks(vectors):
    chain = rules.Chain(network_of_blocks(vectors))
    for height in range(1, 4):
        entry = vectors[f"block_{height}"]
        block = decode_final_block(unhex(entry["stored"]))
        same(f"block {height}", chain.take(block), unhex(entry["hash"]))
        same("its certificate", rules.certificate_hash(block["certificate"]), unhex(entry["certificate_hash"]))


def bad_blocks(vectors, good):
    chain = rules.Chain(network_of_blocks(good))
    chain.take(decode_final_block(unhex(good["block_1"]["stored"])))
    for name, entry in vectors.items():
        try:
            chain.take(decode_final_block(unhex(entry["stored"])))
        except Malformed:
            continue
        except rules.Broken as broken:
            rule = "_".join(str(broken).split()[0].lower().split("-"))
            if not name.startswith(rule):
                raise SystemExit(f"{name} is refused for {broken}") from None
            continue
        raise SystemExit(f"{name} is taken")


def main(folder):
    loaded = {}
    for path in sorted(pathlib.Path(folder).glob("*.toml")):
        with open(path, "rb") as file:
            loaded[path.stem] = tomllib.load(file)
    for name in ("preambles", "headers", "kinds", "messages", "bad_messages", "ballots", "identity", "signing",
                 "handshake", "blocks"):
        globals()[name](loaded[name])
        print(f"{name}.toml: {len(loaded[name])} vectors agree")
    bad_blocks(loaded["bad_blocks"], loaded["blocks"])
    print(f"bad_blocks.toml: {len(loaded['bad_blocks'])} vectors agree")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "vectors")
