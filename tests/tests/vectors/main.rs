//! Golden vectors: the bytes on the wire, fixed for every implementation. A change of any encoding fails here.
//!
//! `TIMED_BLESS=1 cargo test -p timed-tests --test vectors` writes them anew; the diff is the change of protocol.

#![allow(clippy::unwrap_used)]

mod ballots;
mod blocks;
mod digests;
mod identity;
mod refused;

use std::fmt::Write;
use std::path::Path;

use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{Authenticity, Provider, REKEY_EVERY};
use timed_core::wire::frame::{self, FrameKind};
use timed_core::wire::message::{Heartbeat, Hello, HelloAck, Intent, Kind, Lane, Message, Ping};
use timed_core::wire::preamble::{NetworkId, Opening, Preamble, Version, VersionRange, read_opening};
use timed_core::wire::{codec, record, signing};
use timed_core::{CloseReason, DialedBecause, NetworkName, SessionHash};
use timed_tests::samples;
use zeroize::Zeroizing;

/// The text of one file: TOML, one table a vector, bytes in hex.
struct Vectors(String);

impl Vectors {
    fn new(about: &str) -> Self {
        Self(about.lines().map(|line| format!("# {line}\n")).collect())
    }

    fn begin(&mut self, name: &str) {
        write!(self.0, "\n[{name}]\n").unwrap();
    }

    fn text(&mut self, key: &str, value: &str) {
        writeln!(self.0, "{key} = '{value}'").unwrap();
    }

    fn number(&mut self, key: &str, value: u64) {
        writeln!(self.0, "{key} = {value}").unwrap();
    }

    /// A number that may be beyond what TOML has.
    fn number_or_text(&mut self, key: &str, value: u64) {
        match i64::try_from(value) {
            Ok(_) => self.number(key, value),
            Err(_) => self.text(key, &value.to_string()),
        }
    }

    fn bytes(&mut self, key: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.text(key, &hex);
    }

    /// Compares with the file, line by line; writes it instead if `TIMED_BLESS` is set.
    fn settle(self, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file);
        if std::env::var_os("TIMED_BLESS").is_some() {
            std::fs::write(&path, &self.0).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        let mut table = "";
        for (number, (golden, now)) in (1..).zip(golden.lines().zip(self.0.lines())) {
            table = if golden.starts_with('[') { golden } else { table };
            assert_eq!(golden, now, "line {number} of {file}, {table}: the protocol has changed");
        }
        assert_eq!(golden.len(), self.0.len(), "{file} has another number of vectors");
    }
}

fn provider(seed: u8) -> NoiseProvider {
    NoiseProvider::new(Zeroizing::new([seed; 32]))
}

fn body(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode_body(message, &mut out);
    out
}

#[test]
fn messages_are_encoded_as_ever() {
    let mut vectors = Vectors::new("Every form of every message: the value, and its frame.");
    for (name, message) in samples::messages() {
        let mut bytes = Vec::new();
        frame::append_frame(&message, &mut bytes);
        vectors.begin(&name);
        vectors.text("value", &format!("{message:?}"));
        vectors.bytes("frame", &bytes);

        let header = frame::read_header(&bytes).unwrap();
        assert_eq!(header.kind, FrameKind::Known(message.kind()), "{name}");
        assert_eq!(frame::check(&header, message.kind().lane()), Ok(()), "{name}");
        assert_eq!(codec::decode_body(message.kind(), &bytes[6..]), Ok(message), "{name}");
    }
    vectors.settle("messages.toml");
}

#[test]
fn kinds_keep_their_codes_lanes_and_limits() {
    let mut vectors = Vectors::new("Every kind of frame: its code, its lane and the largest body.");
    for kind in Kind::ALL {
        vectors.begin(&format!("{kind:?}"));
        vectors.number("code", kind.code().into());
        vectors.text("lane", &format!("{:?}", kind.lane()));
        vectors.number("lane_code", kind.lane() as u64);
        vectors.number("max_body", kind.max_body() as u64);
    }
    vectors.settle("kinds.toml");
}

#[test]
fn frames_and_records_that_cannot_be_are_refused_at_their_header() {
    let mut vectors = Vectors::new(
        "Headers of frames and prefixes of records, and what a receiver makes of them before it reads on.",
    );
    let header = |length: u32, code: u16| [&length.to_le_bytes()[..], &code.to_le_bytes()].concat();
    for (name, lane, header) in [
        ("frame_ping", Lane::Control, header(8, 4)),
        ("frame_ping_too_long", Lane::Control, header(17, 4)),
        ("frame_gigabytes", Lane::Control, header(u32::MAX, 4)),
        ("frame_ping_on_relay", Lane::Relay, header(8, 4)),
        ("frame_datagram", Lane::Relay, header(65_536, 48)),
        ("frame_datagram_too_long", Lane::Relay, header(65_537, 48)),
        ("frame_datagram_on_bulk", Lane::Bulk, header(1, 48)),
        ("frame_unknown", Lane::Bulk, header(65_536, 999)),
        ("frame_unknown_too_long", Lane::Bulk, header(65_537, 999)),
    ] {
        let parsed = frame::read_header(&header).unwrap();
        let verdict = frame::check(&parsed, lane).map_or_else(CloseReason::as_str, |()| "accepted");
        vectors.begin(name);
        vectors.number("lane", lane as u64);
        vectors.bytes("header", &header);
        vectors.text("verdict", verdict);
    }
    for length in [0u16, 1, 16, 17, 16_400, 16_401, u16::MAX] {
        let prefix = length.to_le_bytes();
        let verdict = record::sealed_length(prefix).map_or_else(CloseReason::as_str, |_| "accepted");
        vectors.begin(&format!("record_{length}"));
        vectors.bytes("prefix", &prefix);
        vectors.text("verdict", verdict);
    }
    vectors.settle("headers.toml");
}

