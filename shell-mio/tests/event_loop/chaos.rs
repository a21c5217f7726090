//! Two loops and a crowd of raw peers, all of which do whatever comes to their mind. What must hold: every
//! connection ends exactly once, no byte is lost, doubled or out of order, and nothing is left behind.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::scripted::{OnData, Rig, Script, pattern_at};
use timed_core::Reading;
use timed_mio::ShellConfig;

/// A small generator (splitmix64): the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.roll(from.len())])
    }
}

struct RawPeer {
    stream: TcpStream,
    sent: usize,
}

fn rig(host: u8) -> Rig {
    let listen = SocketAddr::from(([127, 78, 0, host], 0));
    Rig::with(
        ShellConfig::listening_on(listen),
        Script { on_data: OnData::CheckPattern, ..Script::default() },
    )
}

fn raw_action(dice: &mut Dice, raw: &mut Vec<RawPeer>, target: SocketAddr) {
    if raw.len() < 10 || dice.roll(10) == 0 {
        let stream = TcpStream::connect(target).unwrap();
        stream.set_nonblocking(true).unwrap();
        return raw.push(RawPeer { stream, sent: 0 });
    }
    let at = dice.roll(raw.len());
    match dice.roll(8) {
        0..=3 => {
            let peer = &mut raw[at];
            let bytes: Vec<u8> = (peer.sent..peer.sent + 1 + dice.roll(100_000)).map(pattern_at).collect();
            peer.sent += peer.stream.write(&bytes).unwrap_or(0);
        }
        4 => {
            let _ = raw[at].stream.read(&mut vec![0; 1 << 18]);
        }
        5 => {
            let _ = raw[at].stream.shutdown(Shutdown::Write);
        }
        6 => {
            socket2::SockRef::from(&raw[at].stream).set_linger(Some(Duration::ZERO)).unwrap();
            drop(raw.swap_remove(at));
        }
        _ => drop(raw.swap_remove(at)),
    }
}

fn core_action(dice: &mut Dice, script: &mut Script, other: SocketAddr, nobody: SocketAddr) {
    let open = script.open();
    match dice.roll(20) {
        0..=2 if open.len() < 60 => {
            script.dial(other);
        }
        3 => {
            script.dial(nobody);
        }
        4..=5 => {
            if let Some(conn) = dice.pick(&open) {
                script.close(conn);
            }
        }
        6..=7 => {
            if let Some(conn) = dice.pick(&open) {
                script.reading(conn, Reading::Pause);
            }
        }
        8..=11 => {
            if let Some(conn) = dice.pick(&open) {
                script.reading(conn, Reading::Resume);
            }
        }
        _ => {
            if let Some(conn) = dice.pick(&open) {
                let most = if dice.roll(10) == 0 { 400_000 } else { 3_000 };
                let count = 1 + dice.roll(most);
                script.send_pattern(conn, count);
            }
        }
    }
}

/// One end of a link between the two loops.
#[derive(Debug)]
struct End {
    from: Option<SocketAddr>,
    local: Option<SocketAddr>,
    sent: usize,
    got: usize,
}

impl End {
    /// Whether the other end is the other end, and neither misses a byte.
    fn is_one_link_with(&self, other: &Self) -> bool {
        let dialed = self.local.is_some() && self.local == other.from;
        let accepted = self.from.is_some() && self.from == other.local;
        (dialed || accepted) && (self.sent, self.got) == (other.got, other.sent)
    }
}

fn ends(rig: &Rig) -> Vec<End> {
    rig.see(|script| {
        let conns = script.open().into_iter().map(|conn| script.conn(conn));
        conns.map(|conn| End { from: conn.from, local: conn.local, sent: conn.sent, got: conn.got }).collect()
    })
}

fn chaos(seed: u64, host: u8) {
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let rigs = [rig(host), rig(host + 1)];
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut raw = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let side = dice.roll(2);
        for _ in 0..=dice.roll(6) {
            match dice.roll(3) {
                0 => raw_action(&mut dice, &mut raw, rigs[side].addr),
                _ => rigs[side].see(|script| {
                    core_action(&mut dice, script, rigs[1 - side].addr, nobody);
                }),
            }
        }
        let _ = rigs[side].remote.request(timed_core::Request::Status);
        if dice.roll(4) == 0 {
            thread::sleep(Duration::from_micros(dice.roll(3_000) as u64));
        }
    }

    // Peace: the raw peers leave, everybody reads, and what stands between the two carries every byte.
    drop(raw);
    for rig in &rigs {
        rig.act(|script| script.open().into_iter().for_each(|conn| script.reading(conn, Reading::Resume)));
    }
    rigs[0].until("every dial to have an end", |script| {
        script
            .open()
            .iter()
            .all(|&conn| script.conn(conn).from.or(script.conn(conn).local).is_some())
            .then_some(())
    });
    let patience = Instant::now();
    let pairs = loop {
        let [here, there] = [&rigs[0], &rigs[1]].map(ends);
        let whole = here.iter().filter(|end| there.iter().any(|other| end.is_one_link_with(other))).count();
        if here.len() == there.len() && whole == here.len() {
            break whole;
        }
        assert!(
            patience.elapsed() < Duration::from_secs(20),
            "seed {seed}: bytes are missing or links one-sided:\n{here:?}\n{there:?}"
        );
        thread::sleep(Duration::from_millis(5));
    };

    for rig in &rigs {
        rig.act(|script| script.open().into_iter().for_each(|conn| script.close(conn)));
        rig.until("quiet", |_| {
            let counters = rig.remote.counters();
            (counters.open == 0 && counters.lingering == 0 && counters.pending_bytes == 0).then_some(())
        });
        rig.see(|script| assert!(script.open().is_empty()));
    }
    let connections: usize = rigs.iter().map(|rig| rig.see(|script| script.conns.len())).sum();
    println!("seed {seed}: {connections} connections, {pairs} whole links at the end");
}

#[test]
fn whatever_happens_no_byte_is_lost_and_every_end_is_told_once() {
    let seeds: Vec<u64> = match std::env::var("TIMED_CHAOS_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=3).collect(),
    };
    for seed in seeds {
        chaos(seed, 1);
    }
}
