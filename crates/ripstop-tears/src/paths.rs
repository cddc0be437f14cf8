//! Shortens paths of source files to what a reader needs.

/// The path from the crate's name on, for crates of a registry and the standard library; any other
/// path as it is.
pub(crate) fn shorten(path: &str) -> &str {
    from_registry(path).or_else(|| from_std(path)).unwrap_or(path)
}

fn from_registry(path: &str) -> Option<&str> {
    let (_, after) = path.split_once("/registry/src/")?;
    after.split_once('/').map(|(_, path)| path)
}

fn from_std(path: &str) -> Option<&str> {
    if path.starts_with("/rustc/") || path.contains("/rustlib/src/rust/") {
        return path.split_once("/library/").map(|(_, path)| path);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_with_the_crate_that_is_not_the_applications() {
        for (path, short) in [
            (
                "/home/a/.cargo/registry/src/index.crates.io-1949cf8c/axum-0.8.9/src/a.rs",
                "axum-0.8.9/src/a.rs",
            ),
            ("/rustc/5980761/library/std/src/thread/mod.rs", "std/src/thread/mod.rs"),
            ("/opt/lib/rustlib/src/rust/library/core/src/ops.rs", "core/src/ops.rs"),
            ("/home/a/library/src/main.rs", "/home/a/library/src/main.rs"),
            ("src/main.rs", "src/main.rs"),
        ] {
            assert_eq!(shorten(path), short);
        }
    }
}