#[test]
fn preambles_and_rejects_are_as_ever() {
    let mut vectors = Vectors::new("What sixteen bytes at the start of a connection are.");
    let network = NetworkId::of(&NetworkName::new("mainnet").unwrap());
    let range = |min, max| VersionRange { min: Version(min), max: Version(max) };
    let ours = Preamble { network, versions: VersionRange::OURS };
    let good = ours.encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good;
        bytes[at] = byte;
        bytes
    };
    let mut openings = vec![
        ("preamble_mainnet".to_owned(), good),
        ("preamble_versions_2_to_300".to_owned(), Preamble { network, versions: range(2, 300) }.encode()),
        ("alien_http".to_owned(), *b"GET / HTTP/1.1\r\n"),
        ("alien_magic".to_owned(), with(3, 2)),
        ("alien_versions_reversed".to_owned(), with(8, 2)),
        ("alien_reason_in_preamble".to_owned(), with(12, 1)),
        ("alien_padding".to_owned(), with(15, 1)),
        ("reject_unknown".to_owned(), ours.encode_reject(CloseReason::from_code(60_000))),
    ];
    for reason in [CloseReason::WrongMagic, CloseReason::WrongNetwork, CloseReason::VersionUnsupported] {
        openings.push((format!("reject_{reason}"), ours.encode_reject(reason)));
    }
    for (name, bytes) in openings {
        let opening = read_opening(&bytes);
        let expected = name.split('_').next().unwrap();
        let meaning = match opening {
            Opening::Preamble(preamble) => {
                assert_eq!(expected, "preamble", "{name}");
                assert_eq!(preamble.encode(), bytes);
                let objection = ours.objection(&preamble).map_or("none", CloseReason::as_str);
                format!("preamble, objection: {objection}")
            }
            Opening::Reject(reason) => {
                assert_eq!(expected, "reject", "{name}");
                format!("reject: {reason}, code {}", reason.code())
            }
            Opening::Alien => {
                assert_eq!(expected, "alien", "{name}");
                "alien".to_owned()
            }
        };
        vectors.begin(&name);
        vectors.bytes("bytes", &bytes);
        vectors.text("meaning", &meaning);
    }
    vectors.settle("preambles.toml");
}

#[test]
fn signing_bytes_are_as_ever() {
    let mut vectors = Vectors::new(
        "What is signed, by whom, and the signatures. Keys are ed25519 seeds of 32 equal bytes.\n\
         An acceptor's bytes end with the hello that it answers, signature included.",
    );
    let (mut dialer, mut acceptor) = (provider(1), provider(2));
    let session = SessionHash([0xf2; 32]);
    for (name, seed, key) in [("dialer", 1, dialer.node_id()), ("acceptor", 2, acceptor.node_id())] {
        vectors.begin(name);
        vectors.bytes("seed", &[seed; 32]);
        vectors.bytes("key", &key.0);
    }

    let (start, key, genesis) = {
        let from = samples::introduction(dialer.node_id(), None);
        (from.boot, from.node, from.genesis)
    };
    let bytes = signing::boot(&genesis, &key, start);
    vectors.begin("boot");
    vectors.number("epoch", start.epoch.0);
    vectors.number("nonce", start.nonce.0);
    vectors.bytes("genesis", &genesis.0);
    vectors.bytes("signing_bytes", &bytes);
    vectors.bytes("signature", &dialer.sign(&bytes).0);

    let plain = samples::hello(dialer.node_id());
    let knock = Hello { intent: Intent::Knock, ..plain.clone() };
    let probe = Hello { intent: Intent::Probe, ..plain.clone() };
    let fallback = Hello { intent: Intent::Session(DialedBecause::Fallback), ..plain.clone() };
    let mut hello = plain.clone();
    for (name, unsigned) in
        [("hello_knock", knock), ("hello_probe", probe), ("hello_fallback", fallback), ("hello", plain)]
    {
        let bytes = signing::hello(&session, &unsigned);
        hello = Hello { signature: dialer.sign(&bytes), ..unsigned };
        assert_eq!(acceptor.verify(&hello.from.node, &bytes, &hello.signature), Authenticity::Genuine);
        vectors.begin(name);
        vectors.bytes("session", &session.0);
        vectors.bytes("body", &body(&Message::Hello(Box::new(hello.clone()))));
        vectors.bytes("signing_bytes", &bytes);
        vectors.bytes("signature", &hello.signature.0);
    }

    let unsigned = samples::hello_ack(acceptor.node_id());
    let bytes = signing::hello_ack(&session, &hello, &unsigned);
    let ack = HelloAck { signature: acceptor.sign(&bytes), ..unsigned };
    assert_eq!(dialer.verify(&ack.from.node, &bytes, &ack.signature), Authenticity::Genuine);
    vectors.begin("hello_ack");
    vectors.bytes("session", &session.0);
    vectors.bytes("body", &body(&Message::HelloAck(Box::new(ack.clone()))));
    vectors.bytes("signing_bytes", &bytes);
    vectors.bytes("signature", &ack.signature.0);

    let unsigned = samples::heartbeat(dialer.node_id());
    let bytes = signing::heartbeat(&unsigned);
    let beat = Heartbeat { signature: dialer.sign(&bytes), ..unsigned };
    assert_eq!(acceptor.verify(&beat.signer, &bytes, &beat.signature), Authenticity::Genuine);
    vectors.begin("heartbeat");
    vectors.bytes("body", &body(&Message::Heartbeat(Box::new(beat.clone()))));
    vectors.bytes("signing_bytes", &bytes);
    vectors.bytes("signature", &beat.signature.0);
    vectors.bytes("digest", &signing::heartbeat_digest(&beat));
    blocks::signed(&mut vectors);
    vectors.settle("signing.toml");
}

