//! What the making of blocks holds: a registry of 128 masternodes, some of them liars, that fills every table of a
//! height at once.

use std::time::Duration;

use bytes::Bytes;
use timed_core::crypto::Provider as _;
use timed_core::limits::{CHAIN_BYTES, CHUNK, MAX_CHUNKS, MAX_PAYLOAD};
use timed_core::wire::block::Outline;
use timed_core::wire::message::{Chunk, LinkEntry, Message, Proposal, Vote, Witness};
use timed_core::wire::signing;
use timed_core::{
    BlockHash, CanonicalAddr, Certificate, ChainConfig, ConnId, DialedBecause, Direction, FinalBlock, Height,
    Input, Limits, LinkTag, MAX_MASTERNODES, Masternode, MasternodeIndex, MinPeers, NodeId, Registry, Round,
    SeatSet, TxId, VoteKind,
};
use timed_tests::chain_auditor::{Origin, leader};
use timed_tests::chain_generator::ChainGenerator;
use timed_tests::driver::START;
use timed_tests::null_crypto::NullProvider;
use timed_tests::scripted::{Actor, Line};

use super::{CANONICAL, Host, held, source};

const INTERVAL: Duration = Duration::from_secs(100);

/// A node that only observes, and one link, over which all masternodes speak.
struct Chamber {
    host: Host,
    origin: Origin,
    conn: ConnId,
    line: Line,
}

fn id(number: usize) -> NodeId {
    let mut key = [0xaa; 32];
    key[0] = u8::try_from(number).unwrap();
    NodeId(key)
}

fn registry() -> Registry {
    let entry = |number| {
        let addr = CanonicalAddr::new(source(u32::try_from(number).unwrap())).unwrap();
        Masternode { id: id(number), addr }
    };
    Registry::new((0..MAX_MASTERNODES).map(entry).collect()).unwrap()
}

impl Chamber {
    fn new() -> Self {
        let limits = Limits {
            max_peers: 140,
            payload_lane: 0,
            bulk_lane: 0,
            sync_window: 0,
            serving: 0,
            mempool: 0,
            ..Limits::for_registry(MAX_MASTERNODES)
        };
        let chain = ChainConfig {
            genesis_time: START.wall,
            interval: INTERVAL,
            max_bytes: 100_000,
            min_peers: MinPeers::Auto,
        };
        let mut host = Host::of(limits, Some(chain), |config| config.registry = registry());
        let origin = Origin {
            genesis: host.config.genesis,
            genesis_time: START.wall,
            interval: INTERVAL,
            registry: registry(),
        };
        let provider = NullProvider::new(id(0));
        let addr = CanonicalAddr::new(source(0)).ok();
        let mut actor = Actor::new(Box::new(provider), &host.config, addr, START.wall);
        let (conn, line, answer) = host.hello(&mut actor, source(0), CANONICAL);
        assert_eq!(answer, Some(timed_core::wire::message::Answer::Accepted));
        Self { host, origin, conn, line }
    }

    fn say(&mut self, message: &Message) {
        let bytes = self.line.say(message);
        self.host.data(self.conn, &bytes);
        self.host.answer();
        // What it asks for is read, and not answered.
        let _ = self.host.sent(self.conn);
    }

    /// The clock shows the slot of a height.
    fn slot_of(&mut self, height: u64) {
        self.host.now.wall = self.origin.genesis_time + self.origin.interval * u32::try_from(height).unwrap();
        self.host.handle(Input::Tick);
        self.host.answer();
    }

    fn vote(&mut self, voter: usize, kind: VoteKind, height: u64, round: u32, block: Option<BlockHash>) {
        let vote = self.signed_vote(voter, kind, height, round, block);
        self.say(&vote);
    }

    fn signed_vote(
        &self,
        voter: usize,
        kind: VoteKind,
        height: u64,
        round: u32,
        block: Option<BlockHash>,
    ) -> Message {
        let (height, round) = (Height(height), Round(round));
        let bytes = signing::vote(&self.origin.genesis, kind, height, round, block.as_ref());
        let signature = NullProvider::new(id(voter)).sign(&bytes);
        Message::Vote(Box::new(Vote { kind, height, round, block, voter: id(voter), signature }))
    }

