//! Tests that only root can run.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;

/// Whether the tests run as root. Where they do not, it is said that `what` was not tested, past
/// the harness, which would keep it for itself as long as the test passes.
#[must_use]
pub fn is_root(what: &str) -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        // Nothing depends on it.
        let _ = writeln!(io::stderr(), "not tested, since that takes root: {what}");
    }
    is_root
}
