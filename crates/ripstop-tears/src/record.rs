//! The record of a tear: several lines for people who are woken at night.

use crate::{Frame, Tear};
use std::{
    fmt::{self, Display, Write},
    time::Duration,
};

impl Display for Tear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_first_line(f)?;
        line(f, "message", (!self.message.is_empty()).then_some(&self.message))?;
        line(f, "route", self.route.as_ref())?;
        line(f, "request", self.request_id.as_ref())?;
        line(f, "peer", self.peer.as_ref())?;
        let worker = self.worker.map(|index| format!(" (worker {index})")).unwrap_or_default();
        line(f, "thread", Some(&format!("{}{worker}", self.thread)))?;
        self.fmt_stack(f)
    }
}

impl Tear {
    fn fmt_first_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(lasted) = self.lasted {
            write!(f, " of {}", Rounded(lasted))?;
        }
        if let Some(culprit) = self.culprit() {
            let name = culprit.function.as_deref().map_or("?".into(), without_generics);
            write!(f, " in {}", Escaped(name))?;
            if culprit.file.is_some() {
                write!(f, " ({})", Place(culprit))?;
            }
        }
        match self.activity {
            Some(activity) => write!(f, ", {activity}"),
            None => Ok(()),
        }
    }

    /// All frames, but for those of the runtime that called the application.
    fn fmt_stack(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, frame) in self.stack.iter().enumerate() {
            write!(f, "\n  {:8} {index:<2} ", if index == 0 { "stack" } else { "" })?;
            match &frame.function {
                Some(function) => write!(f, "{}", Escaped(without_generics(function)))?,
                None => write!(f, "{:#x}", frame.address)?,
            }
            if frame.file.is_some() {
                write!(f, " at {}", Place(frame))?;
            }
        }
        match self.outer_frames {
            0 => Ok(()),
            1 => write!(f, "\n           … 1 frame of the runtime"),
            folded => write!(f, "\n           … {folded} frames of the runtime"),
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&impl Display>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "\n  {name:8} {}", Escaped(value)),
        None => Ok(()),
    }
}

/// A function's name with `<…>` in place of what its type parameters are: those of futures go on for
/// lines. The `<T as Trait>` that a name may begin with stays.
fn without_generics(name: &str) -> String {
    let mut short = String::new();
    let (mut depth, mut kept) = (0_usize, usize::from(name.starts_with('<')));
    let mut before = ' ';
    for c in name.chars() {
        match c {
            '<' => {
                depth += 1;
                if depth <= kept {
                    short.push('<');
                } else if depth == kept + 1 {
                    short.push_str("<…>");
                }
            }
            // Not that of an arrow.
            '>' if before != '-' => {
                if depth <= kept {
                    short.push('>');
                    kept = 0;
                }
                depth = depth.saturating_sub(1);
            }
            c if depth <= kept => short.push(c),
            _ => {}
        }
        before = c;
    }
    short
}

/// A file and a line.
struct Place<'a>(&'a Frame);

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(self.0.file.as_deref().unwrap_or("?")))?;
        match self.0.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

/// A duration in the unit that suits it.
struct Rounded(Duration);

impl Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            0 => write!(f, "{} µs", self.0.as_micros()),
            millis @ 1..10_000 => write!(f, "{millis} ms"),
            _ => write!(f, "{} s", self.0.as_secs()),
        }
    }
}

/// Text in which nothing ends a line or moves the cursor.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            // What some viewers take for the end of a line, or that turns the direction of text.
            '\u{2028}'
            | '\u{2029}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => write!(self.0, "{}", c.escape_unicode()),
            c if c.is_control() => write!(self.0, "{}", c.escape_debug()),
            c => self.0.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests;
