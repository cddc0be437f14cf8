//! Whether threads can be had: tried before a runtime is built.
//!
//! Tokio gives no error where a thread of a runtime cannot be started. It panics, and waits then for
//! the threads that it has, which do not end.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread::{self, Builder},
    time::{Duration, Instant},
};

/// How long the kernel may take until it does not count a thread that has ended any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts so many threads, which all run at once, and lets them end again.
///
/// # Errors
///
/// What the operating system says where it gives fewer.
pub(crate) fn check(threads: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    let held = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let ended: io::Result<Vec<PathBuf>> = thread::scope(|scope| {
        let wait = || {
            drop(gate.lock());
            own_folder()
        };
        let start = |_| Builder::new().name("rip-headroom".into()).spawn_scoped(scope, wait);
        let started: io::Result<Vec<_>> = (0..threads).map(start).collect();
        drop(held);
        let started = started?;
        Ok(started.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect())
    });
    wait_for_end(ended?);
    Ok(())
}

/// The folder of the calling thread in `/proc`.
fn own_folder() -> Option<PathBuf> {
    Some(PathBuf::from("/proc").join(fs::read_link("/proc/thread-self").ok()?))
}

/// A thread that was waited for still counts for a moment.
fn wait_for_end(folders: Vec<PathBuf>) {
    let end = Instant::now() + PATIENCE;
    for folder in folders {
        while folder.exists() && Instant::now() < end {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripstop_testkit::until;

    /// How many threads there are that were tried. Other tests start workers meanwhile.
    fn tried() -> usize {
        let tasks = fs::read_dir("/proc/self/task").expect("threads have folders");
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim() == "rip-headroom").count()
    }

    #[test]
    fn threads_that_were_tried_end() {
        check(8).expect("the machine has eight threads for a test");
        assert!(until(Duration::from_secs(20), || tried() == 0), "{} are left", tried());
    }
}
