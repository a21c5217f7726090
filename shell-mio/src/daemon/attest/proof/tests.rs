//! Proofs as their witnesses sign them, and as those who would change them do.

use ed25519_dalek::{Signer as _, SigningKey};
use timed_core::wire::codec::encode_body;
use timed_core::wire::message::{Message, Witness};
use timed_core::{BlockHash, BootEpoch, Height, Masternode, NetworkName};

use super::super::text;
use super::*;

const PERIOD: Duration = Duration::from_secs(300);
/// The start of a sample.
const START: u64 = 6_000_000 * 300_000;

fn key(node: u8) -> SigningKey {
    SigningKey::from_bytes(&[node + 1; 32])
}

fn id(node: u8) -> NodeId {
    NodeId(key(node).verifying_key().to_bytes())
}

fn genesis(size: u8) -> Genesis {
    let entry =
        |node| Masternode { id: id(node), addr: format!("10.0.0.{}:24100", node + 1).parse().unwrap() };
    Genesis {
        network: NetworkName::new("testnet").unwrap(),
        block_interval: Duration::from_secs(10),
        genesis_time: None,
        registry: Registry::new((0..size).map(entry).collect()).unwrap(),
    }
}

/// A heartbeat of this node, this many milliseconds after [`START`], that names these others.
fn beat(genesis: &Genesis, node: u8, sequence: u64, after: u64, named: &[&Heartbeat]) -> Heartbeat {
    let mut witnessed: Vec<Witness> = named
        .iter()
        .map(|other| Witness {
            signer: genesis.registry.index_of(&other.signer).unwrap(),
            sequence: other.sequence,
            digest: signing::heartbeat_digest(other),
        })
        .collect();
    witnessed.sort_by_key(|witness| witness.signer);
    let beat = Heartbeat {
        network: NetworkId::of(&genesis.network),
        signer: id(node),
        epoch: BootEpoch(1),
        sequence,
        wall: Wall(START + after),
        height: Height(1),
        tip: BlockHash([7; 32]),
        registry: genesis.registry.hash().tag(),
        links: vec![],
        duplicates: 0,
        witnessed,
        signature: timed_core::Signature([0; 64]),
    };
    signed(node, beat)
}

fn signed(node: u8, mut beat: Heartbeat) -> Heartbeat {
    beat.signature = timed_core::Signature(key(node).sign(&signing::heartbeat(&beat)).to_bytes());
    beat
}

fn line(beat: &Heartbeat) -> String {
    let mut body = Vec::new();
    encode_body(&Message::Heartbeat(Box::new(beat.clone())), &mut body);
    text::line(&body)
}

fn file(genesis: &Genesis, lines: impl IntoIterator<Item = String>) -> String {
    let head = Head { genesis: genesis.hash(), period: PERIOD }.to_string();
    [head].into_iter().chain(lines).map(|line| line + "\n").collect()
}

/// A sample of a period in which these were there: each makes two heartbeats, as in a full mesh.
fn sampled(genesis: &Genesis, period: u64, there: &[u8]) -> Vec<Heartbeat> {
    let (at, mut newest) = (period * 300_000, BTreeMap::new());
    let mut all: Vec<Heartbeat> = Vec::new();
    for turn in 0..2 {
        for node in there {
            let named: Vec<&Heartbeat> =
                newest.iter().filter(|(other, _)| *other != node).map(|(_, beat)| beat).collect();
            let after = at + turn * 10_000 + u64::from(*node) * 1_000;
            let made = beat(genesis, *node, 100 * period + turn + 1, after, &named);
            newest.insert(*node, made.clone());
            all.push(made);
        }
    }
    all
}

fn lines(beats: &[Heartbeat]) -> Vec<String> {
    beats.iter().map(line).collect()
}

fn judged(genesis: &Genesis, text: &str) -> Shown {
    judge(genesis, &[text]).unwrap()
}

fn presence(shown: &Shown, node: u8) -> &Presence {
    shown.nodes.iter().find(|presence| presence.node == id(node)).unwrap()
}

#[test]
fn who_was_there_is_shown_with_its_witnesses_and_who_was_not_with_its_gap() {
    let genesis = genesis(4);
    let text: Vec<String> = (0..6)
        .flat_map(|period| {
            let there: &[u8] = if (2..4).contains(&period) { &[0, 1, 3] } else { &[0, 1, 2, 3] };
            lines(&sampled(&genesis, period, there))
        })
        .collect();
    let shown = judged(&genesis, &file(&genesis, text));
    assert_eq!((shown.periods, shown.needed, shown.invalid.len()), (6, 2, 0));
    assert_eq!(shown.span, Some((Wall(START), Wall(START + 6 * 300_000))));
    for node in [0, 1, 3] {
        let there = presence(&shown, node);
        assert_eq!((there.attested, there.heard, there.gaps.len(), there.witnesses.len()), (6, 6, 0, 3));
    }
    let away = presence(&shown, 2);
    assert_eq!((away.attested, away.witnesses.len()), (4, 3));
    assert_eq!(away.gaps, [Gap { from: Wall(START + 600_000), to: Wall(START + 1_200_000) }]);
}

