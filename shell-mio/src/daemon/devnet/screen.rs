//! What a person sees: a live screen on a terminal, plain lines otherwise.

use std::io::{self, Write as _};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::super::client::{size, span, thousands};
use super::super::live::{
    Cell, Column, Figure, Grid, Happening, Newest, Row, Terminal, Tone, View, blocks_grid, links_cell,
    links_column,
};
use super::children::Running;
use super::chronicle::BlockLine;
use super::layout::Member;
use super::tail::Tail;
use super::watch::{ChainState, Known, Marks};

/// Standard output.
#[derive(Debug)]
pub(super) enum Screen {
    /// A terminal of ours until we are done with it.
    Live(Box<Live>),
    /// A pipe, a file, or a terminal that shows lines only.
    Plain,
}

#[derive(Debug)]
pub(super) struct Live {
    terminal: Terminal,
    tails: Vec<Tail>,
    happenings: Newest<Happening>,
    /// Lines that are to stay when the screen is gone.
    kept: Newest<String>,
}

/// What there is to show of a network.
pub(super) struct Scene<'a> {
    pub(super) nodes: &'a [Running],
    pub(super) known: &'a [Known],
    pub(super) blocks: &'a [BlockLine],
    pub(super) marks: &'a Marks,
    pub(super) elapsed: Duration,
    /// Whether every link has stood at some time.
    pub(super) was_up: bool,
    /// Blocks that were made since then, of so many slots.
    pub(super) made: Option<(u64, u64)>,
}

impl Screen {
    /// A live screen where that is possible.
    pub(super) fn open(members: &[Member]) -> Self {
        let names = Rc::new(members.iter().map(|member| (member.id.to_string(), member.number)).collect());
        match Terminal::take() {
            Some(terminal) => Self::Live(Box::new(Live {
                terminal,
                tails: members.iter().map(|member| Tail::from_here(member.log(), &names)).collect(),
                happenings: Newest::new(),
                kept: Newest::new(),
            })),
            None => Self::Plain,
        }
    }

    /// Tells something that stays.
    pub(super) fn line(&mut self, text: &str, tone: Tone) {
        if let Self::Live(live) = self {
            let at = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
            live.happened(at, text.to_owned(), tone);
            live.kept.push(text.to_owned());
            if live.terminal.is_shown() {
                return;
            }
        }
        say(text);
    }

    /// Whether the newest blocks are shown as they come.
    pub(super) const fn shows_blocks(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// Draws a live screen.
    pub(super) fn paint(&mut self, scene: &Scene<'_>) {
        let Self::Live(live) = self else { return };
        for (index, node) in scene.nodes.iter().enumerate() {
            let news = live.tails.get_mut(index).map(Tail::news).unwrap_or_default();
            for line in news {
                live.happened(line.at, format!("node {}: {}", node.member.number, line.text), line.tone);
            }
        }
        let last: Vec<Option<String>> =
            live.tails.iter().map(|tail| Some(tail.last.as_ref()?.text.clone())).collect();
        live.terminal.draw(&scene.view(&last, live.happenings.all()));
    }

    /// Lets the next drawing trust nothing that is on the screen.
    pub(super) fn draw_anew(&mut self) {
        if let Self::Live(live) = self {
            live.terminal.draw_anew();
        }
    }

    /// Stops this process as Ctrl-Z asks, and goes on when it does.
    pub(super) fn suspend(&mut self) {
        if let Self::Live(live) = self {
            live.terminal.suspend();
        }
    }

    /// Gives a terminal back and tells there what is to stay.
    pub(super) fn close(&mut self) {
        if let Self::Live(live) = std::mem::replace(self, Self::Plain) {
            let Live { terminal, kept, .. } = *live;
            let shown = terminal.is_shown();
            drop(terminal);
            for line in kept.into_all().filter(|_| shown) {
                say(&line);
            }
        }
    }
}

impl Live {
    /// Notes it in the order of times: logs are read some moments after they were written.
    fn happened(&mut self, at: String, text: String, tone: Tone) {
        self.happenings.push(Happening { at, text, tone });
        self.happenings.all().sort_by(|a, b| a.at.cmp(&b.at));
    }
}

/// Writes a line at once.
pub(super) fn say(text: &str) {
    // A reader that has gone away is no reason to stop the network.
    let _ = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
}

impl Scene<'_> {
    fn view(&self, last: &[Option<String>], happenings: &[Happening]) -> View {
        View {
            title: "timed devnet".to_owned(),
            state: self.state(),
            aside: format!("running for {}", span(self.elapsed.as_secs())),
            figures: self.figures(),
            nodes: self.nodes(last),
            blocks: self.blocks(),
            happenings: happenings.to_vec(),
            hint: "Ctrl-C stops all nodes",
        }
    }

    fn expected(&self) -> u64 {
        (self.nodes.len() * (self.nodes.len() - 1) / 2) as u64
    }

    fn links(&self) -> u64 {
        self.known.iter().filter_map(|known| known.said).map(|said| said.up).sum::<u64>() / 2
    }

