//! The API on a loop whose core says what the test wants: what is hard to bring about on a network.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use timed_core::limits::MAX_TRANSACTION;
use timed_core::{
    Ban, BanCause, BanNote, Block, BlockHash, Certificate, CertificateHash, Command, ConnId, ConsensusInfo,
    Event, Evidence, FinalBlock, Header, Height, Input, Masternode, MasternodeIndex, MempoolInfo, Mono,
    NotProducing, Now, Offence, PayloadRoot, PeerRef, Producing, Refused, RegistryHash, Reply, Request,
    Round, Signature, SignedProposal, Statement, Step, Summary, SyncState, Transmit, TxId, TxState, VoteKind,
};

use super::super::client::{Api, Method};
use super::names::parse_peer;
use super::*;
use crate::application::FifoPayload;
use crate::{Core, Shell, ShellConfig, Store};

/// A core that answers requests and nothing else.
struct Scripted {
    answer: fn(Request) -> Reply,
    commands: VecDeque<Command>,
}

impl Core for Scripted {
    fn accept(&mut self, _: Now, _: SocketAddr) -> Result<ConnId, Refused> {
        unreachable!("nobody connects")
    }

    fn handle(&mut self, _: Now, input: Input<'_>) {
        let Input::Request { id, request } = input else { return };
        let stops = matches!(request, Request::Stop);
        let reply = if stops { Reply::Stopping } else { (self.answer)(request) };
        self.commands.push_back(Command::Event(Event::Reply { id, reply }));
        if stops {
            self.commands.push_back(Command::Event(Event::Stopped));
        } else {
            self.commands.push_back(Command::Event(Event::Producing(Producing::Yes)));
        }
    }

    fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    fn transmit(&mut self, _: Now, _: ConnId, _: usize, _: &mut Vec<u8>) -> Transmit {
        Transmit::Drained
    }

    fn deadline(&self) -> Option<Mono> {
        None
    }
}

/// A transaction of the block at a height, and its id.
fn transaction(height: u8, index: u8) -> Bytes {
    Bytes::from(vec![height, index])
}

fn id(transaction: &Bytes) -> TxId {
    FifoPayload::transactions(&FifoPayload::assemble(std::slice::from_ref(transaction))).unwrap()[0]
}

/// A block with two transactions; the fifth is of another registry.
fn block(number: u8) -> FinalBlock {
    let (height, registry) = (Height(number.into()), registry());
    let certificate = Certificate {
        kind: VoteKind::Precommit,
        height,
        round: Round(2),
        block: BlockHash([number; 32]),
        signers: [0, 2].map(MasternodeIndex).into_iter().collect(),
        signatures: vec![Signature([1; 64]), Signature([2; 64])],
    };
    let header = Header {
        height,
        round: Round(1),
        slot: Wall(height.0 * 10_000),
        parent: BlockHash([number - 1; 32]),
        certificate: CertificateHash([3; 32]),
        payload: PayloadRoot([4; 32]),
        registry: if number == 5 { RegistryHash([5; 32]) } else { registry.hash() },
        proposer: NodeId([2; 32]),
    };
    let payload = FifoPayload::assemble(&[transaction(number, 0), transaction(number, 1)]);
    FinalBlock { block: Block { header, certificate: None, payload }, certificate }
}

/// A store of these blocks.
fn stored(blocks: std::ops::RangeInclusive<u8>) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path().join("store")).unwrap();
    let application = FifoPayload::new(store.reader());
    store.append_blocks(blocks.map(block), &application).unwrap();
    (dir, store)
}

fn registry() -> Registry {
    let entry = |byte: u8| Masternode {
        id: NodeId([byte; 32]),
        addr: format!("10.0.0.{byte}:24100").parse().unwrap(),
    };
    Registry::new((1..=4).map(entry).collect()).unwrap()
}

pub(super) fn facts() -> ApiFacts {
    ApiFacts::made_up(registry(), "abc")
}

/// A running loop with its API.
struct Rig {
    api: Api,
    listen: SocketAddr,
    remote: Remote,
    threads: Option<(JoinHandle<()>, ApiHandle)>,
}

