//! What others say of a later start of our key (rules E-5 to E-7): without that start's own signature it is worth
//! nothing, whoever says it and however often.

use timed_core::wire::message::{Answer, Boot, Intent, ProvenBoot};
use timed_core::{
    BootEpoch, BootNonce, CloseReason, Command, Config, DialedBecause, Event, Fatal, Input, Signature,
    Ticket, TransportCause, Warning,
};
use timed_tests::driver::{Crypto, NODE, START, addr, config};
use timed_tests::scripted::Actor;
use timed_tests::stage::{Stage, secs};

/// A masternode that the driven node dials.
const WITNESS: u8 = 3;
const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);

/// A later start of the node's key.
fn later() -> Boot {
    Boot { epoch: BootEpoch(START.wall.0 + 60_000), nonce: BootNonce(77) }
}

fn made_up() -> ProvenBoot {
    ProvenBoot { boot: later(), proof: Signature([0x5e; 64]) }
}

fn halted(stage: &Stage) -> bool {
    let fatal = |command: &Command| matches!(command, Command::Event(Event::Fatal(Fatal::KeyInUse { .. })));
    stage.commands.iter().any(fatal)
}

fn raised(stage: &Stage) -> bool {
    let raised =
        |command: &Command| matches!(command, Command::Event(Event::Warning(Warning::EpochRaised { .. })));
    stage.commands.iter().any(raised)
}

/// A refusal of a dial of the node to the witness.
fn refuse(stage: &mut Stage, witness: &mut Actor, reason: CloseReason) {
    let conn = stage.dials_within(addr(WITNESS), secs(30)).expect("it dials the witness");
    stage.answered(conn, witness, Answer::Refused(reason));
    stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
}

/// A confirmed node and a witness that claims to have seen a later start.
fn confirmed(crypto: Crypto, seen: ProvenBoot) -> (Stage, Actor) {
    let mut stage = Stage::new(crypto);
    stage.live(1);
    let mut witness = stage.actor(WITNESS);
    witness.from.seen = Some(seen);
    (stage, witness)
}

#[test]
fn e_7_a_liar_does_not_halt_a_node() {
    for crypto in [Crypto::Null, Crypto::Noise] {
        for reason in [CloseReason::KeyInUse, CloseReason::StaleEpoch] {
            let (mut stage, mut witness) = confirmed(crypto, made_up());
            for _ in 0..3 {
                refuse(&mut stage, &mut witness, reason);
            }
            assert!(!halted(&stage) && !raised(&stage), "{reason}");
            assert_eq!(stage.peers().len(), 1);
        }
        let (mut stage, mut witness) = confirmed(crypto, made_up());
        let (_, answer) = stage.introduced(&mut witness, WITNESS, CANONICAL);
        assert_eq!(answer, Answer::Accepted, "what it claims is not looked at");
        assert!(!halted(&stage) && stage.peers().len() == 2);
    }
}

#[test]
fn e_7_a_proof_of_another_key_network_or_start_is_none() {
    let mut stage = Stage::new(Crypto::Noise);
    let start = later();
    let of_the_witness = stage.actor(WITNESS).proven(start).proof;
    let mut twin = stage.actor(NODE);
    let of_an_earlier_start = twin.proven(Boot { epoch: BootEpoch(start.epoch.0 - 1), ..start }).proof;
    twin.from.genesis.0[0] ^= 1;
    let of_another_network = twin.proven(start).proof;
    stage.live(1);
    for proof in [of_the_witness, of_an_earlier_start, of_another_network] {
        let mut witness = stage.actor(WITNESS);
        witness.from.seen = Some(ProvenBoot { boot: start, proof });
        refuse(&mut stage, &mut witness, CloseReason::KeyInUse);
        assert!(!halted(&stage));
    }
}

#[test]
fn e_6_one_proof_halts_whoever_shows_it_in_either_word() {
    for crypto in [Crypto::Null, Crypto::Noise] {
        for reason in [CloseReason::KeyInUse, CloseReason::StaleEpoch] {
            let proven = Stage::new(crypto).actor(NODE).proven(later());
            let (mut stage, mut witness) = confirmed(crypto, proven);
            refuse(&mut stage, &mut witness, reason);
            assert!(halted(&stage), "{reason}");
        }
        let proven = Stage::new(crypto).actor(NODE).proven(later());
        let (mut stage, mut witness) = confirmed(crypto, proven);
        let conn = stage.accept(WITNESS);
        let (dialing, opening) = witness.dial();
        stage.data(conn, &opening);
        let reply = stage.sent(conn);
        let mut line = dialing.reply(&reply).expect("a reply");
        let hello = witness.hello(&line, timed_core::DialOrdinal(1), CANONICAL, None);
        let bytes = line.say(&timed_core::wire::message::Message::Hello(Box::new(hello)));
        stage.data(conn, &bytes);
        assert!(halted(&stage), "a Hello");
    }
}

#[test]
fn e_5_a_newcomer_raises_its_epoch_for_a_proof_only() {
    let fresh = || {
        let mut stage = Stage::with(Crypto::Null, Config { ..config(Crypto::Null) });
        let proven = stage.actor(NODE).proven(later());
        stage.took();
        (stage, proven)
    };
    let (mut stage, proven) = fresh();
    let mut witness = stage.actor(WITNESS);
    witness.from.seen = Some(ProvenBoot { proof: Signature::default(), ..proven });
    refuse(&mut stage, &mut witness, CloseReason::StaleEpoch);
    assert!(!raised(&stage));
    let (mut stage, proven) = fresh();
    let mut witness = stage.actor(WITNESS);
    witness.from.seen = Some(proven);
    refuse(&mut stage, &mut witness, CloseReason::StaleEpoch);
    assert!(raised(&stage));
    // From now on it introduces itself with the new epoch, and proves it.
    let ticket = stage.commands.iter().rev().find_map(|command| match command {
        Command::Persist { ticket, .. } => Some(*ticket),
        _ => None,
    });
    stage.handle(Input::Persisted(ticket.unwrap_or(Ticket(1))));
    stage.took();
    witness.from.seen = None;
    let conn = stage.dials_within(addr(WITNESS), secs(30)).expect("it tries again");
    let hello = stage.answered(conn, &mut witness, Answer::Accepted);
    assert_eq!(hello.from.boot.epoch, BootEpoch(later().epoch.0 + 1));
    let proven = stage.actor(NODE).proven(hello.from.boot);
    assert_eq!(hello.from.proof, proven.proof);
}

/// What a node has seen of another's key is told with the proof that came with it.
#[test]
fn e_7_what_was_seen_is_told_with_its_proof() {
    let mut stage = Stage::new(Crypto::Null);
    let conn = stage.live(1);
    let mut peer = stage.actor(1);
    let proven = peer.proven(peer.from.boot);
    stage.handle(Input::Closed { conn, cause: TransportCause::Reset });
    stage.took();
    // An earlier start of the same key is refused, and told why.
    peer.from.boot.epoch = BootEpoch(peer.from.boot.epoch.0 - 1);
    let from = std::net::SocketAddr::new(addr(1).ip(), 40_001);
    let (_, ack) = stage.called(&mut peer, from, CANONICAL);
    assert_eq!(ack.answer, Answer::Refused(CloseReason::StaleEpoch));
    assert_eq!(ack.from.seen, Some(proven));
}
