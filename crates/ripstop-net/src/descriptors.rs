//! Descriptors: how many the process may have, and how many connections that is enough for.

use ripstop_survive::claims;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// However few descriptors there are: the reserve answers when they run out.
const CONNECTIONS_MIN: usize = 64;

/// Lets the process open as many files as it is allowed to: the soft limit becomes the hard one.
/// Children inherit that; a C library of the application that uses `select` cannot handle
/// descriptors from 1024 on.
///
/// # Errors
///
/// The kernel does not take it; the limit is what it was.
pub fn raise_descriptors() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// How many connections the descriptors are enough for: nine tenths of those that the process may
/// have, without those that it has open when this is called, at least 64; connections that another
/// process left at rest are not among those. What is left is for what connections open while they
/// are served, such as files.
pub fn connections_by_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    // Without /proc the tenth has to be enough.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let resting = claims().map_or(0, |claims| claims.at_rest().count());
    enough_for(limit, open.saturating_sub(resting))
}

fn enough_for(limit: usize, open: usize) -> usize {
    (limit - limit / 10).saturating_sub(open).max(CONNECTIONS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_and_what_is_open_is_left_for_others() {
        assert_eq!(enough_for(1024, 30), 892);
        assert_eq!(enough_for(64, 30), 64);
        assert_eq!(enough_for(usize::MAX, 0), usize::MAX - usize::MAX / 10);
    }
}
