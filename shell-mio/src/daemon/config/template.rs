//! The commented `config.toml` that `timed init` writes.

use std::fmt::Write as _;

use super::schema::{KEYS, SECTIONS, Standard};

/// A key that the written file sets: section, name, value in TOML.
pub(crate) type SetKey<'a> = (&'a str, &'a str, String);

/// The file: every section and key with its explanation and default, commented out unless in `set`.
pub(crate) fn commented(set: &[SetKey<'_>]) -> String {
    let mut out = String::from(
        "# Configuration of a timed node. Every key has a default, which the commented line states: an empty\n\
         # file runs. Precedence: command-line flag, environment (TIMED_NETWORK__MAX_PEERS), this file, default.\n\
         # Durations are \"10s\", \"2m\"; sizes \"512KiB\", \"1MiB\". `timed check-config` explains what is wrong.\n",
    );
    for (section, about) in SECTIONS {
        let _ = write!(out, "\n# {}\n[{section}]\n", about.replace('\n', "\n# "));
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let _ = writeln!(out, "# {}", key.doc.replace('\n', "\n# "));
            let given = set.iter().find(|(section, name, _)| *section == key.section && *name == key.name);
            let _ = match (given, key.standard) {
                (Some((_, name, value)), _) => writeln!(out, "{name} = {value}"),
                (None, Standard::Value(value)) => writeln!(out, "#{} = {value}", key.name),
                (None, Standard::Unset(example)) => writeln!(out, "#{} = {example}  # not set", key.name),
            };
        }
    }
    out
}
