//! What each thread of a server works on, in memory that outlives it.
//!
//! A thread has a row of words and writes there what it likes; that its first word is 0 means that
//! there is nothing to tell. The next server reads what the threads of the dead one had written
//! last. What the words say is the business of those who write and read them.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, getpid, pidfd_open},
    thread::gettid,
};
use std::{
    array,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Words of a thread.
pub const THREAD_WORDS: usize = 96;

/// What a thread works on, in words.
pub type ThreadWords = [AtomicU64; THREAD_WORDS];

/// Threads that have a row, at most; a further one has none.
const THREADS: usize = 1024;

/// The rows of all threads.
#[derive(Debug)]
#[repr(C)]
pub struct Threads {
    /// Rows from this number on were never used: to look at them would take memory.
    used: AtomicU32,
    /// To whom each row belongs; an [`owner`], 0 for nobody.
    owners: [AtomicU64; THREADS],
    rows: [Row; THREADS],
}

/// A row, which shares no cache line with those of other threads.
#[derive(Debug)]
#[repr(C, align(64))]
struct Row(ThreadWords);

/// A thread of a dead server that worked on something.
#[derive(Clone, Debug)]
pub struct LeftThread {
    /// What it had written.
    pub words: [u64; THREAD_WORDS],
    /// The process died of this thread, as far as that can be seen.
    pub crashed: bool,
}

impl Threads {
    /// A row for the calling thread, full of zeros; `None` if all are taken.
    pub fn take(&'static self) -> Option<&'static ThreadWords> {
        let me = owner(getpid(), gettid());
        let is_won = |row: &AtomicU64| row.compare_exchange(0, me, Acquire, Relaxed).is_ok();
        let number = self.owners.iter().position(is_won)?;
        self.used.fetch_max(u32::try_from(number).ok()? + 1, Relaxed);
        let row = &self.rows[number].0;
        row.iter().for_each(|word| word.store(0, Relaxed));
        Some(row)
    }

    /// Takes a row back.
    pub fn give_back(&self, row: &ThreadWords) {
        if let Some(number) = self.rows.iter().position(|own| std::ptr::eq(&own.0, row)) {
            self.free(number);
        }
    }

    /// What the threads of processes that are dead had worked on. `crashed`: the [`owner`] that a
    /// process died of. Their rows are free then.
    pub(super) fn left(&self, crashed: u64) -> Vec<LeftThread> {
        let mut left = Vec::new();
        let mut last = (0, false);
        for number in 0..(self.used.load(Relaxed) as usize).min(THREADS) {
            let owner = self.owners[number].load(Acquire);
            let process = process(owner);
            if last.0 != process {
                last = (process, is_dead(process));
            }
            if owner == 0 || !last.1 {
                continue;
            }
            let words: [u64; _] = array::from_fn(|word| self.rows[number].0[word].load(Relaxed));
            if words[0] != 0 {
                left.push(LeftThread { words, crashed: owner == crashed });
            }
            self.free(number);
        }
        left
    }

    fn free(&self, number: usize) {
        self.rows[number].0[0].store(0, Relaxed);
        self.owners[number].store(0, Release);
    }
}

/// A thread and its process in one word. Async-signal-safe.
pub(super) fn owner(process: Pid, thread: Pid) -> u64 {
    let bits = |id: Pid| u64::from(id.as_raw_pid().cast_unsigned());
    bits(process) << 32 | bits(thread)
}

fn process(owner: u64) -> i32 {
    i32::try_from(owner >> 32).unwrap_or(0)
}

/// Whether a process has ended, be it reaped or not.
pub(super) fn is_dead(process: i32) -> bool {
    let Some(process) = Pid::from_raw(process) else { return false };
    let process = match pidfd_open(process, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(err) => return err == Errno::SRCH,
    };
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wall::control::Control;
    use std::process::Command;

    /// Rows of their own.
    fn threads() -> &'static Threads {
        let (_, control) = Control::create().expect("memory");
        &control.threads
    }

    /// The id of a process that has ended and is not reaped before the answer of `look`.
    fn with_dead<T>(look: impl FnOnce(i32) -> T) -> T {
        let mut child = Command::new("true").spawn().expect("a program that does nothing");
        let pid = child.id().cast_signed();
        while !is_dead(pid) {
            std::thread::yield_now();
        }
        let seen = look(pid);
        child.wait().expect("it has ended");
        seen
    }

    #[test]
    fn a_row_is_one_threads_until_it_is_given_back() {
        let threads = threads();
        let one = threads.take().expect("a row");
        one[5].store(7, Relaxed);
        let two = threads.take().expect("another row");
        assert!(!std::ptr::eq(one, two));
        threads.give_back(one);
        let again = threads.take().expect("the first row");
        assert!(std::ptr::eq(one, again) && again[5].load(Relaxed) == 0);
    }

    #[test]
    fn beyond_the_last_row_there_is_none() {
        let threads = threads();
        assert_eq!((0..).map_while(|_| threads.take()).count(), THREADS);
        assert!(threads.take().is_none());
    }

    #[test]
    fn what_the_dead_have_left_is_read_once_and_what_lives_is_not_touched() {
        let threads = threads();
        let mine = threads.take().expect("a row");
        mine[0].store(1, Relaxed);
        with_dead(|dead| {
            let dead = Pid::from_raw(dead).expect("a process");
            for word in [0, 9] {
                let row = threads.take().expect("a row");
                row[0].store(word, Relaxed);
                row[95].store(8, Relaxed);
            }
            let culprit = owner(dead, dead);
            threads.owners[1].store(culprit, Relaxed);
            threads.owners[2].store(culprit, Relaxed);
            let left = threads.left(culprit);
            assert_eq!(left.iter().map(|left| left.words[0]).collect::<Vec<_>>(), [9]);
            assert!(left[0].crashed && left[0].words[95] == 8);
            assert!(threads.left(culprit).is_empty());
        });
        assert_eq!(mine[0].load(Relaxed), 1);
        assert_eq!(threads.owners[0].load(Relaxed), owner(getpid(), gettid()));
    }
}
