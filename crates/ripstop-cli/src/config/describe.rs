//! The configuration explained: default file, JSON Schema and reference page.
//!
//! Pure: all three are derived from the keys that the sections ask for, so that
//! none of them can be forgotten. Names no key itself.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::fields;
use super::reader::{Field, Shape, variable};

/// Text is wrapped before this column.
const COLUMNS: usize = 90;

/// What stands before a line that is an example and no default.
const EXAMPLE: &str = "#     ";

/// A file with every key: what it does, and what it is if nobody says otherwise.
///
/// Taking the `#` off the lines in which no space follows it changes nothing.
pub(crate) fn default_file() -> String {
    let mut file = String::new();
    comment(&mut file, "The configuration of Ripstop, with every key there is.");
    comment(
        &mut file,
        "Lines like \"#key = value\" are defaults: take the # off to change them. Indented lines \
         are examples of what may be added. Durations are written \"250ms\", \"10s\", \"5m\", \
         \"2h\" or \"1d\", sizes \"512 B\", \"64 KiB\" or \"16 MiB\". Relative paths start from \
         the folder of this file.",
    );
    for field in fields() {
        file.push('\n');
        match &field.shape {
            Shape::Table(inner) => {
                comment(&mut file, field.doc);
                table(&mut file, field.name, inner, "");
            }
            Shape::Tables(inner) | Shape::OptionalTable(inner) => {
                comment(&mut file, field.doc);
                example_table(&mut file, &field, inner, "");
            }
            Shape::Default { .. } | Shape::Optional { .. } | Shape::Required { .. } => {
                key(&mut file, &field, "#");
            }
        }
    }
    file
}

/// Writes a table whose keys have defaults, and those within it.
fn table(file: &mut String, name: &str, fields: &[Field], path: &str) {
    let path = format!("{path}{name}");
    line(file, &format!("[{path}]"));
    for field in keys_first(fields) {
        file.push('\n');
        match &field.shape {
            Shape::Table(inner) => {
                comment(file, field.doc);
                table(file, field.name, inner, &format!("{path}."));
            }
            _ => key(file, field, "#"),
        }
    }
}

/// Writes a table that is there only if it is said.
fn example_table(file: &mut String, field: &Field, fields: &[Field], path: &str) {
    let path = format!("{path}{}", field.name);
    match field.shape {
        Shape::Tables(_) => line(file, &format!("{EXAMPLE}[[{path}]]")),
        _ => line(file, &format!("{EXAMPLE}[{path}]")),
    }
    for field in keys_first(fields) {
        file.push('\n');
        match &field.shape {
            Shape::Table(inner) | Shape::OptionalTable(inner) | Shape::Tables(inner) => {
                comment(file, field.doc);
                example_table(file, field, inner, &format!("{path}."));
            }
            _ => key(file, field, EXAMPLE),
        }
    }
}

/// In TOML a key behind the head of an inner table would be one of the inner table.
fn keys_first(fields: &[Field]) -> Vec<&Field> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|field| {
        matches!(field.shape, Shape::Table(_) | Shape::OptionalTable(_) | Shape::Tables(_))
    });
    fields
}

/// Writes one key; `default_mark` stands before it if it has a default.
fn key(file: &mut String, field: &Field, default_mark: &str) {
    comment(file, field.doc);
    let (mark, value) = match &field.shape {
        Shape::Default { default, .. } => (default_mark, default),
        Shape::Optional { example, .. } | Shape::Required { example, .. } => (EXAMPLE, example),
        Shape::Table(_) | Shape::OptionalTable(_) | Shape::Tables(_) => return,
    };
    line(file, &format!("{mark}{} = {}", field.name, toml(value)));
}

fn comment(file: &mut String, text: &str) {
    for text in wrap(text, COLUMNS - 2) {
        line(file, &format!("# {text}"));
    }
}

fn line(file: &mut String, text: &str) {
    file.push_str(text);
    file.push('\n');
}

/// Words of `text` in lines of at most `columns` characters.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + 1 + word.len() <= columns {
            last.extend([" ", word]);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A value as TOML. Strings, numbers and arrays are written as in JSON.
