//! The newest lines of a node's log, read as they are written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use super::super::client::short;
use super::super::live::Tone;

/// Bytes read at a look; where there are more, the oldest of them are passed over.
const MOST: u64 = 16 * 1024;

/// The numbers of nodes by their ids.
pub(super) type Numbers = BTreeMap<String, usize>;

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogLine {
    /// When, in RFC 3339.
    pub(super) at: String,
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// A log and how far it has been read.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    read: u64,
    numbers: Rc<Numbers>,
    /// The newest line.
    pub(super) last: Option<LogLine>,
}

impl Tail {
    /// Follows a log from its present end, and calls nodes by their numbers.
    pub(super) fn from_here(path: PathBuf, numbers: &Rc<Numbers>) -> Self {
        let read = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        Self { path, read, numbers: Rc::clone(numbers), last: None }
    }

    /// The lines since the last look, whole ones only.
    pub(super) fn news(&mut self) -> Vec<LogLine> {
        let length = std::fs::metadata(&self.path).map_or(0, |meta| meta.len());
        let from = self.read.max(length.saturating_sub(MOST));
        let bytes = read_from(&self.path, from).unwrap_or_default();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.read = from + whole as u64;
        let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()).into_owned();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let lines: Vec<LogLine> = lines.map(|line| LogLine::read(line, &self.numbers)).collect();
        self.last = lines.last().cloned().or(self.last.take());
        lines
    }
}

impl LogLine {
    /// "2026-01-01T00:00:00.000000Z  INFO link up peer=…"
    fn read(line: &str, numbers: &Numbers) -> Self {
        let line = line.trim();
        let (at, rest) = match line.split_once(' ') {
            Some((time, rest)) if humantime::parse_rfc3339(time).is_ok() => (time.to_owned(), rest.trim()),
            _ => (humantime::format_rfc3339_micros(SystemTime::now()).to_string(), line),
        };
        let level = |name, tone| Some((rest.strip_prefix(name)?.trim_start(), tone));
        let (text, tone) = level("INFO ", Tone::Plain)
            .or_else(|| level("WARN ", Tone::Odd))
            .or_else(|| level("ERROR ", Tone::Bad))
            .or_else(|| level("DEBUG ", Tone::Quiet))
            .unwrap_or((rest, Tone::Odd));
        Self { at, text: shortened(text, numbers), tone }
    }
}

/// The newest line of a log that nobody has followed.
pub(super) fn last_line(path: &Path) -> String {
    let length = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let bytes = read_from(path, length.saturating_sub(MOST)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or("-".to_owned(), |line| LogLine::read(line, &Numbers::new()).text)
}

fn read_from(path: &Path, from: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A line in which nodes are called by their numbers, or else by the first digits of their ids.
fn shortened(line: &str, numbers: &Numbers) -> String {
    let id = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words: Vec<String> = line
        .split(' ')
        .map(|word| match word.split_once('=') {
            Some((name, value)) if id(value) => match numbers.get(value) {
                Some(number) => format!("{name}={number}"),
                None => format!("{name}={}", short(value)),
            },
            _ => word.to_owned(),
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn whole_new_lines_are_read_once_and_without_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert_eq!(last_line(&log), "-");
        std::fs::write(&log, "of an earlier run\n").unwrap();
        let numbers = Rc::new(Numbers::from([("cd".repeat(32), 3)]));
        let mut tail = Tail::from_here(log.clone(), &numbers);
        assert_eq!(tail.news(), []);
        let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(b"2026-01-01T00:00:00.000000Z  INFO link up peer=ab\n\n2026-01-01T00:0").unwrap();
        let texts = |lines: Vec<LogLine>| -> Vec<(String, Tone)> {
            lines.into_iter().map(|line| (line.text, line.tone)).collect()
        };
        let line = |text: &str, tone| (text.to_owned(), tone);
        assert_eq!(texts(tail.news()), [line("link up peer=ab", Tone::Plain)]);
        file.write_all(b"0:01.000000Z  WARN late\n").unwrap();
        let late = tail.news();
        assert_eq!(late[0].at, "2026-01-01T00:00:01.000000Z");
        assert_eq!((tail.news(), tail.last.clone()), (vec![], Some(late[0].clone())));
        assert_eq!(texts(late), [line("late", Tone::Odd)]);
        file.write_all(&vec![b'x'; 100_000]).unwrap();
        file.write_all(b"\ntimed: no\n").unwrap();
        assert_eq!(texts(tail.news()).last(), Some(&line("timed: no", Tone::Odd)));
        assert_eq!(last_line(&log), "timed: no");
        let told = format!("up peer={} by={} x=1", "ab".repeat(32), "cd".repeat(32));
        assert_eq!(shortened(&told, &numbers), "up peer=abababababab by=3 x=1");
    }
}
