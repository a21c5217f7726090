//! What a person sees: a table that is repainted on a terminal, plain lines otherwise.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use super::super::client::{aligned, short, span};
use super::children::Running;
use super::chronicle::BlockLine;
use super::watch::{ChainState, Known};

/// Standard output.
#[derive(Debug)]
pub(super) enum Screen {
    /// A terminal: lines scroll above a table of so many painted lines.
    Terminal {
        /// Lines of the table on the screen now.
        painted: usize,
    },
    /// A pipe or a file: lines only.
    Plain,
}

impl Screen {
    /// The screen of this process.
    pub(super) fn open() -> Self {
        if io::stdout().is_terminal() { Self::Terminal { painted: 0 } } else { Self::Plain }
    }

    /// Writes a line that stays.
    pub(super) fn line(&mut self, text: &str) {
        let erase = self.erase();
        // A reader that has gone away is no reason to stop the network.
        let _ = writeln!(io::stdout(), "{erase}{text}").and_then(|()| io::stdout().flush());
    }

    /// Whether the screen is a terminal, which shows the newest blocks in its table.
    pub(super) const fn has_table(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// Paints the table anew, on a terminal.
    pub(super) fn paint(
        &mut self,
        nodes: &[Running],
        known: &[Known],
        blocks: &[BlockLine],
        elapsed: Duration,
    ) {
        let erase = self.erase();
        let Self::Terminal { painted } = self else { return };
        let (columns, rows) = terminal_size();
        let table = table(nodes, known, blocks, elapsed);
        let room = rows.saturating_sub(2).max(3);
        let mut lines: Vec<String> = table.lines().map(|line| line.chars().take(columns).collect()).collect();
        if lines.len() > room {
            let hidden = lines.len() - room + 1;
            lines.truncate(room - 1);
            lines.push(format!("... and {hidden} more"));
        }
        *painted = lines.len();
        let _ = writeln!(io::stdout(), "{erase}{}", lines.join("\n")).and_then(|()| io::stdout().flush());
    }

    /// What removes the painted table.
    fn erase(&mut self) -> String {
        match self {
            Self::Terminal { painted } if *painted > 0 => {
                let up = std::mem::take(painted);
                format!("\x1b[{up}A\r\x1b[J")
            }
            _ => String::new(),
        }
    }
}

/// Columns and rows of the terminal.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => (80, 24),
    }
}

fn table(nodes: &[Running], known: &[Known], blocks: &[BlockLine], elapsed: Duration) -> String {
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .zip(known)
        .map(|(node, known)| {
            let state = match (node.end, known.said) {
                (Some(end), None) => end.describe(),
                (None, None) if known.first.is_none() => "starting".to_owned(),
                (None, None) => "silent".to_owned(),
                (_, Some(said)) if said.chain == ChainState::Syncing => "catching up".to_owned(),
                (_, Some(said)) if said.up < said.expected => "connecting".to_owned(),
                (_, Some(said)) if said.chain == ChainState::Producing => "producing".to_owned(),
                (_, Some(_)) => "connected".to_owned(),
            };
            let said =
                |show: &dyn Fn(&super::watch::Said) -> String| known.said.as_ref().map_or("-".into(), show);
            vec![
                node.member.number.to_string(),
                node.member.listen.ip().to_string(),
                node.pid.to_string(),
                state,
                said(&|said| format!("{}/{}", said.up, said.expected)),
                said(&|said| format!("{} in, {} out", said.inbound, said.outbound)),
                said(&|said| said.active.to_string()),
                said(&|said| said.height.to_string()),
                shortened(&last_event(&node.member.log())),
            ]
        })
        .collect();
    let up: u64 = known.iter().filter_map(|known| known.said).map(|said| said.up).sum();
    let expected = nodes.len() * (nodes.len() - 1) / 2;
    let head = ["NODE", "ADDRESS", "PID", "STATE", "LINKS", "DIRECTION", "ACTIVE", "HEIGHT", "LAST EVENT"];
    let blocks: String = blocks.iter().map(|block| format!("{}\n", block.text)).collect();
    format!(
        "\n{}{blocks}{}/{expected} links, running for {}, Ctrl-C stops all nodes",
        aligned(&head, &rows),
        up / 2,
        span(elapsed.as_secs())
    )
}

/// The end of the newest log line, without its time.
pub(super) fn last_event(log: &Path) -> String {
    const TAIL: u64 = 2048;
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        file.read_to_end(&mut bytes)
    });
    if read.is_err() {
        return "-".to_owned();
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("-").trim();
    // "2026-01-01T00:00:00.000000Z  INFO link up …": time and level are the same for every reader.
    let event = match line.split_once("Z ") {
        Some((time, rest)) if time.len() >= 19 && time.as_bytes().get(10) == Some(&b'T') => rest.trim_start(),
        _ => line,
    };
    event.strip_prefix("INFO ").unwrap_or(event).to_owned()
}

/// A line whose ids are cut to their first digits.
fn shortened(line: &str) -> String {
    let id = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words: Vec<String> = line
        .split(' ')
        .map(|word| match word.split_once('=') {
            Some((name, value)) if id(value) => format!("{name}={}", short(value)),
            _ => word.to_owned(),
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_the_newest_line_without_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert_eq!(last_event(&log), "-");
        std::fs::write(&log, "x\n2026-01-01T00:00:00.000000Z  INFO link up peer=ab\n\n").unwrap();
        assert_eq!(last_event(&log), "link up peer=ab");
        std::fs::write(&log, "timed: no").unwrap();
        assert_eq!(last_event(&log), "timed: no");
        assert_eq!(shortened(&format!("up peer={} x=1", "ab".repeat(32))), "up peer=abababababab x=1");
    }
}
