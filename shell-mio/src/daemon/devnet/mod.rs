//! `timed devnet`: a whole network of real nodes on this machine, and nothing left of it afterwards.
//!
//! | file | mechanism |
//! |---|---|
//! | `layout` | keys, genesis and configurations of all nodes |
//! | `runner` | the programs that may run them |
//! | `children` | their processes |
//! | `watch` | what they say of themselves |
//! | `chronicle` | the blocks that they make |
//! | `tail` | what they write into their logs |
//! | `screen` | what a person sees |

mod children;
mod chronicle;
mod layout;
mod runner;
mod screen;
mod tail;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::arguments::DevnetArgs;
use super::client::url_of;
use super::failure::{Exit, Failure};
use super::live::{Order, Orders, Tone};
use children::{Children, End};
use chronicle::Chronicle;
use layout::{Home, Member, Plan};
use screen::{Scene, Screen, say};
use tail::last_line;
use watch::Watch;

/// How often the parent looks at its children and repaints.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const PAINT_EVERY: Duration = Duration::from_millis(500);

/// Runs a network until Ctrl-C, the end of `--for`, or a node that cannot start.
pub(crate) fn devnet(args: &DevnetArgs) -> Result<ExitCode, Failure> {
    let mut orders = Orders::take()?;
    let home = Home::of(args)?;
    let plan = Plan::of(args, home.path())?;
    let members = layout::members(&plan, home.path())?;
    layout::check_addresses(&members)?;

    let interval = humantime::format_duration(plan.block_interval);
    say(&format!(
        "{}, block interval {interval}, files in {} (logs: node1/log ...)",
        counted(members.len(), "node"),
        home.path().display()
    ));
    let begun = Instant::now();
    let children = Children::start(members.clone())?;
    for node in children.nodes() {
        say(&format!(
            "node {}: api {} pid {} listen {} id {} command: {}",
            node.member.number,
            url_of(node.member.api),
            node.pid,
            node.member.listen,
            node.member.id,
            node.command_line
        ));
    }
    if let Some(first) = members.first() {
        say(&format!("dashboard: {}/", url_of(first.api)));
    }

    let watch = Watch::begin(&members, plan.block_interval);
    let chronicle = Chronicle::begin(&members, plan.origin, plan.block_interval, &watch);
    let shown = Shown::default();
    let interval = plan.block_interval;
    // What was said so far stays above: it is needed while the network runs, and afterwards.
    let screen = Screen::open(&members);
    if screen.shows_blocks() {
        orders.watch_screen()?;
        watch.ask_for_links(&members);
    }
    let mut network =
        Network { members, interval, children, watch, chronicle, screen, begun, up: None, shown };
    let reason = network.run(args.run_for, &mut orders);
    network.finish(&reason, &mut orders, &home)
}

/// Why the network is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    /// Ctrl-C or SIGTERM.
    Ordered,
    /// `--for` has passed.
    TimeIsUp,
    /// A node ended by itself before the network stood.
    NodeFailed,
}

struct Network {
    members: Vec<Member>,
    interval: Duration,
    children: Children,
    watch: Watch,
    chronicle: Chronicle,
    screen: Screen,
    begun: Instant,
    up: Option<Up>,
    shown: Shown,
}

/// The moment when every link stood for the first time.
#[derive(Clone, Copy, Debug)]
struct Up {
    at: Instant,
    /// The highest node then.
    height: u64,
}

impl Up {
    /// The blocks that were made since then up to a height, and the slots there were for them.
    fn blocks_in_slots(self, height: u64, interval: Duration) -> (u64, u64) {
        let blocks = height.saturating_sub(self.height);
        let slots = self.at.elapsed().as_nanos() / interval.as_nanos().max(1);
        // A slot that had begun then counts if its block was not there yet: no slot has two.
        (blocks, u64::try_from(slots).unwrap_or(u64::MAX).max(blocks))
    }
}

/// The number of links that was last told, and one that may be told when it lasts.
#[derive(Debug, Default)]
struct Shown {
    links: u64,
    candidate: Option<(u64, Instant)>,
}