fn toml(value: &Json) -> String {
    let Json::Object(pairs) = value else { return value.to_string().replace("\",\"", "\", \"") };
    let pair = |(name, value): (&String, &Json)| format!("{:?} = {}", name, toml(value));
    let pairs: Vec<_> = pairs.iter().map(pair).collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// JSON Schema of the file, for editors.
pub(crate) fn schema() -> String {
    let mut schema = object(&fields());
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("The configuration of Ripstop");
    format!("{schema:#}\n")
}

fn object(fields: &[Field]) -> Json {
    let is_required = |field: &&Field| matches!(field.shape, Shape::Required { .. });
    let required: Vec<_> = fields.iter().filter(is_required).map(|field| field.name).collect();
    let property = |field: &Field| (field.name.to_owned(), property(field));
    let properties: Map<_, _> = fields.iter().map(property).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(field: &Field) -> Json {
    let mut property = match &field.shape {
        Shape::Default { schema, default, .. } => with(schema, "default", default.clone()),
        Shape::Optional { schema, example, .. } | Shape::Required { schema, example, .. } => {
            with(schema, "examples", json!([example]))
        }
        Shape::Table(inner) | Shape::OptionalTable(inner) => object(inner),
        Shape::Tables(inner) => json!({ "type": "array", "items": object(inner) }),
    };
    property["description"] = json!(field.doc);
    property
}

fn with(schema: &Json, name: &str, value: Json) -> Json {
    let mut schema = schema.clone();
    schema[name] = value;
    schema
}

/// The reference as a Markdown page.
pub(crate) fn reference() -> String {
    let mut page = "# Configuration\n\n\
        Every key of the configuration file, from `ripstop config reference`. \
        `ripstop config default` prints the same as a file to begin with, \
        `ripstop config schema` as JSON Schema for editors. \
        A flag goes before a variable, a variable before the file. \
        Durations are written `250ms`, `10s`, `5m`, `2h` or `1d`, sizes `512 B`, `64 KiB` or \
        `16 MiB`; relative paths start from the folder of the file. \
        `RIPSTOP_CONFIG` names the file, `RIPSTOP_LISTEN` has addresses to listen on \
        (with commas between them) instead of those in the file.\n"
        .to_owned();
    for field in fields() {
        if let Shape::Table(inner) = &field.shape {
            section(&mut page, &field, inner, &format!("[{}]", field.name), field.name, true);
        }
        if let Shape::Tables(inner) = &field.shape {
            section(&mut page, &field, inner, &format!("[[{}]]", field.name), field.name, false);
        }
    }
    page
}

/// Writes one table of the reference; `once` tables have variables for their keys.
fn section(
    page: &mut String,
    field: &Field,
    fields: &[Field],
    heading: &str,
    path: &str,
    once: bool,
) {
    let _ = write!(page, "\n## `{heading}`\n\n{}\n\n", field.doc);
    let variables = if once { " Variable |" } else { "" };
    let _ = writeln!(page, "| Key | Default |{variables} What it is |");
    let _ = writeln!(page, "|---|---|{}---|", if once { "---|" } else { "" });
    for field in fields {
        row(page, field, path, once);
    }
    for field in fields {
        let path = format!("{path}.{}", field.name);
        match &field.shape {
            Shape::Table(inner) | Shape::OptionalTable(inner) => {
                section(page, field, inner, &format!("[{path}]"), &path, once);
            }
            Shape::Tables(inner) => {
                section(page, field, inner, &format!("[[{path}]]"), &path, false);
            }
            Shape::Default { .. } | Shape::Optional { .. } | Shape::Required { .. } => {}
        }
    }
}

fn row(page: &mut String, field: &Field, path: &str, once: bool) {
    let (default, expected) = match &field.shape {
        Shape::Default { default, expected, .. } => (format!("`{}`", toml(default)), expected),
        Shape::Optional { expected, .. } => ("none".to_owned(), expected),
        Shape::Required { expected, .. } => ("must be said".to_owned(), expected),
        Shape::Table(_) | Shape::OptionalTable(_) | Shape::Tables(_) => return,
    };
    let variable = match once {
        true => format!(" `{}` |", variable(&format!("{path}.{}", field.name))),
        false => String::new(),
    };
    let text = format!("{} Must be {expected}.", field.doc).replace('|', "\\|");
    let _ = writeln!(page, "| `{}` | {default} |{variable} {text} |", field.name);
}

/// Every variable that overrides a key.
pub(crate) fn variables() -> Vec<String> {
    let mut names =
        ["RIPSTOP_CONFIG", "RIPSTOP_LISTEN", "RIPSTOP_WALL"].map(str::to_owned).to_vec();
    collect_variables(&fields(), "", &mut names);
    names
}

fn collect_variables(fields: &[Field], path: &str, names: &mut Vec<String>) {
    for field in fields {
        let key = format!("{path}{}", field.name);
        match &field.shape {
            Shape::Table(inner) => collect_variables(inner, &format!("{key}."), names),
            Shape::OptionalTable(_) | Shape::Tables(_) => {}
            Shape::Default { .. } | Shape::Optional { .. } | Shape::Required { .. } => {
                names.push(variable(&key));
            }
        }
    }
}
