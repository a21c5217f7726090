//! The newest heartbeats of the samples, in two files of the data directory: what is written grows in one; when that
//! is full it takes the place of the other. Written by a thread of its own; the loop never waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use timed_core::Event;
use tracing::warn;

use super::super::data_dir::DataDir;
use super::text::{Head, line};

/// Heartbeats that wait to be written: of the largest registry's sample more than all.
const QUEUE: usize = 512;

/// The file that grows, and the full one before it.
const FILES: [&str; 2] = ["attestations", "attestations.old"];

/// Keeps what the core samples.
pub(crate) struct Keeper {
    queue: Option<SyncSender<bytes::Bytes>>,
    writer: Option<JoinHandle<()>>,
    missed: u64,
}

impl Keeper {
    /// Begins to keep heartbeats in a data directory, in `max` bytes at most.
    pub(crate) fn start(dir: &DataDir, head: Head, max: usize) -> io::Result<Self> {
        let mut log = Log::open(dir.path(), head, u64::try_from(max / FILES.len()).unwrap_or(u64::MAX))?;
        let (queue, waiting) = sync_channel(QUEUE);
        let writer = thread::Builder::new().name("attestations".to_owned()).spawn(move || {
            if let Err(error) = log.write_all(&waiting) {
                warn!(%error, "heartbeats are not kept any more: this node cannot prove later who was there");
            }
        })?;
        Ok(Self { queue: Some(queue), writer: Some(writer), missed: 0 })
    }

    /// Takes the heartbeats among the core's events.
    pub(crate) fn event(&mut self, event: &Event) {
        let (Event::Sample(body), Some(queue)) = (event, &self.queue) else { return };
        match queue.try_send(body.clone()) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.missed += 1;
                if self.missed.is_power_of_two() {
                    warn!(
                        missed = self.missed,
                        "the disk does not keep up with heartbeats: some are not kept"
                    );
                }
            }
            // The writer has said why.
            Err(TrySendError::Disconnected(_)) => self.queue = None,
        }
    }
}

impl Drop for Keeper {
    /// What waits is written.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// The two files, open to be written.
struct Log {
    path: PathBuf,
    older: PathBuf,
    head: Head,
    /// Bytes of one file at most.
    max: u64,
    file: BufWriter<File>,
    length: u64,
    headed: Headed,
}

/// Whether this process has written its first line into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Headed {
    Yes,
    NotYet,
}

impl Log {
    fn open(dir: &Path, head: Head, max: u64) -> io::Result<Self> {
        let [path, older] = FILES.map(|name| dir.join(name));
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let length = file.seek(SeekFrom::End(0))?;
        let torn = length > 0 && {
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
            last != *b"\n"
        };
        let headed = Headed::NotYet;
        let mut log = Self { path, older, head, max, file: BufWriter::new(file), length, headed };
        if torn {
            // A crash in the middle of a line: what there is of it is no heartbeat, and is left out when handed out.
            log.append("")?;
        }
        Ok(log)
    }

    /// Until nothing will come any more.
    fn write_all(&mut self, waiting: &Receiver<bytes::Bytes>) -> io::Result<()> {
        while let Ok(body) = waiting.recv() {
            self.keep(&body)?;
            for body in waiting.try_iter() {
                self.keep(&body)?;
            }
            self.file.flush()?;
        }
        self.file.flush()
    }

    fn keep(&mut self, body: &[u8]) -> io::Result<()> {
        let (head, line) = (self.head.to_string(), line(body));
        let more = if self.headed == Headed::Yes { line.len() } else { head.len() + line.len() + 1 };
        if self.length + more as u64 + 1 > self.max {
            self.file.flush()?;
            fs::rename(&self.path, &self.older)?;
            let file = OpenOptions::new().append(true).create_new(true).open(&self.path)?;
            (self.file, self.length, self.headed) = (BufWriter::new(file), 0, Headed::NotYet);
        }
        if self.headed == Headed::NotYet {
            self.append(&head)?;
            self.headed = Headed::Yes;
        }
        self.append(&line)
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.length += line.len() as u64 + 1;
        Ok(())
    }
}

/// The files of a data directory, older first. One that is not there is as an empty one.
pub(crate) fn opened(dir: &Path) -> io::Result<[File; 2]> {
    let open = |name: &str| match File::open(dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::open("/dev/null"),
        opened => opened,
    };
    // The newer first: what takes the other's place in between is then read twice, not left out.
    let newer = open(FILES[0])?;
    Ok([open(FILES[1])?, newer])
}

/// What a data directory has kept, older first; empty if nothing was.
pub(super) fn kept(dir: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    for mut file in opened(dir)? {
        file.read_to_end(&mut bytes)?;
        bytes.push(b'\n');
    }
    // Half a character of a torn line is no heartbeat either.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use timed_core::GenesisHash;

    const HEAD: Head = Head { genesis: GenesisHash([1; 32]), period: Duration::from_secs(300) };

    fn keep(dir: &Path, max: usize, bodies: impl IntoIterator<Item = [u8; 40]>) {
        let keeper = Keeper::start(&DataDir::at(dir), HEAD, max).unwrap();
        for body in bodies {
            let body = bytes::Bytes::copy_from_slice(&body);
            keeper.queue.as_ref().unwrap().send(body).unwrap();
        }
        drop(keeper);
    }

    fn lines(dir: &Path) -> Vec<String> {
        let all = kept(dir).unwrap();
        all.lines()
            .filter(|line| !line.is_empty() && line.parse::<Head>().is_err())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_newest_are_kept_within_the_bound_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let max = 4096;
        for start in 0..4_u8 {
            keep(dir.path(), max, (0..50).map(|n| [start * 50 + n; 40]));
            let size: u64 = FILES
                .iter()
                .filter_map(|name| fs::metadata(dir.path().join(name)).ok())
                .map(|m| m.len())
                .sum();
            assert!(size <= 4096, "{size}");
        }
        let lines = lines(dir.path());
        let newest: Vec<String> = (0..200_u8).map(|n| line(&[n; 40])).collect();
        assert!(lines.len() >= 20, "half of the bound is used at least: {}", lines.len());
        assert_eq!(lines, newest[200 - lines.len()..], "in order, without a gap");
    }

    #[test]
    fn a_line_torn_by_a_crash_costs_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        keep(dir.path(), 1 << 20, [[1; 40], [2; 40]]);
        let path = dir.path().join(FILES[0]);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 30]).unwrap();
        keep(dir.path(), 1 << 20, [[3; 40]]);
        let lines = lines(dir.path());
        assert_eq!((lines.len(), &lines[0], &lines[2]), (3, &line(&[1; 40]), &line(&[3; 40])));
    }
}