#[test]
fn a_heartbeat_that_too_few_name_proves_nothing() {
    let genesis = genesis(4);
    let mine = beat(&genesis, 2, 1, 0, &[]);
    let one = beat(&genesis, 0, 1, 1_000, &[&mine]);
    let others: Vec<String> = lines(&sampled(&genesis, 0, &[0, 1, 3]));
    let with = |more: &[Heartbeat]| {
        let all: Vec<String> = others.iter().cloned().chain(lines(more)).collect();
        let shown = judged(&genesis, &file(&genesis, all));
        (presence(&shown, 2).attested, presence(&shown, 2).heard)
    };
    let renumbered =
        |node, after| signed(node, Heartbeat { sequence: 50, ..beat(&genesis, node, 50, after, &[&mine]) });
    assert_eq!(with(std::slice::from_ref(&mine)), (0, 1), "its own word is no proof");
    let first = renumbered(0, 1_000);
    assert_eq!(
        with(&[mine.clone(), first.clone(), signed(0, Heartbeat { sequence: 51, ..one })]),
        (0, 1),
        "one twice"
    );
    assert_eq!(with(&[mine.clone(), first.clone(), renumbered(1, 2_000)]), (1, 1));
    assert_eq!(with(&[mine.clone(), first, renumbered(1, 96_000)]), (0, 1), "nobody names what is 96 s old");
}

#[test]
fn whoever_changes_a_line_is_caught_with_its_number() {
    let genesis = genesis(4);
    let sound = sampled(&genesis, 0, &[0, 1, 2, 3]);
    let foreign = |edit: fn(&mut Heartbeat)| {
        let mut beat = sound[0].clone();
        edit(&mut beat);
        beat
    };
    let mut longer = sound[7].clone();
    longer.witnessed.pop();
    for (what, bad, says) in [
        ("a claim", line(&foreign(|beat| beat.wall = Wall(beat.wall.0 + 1))), "signature"),
        ("a witness less", line(&longer), "signature"),
        ("another network", line(&foreign(|beat| beat.network = NetworkId([0; 4]))), "network"),
        ("a stranger", line(&signed(9, Heartbeat { signer: id(9), ..sound[0].clone() })), "registry"),
        ("a second word", line(&beat(&genesis, 0, sound[0].sequence, 7, &[])), "another heartbeat"),
        ("naming oneself", line(&beat(&genesis, 0, 9, 7, &[&sound[0]])), "itself"),
        ("no number", line(&beat(&genesis, 0, 0, 7, &[])), "counted from 1"),
        ("no hex", "xyz".to_owned(), "hexadecimal"),
        ("half a line", line(&sound[0])[..100].to_owned(), "no heartbeat"),
    ] {
        let mut all = lines(&sound);
        all.insert(3, bad);
        let shown = judged(&genesis, &file(&genesis, all));
        let [invalid] = &shown.invalid[..] else { panic!("{what}: {:?}", shown.invalid) };
        assert_eq!(invalid.line, 5, "{what}");
        assert!(invalid.why.contains(says), "{what}: {}", invalid.why);
        assert_eq!(presence(&shown, 1).attested, 1, "{what}: the others prove what they did");
    }
}

#[test]
fn a_proof_without_its_first_line_or_of_another_network_is_none() {
    let (ours, theirs) = (genesis(4), genesis(3));
    let sample = lines(&sampled(&ours, 0, &[0, 1, 2, 3]));
    let headless = judged(&ours, &sample.join("\n"));
    assert_eq!((headless.heartbeats, headless.invalid.len()), (0, sample.len()));
    assert!(headless.invalid[0].why.contains("timed-attestations-v1"), "{:?}", headless.invalid[0]);
    let refused = judge(&theirs, &[&file(&ours, sample)]);
    assert_eq!(refused, Err(Refused::OtherNetwork { file: 0, line: 1, genesis: ours.hash() }));
}

#[test]
fn files_of_several_nodes_prove_together_and_what_they_share_counts_once() {
    let genesis = genesis(4);
    let all = sampled(&genesis, 0, &[0, 1, 2, 3]);
    let halves = [file(&genesis, lines(&all[..5])), file(&genesis, lines(&all[3..]))];
    let alone = judged(&genesis, &halves[0]);
    let together = judge(&genesis, &[&halves[0], &halves[1]]).unwrap();
    assert!(alone.nodes.iter().map(|node| node.attested).sum::<usize>() < 4);
    assert_eq!((together.heartbeats, together.invalid.len()), (8, 0));
    assert!(together.nodes.iter().all(|node| node.attested == 1));
}

#[test]
fn a_liar_s_date_stretches_nobody_s_record() {
    let genesis = genesis(4);
    let mut all = lines(&sampled(&genesis, 0, &[0, 1, 2, 3]));
    all.push(line(&beat(&genesis, 3, 999, 1_000_000_000_000, &[])));
    let shown = judged(&genesis, &file(&genesis, all));
    assert_eq!((shown.periods, presence(&shown, 0).gaps.len()), (1, 0));
}

#[test]
fn after_a_change_of_the_registry_signatures_hold_and_positions_do_not() {
    let genesis = genesis(4);
    let moved = |beat: &Heartbeat| {
        let node = (0..4).find(|node| id(*node) == beat.signer).unwrap();
        signed(node, Heartbeat { registry: timed_core::RegistryTag([9; 8]), ..beat.clone() })
    };
    let elsewhere: Vec<Heartbeat> = sampled(&genesis, 0, &[0, 1, 2, 3]).iter().map(moved).collect();
    let shown = judged(&genesis, &file(&genesis, lines(&elsewhere)));
    assert_eq!((shown.heartbeats, shown.elsewhere, shown.invalid.len()), (8, 8, 0));
    assert!(shown.nodes.iter().all(|node| node.attested == 0));
}
