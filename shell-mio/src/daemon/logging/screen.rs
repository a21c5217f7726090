//! Standard error as a person watches it: log lines that stay, and below them one line that is written anew.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Erases the line on which the cursor is.
const ERASE: &str = "\r\x1b[K";

/// Standard error, shared by everybody who writes to it.
#[derive(Clone, Debug)]
pub(crate) struct Screen(Option<Arc<Mutex<String>>>);

impl Screen {
    /// Standard error with a line of its own, if it is a terminal.
    pub(crate) fn open() -> Self {
        Self(io::stderr().is_terminal().then(Arc::default))
    }

    /// Standard error for log lines alone.
    pub(crate) const fn lines_only() -> Self {
        Self(None)
    }

    /// Whether there is a line that can be written anew.
    pub(super) const fn has_line(&self) -> bool {
        self.0.is_some()
    }

    /// Writes the line anew; an empty one goes away.
    pub(super) fn show(&self, line: &str) {
        let Some(shown) = &self.0 else { return };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == line {
            return;
        }
        line.clone_into(&mut shown);
        // A terminal that has gone away is no reason to stop.
        let _ = write!(io::stderr(), "{ERASE}{}", fitting(&shown, columns()));
    }
}

/// As much of a line as a terminal of this width shows without a break.
fn fitting(line: &str, columns: usize) -> String {
    line.chars().take(columns.saturating_sub(1)).collect()
}

fn columns() -> usize {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}

/// Writes log lines above the line.
#[derive(Debug)]
pub(crate) struct Above(Option<Arc<Mutex<String>>>);

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(shown) = &self.0 else { return io::stderr().write(bytes) };
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_empty() {
            return io::stderr().write(bytes);
        }
        let mut whole = ERASE.as_bytes().to_vec();
        whole.extend_from_slice(bytes);
        whole.extend_from_slice(fitting(&shown, columns()).as_bytes());
        io::stderr().write_all(&whole)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Above;

    fn make_writer(&self) -> Above {
        Above(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_never_wraps() {
        assert_eq!(fitting("0123456789", 8), "0123456");
        assert_eq!(fitting("0123", 80), "0123");
        assert_eq!(fitting("0123", 0), "");
    }
}
