//! Kinds of values: what may stand after a key, and how it is told.
//!
//! Each kind knows how to read a value from the file, from a variable or from
//! a flag, how to show one, its JSON Schema, and the words of "must be ...".
//! Which key has which kind is said in the sections; here are no keys.

use std::{path::Path, path::PathBuf, time::Duration};

use serde_json::{Value as Json, json};
use toml::{Spanned, de::DeValue};

use super::fault::{Faults, Place};
use super::unit;

/// A value as it was said: in the file, or as the text of a variable or flag.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// In the file.
    Toml(&'a Spanned<DeValue<'a>>),
    /// In a variable or a flag.
    Text(&'a str),
}

impl<'a> Input<'a> {
    /// The text, if it is one.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Self::Toml(value) => value.get_ref().as_str(),
            Self::Text(text) => Some(text),
        }
    }

    fn whole(self) -> Option<i64> {
        match self {
            Self::Toml(value) => {
                let integer = value.get_ref().as_integer()?;
                i64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn boolean(self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.get_ref().as_bool(),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// What stands there, for "must be ..., not ...".
    fn found(self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Toml(value) => found(value.get_ref()),
        }
    }
}

/// What stands in the file, in a few words.
pub(crate) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Text in quotes, cut where a message would become unreadable.
fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let cut: String = text.chars().take(CHARS_MAX).collect();
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{:?}", cut + more)
}

/// The key a value is read for: its name in messages, and where faults go.
pub(crate) struct Target<'a> {
    /// Dotted name, as in `timeouts.header`.
    pub(crate) key: &'a str,
    /// Where the value was said.
    pub(crate) place: Place,
    /// The folder that relative paths start from.
    pub(crate) base: &'a Path,
    /// Where faults are told.
    pub(crate) faults: &'a mut Faults,
}

impl Target<'_> {
    /// Tells that something else must stand there.
    pub(crate) fn must_be<T>(&mut self, expected: &str, input: Input<'_>) -> Option<T> {
        self.refuse(&format!("{} must be {expected}, not {}", self.key, input.found()))
    }

    fn refuse<T>(&mut self, message: &str) -> Option<T> {
        self.faults.add(self.place, message);
        None
    }

    /// The same key, pointing at one element of its value.
    fn element<'b>(&'b mut self, value: &Spanned<DeValue<'_>>) -> Target<'b> {
        let place = Place::File(value.span().start);
        Target { key: self.key, place, base: self.base, faults: self.faults }
    }
}

/// A kind of value.
pub(crate) trait Kind {
    /// What a checked value is.
    type Value;
    /// What is right, as in "must be ...".
    fn expected(&self) -> String;
    /// JSON Schema of the value in the file.
    fn schema(&self) -> Json;
    /// The value as it would be written.
    fn show(&self, value: &Self::Value) -> Json;
    /// Reads a value; `None` after a fault was told to `target`.
    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<Self::Value>;
}

/// `true` or `false`.
pub(crate) struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }

    fn show(&self, value: &bool) -> Json {
        json!(value)
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<bool> {
        input.boolean().or_else(|| target.must_be(&self.expected(), input))
    }
}

/// A whole number between two bounds, both allowed.
pub(crate) struct Whole(pub(crate) u32, pub(crate) u32);

impl Kind for Whole {
    type Value = u32;

    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.0, "maximum": self.1 })
    }

    fn show(&self, value: &u32) -> Json {
        json!(value)
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<u32> {
        let number = input.whole().and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| (self.0..=self.1).contains(number))
            .or_else(|| target.must_be(&self.expected(), input))
    }
}

