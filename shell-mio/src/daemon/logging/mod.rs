//! Log lines: where they go, and which events become one.

mod blocks;
mod catch_up;
#[cfg(test)]
mod fault_tests;
mod screen;
mod sink;
#[cfg(test)]
mod tests;
mod throttle;

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt};

use super::config::{LogFormat, LogLevel, LoggingSection};

pub(crate) use screen::Screen;
pub(crate) use sink::{Introduction, LogSink, warning_kind};

/// Changes how much is logged while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct Verbosity(reload::Handle<Targets, Registry>);

impl Verbosity {
    /// Applies a level at once.
    pub(crate) fn set(&self, level: LogLevel) {
        // The only failure is a subscriber that is gone, with the process.
        let _ = self.0.reload(targets(level));
    }
}

/// This project's lines at `level`; of other crates only warnings.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("timed", level)
}

/// Starts logging; the screen is where text goes. Without a journal, `journald` becomes text and says so.
pub(crate) fn start(logging: LoggingSection) -> (Verbosity, Screen) {
    let (filter, handle) = reload::Layer::new(targets(logging.level));
    let registry = tracing_subscriber::registry();
    let mut missing_journal = None;
    let mut screen = Screen::lines_only();
    let mut text = || {
        screen = Screen::open();
        text(screen.clone())
    };
    let layer = match logging.format {
        LogFormat::Json => json(),
        LogFormat::Text => text(),
        LogFormat::Journald => match tracing_journald::layer() {
            Ok(layer) => layer.with_field_prefix(Some("TIMED".to_owned())).boxed(),
            Err(error) => {
                missing_journal = Some(error);
                text()
            }
        },
    };
    // A second call in one process, as tests make it, keeps the first subscriber.
    let _ = registry.with(layer.with_filter(filter)).try_init();
    if let Some(error) = missing_journal {
        tracing::warn!(%error, "no systemd journal here: logging as text");
    }
    (Verbosity(handle), screen)
}

type Boxed = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

fn text(screen: Screen) -> Boxed {
    fmt::layer().with_writer(screen).with_ansi(io::stderr().is_terminal()).with_target(false).boxed()
}

fn json() -> Boxed {
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_writer(io::stderr)
        .boxed()
}
