//! One version of each big dependency: two of them would not fit together, and be built twice.

use super::{Fault, File};

const BIG: &[&str] =
    &["aws-lc-sys", "axum", "bytes", "h2", "http", "http-body", "hyper", "rustls", "tokio"];

pub(super) fn check(files: &[File]) -> Vec<Fault> {
    files.iter().filter(|file| file.path == "Cargo.lock").flat_map(check_lock).collect()
}

fn check_lock(file: &File) -> Vec<Fault> {
    let lines: Vec<_> = (1..).zip(file.text.lines()).collect();
    let doubled = |name: &&str| {
        let entry = format!("name = \"{name}\"");
        let mut found = lines.iter().filter(|(_, line)| *line == entry).skip(1);
        found.next().map(|(number, _)| {
            let what = format!("a second version of {name}: `cargo tree -d` says who wants it");
            Fault::new(file, *number, what)
        })
    };
    BIG.iter().filter_map(doubled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    #[test]
    fn a_second_version_of_a_big_dependency_is_a_fault() {
        let one = "name = \"hyper\"\nversion = \"1.0.0\"\n";
        let small = "name = \"syn\"\nname = \"syn\"\nname = \"hyper-util\"\n";
        let lock = |text: &str| check(&[file("Cargo.lock", text)]);
        assert!(lock(&format!("{one}{small}")).is_empty());
        assert_eq!(lock(&format!("{one}{small}{one}")).len(), 1);
    }
}