    fn state(&self) -> Cell {
        let ended = self.nodes.iter().filter(|node| node.end.is_some()).count();
        let silent = self.known.iter().filter(|known| known.said.is_none()).count();
        match (self.was_up, self.links() == self.expected()) {
            (true, true) => Cell::new("network up", Tone::Good),
            (true, false) if silent > 0 => {
                Cell::new(format!("{silent} of {} nodes silent", self.nodes.len()), Tone::Bad)
            }
            (true, false) => Cell::new("links are missing", Tone::Bad),
            (false, _) if ended > 0 => Cell::new(format!("{ended} nodes ended"), Tone::Bad),
            (false, _) => Cell::new("starting", Tone::Odd),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let (links, expected) = (self.links(), self.expected());
        let tone = |well| if well { Tone::Good } else { Tone::Odd };
        let heights: Vec<u64> = self.known.iter().filter_map(|known| Some(known.said?.height)).collect();
        let (low, high) = (heights.iter().min().copied(), heights.iter().max().copied());
        let height = match (low, high) {
            (Some(low), Some(high)) if high - low > 1 => {
                Cell::new(format!("{} to {}", thousands(low), thousands(high)), Tone::Odd)
            }
            (_, Some(high)) => Cell::from(thousands(high)),
            _ => Cell::unknown(),
        };
        let running = self.nodes.iter().filter(|node| node.end.is_none()).count();
        let mut figures = vec![
            Figure::new("links", Cell::new(format!("{links}/{expected}"), tone(links == expected))),
            Figure::new("height", height),
            Figure::new(
                "nodes",
                Cell::new(format!("{running}/{}", self.nodes.len()), tone(running == self.nodes.len())),
            ),
        ];
        if let Some((blocks, slots)) = self.made {
            figures.push(Figure::new("blocks", format!("{blocks} in {slots} slots")));
        }
        let rates: Vec<u64> = self.known.iter().filter_map(sends).collect();
        if !rates.is_empty() {
            figures.push(Figure::new("traffic", format!("{}/s", size(rates.iter().sum()))));
        }
        figures
    }

    fn nodes(&self, last: &[Option<String>]) -> Grid {
        let mut columns = vec![
            Column::numbers("NODE", 0),
            Column::words("ADDRESS", 2),
            Column::words("STATE", 0),
            Column::numbers("LINKS", 1),
            Column::numbers("HEIGHT", 0),
        ];
        let links = links_column(self.nodes.len(), 5).filter(|_| self.marks.len() == self.nodes.len());
        let has_links = links.is_some();
        columns.extend(links);
        columns.extend([
            Column::numbers("ACTIVE", 6),
            Column::numbers("SENDS", 4),
            Column::numbers("PID", 3),
            Column::tale("LAST EVENT", 7),
        ]);
        let rows = self.nodes.iter().zip(self.known).enumerate().map(|(index, (node, known))| {
            let (state, tone) = state_of(node, known);
            let said = |show: &dyn Fn(&super::watch::Said) -> Cell| {
                known.said.as_ref().map_or_else(Cell::unknown, show)
            };
            let mut cells = vec![
                node.member.number.to_string().into(),
                node.member.listen.ip().to_string().into(),
                Cell::new(state, tone),
                said(&|said| {
                    let tone = if said.up < said.expected { Tone::Odd } else { Tone::Plain };
                    Cell::new(format!("{}/{}", said.up, said.expected), tone)
                }),
                said(&|said| thousands(said.height).into()),
            ];
            if has_links {
                cells.push(self.marks.get(index).map_or_else(Cell::unknown, |row| links_cell(row)));
            }
            cells.extend([
                said(&|said| said.active.to_string().into()),
                sends(known).map_or_else(Cell::unknown, |rate| format!("{}/s", size(rate)).into()),
                Cell::from(node.pid.to_string()),
                last.get(index).cloned().flatten().map_or_else(Cell::unknown, Cell::from),
            ]);
            Row { tone, cells }
        });
        Grid { rows: rows.collect(), columns }
    }

    fn blocks(&self) -> Grid {
        blocks_grid(self.blocks.iter().filter_map(|line| line.block.clone()))
    }
}

/// What a node that answers sends, in bytes a second.
fn sends(known: &Known) -> Option<u64> {
    known.said.and_then(|_| known.sent.per_second())
}

fn state_of(node: &Running, known: &Known) -> (String, Tone) {
    match (node.end, known.said) {
        (Some(end), None) => (end.describe(), Tone::Bad),
        (None, None) if known.first.is_none() => ("starting".to_owned(), Tone::Plain),
        (None, None) => ("silent".to_owned(), Tone::Bad),
        // Somebody has started it again by hand.
        (_, Some(said)) if said.chain == ChainState::Syncing => ("catching up".to_owned(), Tone::Odd),
        (_, Some(said)) if said.up < said.expected => ("connecting".to_owned(), Tone::Odd),
        (_, Some(said)) if said.chain == ChainState::Producing => ("producing".to_owned(), Tone::Good),
        (_, Some(_)) => ("connected".to_owned(), Tone::Plain),
    }
}
