//! Bodies that must be refused.

use timed_core::limits::{CHUNK, MAX_OFFERED, PART};
use timed_core::wire::codec;
use timed_core::wire::message::{Kind, Message};
use timed_tests::samples;

use super::{Vectors, body};

#[test]
fn what_is_not_canonical_is_refused() {
    let mut vectors = Vectors::new(
        "Bodies that must be refused, each one step away from a good one, and why.\n\
         A receiver closes the link with bad_message.",
    );
    let hello = body(&sample("hello_canonical"));
    let observer = body(&sample("hello_observer"));
    let knock = body(&sample("hello_knock_register"));
    let ack = body(&sample("hello_ack_accepted"));
    let ping = body(&sample("ping"));
    let beat = body(&sample("heartbeat_linked"));
    let alone = body(&sample("heartbeat_alone"));
    let peers = body(&sample("peers"));
    let mapped = [&[6][..], &[0; 10], &[0xff, 0xff, 10, 0, 0, 1]].concat();
    let mapped = [&hello[..33], &mapped, &hello[38..]].concat();
    let addr = 33;
    let observed = addr + 7 + 16 + 64 + 1 + 1;
    let versions = observed + 7;
    let role = versions + 6 + 8 + 4 + 32 + 8 + 32;
    let agent = role + 1;
    let intent = agent + 2 + 11 + 33 + 8;
    let links = 4 + 32 + 4 * 8 + 32 + 8;
    let witnesses = links + 2 + 3 * 11 + 2;
    for (name, kind, bad) in [
        ("empty", Kind::Ping, vec![]),
        ("one_byte_short", Kind::Ping, ping[..7].to_vec()),
        ("one_byte_more", Kind::Ping, insert(&ping, 8, &[0])),
        ("over_the_limit", Kind::Ping, vec![0; 17]),
        ("another_kind", Kind::Hello, ack.clone()),
        ("no_signature", Kind::Hello, hello[..hello.len() - 64].to_vec()),
        ("option_tag_2", Kind::Hello, with(&hello, 32, &[2])),
        ("address_tag_5", Kind::Hello, with(&hello, addr, &[5])),
        ("address_mapped", Kind::Hello, mapped),
        ("address_unspecified", Kind::Hello, with(&hello, addr + 1, &[0; 4])),
        ("address_multicast", Kind::Hello, with(&hello, addr + 1, &[224, 0, 0, 1])),
        ("address_broadcast", Kind::Hello, with(&hello, addr + 1, &[255; 4])),
        ("address_port_0", Kind::Hello, with(&hello, addr + 5, &[0; 2])),
        ("observed_port_0", Kind::Hello, with(&hello, observed + 5, &[0; 2])),
        ("versions_reversed", Kind::Hello, with(&hello, versions, &[2, 0, 1, 0])),
        ("role_2", Kind::Hello, with(&hello, role, &[2])),
        ("agent_of_33", Kind::Hello, insert(&with(&hello, agent, &[33, 0]), agent + 2, &[b'a'; 22])),
        ("agent_claims_65535", Kind::Hello, with(&hello, agent, &[0xff, 0xff])),
        ("agent_with_newline", Kind::Hello, with(&hello, agent + 2, b"\n")),
        ("agent_not_ascii", Kind::Hello, with(&hello, agent + 2, "é".as_bytes())),
        ("intent_3", Kind::Hello, with(&hello, intent, &[3])),
        ("dialed_because_3", Kind::Hello, with(&hello, intent + 1, &[3])),
        ("dialer_rank_2", Kind::Hello, with(&knock, intent + 2 + 24, &[2])),
        ("seen_cut", Kind::Hello, observer[..32 + 1 + 16 + 64 + 1 + 20].to_vec()),
        ("answer_5", Kind::HelloAck, with(&ack, ack.len() - 65, &[5])),
        ("refused_without_reason", Kind::HelloAck, with(&ack, ack.len() - 65, &[3])),
        ("links_claim_129", Kind::Heartbeat, with(&alone, links, &[129, 0])),
        ("links_claim_65535", Kind::Heartbeat, with(&alone, links, &[0xff, 0xff])),
        ("links_repeated", Kind::Heartbeat, with(&beat, links + 2 + 11, &[0])),
        ("links_descending", Kind::Heartbeat, with(&beat, links + 2, &[3])),
        ("link_index_128", Kind::Heartbeat, with(&beat, links + 2 + 22, &[128])),
        ("link_direction_2", Kind::Heartbeat, with(&beat, links + 3, &[2])),
        ("witnesses_claim_129", Kind::Heartbeat, with(&beat, witnesses, &[129, 0])),
        ("witnesses_repeated", Kind::Heartbeat, with(&beat, witnesses + 2 + 17, &[0])),
        ("peers_claim_65", Kind::Peers, with(&peers, 0, &[65, 0])),
        ("peers_claim_more_than_there_are", Kind::Peers, with(&peers, 0, &[3, 0])),
        ("peers_repeated", Kind::Peers, [&[2, 0], &peers[2..45], &peers[2..45]].concat()),
        ("peers_descending", Kind::Peers, [&peers[..2], &peers[45..], &peers[2..45]].concat()),
        ("peers_port_0", Kind::Peers, with(&peers, 2 + 32 + 5, &[0, 0])),
        ("get_peers_cut", Kind::GetPeers, vec![64]),
        ("witness_index_128", Kind::Heartbeat, with(&beat, witnesses + 2 + 17, &[128])),
    ] {
        put(&mut vectors, name, kind, &bad);
    }
    for (name, kind, bad) in about_blocks() {
        put(&mut vectors, name, kind, &bad);
    }
    vectors.settle("bad_messages.toml");
}

