//! The loop and a name service that answers when the test says so, or never.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::scripted::{OnData, PATIENCE, Rig, Script};
use timed_core::{CanonicalAddr, SeedId};
use timed_mio::{Exit, NameService, ShellConfig};

/// Answers each question when it is told what.
#[derive(Debug)]
struct Slow {
    answers: Mutex<Receiver<Vec<CanonicalAddr>>>,
    asked: Mutex<Sender<SeedId>>,
}

impl NameService for Slow {
    fn resolve(&self, seed: SeedId) -> Vec<CanonicalAddr> {
        self.asked.lock().unwrap().send(seed).unwrap();
        self.answers.lock().unwrap().recv().unwrap_or_default()
    }
}

struct Scene {
    rig: Rig,
    answers: Sender<Vec<CanonicalAddr>>,
    asked: Receiver<SeedId>,
}

fn scene(script: Script) -> Scene {
    let ((answers, waiting), (tell, asked)) = (channel(), channel());
    let slow = Slow { answers: Mutex::new(waiting), asked: Mutex::new(tell) };
    let folder = tempfile::tempdir().unwrap();
    let config = ShellConfig::listening_on("127.0.0.1:0".parse().unwrap());
    let rig = Rig::with_store(config, script, &folder.path().join("store"), |shell| {
        shell.use_names(Arc::new(slow));
    });
    Scene { rig, answers, asked }
}

fn addr(text: &str) -> CanonicalAddr {
    text.parse().unwrap()
}

#[test]
fn rec_04b_a_hung_name_service_stalls_nothing() {
    let mut scene = scene(Script { on_data: OnData::Echo, ..Script::default() });
    scene.rig.act(|script| script.resolve(0));
    assert_eq!(scene.asked.recv_timeout(PATIENCE).unwrap(), SeedId(0));
    // Bytes go to and fro, timers fire, further questions wait.
    let mut stream = TcpStream::connect(scene.rig.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..50 {
        stream.write_all(b"ping").unwrap();
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"ping");
    }
    scene.rig.act(|script| {
        for seed in 0..1_000 {
            script.resolve(seed % 3);
        }
    });
    scene.rig.see(|script| assert!(script.resolved.is_empty()));
    // Nor does it hold up the end.
    drop(stream);
    let begun = Instant::now();
    assert!(matches!(scene.rig.stop(), Exit::Stopped));
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn each_question_that_waits_has_one_answer() {
    let scene = scene(Script::default());
    scene.rig.act(|script| {
        for seed in [7, 7, 8, 7] {
            script.resolve(seed);
        }
    });
    let answers = [vec![addr("10.0.0.1:1"), addr("[2001:db8::1]:1")], vec![]];
    for answer in answers.clone() {
        scene.answers.send(answer).unwrap();
    }
    let told = scene
        .rig
        .until("both", |script| (script.resolved.len() >= 2).then(|| std::mem::take(&mut script.resolved)));
    assert_eq!(told, [(SeedId(7), answers[0].clone()), (SeedId(8), answers[1].clone())]);
    // A name that was answered can be asked about again.
    scene.rig.act(|script| script.resolve(7));
    scene.answers.send(vec![]).unwrap();
    scene.rig.until("once more", |script| (script.resolved.len() == 1).then_some(()));
}

#[test]
fn without_a_name_service_names_stand_for_nothing() {
    let rig = Rig::start();
    rig.act(|script| script.resolve(5));
    let told = rig.until("an answer", |script| script.resolved.pop());
    assert_eq!(told, (SeedId(5), vec![]));
}
