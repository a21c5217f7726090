//! An operator at the command line: the real binary, seen from outside.

use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a finished command left.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A command of the binary, without the surroundings' settings.
pub fn timed(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timed"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIMED_") {
            command.env_remove(name);
        }
    }
    command.env_remove("STATE_DIRECTORY").args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn done(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    Done {
        code: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0)),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Done {
    done(&mut timed(arguments))
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An initialised data directory of a network with this one masternode; returns the node id.
pub fn lone_node(dir: &Path, ip: Ipv4Addr) -> String {
    let init = run(&["init", "--data-dir", text(dir), "--local-ip", &ip.to_string()]);
    assert_eq!(init.code, 0, "{init:?}");
    let id = init.out.trim().to_owned();
    let masternode = format!("{id}@{ip}:24100");
    let genesis = run(&["genesis", "--masternode", &masternode, "--data-dir", text(dir)]);
    assert_eq!(genesis.code, 0, "{genesis:?}");
    id
}

/// A process that is killed when the test ends, however it ends.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for the end; returns what it left.
    pub fn end(mut self, within: Duration) -> Done {
        let status = self.wait(within);
        let read = |out: Option<&mut dyn std::io::Read>| {
            let mut text = String::new();
            out.unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let out = read(self.0.stdout.as_mut().map(|out| out as _));
        let err = read(self.0.stderr.as_mut().map(|err| err as _));
        Done { code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)), out, err }
    }

    fn wait(&mut self, within: Duration) -> ExitStatus {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "process {} did not end within {within:?}", self.0.id());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal by name.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

/// Whether a process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Waits until something holds.
pub fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    println!("{what}: after {:?}", begun.elapsed());
}

/// An HTTP answer: status and body.
pub fn http(method: &str, url: &str, token: Option<&str>, body: &str) -> (u16, serde_json::Value) {
    http_bytes(method, url, token, body.as_bytes())
}

/// The same with a body that need not be text.
pub fn http_bytes(method: &str, url: &str, token: Option<&str>, body: &[u8]) -> (u16, serde_json::Value) {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .proxy(None)
        .build()
        .new_agent();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    match agent.run(request.body(body.to_vec()).unwrap()) {
        Ok(mut response) => {
            let text = response.body_mut().read_to_string().unwrap();
            (
                response.status().as_u16(),
                serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)),
            )
        }
        Err(error) => (0, serde_json::Value::String(error.to_string())),
    }
}