impl Shown {
    /// Whether a number is news: another one than told, unchanged for a second.
    fn is_news(&mut self, links: u64, now: Instant) -> bool {
        match self.candidate {
            _ if links == self.links => {
                self.candidate = None;
                false
            }
            Some((candidate, since)) if candidate == links => {
                let lasts = now.duration_since(since) >= Duration::from_secs(1);
                if lasts {
                    *self = Self { links, candidate: None };
                }
                lasts
            }
            _ => {
                self.candidate = Some((links, now));
                false
            }
        }
    }
}

impl Network {
    fn run(&mut self, run_for: Option<Duration>, orders: &mut Orders) -> Ending {
        let mut painted: Option<Instant> = None;
        loop {
            match orders.wait(LOOK_EVERY) {
                Some(Order::Stop) => return Ending::Ordered,
                Some(Order::Suspend) => self.screen.suspend(),
                Some(Order::Redraw) => self.screen.draw_anew(),
                None => {}
            }
            if run_for.is_some_and(|span| self.begun.elapsed() >= span) {
                return Ending::TimeIsUp;
            }
            if self.note_ends() && self.up.is_none() {
                return Ending::NodeFailed;
            }
            self.note_links();
            self.note_blocks();
            if painted.is_none_or(|at| at.elapsed() >= PAINT_EVERY) {
                self.paint();
                painted = Some(Instant::now());
            }
        }
    }

    fn paint(&mut self) {
        if !self.screen.shows_blocks() {
            return;
        }
        let known = self.watch.known();
        let height = known.iter().filter_map(|known| Some(known.said?.height)).max();
        let scene = Scene {
            nodes: self.children.nodes(),
            known: &known,
            blocks: &self.chronicle.last(),
            marks: &self.watch.marks(),
            elapsed: self.begun.elapsed(),
            was_up: self.up.is_some(),
            made: self.up.zip(height).map(|(up, height)| up.blocks_in_slots(height, self.interval)),
        };
        self.screen.paint(&scene);
    }

    /// Tells of processes that have ended; whether one failed by itself.
    fn note_ends(&mut self) -> bool {
        let mut failed = false;
        for number in self.children.reap() {
            let Some(node) = self.children.nodes().iter().find(|node| node.member.number == number) else {
                continue;
            };
            let Some(end) = node.end else { continue };
            let mut line = format!("node {number} (pid {}) {}", node.pid, end.describe());
            let mut tone = Tone::Odd;
            if let End::ByItself(_) = end {
                failed = true;
                tone = Tone::Bad;
                line.push_str(&format!("; its last words: {}", last_line(&node.member.log())));
            }
            self.screen.line(&line, tone);
        }
        failed
    }

    /// Tells when every link stands, and later when the number changes.
    fn note_links(&mut self) {
        let known = self.watch.known();
        let size = known.len();
        let expected = (size * (size - 1) / 2) as u64;
        let said: Vec<_> = known.iter().filter_map(|known| known.said).collect();
        let links = said.iter().map(|said| said.up).sum::<u64>() / 2;
        let complete = said.len() == size && said.iter().all(|said| said.complete(size));
        if self.up.is_none() && complete {
            let height = said.iter().map(|said| said.height).max().unwrap_or(0);
            self.up = Some(Up { at: Instant::now(), height });
            self.shown.links = expected;
            let ready = known.iter().filter_map(|known| known.first).max().unwrap_or(self.begun);
            let line = format!(
                "network up: {links}/{expected} links, 0 duplicate, {:.1} s after the start, {:.1} s after the last \
                 node answered",
                self.begun.elapsed().as_secs_f64(),
                ready.elapsed().as_secs_f64()
            );
            self.screen.line(&line, Tone::Good);
        } else if self.up.is_some() && self.shown.is_news(links, Instant::now()) {
            let silent = known.iter().zip(&self.members).filter(|(known, _)| known.said.is_none());
            let silent: Vec<String> = silent.map(|(_, member)| member.number.to_string()).collect();
            let silent =
                if silent.is_empty() { String::new() } else { format!(", silent: {}", silent.join(" ")) };
            let tone = if links < expected { Tone::Odd } else { Tone::Good };
            self.screen.line(&format!("links: {links}/{expected}{silent}"), tone);
        }
    }

