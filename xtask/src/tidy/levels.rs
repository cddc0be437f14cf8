//! A crate depends only on crates of lower levels.

use super::{Fault, File};

/// The levels of the crates; the rules of ARCHITECTURE.md say what belongs where.
const LEVELS: &[(&str, u8)] = &[
    ("ripstop-balance", 0),
    ("ripstop-tears", 0),
    ("ripstop-work", 1),
    ("ripstop-survive", 1),
    ("ripstop-files", 2),
    ("ripstop-http", 2),
    ("ripstop-net", 2),
    ("ripstop-admin", 3),
    ("ripstop", 4),
    ("ripstop-cli", 5),
];

/// For the tests of all others: below them all, and in no product.
const TESTKIT: &str = "ripstop-testkit";

/// The two kinds of dependencies for which the rules differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Product,
    Test,
}

pub(super) fn check(files: &[File]) -> Vec<Fault> {
    files.iter().filter(|file| is_manifest(&file.path)).flat_map(check_manifest).collect()
}

fn is_manifest(path: &str) -> bool {
    path.starts_with("crates/") && path.ends_with("/Cargo.toml")
}

fn check_manifest(file: &File) -> Vec<Fault> {
    let own = file.path.split('/').nth(1).unwrap_or_default();
    let mut faults = Vec::new();
    if level(own).is_none() && own != TESTKIT {
        faults.push(Fault::new(file, 1, "has no level: give it one in xtask/src/tidy/levels.rs"));
    }
    let mut kind = None;
    for (number, line) in (1..).zip(file.text.lines()) {
        if line.starts_with('[') {
            kind = kind_of(line.trim());
        } else if let Some(kind) = kind
            && let Some(what) = refuse(own, dependency(line), kind)
        {
            faults.push(Fault::new(file, number, what));
        }
    }
    faults
}

fn kind_of(section: &str) -> Option<Kind> {
    let section = section.trim_matches(['[', ']']);
    match section.rsplit('.').next() {
        Some("dependencies" | "build-dependencies") => Some(Kind::Product),
        Some("dev-dependencies") => Some(Kind::Test),
        _ => None,
    }
}

fn dependency(line: &str) -> &str {
    line.split(['.', '=', ' ']).next().unwrap_or_default()
}

/// Says why `own` may not depend on `other`. Crates of others are not looked at.
fn refuse(own: &str, other: &str, kind: Kind) -> Option<String> {
    if !other.starts_with("ripstop") || (own == other && kind == Kind::Test) {
        return None;
    }
    if other == TESTKIT {
        return (kind == Kind::Product)
            .then(|| format!("{TESTKIT} is for [dev-dependencies] alone"));
    }
    let fits = match (kind, level(own), level(other)) {
        (Kind::Product, Some(own), Some(other)) => other < own,
        (Kind::Test, Some(own), Some(other)) => other <= own,
        _ => false,
    };
    (!fits).then(|| format!("{own} may depend on crates of lower levels only, not on {other}"))
}

fn level(name: &str) -> Option<u8> {
    LEVELS.iter().find(|(found, _)| *found == name).map(|(_, level)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    #[test]
    fn dependencies_point_down() {
        for (own, text, lines) in [
            (
                "ripstop-http",
                "[dependencies]\nhttp = \"1\"\nripstop-work.workspace = true",
                &[][..],
            ),
            ("ripstop-http", "[dependencies]\nripstop-net.workspace = true", &[2]),
            ("ripstop-http", "[dev-dependencies]\nripstop-net.workspace = true", &[]),
            ("ripstop-http", "[dev-dependencies]\nripstop = { path = \"..\" }", &[2]),
            ("ripstop-http", "[target.'cfg(unix)'.dependencies]\nripstop-admin = \"0\"", &[2]),
            ("ripstop-http", "[dependencies]\n\nripstop-testkit.workspace = true", &[3]),
            ("ripstop-http", "[dev-dependencies]\nripstop-testkit.workspace = true", &[]),
            ("ripstop-testkit", "[dependencies]\nripstop-work.workspace = true", &[2]),
            ("ripstop-new", "", &[1]),
            ("ripstop-work", "[dependencies]\nripstop-new.workspace = true", &[2]),
        ] {
            let manifest = file(&format!("crates/{own}/Cargo.toml"), text);
            let found: Vec<_> = check(&[manifest]).iter().map(|fault| fault.line).collect();
            assert_eq!(found, lines, "{own}: {text}");
        }
    }
}
