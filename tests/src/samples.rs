//! Messages with fixed content, one of every form: for golden vectors and as seeds of the fuzzers.

use bytes::Bytes;
use timed_core::wire::message::{
    Answer, Ballot, Boot, DialerRank, Goodbye, Heartbeat, Hello, HelloAck, Intent, Introduction, LinkEntry,
    Message, Ping, Pong, ProvenBoot, Role, Witness,
};
use timed_core::wire::peers::{Absence, GetPeers, PeerAddress};
use timed_core::wire::preamble::{NetworkId, VERSION, VersionRange};
use timed_core::{
    BlockHash, BootEpoch, BootNonce, CanonicalAddr, CloseReason, DialOrdinal, DialedBecause, Direction,
    GenesisHash, Height, LinkTag, MasternodeIndex, NodeId, RegistryTag, SessionHash, Signature, Wall,
};

pub mod blocks;

/// A network's id.
pub const NETWORK: NetworkId = NetworkId([0xa1, 0xa2, 0xa3, 0xa4]);

const EPOCH: BootEpoch = BootEpoch(1_795_000_000_000);

/// What the node `key` says of itself.
#[must_use]
pub fn introduction(key: NodeId, advertised: Option<CanonicalAddr>) -> Introduction {
    Introduction {
        node: key,
        advertised,
        boot: Boot { epoch: EPOCH, nonce: BootNonce(0x1122_3344_5566_7788) },
        proof: Signature([0x5b; 64]),
        seen: None,
        observed: "10.0.0.2:40000".parse().ok(),
        versions: VersionRange::OURS,
        chosen: VERSION,
        features: 0,
        network: NETWORK,
        genesis: GenesisHash([0xb1; 32]),
        height: Height(1234),
        tip: BlockHash([0xc1; 32]),
        role: Role::Masternode,
        agent: "timed/0.1.0".to_owned(),
    }
}

/// A canonical dial's hello, not signed.
#[must_use]
pub fn hello(key: NodeId) -> Hello {
    let advertised = "10.0.0.1:24100".parse().ok();
    Hello {
        from: introduction(key, advertised),
        to: Some(NodeId([0x22; 32])),
        ordinal: DialOrdinal(7),
        intent: Intent::Session(DialedBecause::Canonical),
        register: None,
        signature: Signature::default(),
    }
}

/// An acceptance, not signed.
#[must_use]
pub fn hello_ack(key: NodeId) -> HelloAck {
    let advertised = "[2001:db8::1]:24100".parse().ok();
    HelloAck {
        from: introduction(key, advertised),
        highest: DialOrdinal(7),
        answer: Answer::Accepted,
        signature: Signature::default(),
    }
}

/// A heartbeat with links and witnesses, not signed.
#[must_use]
pub fn heartbeat(key: NodeId) -> Heartbeat {
    let link = |peer, direction, because, byte| LinkEntry {
        peer: MasternodeIndex(peer),
        direction,
        because,
        session: LinkTag([byte; 8]),
    };
    Heartbeat {
        network: NETWORK,
        signer: key,
        epoch: EPOCH,
        sequence: 42,
        wall: Wall(1_795_000_420_000),
        height: Height(1234),
        tip: BlockHash([0xc1; 32]),
        registry: RegistryTag([0xc2; 8]),
        links: vec![
            link(0, Direction::Inbound, DialedBecause::Canonical, 0xd0),
            link(2, Direction::Outbound, DialedBecause::Fallback, 0xd2),
            link(127, Direction::Outbound, DialedBecause::Manual, 0xd7),
        ],
        duplicates: 1,
        witnessed: vec![
            Witness { signer: MasternodeIndex(0), sequence: 41, digest: [0xe0; 8] },
            Witness { signer: MasternodeIndex(127), sequence: 1, digest: [0xe7; 8] },
        ],
        signature: Signature::default(),
    }
}

