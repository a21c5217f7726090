//! A program on a terminal of its own, and what that terminal shows.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    shown: vt100::Parser,
}

/// A terminal with a program on it, which is killed when the test ends.
pub struct OnTerminal {
    pub process: Child,
    keys: File,
    /// Our own hold on the program's end: the terminal stays as the program left it.
    theirs: File,
    written: Arc<Mutex<Written>>,
}

impl OnTerminal {
    /// Starts a program on a terminal of so many columns and rows.
    pub fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let no_ctty = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let theirs = OpenOptions::new().read(true).write(true).custom_flags(no_ctty).open(name).unwrap();
        let ours = File::from(ours);
        // The session's leader gets the terminal as its own, so that keys become signals.
        let mut on_terminal = Command::new("setsid");
        on_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args()).env("TERM", "xterm");
        on_terminal.env_remove("NO_COLOR");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_terminal.env(name, value),
                None => on_terminal.env_remove(name),
            };
        }
        let written = Arc::new(Mutex::new(Written::default()));
        let end = || theirs.try_clone().unwrap();
        tcsetwinsize(&ours, size(columns, rows)).unwrap();
        written.lock().unwrap().shown.screen_mut().set_size(cells(rows), cells(columns));
        let process = on_terminal.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let (mut reader, told) = (ours.try_clone().unwrap(), Arc::clone(&written));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let mut told = told.lock().unwrap();
                told.bytes.extend(&bytes[..count]);
                told.shown.process(&bytes[..count]);
            }
        });
        Self { process, keys: ours, theirs, written }
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        // Another size of the paper first: what is drawn for the new size must find it.
        self.written.lock().unwrap().shown.screen_mut().set_size(cells(rows), cells(columns));
        tcsetwinsize(&self.keys, size(columns, rows)).unwrap();
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// The lines on the screen.
    pub fn lines(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        let columns = written.shown.screen().size().1;
        written.shown.screen().rows(0, columns.get()).collect()
    }

    /// Everything that was ever written.
    pub fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap().bytes).into_owned()
    }

    /// Whether the program has a screen of its own.
    pub fn is_taken(&self) -> bool {
        let written = self.written.lock().unwrap();
        written.shown.screen().alternate_screen() && written.shown.screen().hide_cursor()
    }

    /// Whether the terminal is as a shell needs it.
    pub fn is_given_back(&self) -> bool {
        let modes = tcgetattr(&self.theirs).unwrap().local_modes;
        let written = self.written.lock().unwrap();
        let screen = written.shown.screen();
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
            && !screen.alternate_screen()
            && !screen.hide_cursor()
    }

    /// Waits until the screen is as it should be.
    pub fn eventually(&mut self, what: &str, within: Duration, holds: impl Fn(&[String]) -> bool) {
        let begun = Instant::now();
        while !holds(&self.lines()) {
            let ended = self.process.try_wait().unwrap();
            let lines = self.lines().join("\n");
            assert!(
                begun.elapsed() < within,
                "not within {within:?}: {what}; ended: {ended:?}; shown:\n{lines}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        println!("{what}: after {:?}", begun.elapsed());
    }

    /// Waits for the program's end; returns its exit code.
    pub fn end(&mut self, within: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                // What it wrote last may still be under way.
                thread::sleep(Duration::from_millis(200));
                return status.code();
            }
            assert!(begun.elapsed() < within, "it did not end; shown:\n{}", self.lines().join("\n"));
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}
