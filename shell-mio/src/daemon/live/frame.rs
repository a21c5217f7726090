//! A view on a screen of any size: the first line and the figures, then nodes, blocks, and what has happened.
//!
//! What does not fit goes in this order: columns of lesser rank, blocks, the hint, what happened long ago, nodes that
//! are well. Nothing wraps but what has happened.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::text::Span;

use super::view::{Cell, Column, Grid, Happening, Row, Stands, Tone, View, time_of_day};

/// Between two columns, and between two figures.
const GAP: usize = 2;
/// What a column that may be cut has at least.
const LEAST_CUT: usize = 12;
/// Lines of blocks at most, their head included.
const MOST_BLOCKS: usize = 7;
/// From this height on there are empty lines between the parts.
const AIRY_FROM: usize = 18;

/// Whether a screen has colours. Without them tones are still told apart by weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Ansi,
    None,
}

impl Colours {
    fn style(self, tone: Tone) -> Style {
        let style = match tone {
            Tone::Plain => Style::new(),
            Tone::Quiet => Style::new().add_modifier(Modifier::DIM),
            Tone::Good => Style::new().fg(Color::Green),
            Tone::Odd => Style::new().fg(Color::Yellow),
            Tone::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        };
        match self {
            Self::Ansi => style,
            Self::None if tone.is_ill() => Style::new().add_modifier(Modifier::BOLD),
            Self::None => Style { fg: None, ..style },
        }
    }
}

/// Draws a view into an area.
pub(super) fn draw(view: &View, colours: Colours, area: Rect, buffer: &mut Buffer) {
    let mut pen = Pen { colours, area, buffer, line: 0 };
    let height = usize::from(area.height);
    pen.head(view);
    pen.figures(view, if height >= AIRY_FROM { 2 } else { 1 });
    let hint = usize::from(height >= 8 && !view.hint.is_empty());
    let rest = height.saturating_sub(usize::from(pen.line) + hint);
    let shares = shares(view, rest, height >= AIRY_FROM);
    pen.gap(shares.gap);
    pen.grid(&view.nodes, shares.nodes);
    if shares.blocks > 0 {
        pen.gap(shares.gap);
        pen.grid(&newest(&view.blocks, shares.blocks), shares.blocks);
    }
    if shares.happenings > 0 {
        pen.gap(shares.gap);
        pen.happenings(&view.happenings, shares.happenings);
    }
    if hint > 0 {
        pen.line = area.height.saturating_sub(1);
        pen.cells(&[(view.hint.to_owned(), Tone::Quiet)]);
    }
}

/// Lines for each part, and empty ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares {
    gap: usize,
    nodes: usize,
    blocks: usize,
    happenings: usize,
}

fn shares(view: &View, lines: usize, airy: bool) -> Shares {
    let gap = usize::from(airy);
    let wanted = view.nodes.rows.len() + 1;
    // The nodes have all but what the other parts need to be of use.
    let others = match lines {
        0..12 => 2,
        12..30 => 6,
        _ => 2 * MOST_BLOCKS,
    };
    let nodes = wanted.min(lines.saturating_sub(others)).max(2.min(lines));
    let below = lines.saturating_sub(nodes + 2 * gap);
    let blocks = view.blocks.rows.len() + 1;
    let blocks = if below < 8 || blocks < 2 { 0 } else { blocks.min(below / 2).min(MOST_BLOCKS) };
    let happenings = if blocks > 0 { below - blocks - gap } else { below };
    Shares { gap, nodes, blocks, happenings }
}

/// The newest rows of a grid that is to fill so many lines, its head included.
fn newest(grid: &Grid, lines: usize) -> Grid {
    let first = grid.rows.len().saturating_sub(lines.saturating_sub(1));
    Grid { columns: grid.columns.clone(), rows: grid.rows.iter().skip(first).cloned().collect() }
}

fn width_of(text: &str) -> usize {
    Span::raw(text).width()
}

impl Cell {
    fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| width_of(text)).sum()
    }
}

struct Pen<'a> {
    colours: Colours,
    area: Rect,
    buffer: &'a mut Buffer,
    /// The next line to write, from the top of the area.
    line: u16,
}

