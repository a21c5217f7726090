//! Any message within the bounds, for the property tests of this folder.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, DialedBecause, Direction};
use crate::ids::{
    BlockHash, BootEpoch, BootNonce, DialOrdinal, GenesisHash, Height, LinkTag, NodeId, RegistryTag,
    SessionHash, Signature,
};
use crate::limits::{MAX_AGENT, MAX_DATAGRAM, MAX_TOLD};
use crate::registry::{MAX_MASTERNODES, MasternodeIndex};
use crate::time::Wall;
use crate::wire::message::{
    Answer, Ballot, Boot, DialerRank, Goodbye, Heartbeat, Hello, HelloAck, Intent, Introduction, LinkEntry,
    Message, Ping, Pong, ProvenBoot, Role, Witness,
};
use crate::wire::peers::{Absence, GetPeers, PeerAddress};
use crate::wire::preamble::{NetworkId, Version, VersionRange};

pub(crate) mod blocks;

pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        14 => blocks::message(),
        9 => about_links(),
    ]
}

fn about_links() -> impl Strategy<Value = Message> {
    prop_oneof![
        hello().prop_map(|hello| Message::Hello(Box::new(hello))),
        hello_ack().prop_map(|ack| Message::HelloAck(Box::new(ack))),
        (reason(), any::<u64>()).prop_map(|(reason, highest)| {
            Message::Goodbye(Goodbye { reason, highest: DialOrdinal(highest) })
        }),
        any::<u64>().prop_map(|token| Message::Ping(Ping { token })),
        any::<u64>().prop_map(|token| Message::Pong(Pong { token })),
        heartbeat().prop_map(|beat| Message::Heartbeat(Box::new(beat))),
        datagram(),
        any::<u16>().prop_map(|most| Message::GetPeers(GetPeers { most })),
        any::<u32>().prop_map(|seconds| Message::Absence(Absence { seconds })),
        peers(),
    ]
}

fn peers() -> impl Strategy<Value = Message> {
    btree_map(addr(), (any::<[u8; 32]>(), any::<u32>()), 0..=MAX_TOLD).prop_map(|told| {
        let told = told.into_iter().map(|(addr, (key, age))| PeerAddress { node: NodeId(key), addr, age });
        Message::Peers(told.collect())
    })
}

pub(crate) fn datagram() -> impl Strategy<Value = Message> {
    prop_oneof![8 => vec(any::<u8>(), 0..64), 1 => vec(any::<u8>(), 0..=MAX_DATAGRAM)]
        .prop_map(|payload| Message::Datagram(Bytes::from(payload)))
}

prop_compose! {
    pub(crate) fn hello()(
        from in introduction(),
        to in option::of(any::<[u8; 32]>().prop_map(NodeId)),
        ordinal in any::<u64>().prop_map(DialOrdinal),
        intent in intent(),
        register in option::of(ballot()),
        signature in signature(),
    ) -> Hello {
        Hello { from, to, ordinal, intent, register, signature }
    }
}

prop_compose! {
    pub(crate) fn hello_ack()(
        from in introduction(),
        highest in any::<u64>().prop_map(DialOrdinal),
        answer in answer(),
        signature in signature(),
    ) -> HelloAck {
        HelloAck { from, highest, answer, signature }
    }
}

