//! The page that lists a directory.
//!
//! Owns what is shown and how. It shows only what would be served, follows links as the root
//! does, and stands alone: no script, nothing to load from elsewhere.

use std::cmp::Reverse;
use std::fmt::Write;
use std::os::fd::OwnedFd;

use rustix::fs::Dir;

use crate::failure::Failure;
use crate::path::{Key, reference, served};
use crate::root::{Directory, Kind};
use crate::stamp::Stamp;

/// How many names one page shows. Whoever has more needs something else than a page.
const ROWS_MAX: usize = 10_000;

const STYLE: &str = include_str!("listing/page.css");

/// What the page may load: nothing but its own style.
pub(crate) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

struct Row {
    name: String,
    /// None for a directory.
    file: Option<Stamp>,
}

/// Lists the directory of `key`, opened as `fd` below `root`.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn page(
    root: &Directory,
    fd: OwnedFd,
    key: &Key,
    dotfiles: bool,
) -> Result<String, Failure> {
    let mut rows = Vec::new();
    let mut cut = false;
    for entry in Dir::new(fd)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let Some(row) = row(root, key, name, dotfiles) else { continue };
        cut = rows.len() == ROWS_MAX;
        if cut {
            break;
        }
        rows.push(row);
    }
    rows.sort_by_cached_key(|row| {
        (Reverse(row.file.is_none()), row.name.to_lowercase(), row.name.clone())
    });
    Ok(render(key, &rows, cut))
}

/// None for what would not be served.
fn row(root: &Directory, key: &Key, name: &str, dotfiles: bool) -> Option<Row> {
    let parent = key.relative();
    let depth = if parent.is_empty() { 0 } else { parent.split('/').count() };
    if !served(depth, name, dotfiles) {
        return None;
    }
    let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
    let file = match root.probe(&path).ok()? {
        Kind::File(stamp) => Some(stamp),
        Kind::Directory => None,
        Kind::Other => return None,
    };
    Some(Row { name: name.to_owned(), file })
}

fn render(key: &Key, rows: &[Row], cut: bool) -> String {
    let title = escape(key.as_str());
    let mut page = format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n<main>\n<h1>{}</h1>\n<div class=card>\n<table>\n\
         <thead><tr><th class=name>Name<th class=size>Size<th class=date>Modified (UTC)</thead>\n\
         <tbody>\n",
        crumbs(key)
    );
    if !key.relative().is_empty() {
        page.push_str(
            "<tr class=dir><td class=name><a href=\"../\">../</a><td class=size><td class=date>\n",
        );
    }
    for row in rows {
        push_row(&mut page, row);
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    page.push_str(&summary(rows, cut));
    page.push_str("</main>\n</html>\n");
    page
}

/// The way down from the root, each step but the last a link. The links are relative, so that
/// they are right wherever the root is mounted.
fn crumbs(key: &Key) -> String {
    let names: Vec<&str> = key.relative().split('/').filter(|name| !name.is_empty()).collect();
    let Some((last, parents)) = names.split_last() else { return "<span>Index</span>".to_owned() };
    let mut html = format!("<a href=\"{}\">Index</a>", "../".repeat(names.len()));
    for (depth, name) in parents.iter().enumerate() {
        let up = "../".repeat(parents.len() - depth);
        let _ = write!(html, "<a href=\"{up}\">{}</a>", escape(name));
    }
    let _ = write!(html, "<span>{}</span>", escape(last));
    html
}

fn push_row(page: &mut String, row: &Row) {
    let (href, name) = (reference(&row.name), escape(&row.name));
    // Writing to a string cannot fail.
    let _ = match &row.file {
        None => {
            writeln!(
                page,
                "<tr class=dir><td class=name><a href=\"{href}/\">{name}/</a>\
             <td class=size><td class=date>"
            )
        }
        Some(stamp) => writeln!(
            page,
            "<tr><td class=name><a href=\"{href}\">{name}</a>\
             <td class=size>{}<td class=date>{}",
            size(stamp.size),
            date(stamp.modified_seconds())
        ),
    };
}

fn summary(rows: &[Row], cut: bool) -> String {
    let files = rows.iter().filter_map(|row| row.file.as_ref());
    let (count, bytes) = files.fold((0, 0), |(n, sum), file| (n + 1, sum + file.size));
    let directories = rows.len() - count;
    let more = if cut { ". There is more than this page shows." } else { "" };
    format!(
        "<p>{} and {}, {}{more}</p>\n",
        counted(directories, "folder"),
        counted(count, "file"),
        size(bytes)
    )
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Fit for an element's text and for a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters, and those that turn the direction of what follows.
            c if c.is_control()
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(6);
    let tenths = u128::from(bytes) * 10 / (1_u128 << (10 * power));
    let unit = UNITS[power as usize - 1];
    if tenths < 100 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

/// `2026-11-23 03:29`, in UTC.
fn date(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// The date of a day since 1970, in the Gregorian calendar, reckoned in years that begin in
/// March, so that the leap day is the last of its year.
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_239, "9.9 KiB"),
            (10_240, "10 KiB"),
            (1_048_575, "1023 KiB"),
            (1_048_576, "1.0 MiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn dates_follow_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (1_795_404_560, "2026-11-23 03:29"),
            (253_402_300_799, "9999-12-31 23:59"),
        ] {
            assert_eq!(date(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn names_cannot_be_markup() {
        assert_eq!(escape("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
        assert_eq!(escape("a\n\u{202e}b"), "a\u{fffd}\u{fffd}b");
    }
}