fn sample(name: &str) -> Message {
    samples::messages().into_iter().find(|(other, _)| other == name).map(|(_, message)| message).unwrap()
}

fn with(good: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut bad = good.to_vec();
    bad[at..at + bytes.len()].copy_from_slice(bytes);
    bad
}

fn insert(good: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&good[..at], bytes, &good[at..]].concat()
}

fn put(vectors: &mut Vectors, name: &str, kind: Kind, bad: &[u8]) {
    let reason = codec::decode_body(kind, bad).unwrap_err();
    vectors.begin(name);
    vectors.number("kind", kind.code().into());
    vectors.bytes("body", bad);
    vectors.text("refused", &format!("{reason:?}"));
}

fn about_blocks() -> Vec<(&'static str, Kind, Vec<u8>)> {
    let proposal = body(&sample("proposal_first"));
    let vote = body(&sample("vote_prevote"));
    let polka = body(&sample("polka"));
    let commit = body(&sample("commit"));
    let held = body(&sample("held"));
    let chunk = body(&sample("chunk_empty"));
    let part = body(&sample("block_part"));
    let end = body(&sample("blocks_end_nothing"));
    let (valid, outline) = (180 + 4, 180 + 4 + 1 + 1);
    let (block, signers) = (1 + 8 + 4, 1 + 8 + 4 + 32);
    let rounds = 8 + 4 + 33 + 2;
    let length = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
    let chunk_of = |claimed: usize, there: usize| {
        [&chunk[..chunk.len() - 4], &length(claimed), &vec![0; there]].concat()
    };
    let part_of = |claimed: usize| [&part[..20], &length(claimed)].concat();
    let count = u16::try_from(MAX_OFFERED).unwrap() + 1;
    vec![
        ("proposal_valid_round_tag_2", Kind::Proposal, with(&proposal, valid, &[2])),
        ("proposal_outline_without_chunks", Kind::Proposal, with(&proposal, outline, &[1])),
        ("proposal_outline_without_length", Kind::Proposal, {
            insert(&with(&proposal, outline + 4, &[1]), outline + 6, &[0; 32])
        }),
        ("proposal_outline_claims_71", Kind::Proposal, with(&proposal, outline + 4, &[71])),
        ("vote_kind_2", Kind::Vote, with(&vote, 0, &[2])),
        ("vote_block_tag_2", Kind::Vote, with(&vote, block, &[2])),
        ("polka_of_precommits", Kind::Polka, commit),
        ("commit_of_prevotes", Kind::Commit, polka.clone()),
        ("polka_signature_too_many", Kind::Polka, insert(&polka, polka.len(), &[0; 64])),
        ("polka_signature_missing", Kind::Polka, polka[..polka.len() - 64].to_vec()),
        ("polka_signer_without_signature", Kind::Polka, with(&polka, signers, &[0b111])),
        ("held_rounds_repeated", Kind::Held, with(&held, rounds + 36, &[1])),
        ("held_rounds_descending", Kind::Held, with(&held, rounds, &[3])),
        ("held_claims_5", Kind::Held, with(&held, rounds - 2, &[5])),
        ("chunk_too_long", Kind::Chunk, chunk_of(CHUNK + 1, 0)),
        ("chunk_claims_more_than_there_is", Kind::Chunk, chunk_of(2, 1)),
        ("chunk_has_more_than_it_claims", Kind::Chunk, chunk_of(1, 2)),
        ("transaction_empty", Kind::Transaction, vec![]),
        ("transaction_offer_claims_513", Kind::TransactionOffer, count.to_le_bytes().to_vec()),
        ("transaction_want_cut", Kind::TransactionWant, [&[1, 0][..], &[0; 31]].concat()),
        ("block_part_too_long", Kind::BlockPart, part_of(PART + 1)),
        ("blocks_end_served_3", Kind::BlocksEnd, with(&end, 8, &[3])),
        ("blocks_end_busy_without_time", Kind::BlocksEnd, with(&end, 8, &[2])),
    ]
}
