//! What an operator finds in the log, and how much of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timed_core::{
    BlockHash, CanonicalAddr, CloseReason, ClosedBy, CommittedVia, Event, Evidence, Height, Masternode,
    NodeId, NotProducing, Producing, Registry, Round, Signature, SignedProposal, Statement, Summary,
    SyncState, Wall, Warning,
};
use tracing_subscriber::fmt::MakeWriter;

use super::super::metrics::Totals;
use super::screen::Screen;
use super::sink::{Introduction, LogSink};
use crate::EventSink as _;

/// What is written to the log.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// How many lines so far.
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|byte| **byte == b'\n').count()
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The lines at `info` and above that a sink of a network with one masternode writes.
fn lines(feed: impl FnOnce(&mut LogSink)) -> Vec<String> {
    let master = Masternode { id: NodeId([1; 32]), addr: addr(1) };
    let registry = Registry::new(vec![master]).unwrap();
    let introduction = Introduction {
        node: NodeId([9; 32]),
        network: "testnet".to_owned(),
        listen: addr(9).socket(),
        advertised: None,
        api: None,
    };
    let totals = Arc::new(Totals::new());
    let mut sink = LogSink::new(introduction, &registry, totals, Screen::lines_only(), || {});
    let written = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(written.clone()).finish();
    tracing::subscriber::with_default(subscriber, || feed(&mut sink));
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn addr(last: u8) -> CanonicalAddr {
    format!("10.0.0.{last}:24100").parse().unwrap()
}

#[test]
fn a_remote_cannot_fill_the_log() {
    let written = lines(|sink| {
        for round in 0..10_000_u16 {
            let [high, low] = round.to_be_bytes();
            let from = SocketAddr::new(IpAddr::from([10, 1, high, low]), round);
            let reason = CloseReason::ALL[usize::from(round) % CloseReason::ALL.len()];
            let peer = Some(NodeId([low; 32])).filter(|_| round % 2 == 0);
            sink.event(&Event::InboundFailed { from, peer, reason, by: ClosedBy::Us });
            sink.event(&Event::Warning(Warning::Incompatible {
                addr: from,
                reason: CloseReason::WrongGenesis,
            }));
        }
    });
    // A few of each reason, and what the table of incompatible addresses holds of one reason.
    assert!(written.len() <= 6 * CloseReason::ALL.len(), "{} lines", written.len());
    assert!(written.iter().any(|line| line.contains("reason=bad_signature by=us")));
}

#[test]
fn an_incompatible_peer_is_told_once() {
    let written = lines(|sink| {
        for failures in 1..=50 {
            let warning = Warning::Incompatible { addr: addr(5).socket(), reason: CloseReason::WrongNetwork };
            sink.event(&Event::Warning(warning));
            sink.event(&Event::DialFailed {
                peer: None,
                addr: addr(5),
                reason: CloseReason::WrongNetwork,
                by: ClosedBy::Us,
                failures,
                retry_in: None,
            });
        }
    });
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].contains("WARN") && written[0].contains("reason=wrong_network"), "{written:?}");
}

#[test]
fn a_row_of_failures_is_a_few_lines_and_steady_state_is_quiet() {
    let written = lines(|sink| {
        for failures in 1..=360 {
            sink.event(&Event::DialFailed {
                peer: Some(NodeId([1; 32])),
                addr: addr(1),
                reason: CloseReason::ConnectionRefused,
                by: ClosedBy::Network,
                failures,
                retry_in: Some(Duration::from_secs(10)),
            });
        }
    });
    assert_eq!(written.len(), 9, "{written:?}");
    assert!(written[8].contains("failures=256") && !written[8].contains("suppressed"), "{written:?}");
    let hour = lines(|sink| {
        for second in 0..3600_u64 {
            sink.event(&Event::Summary(Summary::default()));
            if second % 10 == 0 {
                let (signer, via) = (NodeId([1; 32]), NodeId([1; 32]));
                sink.event(&Event::Heartbeat { signer, sequence: second, via });
            }
            if second % 120 == 0 {
                sink.event(&Event::PeerCheck { expected: 3, up: 3 });
            }
            if second % 10 == 0 {
                committed(sink, second / 10, CommittedVia::Consensus);
            }
        }
    });
    assert_eq!(hour.len(), 30);
}

fn committed(sink: &mut LogSink, height: u64, via: CommittedVia) {
    sink.event(&Event::BlockCommitted {
        height: Height(height),
        hash: BlockHash([3; 32]),
        round: Round(0),
        slot: Wall(height),
        proposer: NodeId([1; 32]),
        payload_bytes: 0,
        via,
    });
}

#[test]
fn who_produces_and_why_not_is_told_when_it_changes() {
    let written = lines(|sink| {
        for linked in 1..=2 {
            let why = NotProducing::NoQuorum { linked, needed: 3, registered: 4 };
            sink.event(&Event::Producing(Producing::No(why)));
        }
        sink.event(&Event::Producing(Producing::Yes));
        sink.event(&Event::Producing(Producing::No(NotProducing::Clock { offset_ms: 4_000 })));
    });
    assert_eq!(written.len(), 3, "{written:?}");
    assert!(written[0].contains("1 of 4 masternodes are linked") && written[0].contains("reason=no_quorum"));
    assert!(written[1].contains(" INFO ") && written[1].contains("producing blocks"), "{written:?}");
    assert!(written[2].contains(" WARN ") && written[2].contains("your clock"), "{written:?}");
}

#[test]
fn an_absent_leader_and_an_equivocator_do_not_fill_the_log() {
    let proposal = |block| {
        Statement::Proposal(SignedProposal {
            height: Height(1),
            round: Round(0),
            valid_round: None,
            block: BlockHash([block; 32]),
            proposer: NodeId([1; 32]),
            signature: Signature([block; 64]),
        })
    };
    let evidence = Evidence { node: NodeId([1; 32]), first: proposal(1), second: proposal(2) };
    let written = lines(|sink| {
        for height in 0..360 {
            let (height, round, leader) = (Height(height), Round(1), NodeId([1; 32]));
            sink.event(&Event::RoundStarted { height, round, leader });
            sink.event(&Event::Equivocation(Box::new(evidence.clone())));
        }
    });
    assert_eq!(written.len(), 10, "{written:?}");
    let warned = written.iter().find(|line| line.contains("WARN")).unwrap();
    assert!(warned.contains("kind=\"proposal\" height=1 round=0"), "{warned}");
}

#[test]
fn catching_up_is_a_beginning_and_an_end() {
    let written = lines(|sink| {
        for height in 0..1_000 {
            let (height, target) = (Height(height), Height(1_000));
            sink.event(&Event::Sync(SyncState::Syncing { height, target }));
            committed(sink, height.0 + 1, CommittedVia::Sync);
        }
        sink.event(&Event::Sync(SyncState::Synced));
    });
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(written[0].contains("1,000 blocks are missing"), "{written:?}");
    assert!(written[1].contains("caught up height=1000 blocks=1000"), "{written:?}");
}