    fn votes(&mut self, kind: VoteKind, height: u64, round: u32, block: Option<BlockHash>) {
        (0..MAX_MASTERNODES).for_each(|voter| self.vote(voter, kind, height, round, block));
    }

    fn certificate(&self, kind: VoteKind, height: u64, round: u32, block: BlockHash) -> Certificate {
        let (height, round) = (Height(height), Round(round));
        let bytes = signing::vote(&self.origin.genesis, kind, height, round, Some(&block));
        let (mut signers, mut signatures) = (SeatSet::EMPTY, Vec::new());
        for (seat, entry) in (0..).zip(self.origin.registry.entries()) {
            signers.insert(MasternodeIndex(seat));
            signatures.push(NullProvider::new(entry.id).sign(&bytes));
        }
        Certificate { kind, height, round, block, signers, signatures }
    }

    /// The proposal of a round, made from a block of its height with another payload.
    fn propose(&mut self, like: &FinalBlock, round: u32, payload: &Bytes) -> BlockHash {
        let mut header = like.block.header.clone();
        let by = leader(&self.origin.registry, header.height, u64::from(round));
        header.round = Round(round);
        header.proposer = by;
        header.payload = Outline::of(payload).root();
        let block = header.hash(&self.origin.genesis);
        let bytes = signing::proposal(&self.origin.genesis, header.height, header.round, None, &block);
        let proposal = Proposal {
            round: header.round,
            header,
            valid_round: None,
            certificate: like.block.certificate.clone(),
            outline: Outline::of(payload),
            signature: NullProvider::new(by).sign(&bytes),
        };
        self.say(&Message::Proposal(Box::new(proposal)));
        block
    }

    fn chunks(&mut self, height: u64, block: BlockHash, payload: &Bytes, count: usize) {
        for (index, bytes) in (0..).zip(payload.chunks(CHUNK)).take(count) {
            let bytes = Bytes::copy_from_slice(bytes);
            let chunk = Chunk { height: Height(height), block, index, bytes };
            self.say(&Message::Chunk(Box::new(chunk)));
        }
    }
}

impl Chamber {
    /// So many rounds of a height, each with its proposal, a polka and votes of everybody, but no decision. Answers
    /// the block of the last one.
    fn storm(&mut self, like: &FinalBlock, rounds: u32) -> BlockHash {
        let height = like.block.header.height.0;
        let mut block = BlockHash::default();
        for round in 0..rounds {
            let whole = payload(1_000 * u32::try_from(height).unwrap() + round);
            block = self.propose(like, round, &whole);
            // Some never come whole.
            self.chunks(height, block, &whole, MAX_CHUNKS - usize::from(round % 3 == 0));
            // So many contradict themselves that the polka has to be kept as a whole.
            for voter in 0..MAX_MASTERNODES / 2 {
                self.vote(voter, VoteKind::Prevote, height, round, None);
            }
            let polka = self.certificate(VoteKind::Prevote, height, round, block);
            self.say(&Message::Polka(Box::new(polka)));
            if round + 1 < rounds {
                self.votes(VoteKind::Precommit, height, round, None);
            }
            for later in [round + 2, round + 3] {
                // Fewer than would make the others follow.
                for voter in 0..MAX_MASTERNODES / 3 {
                    self.vote(voter, VoteKind::Prevote, height, later, None);
                }
            }
        }
        block
    }
}

fn payload(fill: u32) -> Bytes {
    fill.to_le_bytes().into_iter().cycle().take(MAX_PAYLOAD).collect()
}

