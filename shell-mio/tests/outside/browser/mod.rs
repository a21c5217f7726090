//! A headless Chromium, told what to do over its debugging pipe: JSON messages that end with a zero byte.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const NAMES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chromium-headless-shell",
    "chrome-headless-shell",
];
/// A browser on a busy machine needs its time.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A window's size in CSS pixels, and the colours that its reader prefers.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
}

/// A browser with one page.
pub struct Browser {
    process: Child,
    input: File,
    heard: Receiver<Value>,
    next: u64,
    session: Option<String>,
    loaded: bool,
    complaints: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Browser {
    /// Starts the browser of this machine: `TIMED_BROWSER`, or the first known name on the path. Without one there is
    /// nothing to test with, which is said.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            println!(
                "SKIPPED: no Chromium on this machine (looked for {}); TIMED_BROWSER names one",
                NAMES.join(", ")
            );
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let [to, from] = ["to", "from"].map(|name| dir.path().join(name));
        let made = Command::new("mkfifo").args([&to, &from]).status().unwrap();
        assert!(made.success(), "mkfifo");
        // Both ways, so that neither open waits for the other end.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (input, output) = (open(&to), open(&from));
        let mut profile = OsString::from("--user-data-dir=");
        profile.push(dir.path().join("profile"));
        let process = Command::new("sh")
            .args(["-c", "to=$1 from=$2; shift 2; exec \"$@\" 3<\"$to\" 4>\"$from\"", "sh"])
            .args([to.as_os_str(), from.as_os_str(), program.as_os_str()])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-extensions",
                "--no-proxy-server",
            ])
            .arg("--remote-debugging-pipe")
            .arg(profile)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let (tell, heard) = channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if tell.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            process,
            input,
            heard,
            next: 0,
            session: None,
            loaded: false,
            complaints: Vec::new(),
            _dir: dir,
        };
        let target = browser.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", &attach)["sessionId"].as_str().unwrap().to_owned();
        browser.session = Some(session);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.ask(domain, &json!({}));
        }
        Some(browser)
    }

    /// Opens an address, and returns when its page is loaded.
    pub fn open(&mut self, url: &str) {
        self.loaded = false;
        let opened = self.ask("Page.navigate", &json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{opened}");
        let until = Instant::now() + ANSWER_WITHIN;
        while !self.loaded {
            let event = self.hear("the page", until);
            self.note(&event);
        }
    }

    /// Sets the window.
    pub fn view(&mut self, View { width, height, scheme }: View) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("Emulation.setEmulatedMedia", &features);
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let answer = self.ask(
            "Runtime.evaluate",
            &json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    pub fn eventually(&mut self, what: &str, within: Duration, expression: &str) {
        let begun = Instant::now();
        while self.value(expression) != true {
            if begun.elapsed() > within {
                let shown = self.value("document.body.innerText");
                panic!("not within {within:?}: {what}\n{}\n{:?}", shown.as_str().unwrap(), self.complaints);
            }
            thread::sleep(Duration::from_millis(50));
        }
        println!("{what}: after {:?}", begun.elapsed());
    }

    /// Writes what the window shows as a PNG.
    pub fn picture(&mut self, path: &Path) {
        let answer = self.ask("Page.captureScreenshot", &json!({ "format": "png" }));
        std::fs::write(path, STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// What the browser's console has complained about since the last call: errors and warnings of any source.
    pub fn complaints(&mut self) -> Vec<String> {
        self.value("0");
        std::mem::take(&mut self.complaints)
    }

    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        let until = Instant::now() + ANSWER_WITHIN;
        loop {
            let heard = self.hear(method, until);
            if heard["id"] == self.next {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.note(&heard);
        }
    }

    fn hear(&self, what: &str, until: Instant) -> Value {
        let left = until.saturating_duration_since(Instant::now());
        self.heard.recv_timeout(left).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    fn note(&mut self, event: &Value) {
        self.loaded |= event["method"] == "Page.loadEventFired";
        self.complaints.extend(complaint(event));
    }
}

/// What an event of the browser complains about.
fn complaint(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    let found = match event["method"].as_str()? {
        "Log.entryAdded" => {
            let entry = &parameters["entry"];
            let grave = matches!(entry["level"].as_str(), Some("error" | "warning"));
            grave.then(|| format!("{}: {} {}", entry["source"], entry["text"], entry["url"]))
        }
        "Runtime.consoleAPICalled" => {
            let grave = matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert"));
            grave.then(|| format!("console: {}", parameters["args"]))
        }
        "Runtime.exceptionThrown" => Some(format!("exception: {}", parameters["exceptionDetails"])),
        _ => None,
    };
    found.map(|text| text.replace('"', ""))
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("TIMED_BROWSER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser's own children are of its process group.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}
