//! A TOML file with the position of everything in it.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// A place in a text, counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The line.
    pub(crate) line: usize,
    /// The column within the line.
    pub(crate) column: usize,
}

impl Position {
    /// The position of a byte offset.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
        }
    }
}

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    name: &'a str,
    text: &'a str,
    root: DeTable<'a>,
}

impl<'a> Document<'a> {
    /// Parses `text`; `name` is the file's name in messages.
    pub(crate) fn parse(name: &'a str, text: &'a str) -> Result<Self, Problem> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self { name, text, root: root.into_inner() }),
            Err(error) => {
                let at = error.span().map(|span| Position::of(text, span.start));
                let text = error.message().replace('\n', "; ");
                Err(Problem { place: Place::File(name.to_owned(), at), key: None, text })
            }
        }
    }

    /// The top-level table.
    pub(crate) const fn root(&self) -> &DeTable<'a> {
        &self.root
    }

    /// Where a span starts.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        Place::File(self.name.to_owned(), Some(Position::of(self.text, span.start)))
    }

    /// The file as a whole.
    pub(crate) fn whole(&self) -> Place {
        Place::File(self.name.to_owned(), None)
    }

    /// A problem with the value at `span`.
    pub(crate) fn problem(
        &self,
        span: Range<usize>,
        key: impl Into<String>,
        text: impl Into<String>,
    ) -> Problem {
        Problem { place: self.place(span), key: Some(key.into()), text: text.into() }
    }
}

/// A value as it reads in a message: texts in quotes, tables and arrays by their kind.
pub(crate) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A value in full, as it reads in a file; texts without their quotes, as in the environment.
pub(crate) fn in_full(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Array(items) => {
            items.iter().map(|item| in_full(item.get_ref())).collect::<Vec<_>>().join(", ")
        }
        DeValue::Table(fields) => {
            let field = |(key, value): (&Spanned<Cow<'_, str>>, &Located<'_>)| {
                format!("{} = {}", key.get_ref(), in_full(value.get_ref()))
            };
            format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => shown(other),
    }
}

/// A value with its span.
pub(crate) type Located<'a> = Spanned<DeValue<'a>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "a = 1\nüb = 2\n";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 6), Position { line: 2, column: 1 });
        assert_eq!(Position::of(text, text.find('2').unwrap()), Position { line: 2, column: 6 });
        assert_eq!(Position::of(text, 999), Position { line: 3, column: 1 });
    }

    #[test]
    fn syntax_errors_name_line_and_column() {
        let error = Document::parse("config.toml", "[node]\nname = \n").unwrap_err().to_string();
        assert!(error.starts_with("config.toml:2:"), "{error}");
    }
}