/// One of a few whole numbers.
pub(crate) struct OneOf(pub(crate) &'static [u16]);

impl Kind for OneOf {
    type Value = u16;

    fn expected(&self) -> String {
        let numbers: Vec<_> = self.0.iter().map(u16::to_string).collect();
        format!("one of {}", numbers.join(", "))
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.0 })
    }

    fn show(&self, value: &u16) -> Json {
        json!(value)
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<u16> {
        let number = input.whole().and_then(|number| u16::try_from(number).ok());
        number
            .filter(|number| self.0.contains(number))
            .or_else(|| target.must_be(&self.expected(), input))
    }
}

/// A duration between two bounds, both allowed.
pub(crate) struct Span(pub(crate) Duration, pub(crate) Duration);

impl Kind for Span {
    type Value = Duration;

    fn expected(&self) -> String {
        let (min, max) = (unit::show_duration(self.0), unit::show_duration(self.1));
        format!("a duration from \"{min}\" to \"{max}\" (units ms, s, m, h, d)")
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^ *[0-9]+ *(ms|s|m|h|d) *$" })
    }

    fn show(&self, value: &Duration) -> Json {
        json!(unit::show_duration(*value))
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<Duration> {
        let duration = input.text().and_then(unit::parse_duration);
        duration
            .filter(|duration| (self.0..=self.1).contains(duration))
            .or_else(|| target.must_be(&self.expected(), input))
    }
}

/// A size in bytes between two bounds, both allowed.
pub(crate) struct Size(pub(crate) u64, pub(crate) u64);

impl Kind for Size {
    type Value = u64;

    fn expected(&self) -> String {
        let (min, max) = (unit::show_size(self.0), unit::show_size(self.1));
        format!("a size from \"{min}\" to \"{max}\" (units B, KiB, MiB, GiB)")
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "string", "pattern": "^ *[0-9]+ *(B|KiB|MiB|GiB|kB|MB|GB)? *$" },
            { "type": "integer", "minimum": self.0, "maximum": self.1 },
        ] })
    }

    fn show(&self, value: &u64) -> Json {
        json!(unit::show_size(*value))
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<u64> {
        let from_text = input.text().and_then(unit::parse_size);
        let bytes = from_text.or_else(|| u64::try_from(input.whole()?).ok());
        bytes
            .filter(|bytes| (self.0..=self.1).contains(bytes))
            .or_else(|| target.must_be(&self.expected(), input))
    }
}

/// A value of another kind, or `"off"`.
pub(crate) struct OrOff<K>(pub(crate) K);

impl<K: Kind> Kind for OrOff<K> {
    type Value = Option<K::Value>;

    fn expected(&self) -> String {
        format!("{}, or \"off\"", self.0.expected())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.schema(), { "const": "off" }] })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.as_ref().map_or(json!("off"), |value| self.0.show(value))
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<Self::Value> {
        if input.text().is_some_and(|text| text.trim() == "off") {
            return Some(None);
        }
        let mut own = Faults::default();
        let Target { key, place, base, .. } = *target;
        let value = self.0.read(input, &mut Target { key, place, base, faults: &mut own });
        match value {
            Some(value) => Some(Some(value)),
            None => target.must_be(&self.expected(), input),
        }
    }
}

/// One of a few words.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn expected(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
        match words.as_slice() {
            [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => words.concat(),
        }
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
    }

    fn show(&self, value: &T) -> Json {
        let word = self.0.iter().find(|(_, known)| known == value);
        json!(word.expect("every value of a choice has a word").0)
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<T> {
        let text = input.text().map(str::trim);
        let chosen = self.0.iter().find(|(word, _)| Some(*word) == text);
        chosen.map(|(_, value)| *value).or_else(|| target.must_be(&self.expected(), input))
    }
}

/// Text that a function of its own turns into a value, or says why it can't.
pub(crate) struct Parsed<T> {
    /// What is right, as in "must be ...".
    pub(crate) expected: &'static str,
    /// Turns the text into a value; the error names the text, its fault, and what is right.
    pub(crate) parse: fn(&str) -> Result<T, String>,
    /// The value as it would be written.
    pub(crate) show: fn(&T) -> String,
}