/// One message of every form that bodies have, with the name of the form.
#[must_use]
pub fn messages() -> Vec<(String, Message)> {
    let key = NodeId([0x11; 32]);
    let sign = Signature([0x5e; 64]);
    let hello = Hello { signature: sign, ..hello(key) };
    let ack = HelloAck { signature: sign, ..hello_ack(key) };
    let beat = Heartbeat { signature: sign, ..heartbeat(key) };
    let boot = Boot { epoch: BootEpoch(u64::MAX), nonce: BootNonce(1) };
    let seen = Some(ProvenBoot { boot, proof: Signature([0x5c; 64]) });
    let register = Ballot {
        epochs: (EPOCH, BootEpoch(2)),
        ordinal: DialOrdinal(6),
        dialer: DialerRank::Canonical,
        session: SessionHash([0xf1; 32]),
    };

    let mut all = vec![("hello_canonical".to_owned(), Message::Hello(Box::new(hello.clone())))];
    for (name, intent, register) in [
        ("hello_fallback", Intent::Session(DialedBecause::Fallback), None),
        ("hello_manual", Intent::Session(DialedBecause::Manual), None),
        ("hello_knock", Intent::Knock, None),
        ("hello_knock_register", Intent::Knock, Some(register)),
        ("hello_probe", Intent::Probe, None),
        ("hello_knock_register_other", Intent::Knock, Some(Ballot { dialer: DialerRank::Other, ..register })),
    ] {
        all.push((name.to_owned(), Message::Hello(Box::new(Hello { intent, register, ..hello.clone() }))));
    }
    let bare = Hello { to: None, ordinal: DialOrdinal(0), ..hello.clone() };
    all.push(("hello_bare_address".to_owned(), Message::Hello(Box::new(bare))));
    let observer = Introduction {
        advertised: None,
        seen,
        observed: None,
        features: u64::MAX,
        role: Role::Observer,
        agent: String::new(),
        ..hello.from
    };
    all.push(("hello_observer".to_owned(), Message::Hello(Box::new(Hello { from: observer, ..hello }))));
    let observed = "[2001:db8::2]:40000".parse().ok();
    let longest = Introduction { agent: "~".repeat(32), seen, observed, ..ack.from };
    let longest = Hello {
        from: longest,
        intent: Intent::Session(DialedBecause::Manual),
        register: Some(register),
        ..hello
    };
    all.push(("hello_longest".to_owned(), Message::Hello(Box::new(longest))));

    for (name, answer) in [
        ("hello_ack_accepted", Answer::Accepted),
        ("hello_ack_will_dial", Answer::WillDial),
        ("hello_ack_have_session", Answer::HaveSession),
        ("hello_ack_refused", Answer::Refused(CloseReason::KeyInUse)),
        ("hello_ack_here", Answer::Here),
        ("hello_ack_refused_unknown", Answer::Refused(CloseReason::from_code(60_000))),
    ] {
        all.push((name.to_owned(), Message::HelloAck(Box::new(HelloAck { answer, ..ack.clone() }))));
    }
    for reason in CloseReason::ALL {
        let goodbye = Goodbye { reason: *reason, highest: DialOrdinal(9) };
        all.push((format!("goodbye_{reason}"), Message::Goodbye(goodbye)));
    }
    let token = 0x0102_0304_0506_0708;
    all.push(("ping".to_owned(), Message::Ping(Ping { token })));
    all.push(("pong".to_owned(), Message::Pong(Pong { token })));
    all.push(("absence".to_owned(), Message::Absence(Absence { seconds: 900 })));
    let alone = Heartbeat { links: vec![], duplicates: 0, witnessed: vec![], ..beat };
    all.push(("heartbeat_alone".to_owned(), Message::Heartbeat(Box::new(alone))));
    all.push(("heartbeat_linked".to_owned(), Message::Heartbeat(Box::new(beat))));
    all.push(("datagram_empty".to_owned(), Message::Datagram(Bytes::new())));
    all.push(("datagram".to_owned(), Message::Datagram(Bytes::from_static(b"opaque"))));
    all.push(("get_peers".to_owned(), Message::GetPeers(GetPeers { most: 64 })));
    let told = |node, addr: &str, age| {
        addr.parse().ok().map(|addr| PeerAddress { node: NodeId([node; 32]), addr, age })
    };
    let told = [told(0x33, "9.0.0.2:24100", 0), told(0x22, "[2a00::1]:24100", 86_399)];
    all.push(("peers".to_owned(), Message::Peers(told.into_iter().flatten().collect())));
    all.push(("peers_none".to_owned(), Message::Peers(vec![])));
    all.extend(blocks::messages());
    all
}
