//! The terminal, taken for a live screen and given back whole: at the end, on Ctrl-Z, and when something panics.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, Once, PoisonError};

use ratatui_core::layout::Rect;
use ratatui_core::terminal::{Terminal as Drawer, TerminalOptions, Viewport};
use ratatui_termion::TermionBackend;
use ratatui_termion::termion::{clear, cursor, screen};
use rustix::process::{Signal, getpgrp, getpid, kill_process};
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use super::frame::{self, Colours};
use super::view::View;

/// The size of a terminal that does not say.
const USUAL: (u16, u16) = (80, 24);

/// How the terminal was before it was taken; none while it is not.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Standard output as a live screen. There is one at a time; dropping it gives the terminal back.
#[derive(Debug)]
pub(crate) struct Terminal {
    drawer: Drawer<TermionBackend<io::Stdout>>,
    size: (u16, u16),
    colours: Colours,
    /// Whether this process went on as a background job, which has no screen.
    in_background: bool,
}

impl Terminal {
    /// Takes the terminal; none where standard output is something else, or a terminal that cannot move its cursor, or
    /// one that another job has at the moment.
    pub(crate) fn take() -> Option<Self> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        if !can_paint(io::stdout().is_terminal(), &variable("TERM")) || !in_foreground() {
            return None;
        }
        let colours = colours(&variable("NO_COLOR"));
        give_back_on_panic();
        enter()?;
        let size = size();
        let viewport = Viewport::Fixed(Rect::new(0, 0, size.0, size.1));
        let backend = TermionBackend::new(io::stdout());
        match Drawer::with_options(backend, TerminalOptions { viewport }) {
            Ok(drawer) => Some(Self { drawer, size, colours, in_background: false }),
            Err(_) => {
                give_back();
                None
            }
        }
    }

    /// Draws a view at the size that the terminal has now. A terminal that is not ours any more is left alone, and
    /// one that has gone away is no reason to stop.
    pub(crate) fn draw(&mut self, view: &View) {
        if !is_taken() {
            return;
        }
        if size() != self.size {
            self.draw_anew();
        }
        let colours = self.colours;
        let _ = self.drawer.draw(|frame| frame::draw(view, colours, frame.area(), frame.buffer_mut()));
    }

    /// Lets the next drawing trust nothing that is on the screen. Takes the terminal again where this process has come
    /// back from the background.
    pub(crate) fn draw_anew(&mut self) {
        if self.in_background && in_foreground() {
            self.in_background = enter().is_none();
        }
        self.size = size();
        if is_taken() {
            let _ = self.drawer.resize(Rect::new(0, 0, self.size.0, self.size.1));
        }
    }

    /// Whether what is drawn can be seen: after a panic, and as a background job, it cannot.
    pub(crate) fn is_shown(&self) -> bool {
        is_taken()
    }

    /// Gives the terminal back, stops this process as Ctrl-Z asks, and takes the terminal again once it goes on.
    pub(crate) fn suspend(&mut self) {
        give_back();
        // Fails for nobody: it is this very process.
        let _ = kill_process(getpid(), Signal::STOP);
        self.in_background = true;
        self.draw_anew();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

const fn can_paint(is_terminal: bool, term: &str) -> bool {
    is_terminal && !term.is_empty() && !matches!(term.as_bytes(), b"dumb" | b"unknown")
}

/// By the convention of <https://no-color.org>: any word forbids colours.
const fn colours(no_color: &str) -> Colours {
    if no_color.is_empty() { Colours::Ansi } else { Colours::None }
}

/// Whether this process may change the terminal without being stopped for it.
fn in_foreground() -> bool {
    termios::tcgetpgrp(io::stdout()).is_ok_and(|group| group == getpgrp())
}

fn size() -> (u16, u16) {
    match termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => USUAL,
    }
}

/// Whether the terminal is ours at the moment.
pub(super) fn is_taken() -> bool {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Another screen, no cursor, and keys that are neither echoed nor kept for a whole line. Ctrl-C stays a signal.
fn enter() -> Option<()> {
    let before = termios::tcgetattr(io::stdout()).ok()?;
    let mut now = before.clone();
    now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    now.special_codes[SpecialCodeIndex::VMIN] = 0;
    now.special_codes[SpecialCodeIndex::VTIME] = 0;
    termios::tcsetattr(io::stdout(), OptionalActions::Now, &now).ok()?;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    let mut out = io::stdout().lock();
    let _ = write!(out, "{}{}{}", screen::ToAlternateScreen, clear::All, cursor::Hide);
    let _ = out.flush();
    Some(())
}

/// Undoes [`enter`], if that has not been done yet.
fn give_back() {
    let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let mut out = io::stdout().lock();
    let _ = write!(out, "\x1b[m{}{}", cursor::Show, screen::ToMainScreen);
    let _ = out.flush();
    let _ = termios::tcsetattr(io::stdout(), OptionalActions::Now, &before);
}

/// What a panic says must be readable, and what comes after it typable.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            earlier(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_that_can_move_its_cursor_is_painted_on() {
        assert!(can_paint(true, "xterm-256color") && can_paint(true, "linux"));
        assert!(!can_paint(true, "dumb") && !can_paint(true, "") && !can_paint(false, "xterm"));
    }

    /// Run by the next test, on a terminal.
    #[test]
    #[ignore = "needs a terminal of its own"]
    fn panics_on_a_live_screen() {
        let mut terminal = Terminal::take().unwrap();
        terminal.draw(&View { title: "drawn".to_owned(), ..View::default() });
        panic!("on purpose");
    }

    #[test]
    fn a_panic_is_told_on_the_terminal_as_it_was() {
        let this = std::env::current_exe().unwrap();
        let name = "daemon::live::terminal::tests::panics_on_a_live_screen";
        let line = format!("stty sane; {} --ignored --nocapture --exact {name}; stty -a", this.display());
        let ran = std::process::Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(std::process::Stdio::null())
            .output();
        let Ok(ran) = ran else {
            println!("SKIPPED: no script(1) on this machine, which lends a terminal");
            return;
        };
        let out = String::from_utf8_lossy(&ran.stdout);
        let at = |what: &str| out.find(what).unwrap_or_else(|| panic!("no {what:?} in {out}"));
        assert!(at("\x1b[?1049h") < at("drawn") && at("drawn") < at("\x1b[?1049l"), "{out}");
        assert!(at("\x1b[?1049l") < at("on purpose"), "{out}");
        assert!(out.contains(" icanon") && out.contains(" echo "), "{out}");
    }

    #[test]
    fn any_word_forbids_colours() {
        assert_eq!([colours(""), colours("1"), colours("0")], [Colours::Ansi, Colours::None, Colours::None]);
    }
}
