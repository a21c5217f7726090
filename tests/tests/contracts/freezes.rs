//! C4: our own clock. Time that goes backwards is clamped and counted; a late wake-up is our own freeze.

use std::collections::BTreeMap;
use std::time::Duration;

use timed_core::wire::message::{Kind, Message, Ping, Pong};
use timed_core::{Command, ConnId, Event, Input, Mono, Warning};
use timed_tests::driver::Crypto;

use timed_tests::stage::{Stage, secs};

/// A life of a member of the network, whose peers answer, for so long.
fn settle(stage: &mut Stage, links: &[ConnId], time: Duration) {
    let end = stage.later(time).mono;
    while let Some(deadline) = stage.node.deadline().filter(|deadline| *deadline <= end) {
        stage.now = stage.later(deadline.since(stage.now.mono));
        stage.handle(Input::Tick);
        for link in links {
            stage.answer_pings(*link);
        }
    }
    stage.now = stage.later(end.since(stage.now.mono));
}

/// Frames of each kind that wait on a link.
fn frames(stage: &mut Stage, link: ConnId) -> BTreeMap<Kind, usize> {
    let mut counts = BTreeMap::new();
    for message in stage.heard(link) {
        *counts.entry(message.kind()).or_default() += 1;
    }
    counts
}

/// Wakes the node as a shell does: `Tick` until the deadline is ahead.
fn wake(stage: &mut Stage) {
    for ticks in 0.. {
        assert!(ticks < 3, "a wake-up does not come to rest");
        if stage.node.deadline().is_none_or(|deadline| deadline > stage.now.mono) {
            return;
        }
        stage.handle(Input::Tick);
    }
}

/// Wakes the node so long after its deadline.
fn wake_late(stage: &mut Stage, late: Duration) {
    let deadline = stage.node.deadline().unwrap();
    stage.now = stage.later(deadline.since(stage.now.mono) + late);
    wake(stage);
}

/// How late the node says it was, and what it forgave itself, in seconds.
fn confessed(commands: &[Command]) -> Vec<(u64, u64)> {
    let told = |command: &Command| match command {
        Command::Event(Event::Warning(Warning::Frozen { late, forgiven })) => {
            Some((late.as_secs(), forgiven.as_secs()))
        }
        _ => None,
    };
    commands.iter().filter_map(told).collect()
}

fn dialed(commands: &[Command]) -> BTreeMap<String, usize> {
    let mut dialed = BTreeMap::new();
    for command in commands {
        if let Command::Dial { addr, .. } = command {
            *dialed.entry(addr.to_string()).or_default() += 1;
        }
    }
    dialed
}

#[test]
fn c4_time_going_backwards_is_clamped_and_counted() {
    let mut stage = Stage::new(Crypto::Null);
    let link = stage.live(1);
    let (deadline, before) = (stage.node.deadline(), stage.counters().clock_backwards);
    let now = stage.now;
    for back in [1, 1_000_000_000, 500_000_000_000] {
        stage.now.mono = Mono(now.mono.0 - back);
        stage.handle(Input::Tick);
    }
    assert_eq!(stage.node.deadline(), deadline);
    assert_eq!(stage.counters().clock_backwards, before + 4);
    let warned =
        |command: &&Command| matches!(command, Command::Event(Event::Warning(Warning::ClockBackwards(_))));
    assert_eq!(stage.took().iter().filter(warned).count(), 1, "warned of once");
    assert_eq!(stage.heard(link), []);
    stage.now = now;
    settle(&mut stage, &[], secs(5));
    stage.handle(Input::Tick);
    assert_eq!(stage.counters().clock_backwards, before + 5);
    let frames = frames(&mut stage, link);
    assert_eq!(frames.get(&Kind::Ping), Some(&1), "the schedule goes on as if nothing had been: {frames:?}");
}

