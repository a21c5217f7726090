//! The HTTP API of a real node: any bytes, and requests of its routes with anything in their paths, headers and
//! bodies. Every answer is one, none is an error of the program, and nothing changes without the token.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use serde_json::{Value, json};
use timed_core::{
    Command, ConnId, Event, Input, Mono, Node, Now, Refused, Reply, Request, RequestId, Transmit,
};
use timed_mio::application::FifoPayload;
use timed_mio::daemon::serve_api;
use timed_mio::{Core, Shell, ShellConfig, Store};
use timed_tests::driver::{Crypto, NODE, config};

const TOKEN: &str = "0123456789abcdef";
/// The code of JSON-RPC for a call that needs the token.
const UNAUTHORIZED: i32 = -32_001;
/// What one answer may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

const METHODS: [&str; 6] = ["GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS"];
const ROUTES: [&str; 18] = [
    "/status",
    "/consensus_info",
    "/peers",
    "/matrix",
    "/why",
    "/masternodes",
    "/blocks",
    "/tx",
    "/evidence",
    "/bans",
    "/livez",
    "/readyz",
    "/metrics",
    "/stop",
    "/",
    "/blocks?from=",
    "/blocks?limit=",
    "/peers?",
];

#[derive(Arbitrary, Debug)]
enum Case<'a> {
    /// The bytes of a connection.
    Raw(&'a [u8]),
    Request(Wish<'a>),
    Call(RemoteCall<'a>),
}

#[derive(Arbitrary, Debug)]
struct Wish<'a> {
    method: u8,
    route: u8,
    rest: &'a [u8],
    token: Token,
    host: u8,
    header: &'a [u8],
    body: Body<'a>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    Right,
    Wrong(u8),
}

#[derive(Arbitrary, Debug)]
enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    /// A JSON object with one of the keys that routes know.
    Json(u8, &'a str),
}

/// Methods of JSON-RPC that only tell something, and those that change something.
const READING: [&str; 15] = [
    "getblockcount",
    "getbestblockhash",
    "getblockhash",
    "getblock",
    "getnetworkinfo",
    "getpeerinfo",
    "getconnectioncount",
    "masternodelist",
    "masternodestatus",
    "getconsensusinfo",
    "getattestationstats",
    "getmempoolinfo",
    "listbanned",
    "uptime",
    "help",
];
const CHANGING: [&str; 6] =
    ["sendrawtransaction", "addnode", "disconnectnode", "setban", "clearbanned", "stop"];

/// A call of JSON-RPC.
#[derive(Arbitrary, Debug)]
struct RemoteCall<'a> {
    method: u8,
    parameters: Vec<Parameter<'a>>,
    token: Token,
    batch: u8,
}

#[derive(Arbitrary, Debug)]
enum Parameter<'a> {
    Null,
    Flag(bool),
    Number(i64),
    Text(&'a str),
    /// One that some method takes.
    Known(u8),
    Nested(u8),
}

/// A node that is not stopped by those who try it.
struct Lasting {
    node: Node,
    stopping: Vec<RequestId>,
}

impl Core for Lasting {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        self.node.accept(now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Request { id, request: Request::Stop } => self.stopping.push(id),
            input => self.node.handle(now, input),
        }
    }

    fn next_command(&mut self) -> Option<Command> {
        let stopping =
            self.stopping.pop().map(|id| Command::Event(Event::Reply { id, reply: Reply::Stopping }));
        stopping.or_else(|| {
            loop {
                // Nobody is dialed from here.
                match self.node.next_command()? {
                    Command::Dial { .. } => {}
                    command => return Some(command),
                }
            }
        })
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.node.transmit(now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}

/// Where the API of the node listens that lasts as long as the process.
fn api() -> SocketAddr {
    static API: OnceLock<SocketAddr> = OnceLock::new();
    *API.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the store");
        let (mut store, journal) = Store::open(folder.path().join("store")).expect("a new store");
        let application = FifoPayload::new(store.reader());
        let blocks = timed_tests::samples::blocks::chain();
        let _ = store.append_blocks(blocks, &application);
        let mut config = config(Crypto::Null);
        config.bootstrap.clear();
        let registry = config.registry.clone();
        let shell =
            Shell::bind(ShellConfig::listening_on(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a loop");
        let listen = serve_api(registry, shell.remote(), store.reader(), TOKEN).expect("an API");
        let node = Node::new(config, Crypto::Null.provider(NODE), [7; 32], journal, timed_mio::now());
        let core = Lasting { node: node.expect("a node"), stopping: Vec::new() };
        std::thread::spawn(move || {
            let _ = shell.run(core, store, |_: &Event| {});
            drop(folder);
        });
        listen
    })
}

/// One connection.
///
/// # Panics
/// If it is answered with what is no answer, or with a failure of the program, or without the token with a change.
pub fn body(input: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(input)) else { return };
    match case {
        Case::Raw(bytes) => {
            let answer = exchange(bytes, true);
            if let Some(status) = status(&answer) {
                judge(status, &answer);
            }
        }
        Case::Request(wish) => {
            let (changes, bytes) = wish.compose();
            let answer = exchange(&bytes, false);
            let status = status(&answer).unwrap_or_else(|| panic!("no answer to {wish:?}"));
            judge(status, &answer);
            let granted = (200..400).contains(&status);
            assert!(!(granted && changes && wish.token != Token::Right), "{status} for {wish:?}");
        }
        Case::Call(call) => call.judge(),
    }
}

fn judge(status: u16, answer: &[u8]) {
    assert!((200..600).contains(&status) && status != 500, "{}", String::from_utf8_lossy(answer));
}

