//! Campaigns: storms of faults on networks that make blocks, each followed by a calm. `--bin sim` runs longer ones.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use timed_tests::sim::{Campaign, Fault, Tally, Traitor, Weather, noise, null, seed, seeds};

fn campaign(seed: u64, masternodes: usize, minutes: u64, weather: Weather) -> Campaign {
    Campaign {
        seed,
        masternodes,
        observers: 0,
        interval: Duration::from_secs(1),
        time: Duration::from_secs(60 * minutes),
        weather,
        traitor: Traitor::None,
        provider: null,
    }
}

fn all() -> Weather {
    Weather::Storms(Fault::ALL.into_iter().chain(Fault::CHAIN).collect())
}

fn run(campaign: &Campaign) -> Tally {
    campaign.run(None, |_| {})
}

#[test]
fn networks_of_any_size_survive_storms_of_everything() {
    for seed in seeds(12) {
        let masternodes = [1, 2, 3, 4, 5, 7][usize::try_from(seed % 6).unwrap()];
        let observers = usize::from(seed.is_multiple_of(3));
        let interval =
            [Duration::from_millis(500), Duration::from_secs(10)][usize::from(seed.is_multiple_of(2))];
        let tally = run(&Campaign { observers, interval, ..campaign(seed, masternodes, 5, all()) });
        assert!(tally.storms > 0 && tally.blocks > 0, "{tally}");
    }
}

#[test]
fn networks_survive_storms_with_a_traitor_among_them() {
    for seed in seeds(4) {
        run(&Campaign {
            traitor: Traitor::First,
            ..campaign(seed, 4 + usize::try_from(seed % 3).unwrap(), 5, all())
        });
    }
}

#[test]
fn every_fault_has_its_turn() {
    for (number, fault) in (1..).zip(Fault::ALL.into_iter().chain(Fault::CHAIN)) {
        let tally = run(&campaign(seed(number), 4, 1, Weather::Storms(vec![fault])));
        assert!(
            tally.faults.iter().all(|(of, times)| *of == fault && *times > 0),
            "{fault:?}: {:?}",
            tally.faults
        );
    }
}

#[test]
fn without_faults_nothing_moves_but_the_chain() {
    let tally = run(&campaign(seed(1), 7, 30, Weather::Fair));
    assert_eq!((tally.links, tally.late), (21, 0));
}

#[test]
fn an_hour_with_real_cryptography() {
    let campaign = campaign(seed(1), 5, 60, all());
    let tally = run(&Campaign { provider: noise, interval: Duration::from_secs(10), ..campaign });
    assert!(tally.time >= Duration::from_secs(3_600), "{tally}");
}

#[test]
fn c7_a_campaign_is_the_same_run_bit_for_bit() {
    let storms =
        |seed| run(&Campaign { traitor: Traitor::First, observers: 1, ..campaign(seed, 4, 3, all()) });
    let seed = seed(8);
    assert_eq!(storms(seed), storms(seed));
    assert_ne!(storms(seed).hash, storms(seed + 1).hash);
}