#[test]
fn c4_a_freeze_shifts_every_deadline_once_and_kills_nobody() {
    for frozen in [3, 14, 40, 59] {
        let mut stage = Stage::new(Crypto::Null);
        let links = [stage.live(1), stage.live(9)];
        settle(&mut stage, &links, secs(20));
        let dials = stage.counters().dials;
        stage.took();
        wake_late(&mut stage, secs(frozen));
        let commands = stage.took();
        let ends = |command: &Command| {
            matches!(command, Command::Close { .. } | Command::Event(Event::LinkDown { .. }))
        };
        assert!(!commands.iter().any(ends), "{frozen}: {commands:?}");
        assert_eq!(confessed(&commands), [(frozen, frozen)]);
        assert_eq!(stage.counters().freezes, 1);
        for link in links {
            let frames = frames(&mut stage, link);
            assert!(frames.values().all(|count| *count <= 1), "{frozen}: {frames:?}");
        }
        assert!(stage.counters().dials <= dials + 1, "those whose time had come before: one at most");
        // Peers that were frozen, too, answer late: they are not asked again and again.
        let mut asked = [Vec::new(), Vec::new()];
        for _ in 0..9 {
            settle(&mut stage, &[], secs(1));
            for (link, asked) in links.into_iter().zip(&mut asked) {
                asked.extend(stage.heard(link).into_iter().filter_map(|message| match message {
                    Message::Ping(Ping { token }) => Some(token),
                    _ => None,
                }));
            }
        }
        for (link, asked) in links.into_iter().zip(asked) {
            assert!(asked.len() <= 1, "{frozen}: {} pings", asked.len());
            for token in asked {
                stage.say(link, &Message::Pong(Pong { token }));
            }
        }
        // The links go on: nobody falls silent, and the freeze is not counted twice.
        settle(&mut stage, &links, secs(30));
        assert_eq!(stage.peers().len(), 2, "{frozen}");
        assert_eq!(stage.counters().freezes, 1);
    }
}

#[test]
fn c4_a_wake_up_that_is_a_little_late_is_no_freeze() {
    let mut stage = Stage::new(Crypto::Null);
    let links = [stage.live(1)];
    settle(&mut stage, &links, secs(20));
    wake_late(&mut stage, secs(2));
    assert_eq!(stage.counters().freezes, 0);
}

#[test]
fn c4_no_more_than_sixty_seconds_are_forgiven_in_ten_minutes() {
    let mut stage = Stage::new(Crypto::Null);
    let links = [stage.live(1)];
    settle(&mut stage, &links, secs(20));
    stage.took();
    let mut confessions = Vec::new();
    for late in [50, 50, 50, 700] {
        wake_late(&mut stage, secs(late));
        confessions.extend(confessed(&stage.took()));
    }
    assert_eq!(confessions, [(50, 50), (50, 10), (50, 0), (700, 60)]);
    assert!(stage.peers().is_empty(), "a peer that is silent beyond what is forgiven is gone");
}

#[test]
fn ban_01c_after_ten_minutes_in_one_step_each_job_runs_once_a_peer() {
    for step in [secs(60), secs(240), secs(600), secs(86_400)] {
        let mut stage = Stage::new(Crypto::Null);
        let links = [stage.live(1), stage.live(9), stage.live(10)];
        settle(&mut stage, &links, secs(20));
        stage.took();
        stage.now = stage.later(step);
        wake(&mut stage);
        for link in links {
            let frames = frames(&mut stage, link);
            assert!(frames.values().all(|count| *count <= 1), "{step:?}: {frames:?}");
        }
        let dialed = dialed(&stage.took());
        assert!(dialed.values().all(|count| *count == 1), "{step:?}: {dialed:?}");
    }
}

#[test]
fn c4_messages_that_waited_in_the_socket_are_no_news_of_death() {
    // The shell hands in what arrived while it was frozen only after the tick.
    let mut stage = Stage::new(Crypto::Null);
    let link = stage.live(1);
    settle(&mut stage, &[link], secs(20));
    wake_late(&mut stage, secs(45));
    let heard = stage.heard(link);
    for message in heard {
        if let Message::Ping(ping) = message {
            stage.say(link, &Message::Pong(Pong { token: ping.token }));
        }
    }
    settle(&mut stage, &[link], secs(60));
    assert_eq!(stage.peers().len(), 1);
}
