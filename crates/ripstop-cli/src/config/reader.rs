//! Reads a parsed document table by table, and learns its shape while doing so.
//!
//! A section of the configuration is one function that asks a [`Table`] for its
//! keys, each with its kind, default and documentation. That one call reads and
//! checks the value *and* records the key, so that unknown keys, the default
//! file, the schema and the reference all come from the same place. Owns
//! precedence too: a flag before a variable before the file before the default.

use std::{
    collections::BTreeMap,
    mem,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::fault::{Faults, Place};
use super::kind::{Input, Kind, Target, found};

/// What flags and environment variables say; it goes before the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// By dotted key: the flag's name and its text.
    pub(crate) flags: BTreeMap<&'static str, (&'static str, String)>,
    /// Environment variables by name; only those that start with `RIPSTOP_`.
    pub(crate) variables: BTreeMap<String, String>,
    /// What `--listen` said, each in turn.
    pub(crate) listen: Vec<String>,
    /// The folder that `serve DIR` names.
    pub(crate) folder: Option<PathBuf>,
}

impl Overrides {
    /// The name (of a flag or a variable) and the text that is said for a key.
    fn find(&self, key: &str) -> Option<(String, &str)> {
        if let Some((flag, text)) = self.flags.get(key) {
            return Some(((*flag).to_owned(), text));
        }
        let (name, text) = self.variables.get_key_value(&variable(key))?;
        Some((name.clone(), text))
    }

    /// Who says which addresses to listen on, if anybody does.
    pub(crate) fn listen(&self) -> Option<(&'static str, Vec<&str>)> {
        const VARIABLE: &str = "RIPSTOP_LISTEN";
        if !self.listen.is_empty() {
            return Some(("--listen", self.listen.iter().map(String::as_str).collect()));
        }
        let text = self.variables.get(VARIABLE)?;
        Some((VARIABLE, text.split(',').map(str::trim).collect()))
    }
}

/// The variable that overrides a key: `limits.body` is `RIPSTOP_LIMITS_BODY`,
/// and keys of `[server]` go without the name of their section.
pub(crate) fn variable(key: &str) -> String {
    let short = key.strip_prefix("server.").unwrap_or(key);
    format!("RIPSTOP_{}", short.replace('.', "_").to_uppercase())
}

/// A key that a section asked for.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// The key.
    pub(crate) name: &'static str,
    /// What it does, in sentences.
    pub(crate) doc: &'static str,
    /// What may stand there.
    pub(crate) shape: Shape,
}

/// What may stand behind a key.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A value with its default.
    Default { expected: String, schema: Json, default: Json },
    /// A value that may be left out, with an example.
    Optional { expected: String, schema: Json, example: Json },
    /// A value that must be there, with an example.
    Required { expected: String, schema: Json, example: Json },
    /// A table whose keys all have defaults.
    Table(Vec<Field>),
    /// A table that may be left out.
    OptionalTable(Vec<Field>),
    /// Any number of tables.
    Tables(Vec<Field>),
}

/// What all tables of one document share while it is read.
pub(crate) struct Reader<'a> {
    /// What goes before the file.
    pub(crate) overrides: &'a Overrides,
    /// The folder that relative paths start from.
    pub(crate) base: &'a Path,
    /// What was found wrong so far.
    pub(crate) faults: Faults,
    /// Whether the document is not TOML: then what is missing may have been lost.
    pub(crate) broken: bool,
    /// Whether tables that are absent are visited to learn their keys.
    pub(crate) describing: bool,
}

/// One table of the document, while its keys are asked for.
pub(crate) struct Table<'t, 'a> {
    reader: &'t mut Reader<'a>,
    entries: Option<&'t DeTable<'t>>,
    /// Dotted name with a dot at its end; empty for the document.
    path: String,
    place: Place,
    fields: Vec<Field>,
}

impl<'t, 'a> Table<'t, 'a> {
    /// Reads a whole document; `entries` is `None` if there is no file.
    pub(crate) fn document<T>(
        reader: &'t mut Reader<'a>,
        entries: Option<&'t DeTable<'t>>,
        read: impl FnOnce(&mut Table<'_, 'a>) -> T,
    ) -> (T, Vec<Field>) {
        let place = if entries.is_some() { Place::File(0) } else { Place::Default };
        Table { reader, entries, path: String::new(), place, fields: Vec::new() }.visit(read)
    }

