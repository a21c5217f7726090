//! What the node tells by itself: the stream of `/events`, taken up again for as long as the program runs.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::super::client::Api;

/// Facts that wait to be told at most; then the node is left to wait, and says itself what it left out.
const WAITING: usize = 1024;
/// A stream is given up after this time and taken up anew: the path to the node may be dead without a sign.
const LISTEN_FOR: Duration = Duration::from_secs(600);
/// Before a stream is taken up again.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of a line at most: a fact has some hundred.
const LONGEST: u64 = 1 << 20;

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) fields: Value,
}

impl Fact {
    /// When it was, as the node has it.
    pub(super) fn at(&self) -> &str {
        self.fields["at"].as_str().unwrap_or("-")
    }

    /// Whether the node's answers are others after it.
    pub(super) fn changes_answers(&self) -> bool {
        matches!(self.name.as_str(), "link_up" | "link_down" | "activity" | "block" | "producing" | "sync")
    }

    /// As one line for programs.
    pub(super) fn json(&self) -> String {
        let mut line = serde_json::json!({ "event": self.name });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, &self.fields) {
            line.extend(fields.clone());
        }
        line.to_string()
    }
}

/// Begins to listen.
pub(super) fn listen(api: Api) -> Receiver<Fact> {
    let (tell, facts) = sync_channel(WAITING);
    thread::spawn(move || {
        while follow(&api, &tell).is_some() {
            thread::sleep(PAUSE);
        }
    });
    facts
}

/// Hands on one stream's facts until it ends; nothing once nobody wants them.
fn follow(api: &Api, tell: &SyncSender<Fact>) -> Option<()> {
    let Ok(stream) = api.stream("/events", LISTEN_FOR) else { return Some(()) };
    let mut reader = Reader { lines: BufReader::new(stream), name: String::new() };
    while let Some(fact) = reader.next_fact() {
        tell.send(fact).ok()?;
    }
    Some(())
}

/// Reads server-sent events.
struct Reader<R> {
    lines: BufReader<R>,
    name: String,
}

impl<R: std::io::Read> Reader<R> {
    fn next_fact(&mut self) -> Option<Fact> {
        loop {
            let mut line = Vec::new();
            let read = std::io::Read::take(&mut self.lines, LONGEST).read_until(b'\n', &mut line).ok()?;
            if read == 0 || line.last() != Some(&b'\n') {
                return None;
            }
            let line = String::from_utf8_lossy(&line);
            if let Some(name) = line.trim_end().strip_prefix("event: ") {
                name.clone_into(&mut self.name);
            } else if let Some(data) = line.strip_prefix("data: ")
                && let Ok(fields) = serde_json::from_str(data)
            {
                return Some(Fact { name: std::mem::take(&mut self.name), fields });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stream_is_read_fact_by_fact_to_its_end() {
        let stream = ": \n\nevent: block\ndata: {\"at\":\"x\",\"height\":3}\n\n: \n\nevent: odd\ndata: {not\n\n\
                      event: missed\ndata: {\"facts\":2}\n\nevent: cut";
        let mut reader = Reader { lines: BufReader::new(stream.as_bytes()), name: String::new() };
        let block = reader.next_fact().unwrap();
        assert_eq!((block.name.as_str(), block.at()), ("block", "x"));
        assert_eq!(block.json(), json!({ "event": "block", "at": "x", "height": 3 }).to_string());
        assert_eq!(reader.next_fact().unwrap().name, "missed");
        assert_eq!(reader.next_fact(), None);
    }
}