fn status(answer: &[u8]) -> Option<u16> {
    let text = answer.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What is answered until the end of the connection.
fn exchange(bytes: &[u8], ends: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(api()).expect("the API takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let _ = stream.write_all(bytes);
    if ends {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            // The fuzzer's own alarm clock: a read with a time-out is not taken up again by the kernel.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        }
        // The stream of events has no end.
        if answer.windows(17).any(|window| window == b"text/event-stream") {
            break;
        }
    }
    answer
}

impl Wish<'_> {
    /// Whether it asks for a change, and its bytes.
    fn compose(&self) -> (bool, Vec<u8>) {
        let method = METHODS[usize::from(self.method) % METHODS.len()];
        let route = ROUTES[usize::from(self.route) % ROUTES.len()];
        let mut path = route.to_owned();
        if !self.rest.is_empty() && !route.ends_with(['=', '?', '/']) {
            path.push('/');
        }
        for byte in self.rest.iter().take(200) {
            match byte {
                b'0'..=b'9'
                | b'a'..=b'z'
                | b'A'..=b'Z'
                | b':'
                | b'.'
                | b'/'
                | b'['
                | b']'
                | b'&'
                | b'='
                | b'?' => {
                    path.push(char::from(*byte));
                }
                other => path.push_str(&format!("%{other:02x}")),
            }
        }
        let host = ["127.0.0.1", "localhost:1", "[::1]", "evil.example"][usize::from(self.host) % 4];
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        head.push_str(&self.token.header());
        let visible = |byte: &&u8| (b' '..=b'~').contains(*byte);
        let extra: String =
            self.header.iter().filter(visible).take(100).map(|byte| char::from(*byte)).collect();
        head.push_str(&format!("X-Extra: {extra}\r\n"));
        let body = match &self.body {
            Body::None => Vec::new(),
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::Json(key, value) => {
                const KEYS: [&str; 7] = ["addr", "id", "peer", "who", "target", "for", "reason"];
                head.push_str("Content-Type: application/json\r\n");
                format!("{{\"{}\": {value:?}}}", KEYS[usize::from(*key) % KEYS.len()]).into_bytes()
            }
        };
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend(body);
        // What JSON-RPC refuses is told in the body of a 200.
        (!matches!(method, "GET" | "HEAD" | "OPTIONS") && route != "/", bytes)
    }
}

impl RemoteCall<'_> {
    /// Calls, and checks every answer.
    fn judge(&self) {
        let place = usize::from(self.method) % (READING.len() + CHANGING.len());
        let (method, changes) = match READING.get(place) {
            Some(method) => (*method, false),
            None => (CHANGING[place - READING.len()], true),
        };
        let parameters: Vec<Value> = self.parameters.iter().take(8).map(Parameter::value).collect();
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": parameters });
        // None is a call alone, more are a batch.
        let batch = usize::from(self.batch % 4);
        let body = if batch == 0 { call } else { json!(vec![call; batch]) }.to_string();
        let token = self.token.header();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = exchange(format!("{head}{body}").as_bytes(), false);
        let status = status(&answer).unwrap_or_else(|| panic!("no answer to {self:?}"));
        judge(status, &answer);
        let text = String::from_utf8_lossy(&answer);
        let said = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let said: Value =
            serde_json::from_str(said).unwrap_or_else(|error| panic!("{self:?}: {error}: {text}"));
        let answers = if batch == 0 { vec![said] } else { said.as_array().cloned().unwrap_or_default() };
        assert_eq!(answers.len(), batch.max(1), "{self:?}");
        for answer in answers {
            assert!(answer["id"] == 7 || answer["id"].is_null(), "{self:?}: {answer}");
            assert_ne!(answer.get("result").is_some(), answer.get("error").is_some(), "{self:?}: {answer}");
            if changes && self.token != Token::Right {
                assert_eq!(answer["error"]["code"], UNAUTHORIZED, "{self:?}: {answer}");
            }
        }
    }
}

impl Parameter<'_> {
    fn value(&self) -> Value {
        const KNOWN: [&str; 12] = [
            "add",
            "remove",
            "onetry",
            "json",
            "status",
            "addr",
            "attested",
            "127.0.0.1:24100",
            "10.0.0.0/8",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "00",
            "3600",
        ];
        match self {
            Self::Null => Value::Null,
            Self::Flag(flag) => json!(flag),
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Known(place) => json!(KNOWN[usize::from(*place) % KNOWN.len()]),
            Self::Nested(depth) => (0..*depth % 100).fold(Value::Null, |inner, _| json!([inner])),
        }
    }
}

impl Token {
    /// A line of a request's head, or nothing.
    fn header(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Right => format!("Authorization: Bearer {TOKEN}\r\n"),
            Self::Wrong(at) => {
                let wrong = &TOKEN[..usize::from(at) % TOKEN.len()];
                format!("Authorization: Bearer {wrong}\r\n")
            }
        }
    }
}

/// Requests as clients make them, by hand and drawn.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = ROUTES
        .iter()
        .map(|route| {
            [&[0, 0, 0, 0][..], format!("GET {route} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()]
                .concat()
        })
        .collect();
    for route in 0..18u8 {
        for method in 0..3u8 {
            let mut seed = vec![0, 0, 0, 0x80, method, route];
            seed.extend((0..90u8).map(|at| at.wrapping_mul(route) ^ method));
            seeds.push(seed);
            seeds.push(vec![0, 0, 0, 0x80, method, route]);
        }
    }
    for method in 0..21u8 {
        for piece in 0..4u8 {
            let mut seed = vec![0, 0, 0, 0xff, method];
            seed.extend((0..40 * piece).map(|at| at.wrapping_mul(31) ^ method));
            seeds.push(seed);
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn api_holds_on_seeds_and_noise() {
        crate::smoke::run("api", &super::seeds(), 150, super::body);
    }
}
