//! Rules on single lines: docs of files, unfinished work, paths of one machine, and in tests fixed
//! ports and sleeps.
//!
//! A line of a test that must break a rule says why in a comment `tidy: ...`, on it or above it.

use super::{Fault, File};

/// What the words are looked for in; data of tests may hold anything.
const KINDS: &[&str] = &[".rs", ".toml", ".md", ".sh", ".py", ".html", "/run"];

/// The only file that sleeps: it is what all others wait with.
const UNTIL: &str = "crates/ripstop-testkit/src/until.rs";

// Put together here, so that the rules do not find themselves.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/tmp", "/t/")];

const EXCUSE: &str = "tidy: ";

pub(super) fn check(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| KINDS.iter().any(|kind| file.path.ends_with(kind))) {
        faults.extend(check_words(file));
        if file.path.ends_with(".rs") {
            faults.extend(check_opening(file));
            faults.extend(check_tests(file));
        }
    }
    faults
}

fn check_opening(file: &File) -> Option<Fault> {
    let what = "opens without `//!`: say why the file exists, what it owns and what not";
    (!file.text.starts_with("//! ")).then(|| Fault::new(file, 1, what))
}

fn check_words(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        if UNFINISHED.iter().any(|word| has_word(line, word)) {
            faults.push(Fault::new(file, number, "unfinished work: finish it or open an issue"));
        }
        if MACHINE.iter().any(|path| has_path(line, path)) {
            faults.push(Fault::new(file, number, "a path of one machine: nobody else has it"));
        }
    }
    faults
}

fn check_tests(file: &File) -> Vec<Fault> {
    let Some(first) = first_test_line(file) else { return Vec::new() };
    let mut faults = Vec::new();
    let mut above = "";
    for (number, line) in (1..).zip(file.text.lines()) {
        let excused = [above, line].iter().any(|line| line.contains(EXCUSE));
        above = line;
        if number < first || excused {
            continue;
        }
        if line.contains("sleep(") {
            let what = "a test that sleeps: wait for the event, or with ripstop_testkit::until";
            faults.push(Fault::new(file, number, what));
        }
        if uses_fixed_port(line) {
            faults.push(Fault::new(file, number, "a fixed port: bind port 0 and ask for it"));
        }
    }
    faults
}

/// Where the tests of a file begin, if it has any.
fn first_test_line(file: &File) -> Option<usize> {
    let path = &file.path;
    if path == UNTIL || !path.starts_with("crates/") {
        return None;
    }
    let testkit = path.starts_with("crates/ripstop-testkit/");
    if testkit || path.contains("/tests/") || path.ends_with("/tests.rs") {
        return Some(1);
    }
    let begins = |(_, line): &(usize, &str)| line.starts_with("mod tests {");
    (1..).zip(file.text.lines()).find(begins).map(|(number, _)| number)
}

/// An address with a port other than 0, on a line that binds or connects. Addresses that are only
/// read and written are no harm.
fn uses_fixed_port(line: &str) -> bool {
    let uses = ["bind", "connect", "--listen"].iter().any(|word| line.contains(word));
    let hosts = ["127.0.0.1", "0.0.0.0", "[::1]", "[::]", "localhost"];
    uses && hosts.iter().any(|host| {
        line.split(host).skip(1).any(|after| {
            let port = after.strip_prefix(':').or_else(|| after.strip_prefix("\", "));
            port.is_some_and(|port| port.starts_with(|c: char| matches!(c, '1'..='9')))
        })
    })
}

fn has_word(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(letter) && !line[at + word.len()..].starts_with(letter)
    })
}

/// Whether a path that begins so is in `line`; as a part of another path it means something else.
fn has_path(line: &str, path: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '}' | '*');
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    #[track_caller]
    fn faults(path: &str, text: &str) -> Vec<usize> {
        check(&[file(path, text)]).iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn every_file_opens_with_its_reason() {
        assert_eq!(faults("crates/a/src/lib.rs", "//! Because.\n"), [0; 0]);
        assert_eq!(faults("crates/a/src/lib.rs", "use std::io;\n//! Late.\n"), [1]);
        assert_eq!(faults("crates/a/src/lib.rs", ""), [1]);
    }

    #[test]
    fn nothing_is_left_unfinished() {
        for word in UNFINISHED {
            assert_eq!(faults("README.md", &format!("fine\n{word}: later")), [2]);
            assert_eq!(faults("README.md", &format!("{word}S, a{word}")), [0; 0]);
            assert_eq!(faults("corpus.bin", word), [0; 0]);
        }
    }

    #[test]
    fn no_path_of_one_machine_is_named() {
        let path = MACHINE[0];
        assert_eq!(faults(".ci/run", &format!("cd {path}main")), [1]);
        assert_eq!(faults("a.toml", &format!("x = \"{path}main\"")), [1]);
        assert_eq!(faults("a.toml", &format!("x = \"crates/ripstop{path}src\"")), [0; 0]);
    }

    #[test]
    fn tests_do_not_sleep() {
        let text = "//! A.\nthread::sleep(x);\nmod tests {\nthread::sleep(x);\n// tidy: paused\nsleep(x);\n";
        for (path, lines) in [
            ("crates/a/src/lib.rs", &[4][..]),
            ("crates/a/src/lib/tests.rs", &[2, 4]),
            ("crates/a/tests/it/main.rs", &[2, 4]),
            ("crates/ripstop-testkit/src/client.rs", &[2, 4]),
            (UNTIL, &[]),
        ] {
            assert_eq!(faults(path, text), lines, "{path}");
        }
    }

    #[test]
    fn tests_use_no_fixed_port() {
        for (line, fixed) in [
            ("TcpListener::bind(\"127.0.0.1:8080\")", true),
            ("TcpListener::bind((\"127.0.0.1\", 8080))", true),
            ("args([\"--listen\", \"[::1]:80\"])", true),
            ("TcpListener::bind(\"127.0.0.1:0\")", false),
            ("TcpStream::connect((\"127.0.0.1\", port))", false),
            ("check(\"127.0.0.1:8080\", Ok(Address::Tcp))", false),
        ] {
            let found = faults("crates/a/src/tests.rs", &format!("//! A.\n{line}\n"));
            assert_eq!(found, if fixed { &[2][..] } else { &[] }, "{line}");
        }
    }
}
