//! The one table that every benchmark prints.

use super::Compared;

/// What a number is measured in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// CPU microseconds.
    Micros,
    /// How many.
    Count,
    /// Bytes, shown as KiB.
    Bytes,
    /// Per cent of one core.
    Percent,
    /// How many times as much.
    Times,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Micros if value < 10.0 => format!("{value:.3} us"),
            Self::Micros => format!("{value:.1} us"),
            Self::Count => format!("{value:.2}"),
            Self::Times => format!("{value:.3} x"),
            Self::Bytes if value < 1024.0 * 1024.0 => format!("{:.2} KiB", value / 1024.0),
            Self::Bytes => format!("{:.2} MiB", value / 1024.0 / 1024.0),
            Self::Percent => format!("{value:.3} %"),
        }
    }
}

/// Prints the heading of a topic and of its columns.
pub(crate) fn heading(topic: &str) {
    println!("\n{topic}");
    println!(
        "  {:<56} {:>11} {:>11} {:>8} {:>10} {:>10}  verdict",
        "", "floor", "measured", "ratio", "at most", "aim"
    );
}

/// A primitive or a floor by itself: nothing to judge.
pub(crate) fn alone(what: &str, unit: Unit, value: f64) {
    println!("  {what:<56} {:>11}", unit.show(value));
}

/// A number beside its floor, for which no limit is set.
pub(crate) fn beside(what: &str, unit: Unit, compared: Compared) {
    let Compared { floor, ours, ratio } = compared;
    println!("  {what:<56} {:>11} {:>11} {ratio:>8.3}", unit.show(floor), unit.show(ours));
}

/// A number against its floor; `limit` and `aim` are ratios.
pub(crate) fn against(what: &str, unit: Unit, compared: Compared, limit: f64, aim: f64) {
    let Compared { floor, ours, ratio } = compared;
    println!(
        "  {what:<56} {:>11} {:>11} {ratio:>8.3} {limit:>10.2} {aim:>10.2}  {}",
        unit.show(floor),
        unit.show(ours),
        verdict(ratio, limit, aim)
    );
}

/// A number that is judged by itself.
pub(crate) fn absolute(what: &str, unit: Unit, value: f64, limit: f64, aim: f64) {
    println!(
        "  {what:<56} {:>11} {:>11} {:>8} {:>10} {:>10}  {}",
        "",
        unit.show(value),
        "",
        unit.show(limit),
        unit.show(aim),
        verdict(value, limit, aim)
    );
}

fn verdict(value: f64, limit: f64, aim: f64) -> &'static str {
    if value <= aim {
        "aim reached"
    } else if value <= limit {
        "within limit"
    } else {
        "LIMIT MISSED"
    }
}
