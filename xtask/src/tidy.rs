//! What no other tool checks, so that the rules of CONTRIBUTING.md hold by themselves.
//!
//! Owns the reading of the tree and the report; each rule is a pure function from text to faults in
//! a file of its own.

mod levels;
mod life;
mod lock;
mod text;

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// A file of the workspace, with its path from the root.
struct File {
    path: String,
    text: String,
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    path: String,
    /// Counted from 1.
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Fault {
    fn new(file: &File, line: usize, what: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, what: what.into() }
    }
}

/// Reports every fault of the workspace at `root`.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let files = read_tree(root).map_err(|err| format!("cannot read {}: {err}", root.display()))?;
    let mut faults = levels::check(&files);
    faults.extend(text::check(&files));
    faults.extend(life::check(&files));
    faults.extend(lock::check(&files));
    for fault in &faults {
        eprintln!("{fault}");
    }
    match faults.len() {
        0 => Ok(()),
        count => Err(format!("tidy: {count} faults in {} files", files.len())),
    }
}

/// All files that are UTF-8, but for what is built and what is hidden (`.ci` is neither).
fn read_tree(root: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".ci";
            if hidden || (name == "target" && dir == root) {
                continue;
            }
            match entry.file_type()? {
                kind if kind.is_dir() => dirs.push(entry.path()),
                kind if kind.is_file() => files.extend(read(root, entry.path())?),
                _ => {}
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read(root: &Path, path: PathBuf) -> io::Result<Option<File>> {
    let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
    let text = String::from_utf8(fs::read(path)?);
    Ok(text.ok().map(|text| File { path: name, text }))
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}
