//! The dashboard in a browser, before a network of real daemons. `TIMED_PICTURES=DIRECTORY` keeps the pictures of it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::browser::{Browser, View};
use crate::loopback::quiet_ip;
use crate::operator::{Process, eventually, http, lone_node, signal, text, timed};

const SECOND: Duration = Duration::from_secs(1);
const NODES: usize = 7;

/// A network of which each node can be killed and started again.
struct Devnet {
    process: Process,
    base: Ipv4Addr,
    dir: tempfile::TempDir,
}

impl Devnet {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = quiet_ip();
        let (nodes, ip) = (NODES.to_string(), base.to_string());
        let arguments = [
            "devnet",
            "--nodes",
            &nodes,
            "--base-ip",
            &ip,
            "--dir",
            text(dir.path()),
            "--block-interval",
            "2s",
        ];
        let devnet = Self { process: Process::start(&mut timed(&arguments)), base, dir };
        eventually("every node's API answers", 60 * SECOND, || {
            (1..=NODES).all(|node| http("GET", &format!("{}/livez", devnet.url(node)), None, "").0 == 200)
        });
        devnet
    }

    fn ip(&self, node: usize) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + u32::try_from(node).unwrap() - 1)
    }

    fn url(&self, node: usize) -> String {
        format!("http://{}:8332", self.ip(node))
    }

    fn node_dir(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    fn kill(&self, node: usize) {
        let pid = std::fs::read_to_string(self.node_dir(node).join("LOCK")).unwrap();
        signal("KILL", pid.trim().parse().unwrap());
    }

    fn revive(&self, node: usize) -> Process {
        Process(
            timed(&["run", "--data-dir", text(&self.node_dir(node))])
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Devnet {
    /// An interrupted devnet takes its nodes along, a killed one does not.
    fn drop(&mut self) {
        signal("INT", self.process.pid());
        let until = Instant::now() + 30 * SECOND;
        while matches!(self.process.0.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(SECOND / 20);
        }
    }
}

fn pictures() -> PathBuf {
    let dir =
        std::env::var_os("TIMED_PICTURES").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn shows(id: &str, text: &str) -> String {
    format!("document.getElementById('{id}').textContent === '{text}'")
}

fn log_holds(text: &str) -> String {
    format!("document.getElementById('log').textContent.includes('{text}')")
}

/// The looks of the line between two nodes.
fn line(low: usize, high: usize, looks: &str) -> String {
    format!("document.querySelector('[data-pair=\"{low}-{high}\"]')?.classList.contains('{looks}') === true")
}

fn level(level: &str) -> String {
    format!("document.documentElement.dataset.level === '{level}'")
}

const LIVE: &str = "document.getElementById('live').dataset.state === 'live'";
const WIDE: View = View { width: 1440, height: 1110, scheme: "light" };
/// What README shows.
const SMALL: View = View { width: 1180, height: 800, scheme: "light" };
const PHONE: View = View { width: 390, height: 844, scheme: "light" };

#[test]
fn the_page_follows_the_network_without_being_loaded_again() {
    let Some(mut browser) = Browser::start() else { return };
    let devnet = Devnet::start();
    browser.view(WIDE);
    browser.open(&format!("{}/", devnet.url(3)));
    browser.eventually(
        "the page shows a whole network",
        60 * SECOND,
        &format!("{LIVE} && {}", level("good")),
    );
    browser.value("window.loadedOnce = true");
    browser.eventually("every link", 10 * SECOND, &shows("links", "6 / 6"));
    assert_eq!(browser.value("document.querySelectorAll('#network [data-pair]').length"), 21);
    // The lower address dials.
    for (expression, told) in [(line(1, 3, "inbound"), "1 dialed"), (line(3, 5, "outbound"), "5 was dialed")]
    {
        assert_eq!(browser.value(&expression), true, "{told}");
    }

    let height = browser.value("Number(document.getElementById('height').textContent)");
    let next = height.as_u64().unwrap() + 1;
    browser.eventually("a block arrives", 20 * SECOND, &log_holds(&format!("block {next} by")));
    browser.eventually(
        "the height follows",
        5 * SECOND,
        &format!("document.getElementById('height').textContent >= {next}"),
    );
    browser.eventually(
        "it is on the time line",
        5 * SECOND,
        &format!("document.querySelector('#blocks [aria-label^=\"block {next},\"]') !== null"),
    );

    fit(&mut browser);
    keep_pictures(&mut browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());

    assert_eq!(browser.value("document.getElementById('bans-card').hidden"), true);
    let token = std::fs::read_to_string(devnet.node_dir(3).join(".cookie")).unwrap();
    let ban = r#"{"target":"203.0.113.0/24","duration":"10m","reason":"seen in a browser"}"#;
    assert_eq!(http("POST", &format!("{}/bans", devnet.url(3)), Some(&token), ban).0, 201);
    let listed = "document.getElementById('bans').textContent.includes('203.0.113.0/24')";
    browser.eventually("a ban is listed", 20 * SECOND, listed);

    devnet.kill(5);
    browser.eventually(
        "a lost link is shown",
        20 * SECOND,
        &format!("{} && {}", line(3, 5, "down"), shows("links", "5 / 6")),
    );
    assert_eq!(browser.value(&level("odd")), true);
    let problem = format!(
        "document.getElementById('problems').textContent.includes('masternode 5, {}:24100')",
        devnet.ip(5)
    );
    assert_eq!(browser.value(&problem), true);
    assert_eq!(browser.value(&log_holds("link with 5 (")), true);
    browser.eventually(
        "it dials again",
        20 * SECOND,
        &log_holds(&format!("dial to {}:24100 failed", devnet.ip(5))),
    );
    browser.value(
        "document.querySelector('#network [data-number=\"5\"]').dispatchEvent(new MouseEvent('click'))",
    );
    browser.eventually(
        "the reason is told on a click",
        10 * SECOND,
        "document.getElementById('detail-body').textContent.includes('nothing listens at the address')",
    );
    browser.value("document.getElementById('detail-close').click()");
    browser.picture(&pictures().join("dashboard-loss.png"));
    let _fifth = devnet.revive(5);
    browser.eventually(
        "the link is back",
        60 * SECOND,
        &format!("{} && {}", line(3, 5, "outbound"), shows("links", "6 / 6")),
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());

    devnet.kill(3);
    browser.eventually(
        "it says that the node does not answer",
        20 * SECOND,
        &format!(
            "{} && document.getElementById('problems').textContent.includes('does not answer')",
            level("lost")
        ),
    );
    browser.picture(&pictures().join("dashboard-silence.png"));
    let _third = devnet.revive(3);
    browser.eventually(
        "it goes on when the node does",
        60 * SECOND,
        &format!("{LIVE} && {} && !({})", shows("links", "6 / 6"), level("lost")),
    );
    assert_eq!(browser.value("window.loadedOnce"), true, "the page was loaded again");
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|said| said.contains("net::ERR_")), "{complaints:?}");
}

/// Nothing is wider than the window, at any usual width.
fn fit(browser: &mut Browser) {
    for width in [320, 390, 768, 1100, 1440, 2560] {
        browser.view(View { width, ..WIDE });
        let fits = format!(
            "new Promise(requestAnimationFrame).then(() => document.documentElement.scrollWidth <= {width})"
        );
        assert_eq!(browser.value(&fits), true, "{width} pixels");
    }
}

fn keep_pictures(browser: &mut Browser) {
    let dir = pictures();
    let dark = |view: View| View { scheme: "dark", ..view };
    if std::env::var_os("TIMED_PICTURES").is_some() {
        let grown = "document.getElementById('height').textContent >= 20";
        browser.eventually("there is something to see", 120 * SECOND, grown);
    }
    let views = [
        ("light", SMALL),
        ("dark", dark(SMALL)),
        ("wide", WIDE),
        ("wide-dark", dark(WIDE)),
        ("phone", PHONE),
        ("phone-dark", dark(PHONE)),
    ];
    for (name, view) in views {
        browser.view(view);
        std::thread::sleep(SECOND);
        browser.picture(&dir.join(format!("dashboard-{name}.png")));
    }
    browser.view(WIDE);
    println!("pictures: {}", Path::new(&dir).display());
}

#[test]
fn beyond_loopback_the_page_asks_for_the_token() {
    let Some(mut browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let ip = quiet_ip();
    lone_node(dir.path(), ip);
    let port = 40_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let (listen, api) = (format!("{ip}:24100"), format!("0.0.0.0:{port}"));
    let _node = Process::start(&mut timed(&[
        "run",
        "--data-dir",
        text(dir.path()),
        "--listen",
        &listen,
        "--api",
        &api,
    ]));
    let url = format!("http://{ip}:{port}");
    eventually("the API answers", 20 * SECOND, || http("GET", &format!("{url}/livez"), None, "").0 == 200);
    browser.open(&format!("{url}/"));
    let asks = "document.getElementById('ask-token').open";
    browser.eventually("it asks", 20 * SECOND, asks);
    let give = |token: &str| {
        format!(
            "document.getElementById('token').value = '{token}'; document.querySelector('#token-form button').click()"
        )
    };
    browser.value(&give("wrong"));
    let refused = format!("{asks} && document.getElementById('token-refused').textContent !== ''");
    browser.eventually("it asks again", 20 * SECOND, &refused);
    browser.value(&give(&std::fs::read_to_string(dir.path().join(".cookie")).unwrap()));
    browser.eventually(
        "it shows the node",
        20 * SECOND,
        &format!("{LIVE} && !({asks}) && {}", shows("active", "1 / 1")),
    );
    let stored =
        browser.value("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])");
    assert_eq!(stored, "[{},{},\"\"]");
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|said| said.contains("401")), "{complaints:?}");
}
