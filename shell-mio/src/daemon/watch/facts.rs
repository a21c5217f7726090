//! What the node tells by itself: the stream of `/events`, taken up again for as long as the program runs.

use std::io::{self, BufRead as _, BufReader};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::super::client::Api;

/// Facts that wait to be told at most; then the node is left to wait, and says itself what it left out.
const WAITING: usize = 1024;
/// A stream that is silent for so long is given up and taken up anew: the node gives a sign of life every 15 s, and
/// three of them have not come. The path may be dead without a word.
const SILENT_FOR: Duration = Duration::from_secs(48);
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

    /// What the listener itself has to say about the stream.
    fn of_stream(state: &'static str) -> Self {
        let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        Self { name: "stream".to_owned(), fields: json!({ "at": at, "state": state }) }
    }

    /// As one line for programs.
    pub(super) fn json(&self) -> String {
        let mut line = json!({ "event": self.name });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, &self.fields) {
            line.extend(fields.clone());
        }
        line.to_string()
    }
}

/// Begins to listen. Between two streams nobody hears what happens, and both ends of such a gap are told.
pub(super) fn listen(api: Api) -> Receiver<Fact> {
    listen_to(api, SILENT_FOR)
}

fn listen_to(api: Api, patience: Duration) -> Receiver<Fact> {
    let (tell, facts) = sync_channel(WAITING);
    thread::spawn(move || {
        let mut cut = None;
        while follow(&api, patience, &tell, &mut cut).is_some() {
            thread::sleep(PAUSE);
        }
    });
    facts
}

/// Why a stream is heard no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Not a byte came, not even a sign of life.
    Silent,
    /// The node, or something between, closed it.
    Ended,
}

impl Cut {
    fn of(error: &io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<ureq::Error>());
        let timed_out = matches!(cause, Some(ureq::Error::Timeout(_)));
        if timed_out || error.kind() == io::ErrorKind::TimedOut { Self::Silent } else { Self::Ended }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Ended => "ended",
        }
    }
}

/// Hands on one stream's facts until it ends; nothing once nobody wants them.
fn follow(api: &Api, patience: Duration, tell: &SyncSender<Fact>, cut: &mut Option<Cut>) -> Option<()> {
    let Ok(stream) = api.stream("/events", patience) else { return Some(()) };
    if cut.take().is_some() {
        tell.send(Fact::of_stream("heard_again")).ok()?;
    }
    let mut reader = Reader { lines: BufReader::new(stream), name: String::new() };
    loop {
        match reader.next_fact() {
            Ok(fact) => tell.send(fact).ok()?,
            Err(why) => {
                *cut = Some(why);
                return tell.send(Fact::of_stream(why.as_str())).ok();
            }
        }
    }
}

/// Reads server-sent events.
struct Reader<R> {
    lines: BufReader<R>,
    name: String,
}

impl<R: io::Read> Reader<R> {
    fn next_fact(&mut self) -> Result<Fact, Cut> {
        loop {
            let mut line = Vec::new();
            let read = io::Read::take(&mut self.lines, LONGEST).read_until(b'\n', &mut line);
            if read.map_err(|error| Cut::of(&error))? == 0 || line.last() != Some(&b'\n') {
                return Err(Cut::Ended);
            }
            let line = String::from_utf8_lossy(&line);
            if let Some(name) = line.trim_end().strip_prefix("event: ") {
                name.clone_into(&mut self.name);
            } else if let Some(data) = line.strip_prefix("data: ")
                && let Ok(fields) = serde_json::from_str(data)
            {
                return Ok(Fact { name: std::mem::take(&mut self.name), fields });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    #[test]
    fn a_stream_is_read_fact_by_fact_to_its_end() {
        let stream = ": \n\nevent: block\ndata: {\"at\":\"x\",\"height\":3}\n\n: \n\nevent: odd\ndata: {not\n\n\
                      event: missed\ndata: {\"facts\":2}\n\nevent: cut";
        let mut reader = Reader { lines: BufReader::new(stream.as_bytes()), name: String::new() };
        let block = reader.next_fact().unwrap();
        assert_eq!((block.name.as_str(), block.at()), ("block", "x"));
        assert_eq!(block.json(), json!({ "event": "block", "at": "x", "height": 3 }).to_string());
        assert_eq!(reader.next_fact().unwrap().name, "missed");
        assert_eq!(reader.next_fact(), Err(Cut::Ended));
    }

    /// Takes a request for the stream and begins to answer it.
    fn taken(node: &TcpListener) -> TcpStream {
        let (mut stream, _) = node.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    #[test]
    fn a_stream_that_dies_without_a_word_is_given_up_and_taken_up_anew() {
        const PATIENCE: Duration = Duration::from_millis(800);
        let node = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Api::at(format!("http://{}", node.local_addr().unwrap()), None);
        let facts = listen_to(api, PATIENCE);
        let next = || {
            let fact = facts.recv_timeout(Duration::from_secs(20)).unwrap();
            (fact.name, fact.fields["state"].as_str().map(str::to_owned))
        };
        let told = |name: &str, state: &str| (name.to_owned(), Some(state.to_owned()));
        let mut dead = taken(&node);
        // Signs of life alone keep it.
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE * 2 {
            dead.write_all(b": \n\n").unwrap();
            thread::sleep(PATIENCE / 8);
        }
        dead.write_all(b"event: block\ndata: {}\n\n").unwrap();
        assert_eq!(next(), ("block".to_owned(), None));
        // The first stream stays open, and silent.
        assert_eq!(next(), told("stream", "silent"));
        let ended = taken(&node);
        assert_eq!(next(), told("stream", "heard_again"));
        drop(ended);
        assert_eq!(next(), told("stream", "ended"));
        drop(dead);
    }
}
