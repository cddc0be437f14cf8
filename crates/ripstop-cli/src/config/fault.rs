//! Faults of a configuration: what is wrong, where it was said, and the order
//! in which they are told.
//!
//! Owns the text `file:line:column: what, and what would be right`. Does not
//! find faults; the reader and the checks above it do.

use std::fmt;

/// The argument of `ripstop serve DIR`, as a name for [`Faults::named`].
pub(crate) const FOLDER: &str = "DIR";

/// Where a value was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Byte offset in the configuration file.
    File(usize),
    /// A variable, a flag or a file as a whole; the index is into [`Faults`]' names.
    Named(usize),
    /// Nowhere: it is the built-in default.
    Default,
}

/// All faults of one configuration, collected while it is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// What the file is called in messages.
    file: String,
    /// The file's text, to turn offsets into lines and columns.
    text: String,
    /// Variables and flags that places refer to.
    names: Vec<String>,
    list: Vec<(Place, String)>,
}

impl Faults {
    /// No faults yet in `text`, which is called `file` in messages.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), ..Self::default() }
    }

    /// The place of a variable or flag of this name.
    pub(crate) fn named(&mut self, name: &str) -> Place {
        let index = self.names.iter().position(|known| known == name);
        Place::Named(index.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        }))
    }

    /// Adds a fault: `message` says what is wrong and what would be right.
    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>) {
        let message = message.into();
        if !self.list.iter().any(|known| known.0 == place && known.1 == message) {
            self.list.push((place, message));
        }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether every fault is on the command line, which makes it a fault of usage.
    pub(crate) fn is_usage(&self) -> bool {
        let is_argument = |place: &Place| match place {
            Place::Named(index) => {
                self.names[*index].starts_with('-') || self.names[*index] == FOLDER
            }
            Place::File(_) | Place::Default => false,
        };
        self.list.iter().all(|(place, _)| is_argument(place))
    }

    /// Where a place is, in the words of a message: `line 3`, a variable, a flag.
    pub(crate) fn whereabouts(&self, place: Place) -> String {
        match place {
            Place::File(offset) => format!("line {}", self.position(offset).0),
            Place::Named(index) => self.names[index].clone(),
            Place::Default => "the default".to_owned(),
        }
    }

    /// One line for each fault, in the order of the file, flags and variables last.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut list: Vec<_> = self.list.iter().collect();
        list.sort_by_key(|(place, _)| *place);
        list.into_iter().map(|(place, message)| self.line(*place, message)).collect()
    }

    fn line(&self, place: Place, message: &str) -> String {
        match place {
            Place::File(offset) => {
                let (line, column) = self.position(offset);
                format!("{}:{line}:{column}: {message}", self.file)
            }
            Place::Named(index) => format!("{}: {message}", self.names[index]),
            Place::Default => format!("default configuration: {message}"),
        }
    }

    /// Line and column of an offset, both from 1, the column in characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        (line, 1 + before[line_start..].chars().count())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}