prop_compose! {
    pub(crate) fn heartbeat()(
        network in any::<[u8; 4]>().prop_map(NetworkId),
        signer in any::<[u8; 32]>().prop_map(NodeId),
        numbers in any::<[u64; 4]>(),
        tip in any::<[u8; 32]>().prop_map(BlockHash),
        links in btree_map(index(), (direction(), because(), any::<[u8; 8]>()), 0..=MAX_MASTERNODES),
        registry in any::<[u8; 8]>().prop_map(RegistryTag),
        duplicates in any::<u16>(),
        witnessed in btree_map(index(), (any::<u64>(), any::<[u8; 8]>()), 0..=MAX_MASTERNODES),
        signature in signature(),
    ) -> Heartbeat {
        let [epoch, sequence, wall, height] = numbers;
        Heartbeat {
            network,
            signer,
            epoch: BootEpoch(epoch),
            sequence,
            wall: Wall(wall),
            height: Height(height),
            tip,
            registry,
            links: links
                .into_iter()
                .map(|(peer, (direction, because, tag))| {
                    LinkEntry { peer, direction, because, session: LinkTag(tag) }
                })
                .collect(),
            duplicates,
            witnessed: witnessed
                .into_iter()
                .map(|(signer, (sequence, digest))| Witness { signer, sequence, digest })
                .collect(),
            signature,
        }
    }
}

prop_compose! {
    fn introduction()(
        keys in any::<[[u8; 32]; 3]>(),
        advertised in option::of(addr()),
        boot in boot(),
        proof in signature(),
        seen in option::of((boot(), signature()).prop_map(|(boot, proof)| ProvenBoot { boot, proof })),
        observed in option::of(addr()),
        versions in any::<[u16; 3]>(),
        numbers in any::<[u64; 2]>(),
        network in any::<[u8; 4]>().prop_map(NetworkId),
        role in prop_oneof![Just(Role::Masternode), Just(Role::Observer)],
        agent in vec(b' '..=b'~', 0..=MAX_AGENT),
    ) -> Introduction {
        let [node, genesis, tip] = keys;
        let [a, b, chosen] = versions.map(Version);
        let [features, height] = numbers;
        Introduction {
            node: NodeId(node),
            advertised,
            boot,
            proof,
            seen,
            observed,
            versions: VersionRange { min: a.min(b), max: a.max(b) },
            chosen,
            features,
            network,
            genesis: GenesisHash(genesis),
            height: Height(height),
            tip: BlockHash(tip),
            role,
            agent: String::from_utf8(agent).unwrap(),
        }
    }
}

prop_compose! {
    fn ballot()(numbers in any::<[u64; 3]>(), canonical in any::<bool>(), session in any::<[u8; 32]>()) -> Ballot {
        let [low, high, ordinal] = numbers;
        Ballot {
            epochs: (BootEpoch(low), BootEpoch(high)),
            ordinal: DialOrdinal(ordinal),
            dialer: if canonical { DialerRank::Canonical } else { DialerRank::Other },
            session: SessionHash(session),
        }
    }
}

fn boot() -> impl Strategy<Value = Boot> {
    any::<[u64; 2]>().prop_map(|[epoch, nonce]| Boot { epoch: BootEpoch(epoch), nonce: BootNonce(nonce) })
}

fn signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 64]>().prop_map(Signature)
}

fn addr() -> impl Strategy<Value = CanonicalAddr> {
    (any::<IpAddr>(), 1..=u16::MAX).prop_filter_map("no address to dial", |(ip, port)| {
        CanonicalAddr::new(SocketAddr::new(ip, port)).ok()
    })
}

fn intent() -> impl Strategy<Value = Intent> {
    prop_oneof![3 => because().prop_map(Intent::Session), 1 => Just(Intent::Knock), 1 => Just(Intent::Probe)]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Accepted),
        Just(Answer::WillDial),
        Just(Answer::HaveSession),
        Just(Answer::Here),
        reason().prop_map(Answer::Refused)
    ]
}

fn reason() -> impl Strategy<Value = CloseReason> {
    prop_oneof![proptest::sample::select(CloseReason::ALL), any::<u16>().prop_map(CloseReason::from_code)]
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)]
}

fn because() -> impl Strategy<Value = DialedBecause> {
    prop_oneof![Just(DialedBecause::Canonical), Just(DialedBecause::Fallback), Just(DialedBecause::Manual)]
}

fn index() -> impl Strategy<Value = MasternodeIndex> {
    (0..MAX_MASTERNODES).prop_map(|index| MasternodeIndex(u8::try_from(index).unwrap()))
}
