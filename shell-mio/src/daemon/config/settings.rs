//! What every key is set to, in words: what two readings of a configuration differ in.

use std::collections::BTreeMap;

use super::document::{Document, in_full};
use super::layers::Layers;
use super::schema::{KEYS, Key, Standard};
use super::{Problem, Sources};
use toml::de::DeValue;

/// The text of each key's value, by section and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings(BTreeMap<(&'static str, &'static str), String>);

/// A key whose value is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    pub(crate) old: String,
    pub(crate) new: String,
}

impl Settings {
    /// Reads the values of all keys; whether they are sound is [`Config::read`](super::Config::read)'s to say.
    pub(crate) fn read(sources: Sources<'_>) -> Result<Self, Problem> {
        let document = sources.file.map(|(name, text)| Document::parse(name, text)).transpose()?;
        let layers = Layers::new(sources.flags, sources.environment, document.as_ref());
        let text = |key: &Key| layers.text(key.section, key.name).unwrap_or_else(|| standard(key));
        Ok(Self(KEYS.iter().map(|key| ((key.section, key.name), text(key))).collect()))
    }

    /// The keys that `new` sets to something else, in the order of the file.
    pub(crate) fn changes(&self, new: &Self) -> Vec<Change> {
        let differs = |key: &Key| {
            let (section, name) = (key.section, key.name);
            let (old, new) = (self.0.get(&(section, name))?, new.0.get(&(section, name))?);
            (old != new).then(|| Change { section, name, old: old.clone(), new: new.clone() })
        };
        KEYS.iter().filter_map(differs).collect()
    }

    /// Takes one change over.
    pub(crate) fn take(&mut self, change: &Change) {
        self.0.insert((change.section, change.name), change.new.clone());
    }
}

fn standard(key: &Key) -> String {
    match key.standard {
        Standard::Value(text) => {
            DeValue::parse(text).map_or_else(|_| text.to_owned(), |value| in_full(value.get_ref()))
        }
        Standard::Unset(_) => "not set".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::read(Sources { file: Some(("config.toml", text)), ..Sources::default() }).unwrap()
    }

    #[test]
    fn a_change_is_told_from_what_to_what_and_a_default_that_is_written_out_is_none() {
        let old = settings("[network]\npeers = [\"10.0.0.1:1\"]\n");
        let mut new = settings(
            "[network]\nmax_peers = \"auto\"\npeers = [\"10.0.0.1:1\", \"b.example\"]\n\
             [limits]\nrate_total = { enforce = \"observe\" }\n[node]\nname = \"x\"\n",
        );
        let told = |changes: &[Change]| {
            changes
                .iter()
                .map(|c| format!("{}.{}: {} -> {}", c.section, c.name, c.old, c.new))
                .collect::<Vec<_>>()
        };
        let changes = old.changes(&new);
        let expected = [
            "node.name: not set -> x",
            "network.peers: 10.0.0.1:1 -> 10.0.0.1:1, b.example",
            "limits.rate_total: auto -> { enforce = observe }",
        ];
        assert_eq!(told(&changes), expected);
        let taken = old.clone();
        for change in taken.changes(&old) {
            new.take(&change);
        }
        let mut merged = old;
        for change in &changes {
            merged.take(change);
        }
        assert_eq!(merged, new);
    }
}
