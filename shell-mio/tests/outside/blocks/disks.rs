//! A disk that takes no more: the node stops with a clear word, and goes on where it was once there is room.

use std::path::Path;
use std::process::Command;

use crate::network::{Network, SECOND};
use crate::operator::text;

const HOSTS: [u8; 4] = [1, 2, 3, 4];
/// The node whose disk is small.
const SMALL: u8 = 3;

/// A file system that goes with the test.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(at: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=0700");
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs", text(at)]).output();
        if made.as_ref().is_ok_and(|made| made.status.success()) {
            return Some(Self(at));
        }
        println!("SKIPPED: mounting a small file system needs root: {made:?}");
        None
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &options, text(self.0)]).status().unwrap().success());
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", text(self.0)]).status();
    }
}

#[test]
fn a_full_disk_stops_the_node_with_its_reason_and_room_lets_it_go_on() {
    let mut network = Network::with_blocks(&HOSTS, SECOND);
    let path = network.path(SMALL);
    let kept = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(&path, kept.path());
    let Some(disk) = Mount::new(&path, "12m") else { return };
    copy(kept.path(), &path);
    network.start_all();
    network.eventually("every link stands", 10 * SECOND, || network.is_meshed(&HOSTS));
    network.await_height(&HOSTS, 1, 3);
    let mut number = 0_u32;
    network.eventually("its disk is full", 60 * SECOND, || {
        for _ in 0..8 {
            number += 1;
            let mut transaction = vec![0; 60_000];
            transaction[..4].copy_from_slice(&number.to_le_bytes());
            let (status, answer) = network.submit(1, &transaction);
            assert!(status == 202 || status == 503, "{answer}");
        }
        network.has_ended(SMALL)
    });
    assert_eq!(network.end(SMALL), 1, "{}", network.log(SMALL));
    let log = network.log(SMALL);
    assert!(log.contains("cannot write to database") && log.contains("No space left on device"), "{log}");
    assert!(log.contains("halted (persist_failed)") && log.contains("Check the disk"), "{log}");
    let others = [1, 2, 4];
    let from = network.heights(&others).1;
    network.await_height(&others, from + 3, 6);

    disk.grow("512m");
    network.start(SMALL);
    network.eventually("its links are back", 5 * SECOND, || network.is_meshed(&HOSTS));
    network.eventually("it has caught up", 20 * SECOND, || {
        network.height(SMALL) + 1 >= network.heights(&others).0
    });
    network.assert_one_chain(&HOSTS);
    network.assert_no_evidence(&HOSTS);
    network.kill_all();
}
