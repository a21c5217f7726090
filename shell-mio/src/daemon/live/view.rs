//! What a live screen shows, as a value. It is made anew at every look, and says nothing about sizes or colours.

/// How a text is meant. Never the only carrier of a meaning: a screen may have no colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing to say about it.
    #[default]
    Plain,
    /// Of minor interest.
    Quiet,
    /// As it should be.
    Good,
    /// To look at.
    Odd,
    /// Wrong.
    Bad,
}

impl Tone {
    /// Whether an operator should look.
    pub(crate) const fn is_ill(self) -> bool {
        matches!(self, Self::Odd | Self::Bad)
    }
}

/// A text of one or more tones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell(pub(crate) Vec<(String, Tone)>);

impl Cell {
    /// A text of one tone.
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    /// Texts one after the other.
    pub(crate) fn of(parts: impl IntoIterator<Item = (String, Tone)>) -> Self {
        Self(parts.into_iter().collect())
    }

    /// What stands where nothing is known.
    pub(crate) fn unknown() -> Self {
        Self::new("-", Tone::Quiet)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A number with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: Cell,
}

impl Figure {
    /// A value and what it is.
    pub(crate) fn new(name: &'static str, value: impl Into<Cell>) -> Self {
        Self { name, value: value.into() }
    }
}

/// How the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Left,
    Right,
    /// To the left, and cut where there is no room for all.
    Cut,
}

/// A column of a grid. Where there is no room for all, the highest rank goes first; rank 0 stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(super) head: String,
    pub(super) stands: Stands,
    pub(super) rank: u8,
}

impl Column {
    /// Words.
    pub(crate) fn words(head: impl Into<String>, rank: u8) -> Self {
        Self { head: head.into(), stands: Stands::Left, rank }
    }

    /// Numbers.
    pub(crate) fn numbers(head: impl Into<String>, rank: u8) -> Self {
        Self { head: head.into(), stands: Stands::Right, rank }
    }

    /// Words of which the first ones matter most.
    pub(crate) fn tale(head: impl Into<String>, rank: u8) -> Self {
        Self { head: head.into(), stands: Stands::Cut, rank }
    }
}

/// A line of a grid, with as many cells as there are columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// A line that is not well stays where there is no room for all.
    pub(crate) tone: Tone,
    pub(crate) cells: Vec<Cell>,
}

/// Lines in columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happening {
    /// When, in RFC 3339: the time of day is shown.
    pub(crate) at: String,
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// The time of day of a time in RFC 3339.
pub(crate) fn time_of_day(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}

/// Everything on a live screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Whose screen it is.
    pub(crate) title: String,
    /// How it is, in a few words.
    pub(crate) state: Cell,
    /// At the other end of the first line.
    pub(crate) aside: String,
    /// The most important first.
    pub(crate) figures: Vec<Figure>,
    /// In their order.
    pub(crate) nodes: Grid,
    /// The oldest first.
    pub(crate) blocks: Grid,
    /// The oldest first.
    pub(crate) happenings: Vec<Happening>,
    /// What a person can do.
    pub(crate) hint: &'static str,
}
