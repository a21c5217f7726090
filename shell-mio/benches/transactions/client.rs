//! A client that submits one transaction after another over one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;

/// Bytes of a transaction.
pub(crate) const TRANSACTION: usize = 250;
/// How long a client waits that was refused: as long as a full mempool has reason to stay full.
const REFUSED: Duration = Duration::from_millis(100);

/// The API of a node.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) addr: SocketAddr,
    pub(crate) token: String,
}

/// What all clients together have come to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) stopped: AtomicBool,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// Submits, never the same twice.
pub(crate) fn submit_until_stopped(api: &Api, client: u64, counts: &Counts) {
    let mut connection = Connection::open(api);
    let mut transaction = [7; TRANSACTION];
    transaction[..8].copy_from_slice(&client.to_le_bytes());
    for number in 0_u64.. {
        if counts.stopped.load(Relaxed) {
            return;
        }
        transaction[8..16].copy_from_slice(&number.to_le_bytes());
        match connection.ask("POST", "/tx", &transaction).0 {
            202 => _ = counts.acknowledged.fetch_add(1, Relaxed),
            503 => {
                counts.refused.fetch_add(1, Relaxed);
                sleep(REFUSED);
            }
            other => panic!("status {other}"),
        }
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(api: &Api) -> Self {
        let stream = TcpStream::connect(api.addr).expect("the API listens");
        stream.set_nodelay(true).expect("it is connected");
        let head = format!("Host: {}\r\nAuthorization: Bearer {}\r\n", api.addr, api.token);
        Self { stream, head, answer: Vec::new() }
    }

    /// Asks, and answers the status with the body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, &[u8]) {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n", self.head, body.len())
                .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).expect("the API reads");
        self.answer.clear();
        let mut whole = None;
        while whole.is_none_or(|(_, end)| self.answer.len() < end) {
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer).expect("the API answers");
            assert!(count > 0, "the API has closed the connection");
            self.answer.extend_from_slice(&buffer[..count]);
            whole = whole.or_else(|| extent(&self.answer));
        }
        let status = std::str::from_utf8(&self.answer[9..12]).ok().and_then(|text| text.parse().ok());
        let (body, end) = whole.expect("a whole answer");
        (status.expect("a status"), &self.answer[body..end])
    }
}

/// Where the body begins and ends, once the head is whole.
fn extent(answer: &[u8]) -> Option<(usize, usize)> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&answer[..head]).expect("a head is text").to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).expect("its length is told");
    Some((head + 4, head + 4 + length))
}
