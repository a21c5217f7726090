//! The table of field failures says what is there: each id once, each test and each defence where it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Field failures that there are.
const COUNT: usize = 102;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of this workspace and a function in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    file: String,
    name: String,
}

struct Row {
    id: String,
    tests: Vec<Function>,
    defence: Vec<Function>,
}

/// The functions that a cell names: `` `file` `function` ``.
fn functions(cell: &str) -> Vec<Function> {
    let quoted: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    quoted
        .chunks(2)
        .map(|pair| match pair {
            [file, name] => Function { file: (*file).to_owned(), name: (*name).to_owned() },
            other => panic!("a file and a function: {other:?}"),
        })
        .collect()
}

fn rows() -> Vec<Row> {
    let table = fs::read_to_string(root().join("tests/FIELD_FAILURES.md")).unwrap();
    let is_row = |line: &&str| line.split('|').nth(1).is_some_and(|id| prefix(id.trim()).is_some());
    table
        .lines()
        .filter(is_row)
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 7, "{line}");
            Row { id: cells[1].to_owned(), tests: functions(cells[3]), defence: functions(cells[5]) }
        })
        .collect()
}

/// What the names of an id's tests contain: `dir_02a_` of `DIR-02a`.
fn prefix(id: &str) -> Option<String> {
    let (group, number) = id.split_once('-')?;
    let digits = number.get(..2)?.bytes().all(|byte| byte.is_ascii_digit());
    let known = group.bytes().all(|byte| byte.is_ascii_uppercase()) && !group.is_empty();
    (digits && known && number.len() <= 3).then(|| format!("{}_{number}_", group.to_lowercase()))
}

/// Every function of a file, `#[test]` or not, with its tests marked.
fn defined(file: &str) -> BTreeMap<String, bool> {
    let text = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut functions = BTreeMap::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") {
            is_test = true;
        }
        let words = ["pub(crate) ", "pub(super) ", "pub(in crate::node) ", "pub ", "const "];
        let bare = words.iter().fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
        if let Some(rest) = bare.strip_prefix("fn ") {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // Within `proptest!` every function is a test.
            functions.insert(name, is_test || text.contains("proptest! {"));
            is_test = false;
        }
    }
    functions
}

#[test]
fn every_field_failure_has_its_row_once() {
    let rows = rows();
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!((rows.len(), ids.len()), (COUNT, COUNT));
}

#[test]
fn every_test_and_every_defence_is_where_the_table_says() {
    for row in rows() {
        let prefix = prefix(&row.id).unwrap();
        assert!(!row.tests.is_empty() && row.defence.len() == 1, "{}", row.id);
        for test in &row.tests {
            assert!(test.name.contains(&prefix), "{}: {} does not carry it", row.id, test.name);
            assert_eq!(defined(&test.file).get(&test.name), Some(&true), "{}: no test {test:?}", row.id);
        }
        let carried = row.tests.iter().any(|test| test.name.starts_with(&prefix));
        assert!(carried, "{}: no test begins with it", row.id);
        for defence in &row.defence {
            assert!(defined(&defence.file).contains_key(&defence.name), "{}: no {defence:?}", row.id);
        }
    }
}
