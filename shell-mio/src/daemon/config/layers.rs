//! One setting from four layers: flag over environment over file over default.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::document::{Document, in_full, shown};
use super::problem::{Place, Problem, did_you_mean};
use super::schema::{KEYS, SECTIONS, Standard, find};
use super::setting::{Given, Setting};

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    /// The flag as it was typed, such as `--listen`.
    pub(crate) flag: &'static str,
    /// The section it overrides a key of.
    pub(crate) section: &'static str,
    /// The key it overrides.
    pub(crate) name: &'static str,
    /// The value.
    pub(crate) value: String,
}

/// Prefix of environment variables that give settings: `TIMED_SECTION__KEY`.
const PREFIX: &str = "TIMED_";

/// All layers, and what was found wrong while reading them.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    flags: &'a [Flag],
    environment: BTreeMap<(String, String), (&'a str, &'a str)>,
    file: Option<&'a Document<'a>>,
    problems: Vec<Problem>,
}

impl<'a> Layers<'a> {
    /// Lays the layers, and finds sections, keys and variables that do not exist.
    pub(crate) fn new(
        flags: &'a [Flag],
        environment: &'a [(String, String)],
        file: Option<&'a Document<'a>>,
    ) -> Self {
        let mut layers = Self { flags, environment: BTreeMap::new(), file, problems: Vec::new() };
        for (name, value) in environment {
            layers.take_variable(name, value);
        }
        if let Some(document) = file {
            layers.problems.extend(unknown_keys(document));
        }
        layers
    }

    fn take_variable(&mut self, variable: &'a str, value: &'a str) {
        let Some((section, name)) = variable.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__"))
        else {
            return;
        };
        let (section, name) = (section.to_ascii_lowercase(), name.to_ascii_lowercase());
        if find(&section, &name).is_some() {
            self.environment.insert((section, name), (variable, value));
            return;
        }
        let known = KEYS.iter().map(|key| format!("{}.{}", key.section, key.name)).collect::<Vec<_>>();
        let meant = did_you_mean(&format!("{section}.{name}"), known.iter().map(String::as_str))
            .map(|key| key.replacen('.', "__", 1).to_ascii_uppercase());
        self.problems.push(Problem {
            place: Place::Environment(variable.to_owned()),
            key: None,
            text: match meant {
                Some(meant) => format!("no such key; did you mean {PREFIX}{meant}?"),
                None => "no such key; `timed init` writes a file with all keys".to_owned(),
            },
        });
    }

    /// The value given for a key in the highest layer, if one was given. A malformed value is noted, also where a
    /// higher layer hides it: it would come to light at the worst time.
    pub(crate) fn given<T: Setting>(&mut self, section: &'static str, name: &'static str) -> Option<T> {
        let mut highest = None;
        for (place, given) in self.look_up(section, name) {
            let value = T::read(given).map_err(|expected| {
                let text = format!("found {given}, expected {expected}");
                let place = match (self.file, T::part_at_fault(given)) {
                    (Some(document), Some(part)) => document.place(part),
                    _ => place,
                };
                self.problems.push(Problem { place, key: Some(format!("{section}.{name}")), text });
            });
            highest.get_or_insert(value.ok());
        }
        highest.flatten()
    }

    /// What the layers say of a key, the highest first.
    fn look_up(&self, section: &str, name: &str) -> Vec<(Place, Given<'a>)> {
        let flag = self.flags.iter().find(|flag| flag.section == section && flag.name == name);
        let flag = flag.map(|flag| (Place::Flag(flag.flag), Given::Text(&flag.value)));
        let variable = self.environment.get(&(section.to_owned(), name.to_owned()));
        let variable = variable
            .map(|(variable, value)| (Place::Environment((*variable).to_owned()), Given::Text(value)));
        let line = self.file.and_then(|document| {
            let value = document.root().get(section)?.get_ref().as_table()?.get(name)?;
            Some((document.place(value.span()), Given::Toml(value.get_ref())))
        });
        [flag, variable, line].into_iter().flatten().collect()
    }

    /// What a key is set to, as it reads in a file.
    pub(crate) fn text(&self, section: &str, name: &str) -> Option<String> {
        self.look_up(section, name).into_iter().next().map(|(_, given)| match given {
            Given::Toml(value) => in_full(value),
            Given::Text(text) => text.to_owned(),
        })
    }

    /// The value of a key that has a default.
    pub(crate) fn value<T: Setting>(&mut self, section: &'static str, name: &'static str) -> T {
        self.given(section, name).unwrap_or_else(|| standard(section, name))
    }

    /// Notes a contradiction at the place where a key was given, or at the file as a whole.
    pub(crate) fn complain(&mut self, section: &str, name: &str, text: String) {
        let place = match self.look_up(section, name).into_iter().next() {
            Some((place, _)) => place,
            None => self
                .file
                .map_or_else(|| Place::File("config.toml".to_owned(), None), |document| document.whole()),
        };
        self.problems.push(Problem { place, key: Some(format!("{section}.{name}")), text });
    }

    /// Everything found wrong, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| match &problem.place {
            Place::File(_, at) => (2, *at),
            Place::Environment(_) => (1, None),
            Place::Flag(_) => (0, None),
        });
        self.problems
    }
}

/// The default of a key, as the schema states it.
///
/// # Panics
/// If the schema has no such key or its default is malformed: the tests read every one.
#[allow(clippy::expect_used)]
pub(crate) fn standard<T: Setting>(section: &str, name: &str) -> T {
    let key = find(section, name).expect("every key that is read stands in the schema");
    let (Standard::Value(text) | Standard::Unset(text)) = key.standard;
    let value = DeValue::parse(text).expect("defaults are TOML");
    T::read(Given::Toml(value.get_ref())).expect("defaults are well-formed")
}

fn unknown_keys(document: &Document<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (section, value) in document.root() {
        let name = section.get_ref().as_ref();
        if !SECTIONS.iter().any(|(known, _)| *known == name) {
            let text = match KEYS.iter().find(|key| key.name == name) {
                Some(key) => format!("unknown section; the key {} belongs in [{}]", key.name, key.section),
                None => match did_you_mean(name, SECTIONS.iter().map(|(known, _)| *known)) {
                    Some(meant) => format!("unknown section; did you mean [{meant}]?"),
                    None => format!(
                        "unknown section; there are {}",
                        SECTIONS.iter().map(|(known, _)| format!("[{known}]")).collect::<Vec<_>>().join(" ")
                    ),
                },
            };
            problems.push(document.problem(section.span(), name, text));
            continue;
        }
        let Some(table) = value.get_ref().as_table() else {
            let text = format!("found {}, expected a section [{name}]", shown(value.get_ref()));
            problems.push(document.problem(value.span(), name, text));
            continue;
        };
        for key in table.keys() {
            let word = key.get_ref().as_ref();
            if find(name, word).is_none() {
                let text = unknown_key(name, word);
                problems.push(document.problem(key.span(), format!("{name}.{word}"), text));
            }
        }
    }
    problems
}

fn unknown_key(section: &str, word: &str) -> String {
    let here = KEYS.iter().filter(|key| key.section == section).map(|key| key.name);
    if let Some(elsewhere) = KEYS.iter().find(|key| key.name == word) {
        return format!("unknown key; did you mean {}.{word}?", elsewhere.section);
    }
    match did_you_mean(word, here.clone()) {
        Some(meant) => format!("unknown key; did you mean {meant}?"),
        None => {
            format!("unknown key; [{section}] has {}", here.collect::<Vec<_>>().join(", "))
        }
    }
}