/// Any text, taken as it is.
pub(crate) fn text(expected: &'static str) -> Parsed<String> {
    Parsed { expected, parse: |text| Ok(text.to_owned()), show: Clone::clone }
}

impl<T> Kind for Parsed<T> {
    type Value = T;

    fn expected(&self) -> String {
        self.expected.to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string" })
    }

    fn show(&self, value: &T) -> Json {
        json!((self.show)(value))
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<T> {
        let Some(text) = input.text() else { return target.must_be(&self.expected(), input) };
        (self.parse)(text).map_or_else(|why| target.refuse(&format!("{}: {why}", target.key)), Some)
    }
}

/// A path; one that is relative starts from the configuration file's folder. Whether
/// anything is there is found by whoever opens it.
pub(crate) struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn expected(&self) -> String {
        "a path".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }

    fn show(&self, value: &PathBuf) -> Json {
        json!(value.display().to_string())
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<PathBuf> {
        match input.text() {
            Some(text) if !text.is_empty() => Some(target.base.join(text)),
            _ => target.must_be(&self.expected(), input),
        }
    }
}

/// Several values of a kind; in a variable they are parted by commas.
pub(crate) struct List<K>(pub(crate) K);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn expected(&self) -> String {
        format!("an array, each element {}", self.0.expected())
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": self.0.schema() })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().map(|value| self.0.show(value)).collect()
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<Self::Value> {
        // Every element is read, also behind a bad one, so that all are told.
        let values: Vec<_> = match input {
            Input::Text(text) => {
                text.split(',').map(|text| self.0.read(Input::Text(text.trim()), target)).collect()
            }
            Input::Toml(value) => {
                let Some(array) = value.get_ref().as_array() else {
                    return target.must_be(&self.expected(), input);
                };
                let read = |value| self.0.read(Input::Toml(value), &mut target.element(value));
                array.iter().map(read).collect()
            }
        };
        values.into_iter().collect()
    }
}

/// A table whose keys are not ours: names to values of one kind.
pub(crate) struct Names<T, K> {
    /// What a key is, as in "a table of ...".
    pub(crate) expected: &'static str,
    /// Turns a key into a name; the error names the key, its fault, and what is right.
    pub(crate) name: fn(&str) -> Result<T, String>,
    /// The name as it would be written.
    pub(crate) show: fn(&T) -> String,
    /// The kind of the values.
    pub(crate) value: K,
}

impl<T, K: Kind> Names<T, K> {
    fn read_name(&self, name: &str, target: &mut Target<'_>) -> Option<T> {
        (self.name)(name).map_or_else(|why| target.refuse(&format!("{}: {why}", target.key)), Some)
    }
}

impl<T, K: Kind> Kind for Names<T, K> {
    type Value = Vec<(T, K::Value)>;

    fn expected(&self) -> String {
        format!("a table of {}", self.expected)
    }

    fn schema(&self) -> Json {
        json!({ "type": "object", "additionalProperties": self.value.schema() })
    }

    fn show(&self, value: &Self::Value) -> Json {
        let pairs = value.iter().map(|(name, value)| ((self.show)(name), self.value.show(value)));
        Json::Object(pairs.collect())
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<Self::Value> {
        let Input::Toml(value) = input else { return target.must_be(&self.expected(), input) };
        let Some(table) = value.get_ref().as_table() else {
            return target.must_be(&self.expected(), input);
        };
        let mut pairs = Vec::new();
        for (name, value) in table {
            let at_name = &mut Target { place: Place::File(name.span().start), ..target.again() };
            let name = self.read_name(name.get_ref(), at_name);
            let value = self.value.read(Input::Toml(value), &mut target.element(value));
            pairs.push(name.zip(value));
        }
        pairs.into_iter().collect()
    }
}

impl Target<'_> {
    fn again(&mut self) -> Target<'_> {
        Target { key: self.key, place: self.place, base: self.base, faults: self.faults }
    }
}
