//! Whoever crashes goes on where it was, and contradicts nothing that it has said: the network notes every
//! statement that leaves a host, over all its lives, and every final block.

use super::*;

/// A network of three, each of which is needed, in which one host crashes when so many of its records are durable:
/// before it learns of the last, or right after.
fn crash_at(point: usize, moment: Moment) {
    let mut net = Net::new(3);
    net.crash_at = Some((1, point, moment));
    net.run(SECOND * 21);
    assert!(net.crash_at.is_none(), "there was no record {point}");
    let height = net.height(0);
    net.restart(1);
    net.run(INTERVAL * 4);
    assert!(net.heights().iter().all(|now| *now >= height + 2), "{point} {moment:?}: {:?}", net.heights());
}

#[test]
fn prod_06_a_restart_at_every_durable_point_signs_nothing_twice_and_goes_on() {
    for point in 1..=8 {
        for moment in [Moment::Before, Moment::After] {
            crash_at(point, moment);
        }
    }
}

#[test]
fn prod_06_all_crash_together_and_go_on() {
    for after in [0, 5, 11, 26, 31, 36, 46, 52, 57, 62, 67] {
        let mut net = Net::new(4);
        net.run(LEAD + Duration::from_millis(after));
        (0..4).for_each(|host| net.crash(host));
        net.run(SECOND * 3);
        (0..4).for_each(|host| net.restart(host));
        net.run(INTERVAL * 4);
        assert!(net.heights().iter().all(|height| *height >= 3), "{after} ms: {:?}", net.heights());
    }
}

#[test]
fn prod_06_a_lost_record_beside_blocks_is_silent_until_it_is_safe() {
    let mut net = Net::new(4);
    net.run(SECOND * 45);
    net.crash(2);
    net.hosts[2].records.remove(&RecordKey::Voting);
    net.restart(2);
    net.run(SECOND * 3);
    assert!(matches!(
        net.hosts[2].chain.overview().producing,
        Producing::No(NotProducing::VotingRecord { until_above: Height(6) })
    ));
    net.run(SECOND * 36);
    assert_eq!(net.hosts[2].chain.overview().producing, Producing::Yes);
    net.run(INTERVAL * 3);
    assert!(net.heights().iter().all(|height| *height >= 9), "{:?}", net.heights());
}

#[test]
fn fork_a_store_of_another_genesis_is_refused_at_the_start() {
    let mut net = Net::new(1);
    net.run(SECOND * 25);
    let host = &net.hosts[0];
    let start = |genesis| net.start(genesis, 0, &host.records, &host.blocks, 1).map(|_| ());
    assert_eq!(start(GENESIS), Ok(()));
    assert_eq!(start(GenesisHash([0xee; 32])), Err(ConfigError::OtherGenesis(Height(net.height(0)))));
}

#[test]
fn sync_mere_lag_is_caught_up_with_and_no_reason_to_be_silent() {
    let mut net = Net::new(4);
    net.run(SECOND * 15);
    net.crash(3);
    net.run(INTERVAL * 20);
    net.restart(3);
    net.run(SECOND * 5);
    assert_eq!(net.height(3), net.height(0));
    assert_eq!(net.hosts[3].chain.overview().producing, Producing::Yes);
    assert!(net.committed(3).iter().filter(|(.., via)| *via == CommittedVia::Sync).count() >= 19);
}

#[test]
fn prod_06_silence_outlasts_a_restart_and_nothing_is_said_until_it_ends() {
    let mut net = Net::new(4);
    net.run(SECOND * 45);
    net.crash(2);
    net.hosts[2].records.remove(&RecordKey::Voting);
    let silent = |net: &Net| {
        let reason = NotProducing::VotingRecord { until_above: Height(6) };
        net.hosts[2].chain.overview().producing == Producing::No(reason)
    };
    for _ in 0..2 {
        net.restart(2);
        net.run(SECOND * 2);
        assert!(silent(&net));
        net.crash(2);
    }
    net.restart(2);
    net.run(INTERVAL * 5);
    let spoke = |net: &Net, above: u64| {
        net.said.keys().any(|(author, height, ..)| *author == id(2) && height.0 == above)
    };
    assert_eq!([4, 5, 6, 8].map(|height| spoke(&net, height)), [true, false, false, true]);
}

/// The disk is gone. That it has voted is told by the certificates of the blocks that it fetches.
#[test]
fn prod_06_own_votes_in_fetched_certificates_silence_whoever_has_no_record_of_them() {
    let mut net = Net::new(4);
    net.run(SECOND * 45);
    net.crash(2);
    net.hosts[2].records.clear();
    net.hosts[2].blocks.clear();
    net.restart(2);
    net.run(SECOND * 3);
    assert_eq!(net.height(2), net.height(0));
    let word = net.hosts[2].chain.overview().producing;
    assert!(matches!(word, Producing::No(NotProducing::VotingRecord { .. })), "{word:?}");
}

#[test]
fn prod_06_others_that_have_seen_a_later_boot_silence_in_the_middle_of_a_height() {
    let mut net = Net::new(4);
    net.run(LEAD + SECOND * 14);
    net.lose = Box::new(|from, to, message| to == 2 && from == 3 && matches!(message, Message::Proposal(_)));
    net.run(SECOND * 2);
    let later = Boot { epoch: BootEpoch(9), ..Boot::default() };
    for peer in [0, 1] {
        let tip = net.hosts[peer].chain.tip();
        net.call(2, |chain, now, signer, effects| {
            chain.link_up(now, id(peer), (tip.height, tip.hash), Some(later), signer, effects);
        });
    }
    let consensus = net.hosts[2].chain.consensus.as_ref().unwrap();
    assert_eq!(consensus.voice(), consensus::Voice::Silent);
}

/// Runs until a host has a block on its disk, and lets it crash then.
fn crash_with_a_block(net: &mut Net, host: usize) {
    while net.hosts[host].blocks.is_empty() {
        net.run(Duration::from_millis(1));
    }
    net.crash(host);
}

#[test]
fn prod_06_whoever_crashes_before_its_first_word_has_a_record_beside_its_blocks() {
    let mut net = Net::new(4);
    net.crash(3);
    net.run(SECOND * 45);
    assert!(net.hosts[3].records.is_empty() && net.hosts[3].blocks.is_empty());
    net.restart(3);
    crash_with_a_block(&mut net, 3);
    let record = VotingRecord::decode(&net.hosts[3].records[&RecordKey::Voting]).unwrap();
    assert!(record.says_nothing() && record.question.is_some());
    net.restart(3);
    net.run(SECOND * 5);
    assert_eq!(net.hosts[3].chain.overview().producing, Producing::Yes);
}

#[test]
fn prod_06_a_lost_disk_is_silent_even_if_its_first_processes_crash_before_they_ask() {
    let mut net = Net::new(4);
    net.run(SECOND * 45);
    net.crash(2);
    net.hosts[2].records.clear();
    net.hosts[2].blocks.clear();
    net.restart(2);
    crash_with_a_block(&mut net, 2);
    for _ in 0..2 {
        net.restart(2);
        net.run(Duration::from_millis(300));
        assert_eq!(net.hosts[2].chain.overview().producing, Producing::Yes, "it has not asked yet");
        net.crash(2);
    }
    net.restart(2);
    net.run(SECOND * 3);
    let word = net.hosts[2].chain.overview().producing;
    assert!(matches!(word, Producing::No(NotProducing::VotingRecord { .. })), "{word:?}");
}
