use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;

use super::*;
use crate::daemon::live::Figure;

/// A network of so many nodes, of which some are not well.
fn network(nodes: usize, ill: &[usize]) -> View {
    let columns = vec![
        Column::numbers("NODE", 0),
        Column::words("ADDRESS", 2),
        Column::words("STATE", 0),
        Column::numbers("HEIGHT", 0),
        Column::tale("LAST EVENT", 7),
    ];
    let row = |number: usize| {
        let tone = if ill.contains(&number) { Tone::Bad } else { Tone::Good };
        let state = if tone == Tone::Bad { "silent" } else { "producing" };
        let cells = vec![
            number.to_string().into(),
            format!("127.0.0.{number}").into(),
            Cell::new(state, tone),
            "1,234".into(),
            "link up peer=abababababab direction=outbound".into(),
        ];
        Row { tone, cells }
    };
    let block =
        |height: usize| Row { tone: Tone::Plain, cells: vec![height.to_string().into(), "node 2".into()] };
    let happening = |number: usize| Happening {
        at: format!("2026-01-01T10:00:{number:02}.000Z"),
        text: format!("happening {number} in words that do not fit into one line of a narrow screen"),
        tone: Tone::Plain,
    };
    View {
        title: "timed devnet".to_owned(),
        state: Cell::new("network up", Tone::Good),
        aside: "running for 1m 4s".to_owned(),
        figures: vec![
            Figure::new("links", Cell::new("6/6", Tone::Good)),
            Figure::new("height", "1,234"),
            Figure::new("traffic", "12 KiB/s"),
        ],
        nodes: Grid { columns, rows: (1..=nodes).map(row).collect() },
        blocks: Grid {
            columns: vec![Column::numbers("BLOCK", 0), Column::words("BY", 0)],
            rows: (1..=8).map(block).collect(),
        },
        happenings: (1..=30).map(happening).collect(),
        hint: "Ctrl-C stops all nodes",
    }
}

fn drawn(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, Colours::Ansi, frame.area(), frame.buffer_mut())).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

#[test]
fn a_usual_screen_shows_every_part() {
    let lines = drawn(&network(4, &[]), 100, 30);
    assert!(lines[0].starts_with("timed devnet  network up ") && lines[0].ends_with("running for 1m 4s"));
    assert_eq!(lines[1], "links 6/6  height 1,234  traffic 12 KiB/s");
    assert_eq!(lines[3], "NODE  ADDRESS    STATE      HEIGHT  LAST EVENT");
    assert_eq!(lines[7], "   4  127.0.0.4  producing   1,234  link up peer=abababababab direction=outbound");
    assert_eq!(lines[9], "BLOCK  BY");
    assert_eq!(lines[15], "    8  node 2");
    assert!(lines[17].starts_with("10:00:19  ") && lines[28].starts_with("10:00:30  happening 30 "));
    assert_eq!(lines[29], "Ctrl-C stops all nodes");
}

#[test]
fn a_tiny_screen_shows_what_matters_most() {
    let lines = drawn(&network(4, &[]), 40, 10);
    assert_eq!(lines[0], "timed devnet  network up");
    assert_eq!(lines[1], "links 6/6  height 1,234");
    assert_eq!(lines[2], "NODE  ADDRESS    STATE      HEIGHT");
    assert_eq!(lines[6], "   4  127.0.0.4  producing   1,234");
    assert!(lines[8].starts_with("10:00:30  happening 30"), "{lines:#?}");
    assert_eq!(lines[9], "Ctrl-C stops all nodes");
}

#[test]
fn nodes_that_are_not_well_stay_in_sight() {
    let lines = drawn(&network(60, &[45, 59]), 80, 24);
    let told = lines.join("\n");
    assert!(told.contains("127.0.0.45 silent") || told.contains("127.0.0.45  silent"), "{told}");
    assert!(told.contains("127.0.0.59  silent") && !told.contains("of them not well"), "{told}");
    let all: Vec<usize> = (1..=60).collect();
    let told = drawn(&network(60, &all), 80, 24).join("\n");
    assert!(told.contains("more, ") && told.contains(" of them not well"), "{told}");
}

#[test]
fn what_has_happened_wraps_where_there_is_room() {
    let lines = drawn(&network(4, &[]), 60, 30);
    let last = lines.iter().rposition(|line| line.starts_with("10:00:30")).unwrap();
    assert_eq!(lines[last], "10:00:30  happening 30 in words that do not fit into one");
    assert_eq!(lines[last + 1], "          line of a narrow screen");
}

#[test]
fn no_size_is_too_small_and_none_too_large() {
    for nodes in [1, 4, 128] {
        let view = network(nodes, &[1]);
        for width in [1, 2, 10, 39, 80, 300] {
            for height in [1, 2, 3, 5, 8, 17, 18, 24, 100] {
                drawn(&view, width, height);
            }
        }
    }
    drawn(&View::default(), 80, 24);
}

#[test]
fn without_colours_a_fault_is_told_by_weight() {
    let style = |colours: Colours, tone| colours.style(tone);
    for tone in [Tone::Plain, Tone::Quiet, Tone::Good, Tone::Odd, Tone::Bad] {
        assert_eq!(style(Colours::None, tone).fg, None);
    }
    assert!(style(Colours::None, Tone::Bad).add_modifier.contains(Modifier::BOLD));
    assert_eq!(style(Colours::Ansi, Tone::Bad).fg, Some(Color::Red));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let view = View { title: "a\x1b[2Jb\u{9b}c\n".to_owned(), ..View::default() };
    let lines = drawn(&view, 20, 2);
    assert!(lines[0].chars().all(|c| !c.is_control()) && lines[0].starts_with('a'), "{lines:?}");
}
