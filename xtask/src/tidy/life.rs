//! ARCHITECTURE.md tells the life of a connection by the names of functions; they must be there.

use super::{Fault, File};

const PAGE: &str = "ARCHITECTURE.md";
const SECTION: &str = "life of a connection";

pub(super) fn check(files: &[File]) -> Vec<Fault> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else { return Vec::new() };
    let names = names(&page.text);
    if names.is_empty() {
        let what = "no `crate::file::function` in a section \"Life of a connection\"";
        return vec![Fault::new(page, 1, what)];
    }
    let missing = names.iter().filter(|(_, name)| !exists(files, name));
    let fault = |(line, name): &(usize, &str)| {
        Fault::new(page, *line, format!("`{name}` is not in the code: say where that is done now"))
    };
    missing.map(fault).collect()
}

/// What stands in backticks with two `::` or more, in the section and with its line.
fn names(page: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut names = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        if line.starts_with("## ") || line.starts_with("# ") {
            inside = line.to_lowercase().contains(SECTION);
        } else if inside {
            let quoted = line.split('`').skip(1).step_by(2);
            names.extend(quoted.filter(|name| is_name(name)).map(|name| (number, name)));
        }
    }
    names
}

fn is_name(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    text.matches("::").count() >= 2 && text.trim_end_matches("()").chars().all(part)
}

/// `crate::file::function`; a type may stand before the function, which is looked for in the file.
fn exists(files: &[File], name: &str) -> bool {
    let parts: Vec<_> = name.trim_end_matches("()").split("::").collect();
    let [package, modules @ .., function] = parts.as_slice() else { return false };
    let is_module = |part: &&&str| !part.starts_with(|c: char| c.is_ascii_uppercase());
    let modules: Vec<_> = modules.iter().take_while(is_module).copied().collect();
    let path = format!("crates/{}/src/{}", package.replace('_', "-"), modules.join("/"));
    files
        .iter()
        .filter(|file| file.path == format!("{path}.rs") || file.path == format!("{path}/mod.rs"))
        .any(|file| defines(&file.text, function))
}

fn defines(text: &str, function: &str) -> bool {
    let definition = format!("fn {function}");
    text.split(&definition).skip(1).any(|after| after.starts_with(['(', '<']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    fn faults(page: &str) -> Vec<usize> {
        let code = file("crates/ripstop-net/src/accept.rs", "impl A { pub fn run<T>(x: T) {} }");
        let deep = file("crates/ripstop-net/src/tls/accept.rs", "async fn accept(a: u8) {}");
        let faults = check(&[file(PAGE, page), code, deep]);
        faults.iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn functions_that_are_named_exist() {
        for (names, lines) in [
            ("`ripstop_net::accept::run` and `ripstop-net::accept::run()`", &[][..]),
            ("`ripstop_net::accept::Gate::run`, `ripstop_net::tls::accept::accept`", &[]),
            ("`ripstop_net::accept::walk`", &[3]),
            ("`ripstop_net::accept::ru`", &[3]),
            ("`ripstop_http::accept::run`", &[3]),
            ("`accept::run`, `a few words`", &[1]),
        ] {
            let page = format!("# A\n## 3. Life of a connection\n{names}\n## B\n`a::b::c`\n");
            assert_eq!(faults(&page), lines, "{names}");
        }
    }

    #[test]
    fn the_page_may_not_be_there_yet() {
        assert!(check(&[]).is_empty());
    }
}