    /// Tells of blocks, one line each, where no live screen shows them.
    fn note_blocks(&mut self) {
        for block in self.chronicle.news() {
            if !self.screen.shows_blocks() {
                self.screen.line(&block.text, Tone::Plain);
            }
        }
    }

    /// What the network has made of its time, in words.
    fn blocks_made(&self, height: u64) -> String {
        let Some(up) = self.up else { return format!("height {height}") };
        let (blocks, slots) = up.blocks_in_slots(height, self.interval);
        let (blocks, slots) = (counted(blocks, "block"), counted(slots, "slot"));
        format!("height {height}, {blocks} in {slots} since it was up")
    }

    /// Judges the network, stops every process, and says how it was.
    fn finish(mut self, ending: &Ending, orders: &mut Orders, home: &Home) -> Result<ExitCode, Failure> {
        self.note_ends();
        let mut faults = Vec::new();
        let mut survivors = Vec::new();
        for (member, node) in self.members.iter().zip(self.children.nodes()) {
            match node.end {
                None => survivors.push(member.clone()),
                Some(End::BySomebody(_)) => {}
                Some(end @ End::ByItself(_)) => {
                    faults.push(format!("node {} {}", member.number, end.describe()));
                }
            }
        }
        if survivors.is_empty() {
            faults.push("no node is left".to_owned());
        }
        let mut made = String::new();
        if *ending != Ending::NodeFailed {
            faults.extend(watch::link_faults(&survivors));
            match watch::common_height(&survivors) {
                Ok(height) => made = self.blocks_made(height),
                Err(found) => faults.extend(found),
            }
        }
        self.note_blocks();
        let why = match ending {
            Ending::Ordered => "stopping all nodes",
            Ending::TimeIsUp => "the time is up: stopping all nodes",
            Ending::NodeFailed => "a node failed: stopping all nodes",
        };
        self.screen.line(why, Tone::Plain);
        self.screen.close();
        let killed = self.children.stop(|| orders.wait(Duration::ZERO) == Some(Order::Stop));
        if killed > 0 {
            faults.push(format!("{} had to be killed", counted(killed, "node")));
        }
        let pairs = survivors.len() * survivors.len().saturating_sub(1) / 2;
        if faults.is_empty() {
            say(&format!(
                "the network ended healthy: {}, {pairs}/{pairs} links, 0 duplicate, {made}",
                counted(survivors.len(), "node")
            ));
            if let Home::Temporary(path) = home {
                let _ = std::fs::remove_dir_all(path);
            }
            return Ok(ExitCode::SUCCESS);
        }
        faults.truncate(20);
        Err(Failure {
            exit: Exit::Failed,
            message: format!(
                "the network did not end healthy; logs are in {}\n{}",
                home.path().display(),
                faults.join("\n")
            ),
        })
    }
}

/// A number of things, in words.
fn counted(number: impl std::fmt::Display, thing: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_slot_has_two_blocks() {
        let up = Up { height: 3, at: Instant::now() };
        assert_eq!(up.blocks_in_slots(4, Duration::from_secs(600)), (1, 1));
        assert_eq!((counted(1, "block"), counted(0, "slot")), ("1 block".to_owned(), "0 slots".to_owned()));
    }

    #[test]
    fn only_a_number_that_lasts_is_told() {
        let at = |millis| Duration::from_millis(millis);
        let start = Instant::now();
        let mut shown = Shown { links: 6, candidate: None };
        assert!(!shown.is_news(5, start));
        assert!(!shown.is_news(3, start + at(900)));
        assert!(!shown.is_news(3, start + at(1800)));
        assert!(shown.is_news(3, start + at(1900)));
        assert!(!shown.is_news(3, start + at(9000)));
        assert!(!shown.is_news(6, start + at(9100)));
        assert!(!shown.is_news(3, start + at(9200)));
        assert!(!shown.is_news(6, start + at(9300)) && !shown.is_news(6, start + at(10_250)));
        assert!(shown.is_news(6, start + at(10_300)));
    }
}
