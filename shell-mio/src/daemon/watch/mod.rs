//! `timed watch`: a running node, seen live. A screen on a terminal, otherwise a line for each thing that happens.
//!
//! | file | mechanism |
//! |---|---|
//! | `answers` | what the node answers, asked again and again |
//! | `facts` | what it tells by itself, through `/events` |
//! | `words` | a fact as a person reads it |
//! | `scene` | all of it as a view |

mod answers;
mod facts;
mod scene;
mod words;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::arguments::ClientArgs;
use super::client::Api;
use super::failure::Failure;
use super::live::{Happening, Newest, Order, Orders, Terminal, Tone};
use answers::{Answered, Answers};
use facts::Fact;
use words::{names, words};

const LOOK_EVERY: Duration = Duration::from_millis(100);
const PAINT_EVERY: Duration = Duration::from_millis(500);

/// Watches a node until Ctrl-C.
pub(crate) fn watch(args: &ClientArgs) -> Result<ExitCode, Failure> {
    let mut orders = Orders::take()?;
    let api = Api::of(args)?;
    // Whoever watches nothing from the start is told so at once.
    let first = answers::ask(&api)?;
    let facts = facts::listen(api.clone());
    let answers = Answers::follow(api, first);
    let mut output = match args.json {
        true => Output::Json,
        false => Terminal::take().map_or(Output::Lines, |terminal| Output::Live {
            terminal: Box::new(terminal),
            happenings: Newest::new(),
            painted: None,
        }),
    };
    if let Output::Live { .. } = output {
        orders.watch_screen()?;
    }
    output.introduce(&answers.now());
    let mut lost = None;
    loop {
        match orders.wait(LOOK_EVERY) {
            Some(Order::Stop) => return Ok(ExitCode::SUCCESS),
            Some(order) => output.obey(order),
            None => {}
        }
        if !output.tell_all(&facts, &answers) {
            return Ok(ExitCode::SUCCESS);
        }
        let now = answers.now();
        if lost != now.lost {
            output.tell_reach(&now);
            lost.clone_from(&now.lost);
        }
        output.paint(&now);
    }
}

/// Where it goes.
enum Output {
    /// A terminal.
    Live { terminal: Box<Terminal>, happenings: Newest<Happening>, painted: Option<Instant> },
    /// Lines for people.
    Lines,
    /// Lines for programs.
    Json,
}

impl Output {
    fn introduce(&mut self, now: &Answered) {
        match self {
            Self::Live { .. } => {}
            Self::Lines => drop(say(&scene::introduction(now))),
            Self::Json => {
                drop(say(&Fact { name: "status".to_owned(), fields: now.status.clone() }.json()));
            }
        }
    }

    fn obey(&mut self, order: Order) {
        if let Self::Live { terminal, .. } = self {
            match order {
                Order::Suspend => terminal.suspend(),
                Order::Redraw | Order::Stop => terminal.draw_anew(),
            }
        }
    }

    /// Tells the facts that have come; whether anybody still reads.
    fn tell_all(&mut self, facts: &Receiver<Fact>, answers: &Answers) -> bool {
        loop {
            let fact = match facts.try_recv() {
                Ok(fact) => fact,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return true,
            };
            if fact.changes_answers() {
                answers.ask_soon();
            }
            let told = match self {
                Self::Json => say(&fact.json()),
                Self::Lines | Self::Live { .. } => match words(&fact, &names(&answers.now().masternodes)) {
                    Some((text, tone)) => self.tell(fact.at(), &text, tone),
                    None => Ok(()),
                },
            };
            if told.is_err() {
                return false;
            }
        }
    }

    fn tell(&mut self, at: &str, text: &str, tone: Tone) -> io::Result<()> {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match self {
            Self::Live { happenings, .. } => {
                happenings.push(Happening { at: at.to_owned(), text, tone });
                Ok(())
            }
            Self::Lines => say(&format!("{at} {text}")),
            Self::Json => Ok(()),
        }
    }

    /// Tells that the node does not answer any more, or does again.
    fn tell_reach(&mut self, now: &Answered) {
        let at = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string();
        let _ = match &now.lost {
            Some(lost) => self.tell(&at, &format!("the node does not answer: {}", lost.why), Tone::Bad),
            None => self.tell(&at, "the node answers again", Tone::Good),
        };
    }

    fn paint(&mut self, now: &Answered) {
        if let Self::Live { terminal, happenings, painted } = self
            && painted.is_none_or(|at| at.elapsed() >= PAINT_EVERY)
        {
            terminal.draw(&scene::view(now, happenings.all()));
            *painted = Some(Instant::now());
        }
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}