    /// Where this table begins.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Whether a key was said, well or badly, by whomever.
    pub(crate) fn has(&self, name: &str) -> bool {
        let key = format!("{}{name}", self.path);
        self.entry(name).is_some() || self.reader.overrides.find(&key).is_some()
    }

    /// Where the value of a key was said.
    pub(crate) fn place_of(&mut self, name: &str) -> Place {
        let key = format!("{}{name}", self.path);
        if let Some((said_by, _)) = self.reader.overrides.find(&key) {
            return self.reader.faults.named(&said_by);
        }
        match self.entry(name) {
            Some(value) => Place::File(value.span().start),
            None => self.reader.faults.named(&format!("default of {key}")),
        }
    }

    /// Tells a fault.
    pub(crate) fn fault(&mut self, place: Place, message: impl Into<String>) {
        self.reader.faults.add(place, message);
    }

    /// All faults so far, to tell more or to name places.
    pub(crate) fn faults(&mut self) -> &mut Faults {
        &mut self.reader.faults
    }

    /// What goes before the file.
    pub(crate) fn overrides(&self) -> &'a Overrides {
        self.reader.overrides
    }

    /// A value with a default.
    pub(crate) fn field<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        default: K::Value,
        doc: &'static str,
    ) -> K::Value {
        let (expected, schema) = (kind.expected(), kind.schema());
        self.record(name, doc, Shape::Default { expected, schema, default: kind.show(&default) });
        self.read(name, kind).unwrap_or(default)
    }

    /// A value that may be left out.
    pub(crate) fn optional<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        example: Json,
        doc: &'static str,
    ) -> Option<K::Value> {
        let (expected, schema) = (kind.expected(), kind.schema());
        self.record(name, doc, Shape::Optional { expected, schema, example });
        self.read(name, kind)
    }

    /// A value that must be there; `None` after a fault.
    pub(crate) fn required<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        example: Json,
        doc: &'static str,
    ) -> Option<K::Value> {
        let (expected, schema) = (kind.expected(), kind.schema());
        if self.entry(name).is_none() && !self.reader.broken {
            let key = format!("{}{name}", self.path);
            self.fault(self.place, format!("{key} is missing, it must be {expected}"));
        }
        self.record(name, doc, Shape::Required { expected, schema, example });
        self.read(name, kind)
    }

    /// A table whose keys all have defaults, so that it may be left out.
    pub(crate) fn table<T>(
        &mut self,
        name: &'static str,
        doc: &'static str,
        read: impl FnOnce(&mut Table<'_, 'a>) -> T,
    ) -> T {
        let (entries, place) = match self.table_entry(name) {
            Some((entries, place)) => (Some(entries), place),
            None => (None, self.place),
        };
        let (value, fields) = self.inner(name, entries, place).visit(read);
        self.record(name, doc, Shape::Table(fields));
        value
    }

    /// A table that may be left out, which then means something.
    pub(crate) fn optional_table<T>(
        &mut self,
        name: &'static str,
        doc: &'static str,
        read: impl Fn(&mut Table<'_, 'a>) -> T,
    ) -> Option<T> {
        let entry = self.table_entry(name);
        let (value, fields) = self.visit_all(name, entry.as_slice(), read);
        self.record(name, doc, Shape::OptionalTable(fields));
        value.into_iter().next()
    }

    /// Any number of tables.
    pub(crate) fn tables<T>(
        &mut self,
        name: &'static str,
        doc: &'static str,
        read: impl Fn(&mut Table<'_, 'a>) -> T,
    ) -> Vec<T> {
        let entries = self.table_entries(name);
        let (values, fields) = self.visit_all(name, &entries, read);
        self.record(name, doc, Shape::Tables(fields));
        values
    }

    /// Visits tables that are there, or none at all to learn what could be.
    fn visit_all<T>(
        &mut self,
        name: &str,
        entries: &[(&'t DeTable<'t>, Place)],
        read: impl Fn(&mut Table<'_, 'a>) -> T,
    ) -> (Vec<T>, Vec<Field>) {
        if entries.is_empty() && self.reader.describing {
            let faults = mem::take(&mut self.reader.faults);
            let (_, fields) = self.inner(name, None, Place::Default).visit(read);
            self.reader.faults = faults;
            return (Vec::new(), fields);
        }
        let visit = |(entries, place): &(&'t DeTable<'t>, Place)| {
            self.inner(name, Some(entries), *place).visit(&read).0
        };
        (entries.iter().map(visit).collect(), Vec::new())
    }

    fn visit<T>(mut self, read: impl FnOnce(&mut Table<'_, 'a>) -> T) -> (T, Vec<Field>) {
        let value = read(&mut self);
        self.refuse_unknown_keys();
        (value, self.fields)
    }

    fn inner<'s>(
        &'s mut self,
        name: &str,
        entries: Option<&'s DeTable<'s>>,
        place: Place,
    ) -> Table<'s, 'a> {
        let path = format!("{}{name}.", self.path);
        Table { reader: self.reader, entries, path, place, fields: Vec::new() }
    }

    fn record(&mut self, name: &'static str, doc: &'static str, shape: Shape) {
        self.fields.push(Field { name, doc, shape });
    }

    fn entry(&self, name: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        let value = self.entries.and_then(|entries| entries.get(name))?;
        // What the parser puts where it could not read a value has no extent.
        (!self.reader.broken || !value.span().is_empty()).then_some(value)
    }

    fn read<K: Kind>(&mut self, name: &str, kind: &K) -> Option<K::Value> {
        let key = format!("{}{name}", self.path);
        let value = self.entry(name);
        let Reader { overrides, base, faults, .. } = &mut *self.reader;
        if let Some((said_by, text)) = overrides.find(&key) {
            let place = faults.named(&said_by);
            // A flag's paths start where the shell is, as everywhere.
            let target = &mut Target { key: &key, place, base: Path::new(""), faults };
            return kind.read(Input::Text(text), target);
        }
        let value = value?;
        let place = Place::File(value.span().start);
        kind.read(Input::Toml(value), &mut Target { key: &key, place, base, faults })
    }

    fn table_entry(&mut self, name: &str) -> Option<(&'t DeTable<'t>, Place)> {
        let value = self.entry(name)?;
        self.as_table(name, value, "a table")
    }

    fn table_entries(&mut self, name: &str) -> Vec<(&'t DeTable<'t>, Place)> {
        let Some(value) = self.entry(name) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let expected = format!("an array of tables, written [[{}{name}]]", self.path);
            return self.as_table(name, value, &expected).map_or_else(Vec::new, |_| {
                let found = "a single table";
                let key = format!("{}{name}", self.path);
                let place = Place::File(value.span().start);
                self.fault(place, format!("{key} must be {expected}, not {found}"));
                Vec::new()
            });
        };
        array.iter().filter_map(|value| self.as_table(name, value, "a table")).collect()
    }

    fn as_table(
        &mut self,
        name: &str,
        value: &'t Spanned<DeValue<'t>>,
        expected: &str,
    ) -> Option<(&'t DeTable<'t>, Place)> {
        let place = Place::File(value.span().start);
        if let Some(entries) = value.get_ref().as_table() {
            return Some((entries, place));
        }
        let (key, found) = (format!("{}{name}", self.path), found(value.get_ref()));
        self.fault(place, format!("{key} must be {expected}, not {found}"));
        None
    }

    fn refuse_unknown_keys(&mut self) {
        for (name, _) in self.entries.into_iter().flatten() {
            let known: Vec<_> = self.fields.iter().map(|field| field.name).collect();
            if !known.contains(&&**name.get_ref()) {
                let message = unknown_key(name.get_ref(), &self.path, &known);
                self.fault(Place::File(name.span().start), message);
            }
        }
    }
}

fn unknown_key(name: &str, path: &str, known: &[&str]) -> String {
    let within = match path.trim_end_matches('.') {
        "" => String::new(),
        table => format!(" in {table}"),
    };
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown key {name:?}{within}, did you mean {near:?}?"),
        None => format!("unknown key {name:?}{within}, known are {}", known.join(", ")),
    }
}

/// The known name that somebody who wrote `name` most likely meant.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let typos_max = (name.len() / 3).max(1);
    known
        .map(|known| (strsim::osa_distance(name, known), known))
        .filter(|(distance, _)| *distance <= typos_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