impl Pen<'_> {
    fn width(&self) -> usize {
        usize::from(self.area.width)
    }

    fn gap(&mut self, lines: usize) {
        self.line = self.line.saturating_add(u16::try_from(lines).unwrap_or(u16::MAX));
    }

    /// Writes at a column of the line, at most so wide. Returns the column after it.
    fn put(&mut self, column: usize, width: usize, text: &str, style: Style) -> usize {
        let room = width.min(self.width().saturating_sub(column));
        let Ok(offset) = u16::try_from(column) else { return column };
        if room == 0 || self.line >= self.area.height {
            return column;
        }
        let (x, y) = (self.area.x + offset, self.area.y + self.line);
        let (after, _) = self.buffer.set_stringn(x, y, text, room, style);
        usize::from(after - self.area.x)
    }

    fn cells(&mut self, parts: &[(String, Tone)]) {
        let mut column = 0;
        for (text, tone) in parts {
            column = self.put(column, usize::MAX, text, self.colours.style(*tone));
        }
        self.line = self.line.saturating_add(1);
    }

    fn head(&mut self, view: &View) {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut column = self.put(0, usize::MAX, &view.title, bold) + GAP;
        for (text, tone) in &view.state.0 {
            let style = self.colours.style(*tone).add_modifier(Modifier::BOLD);
            column = self.put(column, usize::MAX, text, style);
        }
        let from = self.width().saturating_sub(width_of(&view.aside));
        if from >= column + GAP {
            self.put(from, usize::MAX, &view.aside, self.colours.style(Tone::Quiet));
        }
        self.line += 1;
    }

    /// Writes figures into so many lines at most; those that do not fit are left out.
    fn figures(&mut self, view: &View, lines: u16) {
        let last = self.line + lines - 1;
        let mut column = 0;
        for figure in &view.figures {
            let width = figure.name.len() + 1 + figure.value.width();
            if column > 0 && column + width > self.width() {
                if self.line >= last {
                    continue;
                }
                self.line += 1;
                column = 0;
            }
            let quiet = self.colours.style(Tone::Quiet);
            column = self.put(column, usize::MAX, figure.name, quiet) + 1;
            for (text, tone) in &figure.value.0 {
                let style = self.colours.style(*tone).add_modifier(Modifier::BOLD);
                column = self.put(column, usize::MAX, text, style);
            }
            column += GAP;
        }
        self.line += 1;
    }

    /// Writes a grid into so many lines at most, its head included.
    fn grid(&mut self, grid: &Grid, lines: usize) {
        if grid.columns.is_empty() || lines == 0 {
            return;
        }
        let places = places(grid, self.width());
        let heads: Vec<Cell> =
            grid.columns.iter().map(|column| Cell::new(column.head.clone(), Tone::Quiet)).collect();
        self.row(&grid.columns, &places, &heads);
        let room = lines - 1;
        let shown = chosen(&grid.rows, room);
        for row in &shown {
            self.row(&grid.columns, &places, &row.cells);
        }
        let hidden = grid.rows.len() - shown.len();
        if hidden > 0 && room > 0 {
            let ill = |rows: usize| if rows > 0 { Tone::Odd } else { Tone::Quiet };
            let of_all = grid.rows.iter().filter(|row| row.tone.is_ill()).count();
            let unseen = of_all - shown.iter().filter(|row| row.tone.is_ill()).count();
            let well = if unseen == 0 { String::new() } else { format!(", {unseen} of them not well") };
            self.cells(&[(format!("and {hidden} more{well}"), ill(unseen))]);
        }
    }

    fn row(&mut self, columns: &[Column], places: &[Option<(usize, usize)>], cells: &[Cell]) {
        for ((column, place), cell) in columns.iter().zip(places).zip(cells) {
            let Some((from, width)) = *place else { continue };
            let shift = if column.stands == Stands::Right { width.saturating_sub(cell.width()) } else { 0 };
            let mut at = from + shift;
            for (text, tone) in &cell.0 {
                let room = (from + width).saturating_sub(at);
                at = self.put(at, room, text, self.colours.style(*tone));
            }
        }
        self.line = self.line.saturating_add(1);
    }

    /// Writes the newest of what has happened into so many lines, the oldest first.
    fn happenings(&mut self, happenings: &[Happening], lines: usize) {
        let width = self.width();
        let mut written: Vec<Vec<(String, Tone)>> = Vec::new();
        for happening in happenings.iter().rev() {
            let time = time_of_day(&happening.at);
            let indent = width_of(time) + GAP;
            let room = width.saturating_sub(indent);
            let wrapped = if lines >= 4 && room >= 20 { wrapped(&happening.text, room) } else { Vec::new() };
            let texts = if wrapped.is_empty() { vec![happening.text.clone()] } else { wrapped };
            if !written.is_empty() && written.len() + texts.len() > lines {
                break;
            }
            for (index, text) in texts.into_iter().enumerate().rev() {
                let at = if index == 0 { time } else { "" };
                written.push(vec![(format!("{at:<indent$}"), Tone::Quiet), (text, happening.tone)]);
            }
        }
        written.truncate(lines);
        for parts in written.iter().rev() {
            self.cells(parts);
        }
    }
}

/// Where each column begins and how wide it is; none for those that do not fit.
fn places(grid: &Grid, room: usize) -> Vec<Option<(usize, usize)>> {
    let widths: Vec<usize> = (0..)
        .zip(&grid.columns)
        .map(|(index, column): (usize, _)| {
            let cells = grid.rows.iter().filter_map(|row| row.cells.get(index)).map(Cell::width);
            cells.max().unwrap_or(0).max(width_of(&column.head))
        })
        .collect();
    let least = |index: usize| match grid.columns[index].stands {
        Stands::Cut => widths[index].min(LEAST_CUT),
        Stands::Left | Stands::Right => widths[index],
    };
    let mut kept: Vec<usize> = (0..widths.len()).collect();
    let needed = |kept: &[usize]| kept.iter().map(|&index| least(index) + GAP).sum::<usize>();
    while needed(&kept) > room + GAP {
        let worst = kept.iter().copied().filter(|&index| grid.columns[index].rank > 0);
        let Some(worst) = worst.max_by_key(|&index| (grid.columns[index].rank, index)) else { break };
        kept.retain(|&index| index != worst);
    }
    let mut spare = (room + GAP).saturating_sub(needed(&kept));
    let mut places = vec![None; widths.len()];
    let mut from = 0;
    for index in kept {
        let more = spare.min(widths[index] - least(index));
        spare -= more;
        places[index] = Some((from, least(index) + more));
        from += least(index) + more + GAP;
    }
    places
}

/// As many rows as fit, in their order: those that are not well first, and a line for the rest.
fn chosen(rows: &[Row], room: usize) -> Vec<&Row> {
    if rows.len() <= room {
        return rows.iter().collect();
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| !rows[index].tone.is_ill());
    order.truncate(room.saturating_sub(1));
    order.sort_unstable();
    order.into_iter().map(|index| &rows[index]).collect()
}

/// A text in lines of at most so many columns, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width_of(line) + 1 + width_of(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