#[test]
fn a_whole_handshake_is_as_ever() {
    let mut vectors = Vectors::new(
        "A connection from its first byte, in order. Ephemeral private keys and ed25519 seeds are fixed.\n\
         The prologue is the dialer's preamble; the acceptor's payload is its own preamble.\n\
         `bytes` is what that side sends next; `plaintext` is what a record seals.",
    );
    let (mut dialer, mut acceptor) = (provider(1), provider(2));
    let preamble = Preamble { network: samples::NETWORK, versions: VersionRange::OURS }.encode();
    let (ours, theirs) = ([0x21; 32], [0x22; 32]);
    let mut a = dialer.initiate(&preamble, Zeroizing::new(ours));
    let mut b = acceptor.respond(&preamble, Zeroizing::new(theirs));

    let mut first = preamble.to_vec();
    a.write(&[], &mut first).unwrap();
    vectors.begin("1_dialer");
    vectors.bytes("ephemeral", &ours);
    vectors.bytes("bytes", &first);
    b.read(&first[16..], &mut Vec::new()).unwrap();

    let mut second = preamble.to_vec();
    b.write(&preamble, &mut second).unwrap();
    vectors.begin("2_acceptor");
    vectors.bytes("ephemeral", &theirs);
    vectors.bytes("bytes", &second);
    let mut payload = Vec::new();
    a.read(&second[16..], &mut payload).unwrap();
    assert_eq!(payload, preamble);
    let (session, mut a) = a.finish().unwrap();
    let (same, mut b) = b.finish().unwrap();
    assert_eq!(session, same);
    vectors.begin("session");
    vectors.bytes("handshake_hash", &session.0);
    vectors.bytes("link_tag", &session.tag().0);

    let mut seal = |name: &str, from_dialer: bool, message: &Message, vectors: &mut Vectors| {
        let (sender, receiver) = if from_dialer { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let mut out = Vec::new();
        let start = record::begin(&mut out, message.kind().lane());
        frame::append_frame(message, &mut out);
        let plaintext = out[2..].to_vec();
        record::finish(&mut out, start, sender.as_mut());
        let mut opened = out[2..].to_vec();
        let length = receiver.open(&mut opened).unwrap();
        assert_eq!(opened[..length], plaintext);
        if !name.is_empty() {
            vectors.begin(name);
            vectors.bytes("plaintext", &plaintext);
            vectors.bytes("bytes", &out);
        }
    };
    let mut hello = samples::hello(dialer.node_id());
    hello.from.proof = dialer.sign(&signing::boot(&hello.from.genesis, &hello.from.node, hello.from.boot));
    hello.signature = dialer.sign(&signing::hello(&session, &hello));
    seal("3_dialer", true, &Message::Hello(Box::new(hello.clone())), &mut vectors);
    let mut ack = samples::hello_ack(acceptor.node_id());
    ack.from.proof = acceptor.sign(&signing::boot(&ack.from.genesis, &ack.from.node, ack.from.boot));
    ack.signature = acceptor.sign(&signing::hello_ack(&session, &hello, &ack));
    seal("4_acceptor", false, &Message::HelloAck(Box::new(ack)), &mut vectors);
    let ping = Message::Ping(Ping { token: 1 });
    seal("5_dialer", true, &ping, &mut vectors);
    for _ in 2..REKEY_EVERY - 1 {
        seal("", true, &ping, &mut vectors);
    }
    seal("16384th_record_of_the_dialer_last_under_the_first_key", true, &ping, &mut vectors);
    seal("16385th_record_of_the_dialer_first_under_the_second_key", true, &ping, &mut vectors);
    vectors.settle("handshake.toml");
}