impl Rig {
    fn start(summary: Summary, answer: fn(Request) -> Reply) -> Self {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let shell = Shell::bind(ShellConfig::listening_on(here)).unwrap();
        let remote = shell.remote();
        let api = TcpListener::bind(here).unwrap();
        let (dir, store) = stored(1..=5);
        let Started { listen, handle, feed } =
            start(api, facts(), shell.remote(), Arc::new(store.reader())).unwrap();
        let commands = [Command::Event(Event::Summary(summary))].into();
        let ran = thread::spawn(move || {
            let _ = shell.run(Scripted { answer, commands }, store, feed);
            drop(dir);
        });
        let until = Instant::now() + Duration::from_secs(10);
        while remote.summary() != summary {
            assert!(Instant::now() < until, "no summary");
            thread::sleep(Duration::from_millis(2));
        }
        let token = Some(Zeroizing::new("abc".to_owned()));
        let api = Api::within(format!("http://{listen}"), token, Duration::from_secs(20));
        Self { api, listen, remote, threads: Some((ran, handle)) }
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.api.exchange(Method::Get, path, "").unwrap();
        (answer.status, answer.json)
    }

    fn submit(&self, bytes: usize) -> (u16, Value) {
        let answer = self.api.exchange(Method::PostBytes, "/tx", vec![7; bytes]).unwrap();
        (answer.status, answer.json)
    }

    /// An answer with its head.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.listen).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.remote.stop();
        if let Some((ran, handle)) = self.threads.take() {
            let _ = ran.join();
            handle.stop();
        }
    }
}

fn at(height: u64) -> Summary {
    Summary {
        height: Height(height),
        last_slot: Wall(50_000),
        producing: Producing::Yes,
        ..Summary::default()
    }
}