#[test]
fn c8_the_worst_case_bounds_what_the_making_of_blocks_can_make_a_node_hold() {
    let mut net = Chamber::new();
    let keys = (0..MAX_MASTERNODES).map(|number| Box::new(NullProvider::new(id(number))) as Box<_>);
    let mut chain = ChainGenerator::new(net.origin.clone(), keys);
    let blocks: Vec<FinalBlock> = (0..3).map(|_| chain.make()).collect();
    let before = held();

    // Height 1 is decided late, by everybody's votes, which stay: a straggler may ask for them.
    net.slot_of(1);
    let first = net.storm(&blocks[0], 12);
    net.votes(VoteKind::Precommit, 1, 11, Some(first));
    let decided = held() - before;
    assert_eq!(net.host.commits, 1, "height 1 is not decided");

    // Height 2 goes on and on.
    let certificate = net.certificate(VoteKind::Precommit, 1, 11, first);
    let mut second = blocks[1].clone();
    second.block.header.parent = first;
    second.block.header.certificate = certificate.hash();
    second.block.certificate = Some(Box::new(certificate));
    net.slot_of(2);
    let _ = net.storm(&second, 24);
    let undecided = held() - before;
    // And what comes early of height 3.
    let mut third = blocks[2].clone();
    third.block.header.parent = first;
    for round in 0..3 {
        let _ = net.propose(&third, round, &payload(200 + round));
        for kind in [VoteKind::Prevote, VoteKind::Precommit] {
            net.votes(kind, 3, round, None);
            net.votes(kind, 3, round + 7, None);
        }
    }
    let full = held() - before;
    println!(
        "{full} bytes held for blocks, {decided} after one height, {undecided} in the next; of {CHAIN_BYTES}"
    );
    assert!(full <= CHAIN_BYTES, "{full} held, {CHAIN_BYTES} promised");
    assert!(full * 3 > CHAIN_BYTES * 2, "the table promises far more than is held: {full} of {CHAIN_BYTES}");
}

/// A block of the smallest transactions there are, taken in by the application long before it is durable.
#[test]
fn c8_what_a_block_includes_is_not_kept_until_it_is_durable() {
    let mut net = Chamber::new();
    let keys = (0..MAX_MASTERNODES).map(|number| Box::new(NullProvider::new(id(number))) as Box<_>);
    let block = ChainGenerator::new(net.origin.clone(), keys).make();
    net.host.included = (0..200_000_u32).map(|number| TxId::of(&number.to_le_bytes())).collect();
    net.slot_of(1);
    let hash = net.propose(&block, 0, &Bytes::new());
    net.votes(VoteKind::Prevote, 1, 0, Some(hash));
    let before = held();
    for voter in 0..MAX_MASTERNODES {
        let vote = net.signed_vote(voter, VoteKind::Precommit, 1, 0, Some(hash));
        let bytes = net.line.say(&vote);
        net.host.data(net.conn, &bytes);
        net.host.told();
    }
    assert_eq!(net.host.commits, 1);
    let kept = held().saturating_sub(before);
    assert!(kept < 200_000, "{kept} bytes are kept for 200,000 ids");
}

/// The largest heartbeats there are, of everybody.
#[test]
fn c8_the_worst_case_bounds_what_heartbeats_can_make_a_node_hold() {
    let mut net = Chamber::new();
    let row = net.host.config.limits.rows().into_iter().find(|row| row.what == "heartbeats").unwrap();
    let before = held();
    for sequence in 1..=3 {
        for number in 0..MAX_MASTERNODES {
            let mut actor =
                Actor::new(Box::new(NullProvider::new(id(number))), &net.host.config, None, START.wall);
            let others = || {
                (0..).take(MAX_MASTERNODES).map(MasternodeIndex).filter(|seat| usize::from(seat.0) != number)
            };
            let link = |peer| LinkEntry {
                peer,
                direction: Direction::Outbound,
                because: DialedBecause::Canonical,
                session: LinkTag([7; 8]),
            };
            let mut beat = actor.heartbeat(sequence, net.host.now.wall);
            beat.links = others().map(link).collect();
            beat.witnessed = others().map(|signer| Witness { signer, sequence, digest: [9; 8] }).collect();
            let beat = actor.sign(beat);
            net.say(&Message::Heartbeat(Box::new(beat)));
        }
        net.host.now.mono = net.host.now.mono + Duration::from_secs(10);
        net.host.now.wall = net.host.now.wall + Duration::from_secs(10);
        net.host.handle(Input::Tick);
        let _ = net.host.sent(net.conn);
    }
    let full = held() - before;
    println!("{full} bytes held for heartbeats of {}", row.bytes);
    assert!(full <= row.bytes && full * 3 > row.bytes, "{full} of {}", row.bytes);
}
