//! C1, C2, C3 and C7: the same calls make the same node, however its commands are taken.

use proptest::prelude::*;
use timed_core::{Command, Input, Transmit};
use timed_tests::driver::{Call, Crypto, Driver, Outcome, config, replay, start};

use timed_tests::stage::{Stage, secs};

const SEED: [u8; 32] = [5; 32];

fn life() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..1_500)
}

fn recorded(crypto: Crypto, bytes: &[u8]) -> Vec<Call> {
    let mut driver = Driver::new(crypto, SEED);
    driver.run(bytes);
    driver.calls().to_vec()
}

fn again(crypto: Crypto, calls: &[Call], drain: impl FnMut(usize) -> usize) -> Outcome {
    replay(start(crypto, config(crypto), SEED), calls, drain, |_| {})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn c1_commands_may_be_taken_at_any_time(bytes in life(), patience in 1..50usize) {
        let calls = recorded(Crypto::Null, &bytes);
        let at_once = again(Crypto::Null, &calls, |_| usize::MAX);
        let at_the_end = again(Crypto::Null, &calls, |_| 0);
        prop_assert!(at_once == at_the_end);
        let one_by_one = again(Crypto::Null, &calls, |_| 1);
        prop_assert!(at_once == one_by_one);
        let now_and_then =
            again(Crypto::Null, &calls, |number| if number % patience == 0 { usize::MAX } else { 0 });
        prop_assert!(at_once == now_and_then);
    }

    #[test]
    fn c2_looking_at_the_deadline_and_at_empty_commands_changes_nothing(bytes in life()) {
        let calls = recorded(Crypto::Null, &bytes);
        let plain = again(Crypto::Null, &calls, |_| usize::MAX);
        let node = start(Crypto::Null, config(Crypto::Null), SEED);
        let mut first = Vec::new();
        let mut nosy = replay(node, &calls, |_| usize::MAX, |node| {
            let before = node.deadline();
            while let Some(command) = node.next_command() {
                first.push(format!("{command:?}"));
            }
            for _ in 0..3 {
                assert_eq!(node.deadline(), before);
                assert!(node.next_command().is_none());
            }
        });
        first.append(&mut nosy.commands);
        nosy.commands = first;
        prop_assert!(plain == nosy);
    }

    #[test]
    fn c7_the_same_calls_give_the_same_commands_and_bytes(bytes in life()) {
        let calls = recorded(Crypto::Null, &bytes);
        let whole = |calls| again(Crypto::Null, calls, |_| usize::MAX);
        prop_assert!(whole(&calls) == whole(&calls));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn c7_holds_with_real_cryptography(bytes in life()) {
        let calls = recorded(Crypto::Noise, &bytes);
        let first = again(Crypto::Noise, &calls, |_| usize::MAX);
        prop_assert!(first == again(Crypto::Noise, &calls, |_| 0));
    }
}

#[test]
fn c7_the_seed_decides_what_is_drawn() {
    let mut driver = Driver::new(Crypto::Noise, SEED);
    driver.run(&[40; 200]);
    let other = start(Crypto::Noise, config(Crypto::Noise), [6; 32]);
    let one = again(Crypto::Noise, driver.calls(), |_| usize::MAX);
    let two = replay(other, driver.calls(), |_| usize::MAX, |_| {});
    assert_ne!(one, two);
}

#[test]
fn c3_transmit_announces_what_comes_after_it() {
    // A late wake-up is noticed in whichever call comes first, `transmit` included.
    let mut stage = Stage::new(Crypto::Null);
    let link = stage.live(1);
    while stage.node.next_command().is_some() {}
    stage.now = stage.later(secs(60));
    let mut out = Vec::new();
    let left = stage.node.transmit(stage.now, link, 10_000, &mut out);
    assert_eq!(left, Transmit::Drained);
    let queued = std::iter::from_fn(|| stage.node.next_command()).collect::<Vec<_>>();
    assert!(matches!(queued[..], [Command::Event(timed_core::Event::Warning(_))]), "{queued:?}");
    // What it queued is there although no input was handed in; the next input queues its own.
    stage.node.handle(stage.now, Input::Tick);
    assert!(stage.node.next_command().is_some());
}