#[test]
fn the_dashboard_is_one_page_that_may_load_nothing() {
    let rig = Rig::start(at(5), |request| unreachable!("{request:?}"));
    let answer = rig.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    for line in [
        "HTTP/1.1 200 OK",
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "cache-control: no-cache",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    assert!(body.starts_with("<!doctype html>") && body.trim_end().ends_with("</html>"));
    let rebound = rig.raw(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
}

#[test]
fn a_block_is_shown_with_all_that_its_hash_and_its_certificate_are_made_of() {
    let rig = Rig::start(at(5), |request| unreachable!("{request:?}"));
    let (status, block): (u16, Value) = rig.get("/blocks/4");
    let expected = serde_json::json!({
        "height": 4, "hash": "04".repeat(32), "parent": "03".repeat(32), "round": 2,
        "proposer": "02".repeat(32), "time": "1970-01-01T00:00:40.000Z", "payload_bytes": 12,
        "header": {
            "height": 4, "round": 1, "slot_time": "1970-01-01T00:00:40.000Z", "parent": "03".repeat(32),
            "parent_certificate": "03".repeat(32), "payload_root": "04".repeat(32),
            "registry_hash": registry().hash().to_string(), "proposer": "02".repeat(32),
        },
        "commit_certificate": {
            "round": 2, "seats": [0, 2], "signers": ["01".repeat(32), "03".repeat(32)],
            "signatures": ["01".repeat(64), "02".repeat(64)],
        },
        "transaction_ids": [id(&transaction(4, 0)).to_string(), id(&transaction(4, 1)).to_string()],
    });
    assert_eq!((status, &block), (200, &expected));
    assert_eq!(rig.get(&format!("/blocks/{}", "04".repeat(32))).1, block, "by its hash");
    let (_, latest) = rig.get("/blocks/latest");
    assert_eq!(latest["height"], 5);
    assert_eq!(latest["commit_certificate"]["signers"], serde_json::json!([null, null]), "another registry");
    for (path, status, code) in [
        ("/blocks/6", 404, "unknown_block"),
        ("/blocks/0", 404, "unknown_block"),
        ("/blocks/-1", 400, "bad_request"),
        (&format!("/blocks/{}", "0f".repeat(32)), 404, "unknown_block"),
        ("/blocks/newest", 400, "bad_request"),
        ("/blocks?limit=101", 400, "bad_request"),
        ("/blocks?height=3", 400, "bad_request"),
    ] {
        let (found, answer) = rig.get(path);
        assert_eq!((found, &answer["error"]["code"]), (status, &code.into()), "{path}: {answer}");
    }
    let heights = |path| -> Vec<u64> {
        rig.get(path).1.as_array().unwrap().iter().map(|block| block["height"].as_u64().unwrap()).collect()
    };
    assert_eq!(heights("/blocks"), [1, 2, 3, 4, 5]);
    assert_eq!(heights("/blocks?limit=2"), [4, 5]);
    assert_eq!(heights("/blocks?from=2&limit=3"), [2, 3, 4]);
    assert!(heights("/blocks?from=9").is_empty());
}

#[test]
fn a_transaction_is_taken_refused_or_put_off() {
    let rig = Rig::start(at(5), |request| match request {
        Request::Submit(bytes) if bytes.len() == 1 => Reply::Submitted(TxId([1; 32])),
        Request::Submit(bytes) if bytes.len() == 2 => {
            Reply::MempoolFull(MempoolInfo { transactions: 9, bytes: 900 })
        }
        Request::Submit(bytes) if bytes.len() == MAX_TRANSACTION => Reply::Submitted(TxId([2; 32])),
        other => unreachable!("{other:?}"),
    });
    assert_eq!(rig.submit(1), (202, serde_json::json!({ "id": "01".repeat(32) })));
    assert_eq!(rig.submit(MAX_TRANSACTION).0, 202);
    for (bytes, status, code) in [
        (0, 400, "empty"),
        (MAX_TRANSACTION + 1, 413, "transaction_too_large"),
        (900_000, 413, "transaction_too_large"),
        (2, 503, "mempool_full"),
    ] {
        let (found, answer) = rig.submit(bytes);
        assert_eq!((found, &answer["error"]["code"]), (status, &code.into()), "{bytes}: {answer}");
    }
    assert!(rig.submit(MAX_TRANSACTION + 1).1["error"]["message"].as_str().unwrap().contains("65536"));
    let head = "POST /tx HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let full = rig.raw(format!("{head}Authorization: Bearer abc\r\nContent-Length: 2\r\n\r\nab").as_bytes());
    assert!(full.starts_with("HTTP/1.1 503") && full.contains("\r\nretry-after: 2\r\n"), "{full}");
    let anybody = rig.raw(format!("{head}Content-Length: 1\r\n\r\na").as_bytes());
    assert!(anybody.starts_with("HTTP/1.1 401"), "{anybody}");
}

#[test]
fn a_transaction_is_found_in_a_block_or_waiting_or_not_at_all() {
    let rig = Rig::start(at(5), |request| match request {
        Request::Transaction(TxId([7, ..])) => Reply::Transaction(TxState::Pending),
        Request::Transaction(_) => Reply::Transaction(TxState::NotPending),
        other => unreachable!("{other:?}"),
    });
    let tx = |id: TxId| rig.get(&format!("/tx/{id}"));
    let (status, committed) = tx(id(&transaction(3, 1)));
    assert_eq!((status, &committed["state"]), (200, &"committed".into()));
    assert_eq!((&committed["height"], &committed["index"]), (&3.into(), &1.into()));
    let (status, pending) = tx(TxId([7; 32]));
    assert_eq!((status, &pending["state"], pending.get("height")), (200, &"pending".into(), None));
    for (path, status, code) in [
        (format!("/tx/{}", TxId([8; 32])), 404, "unknown_transaction"),
        ("/tx/abc".to_owned(), 400, "bad_request"),
    ] {
        let (found, answer) = rig.get(&path);
        assert_eq!((found, &answer["error"]["code"]), (status, &code.into()), "{path}: {answer}");
    }
}

#[test]
fn both_signed_statements_of_an_equivocation_are_shown() {
    let rig = Rig::start(at(5), |_| {
        let proposal = |byte| {
            Statement::Proposal(SignedProposal {
                height: Height(4),
                round: Round(1),
                valid_round: Some(Round(0)),
                block: BlockHash([byte; 32]),
                proposer: NodeId([2; 32]),
                signature: Signature([byte; 64]),
            })
        };
        let (first, second) = (proposal(1), proposal(2));
        Reply::Evidence(vec![Evidence { node: NodeId([2; 32]), first, second }])
    });
    let (status, list) = rig.get("/evidence");
    let statement = |byte: &str| {
        serde_json::json!({
            "kind": "proposal", "height": 4, "round": 1, "block": byte.repeat(32), "valid_round": 0,
            "signer": "02".repeat(32), "signature": byte.repeat(64),
        })
    };
    let expected = serde_json::json!([{
        "node_id": "02".repeat(32), "kind": "proposal", "height": 4, "round": 1,
        "first": statement("01"), "second": statement("02"),
    }]);
    assert_eq!((status, list), (200, expected));
}

#[test]
fn bans_are_shown_with_reason_and_remaining_time() {
    let rig = Rig::start(at(5), |_| {
        let now = crate::now().wall;
        let ban = |target: &str, cause, lasts: Option<u64>, note: &str| Ban {
            target: target.parse().unwrap(),
            cause,
            since: now,
            until: lasts.map(|secs| now + Duration::from_secs(secs)),
            note: BanNote::new(note).filter(|note| !note.as_str().is_empty()),
        };
        Reply::Bans(vec![
            ban("10.0.0.0/8", BanCause::Operator, None, "spam"),
            ban(&"ab".repeat(32), BanCause::Score(Offence::Flood), Some(600), ""),
        ])
    });
    let (status, list) = rig.get("/bans");
    assert_eq!((status, &list[0]["target"], &list[0]["kind"]), (200, &"10.0.0.0/8".into(), &"net".into()));
    assert_eq!((&list[0]["cause"], &list[0]["reason"]), (&"operator".into(), &"spam".into()), "{list}");
    assert!(list[0]["until"].is_null() && list[0]["remaining_s"].is_null(), "{list}");
    assert_eq!((&list[1]["kind"], &list[1]["cause"]), (&"node".into(), &"flood".into()), "{list}");
    let left = list[1]["remaining_s"].as_u64().unwrap();
    assert!((595..=600).contains(&left) && list[1]["reason"].as_str().unwrap().contains("traffic"), "{list}");
}

#[test]
fn why_nothing_is_produced_is_a_code_and_words() {
    let why = NotProducing::NoQuorum { linked: 2, needed: 3, registered: 4 };
    let sync = SyncState::Syncing { height: Height(5), target: Height(105) };
    let summary = Summary { producing: Producing::No(why), sync, ..at(5) };
    let rig = Rig::start(summary, |request| match request {
        Request::Consensus => Reply::Consensus(Some(Box::new(ConsensusInfo {
            height: Height(6),
            step: Step::Propose,
            quorum: 3,
            next: Some(Duration::from_millis(250)),
            ..ConsensusInfo::default()
        }))),
        Request::Status => Reply::Status(Box::new(timed_core::Status {
            node: NodeId([1; 32]),
            advertised: None,
            masternode: None,
            epoch: timed_core::BootEpoch(1),
            external_ip: None,
            seen_as: vec![],
            summary: Summary {
                height: Height(5),
                producing: Producing::No(NotProducing::Clock { offset_ms: 3_000 }),
                sync: SyncState::Syncing { height: Height(5), target: Height(105) },
                ..Summary::default()
            },
            bans: [1, 0, 0, 0, 0, 2],
            pending: timed_core::Pending::default(),
            counters: timed_core::Counters::default(),
        })),
        other => unreachable!("{other:?}"),
    });
    let (_, info) = rig.get("/consensus_info");
    assert_eq!((&info["height"], &info["producing"]), (&5.into(), &false.into()), "{info}");
    assert_eq!(info["not_producing_reason"], "no_quorum");
    assert!(info["not_producing_text"].as_str().unwrap().contains("a block needs 3"), "{info}");
    assert_eq!(info["last_block_time"], "1970-01-01T00:00:50.000Z");
    let (_, status) = rig.get("/status");
    assert_eq!(
        (&status["sync_state"], &status["sync"]["missing"]),
        (&"syncing".into(), &100.into()),
        "{status}"
    );
    assert!(status["not_producing_text"].as_str().unwrap().contains("your clock"), "{status}");
    assert_eq!(status["bans"], 3, "{status}");
    let consensus = &status["consensus"];
    assert_eq!((&consensus["step"], &consensus["next_ms"]), (&"propose".into(), &250.into()), "{status}");
    let (ready, checks) = rig.get("/readyz?verbose");
    let failed = checks["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    assert_eq!(ready, 503);
    assert!(failed.map(|check| &check["name"]).any(|name| name == "sync"), "{checks}");
}

#[test]
fn events_are_streamed_until_the_loop_ends() {
    let rig = Rig::start(at(5), |_| Reply::Evidence(Vec::new()));
    let mut stream = TcpStream::connect(rig.listen).unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "content-type: text/event-stream"));
    assert!(lines.any(|line| line.starts_with(':')), "a sign of life at once");
    // Whoever asks makes this core tell something; the listener may have joined a moment after the first.
    let asking = thread::spawn({
        let (remote, until) = (rig.remote.clone(), Instant::now() + Duration::from_secs(20));
        move || {
            while Instant::now() < until && remote.request(Request::Evidence).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
    assert!(lines.any(|line| line == "event: producing"));
    let data = lines.next().unwrap();
    let told: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(told["producing"], true, "{told}");
    drop(rig);
    assert!(lines.any(|line| line == "0"), "the stream has an end");
    asking.join().unwrap();
}

/// Asks, and reads no more than that it is answered.
fn unread(rig: &Rig, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(rig.listen).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    stream
}

#[test]
fn answers_that_nobody_takes_have_a_bound_and_an_end() {
    let rig = Rig::start(at(5), |_| {
        let ban = Ban {
            target: "10.0.0.0/8".parse().unwrap(),
            cause: BanCause::Operator,
            since: Wall(0),
            until: None,
            note: BanNote::new(&"x".repeat(BanNote::MAX)),
        };
        Reply::Bans(vec![ban; 40_000])
    });
    let whole = rig.api.exchange(Method::Get, "/bans", "").unwrap().text.len();
    assert!(whole > 6 << 20, "{whole} bytes are no more than sockets take");
    let held: Vec<TcpStream> = (0..(32 << 20) / whole).map(|_| unread(&rig, "/bans")).collect();
    assert_eq!(rig.get("/bans").1["error"]["code"], "busy");
    assert_eq!(rig.get("/consensus_info").0, 200, "small ones are answered");
    let until = Instant::now() + Duration::from_secs(30);
    while rig.get("/bans").0 != 200 {
        assert!(Instant::now() < until, "whoever takes nothing keeps its part for ever");
        thread::sleep(Duration::from_millis(500));
    }
    drop(held);
}

#[test]
fn who_is_being_answered_is_not_displaced_by_who_sends_only_parts() {
    let rig = Rig::start(at(5), |_| Reply::Evidence(Vec::new()));
    let oldest = unread(&rig, "/events");
    oldest.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut lines = BufReader::new(oldest).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with(':')), "it listens");
    let parts = || {
        let mut stream = TcpStream::connect(rig.listen).unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHo").unwrap();
        stream
    };
    let parts: Vec<TcpStream> = (0..2 * server::MAX_CONNECTIONS).map(|_| parts()).collect();
    // It came last, so that all the others have been taken.
    assert_eq!(rig.get("/evidence").0, 200);
    assert!(lines.any(|line| line == "event: producing"), "the oldest is still answered");
    drop(parts);
}

/// A loop that was bound and never runs stands for one that hangs.
#[test]
fn a_hanging_loop_is_told_by_what_needs_no_answer_of_it() {
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let shell = Shell::bind(ShellConfig::listening_on(here)).unwrap();
    let (_dir, store) = stored(1..=1);
    let api = TcpListener::bind(here).unwrap();
    let started = start(api, facts(), shell.remote(), Arc::new(store.reader())).unwrap();
    let Started { listen, handle, feed } = started;
    let token = Some(Zeroizing::new("abc".to_owned()));
    let api = Api::within(format!("http://{listen}"), token, Duration::from_secs(20));
    let get = |path| api.exchange(Method::Get, path, "").unwrap();

    assert_eq!(get("/consensus_info").json["links"]["up"], 0);
    assert_eq!(get("/livez").status, 200);
    let peers = get("/peers");
    assert_eq!((peers.status, peers.json["error"]["code"].as_str()), (503, Some("no_answer")));
    assert_eq!(get("/metrics").status, 200);
    thread::sleep(Duration::from_millis(500));
    let ready = get("/readyz?verbose=1");
    assert_eq!(ready.status, 503);
    let failed = ready.json["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    assert_eq!(
        failed.map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["peers", "last_tick", "sync"]
    );
    assert_eq!(api.exchange(Method::Post, "/stop", "").unwrap().status, 202);
    drop(feed);
    handle.stop();
    assert!(api.exchange(Method::Get, "/livez", "").is_err());
}

#[test]
fn peers_are_named_in_four_ways() {
    let id = NodeId([0xab; 32]);
    assert_eq!(parse_peer(&id.to_string()), Ok(PeerRef::Id(id)));
    assert_eq!(parse_peer("10.0.0.1:5"), Ok(PeerRef::Addr("10.0.0.1:5".parse().unwrap())));
    assert_eq!(parse_peer("::ffff:10.0.0.1"), Ok(PeerRef::Ip("10.0.0.1".parse().unwrap())));
    assert_eq!(parse_peer("[::1]"), Ok(PeerRef::Ip("::1".parse().unwrap())));
    assert_eq!(parse_peer("abab"), Ok(PeerRef::IdPrefix("abab".to_owned())));
    for wrong in ["", "ab", "xyz123", "10.0.0.1:0", "0.0.0.0:1"] {
        assert!(parse_peer(wrong).is_err(), "{wrong}");
    }
}
