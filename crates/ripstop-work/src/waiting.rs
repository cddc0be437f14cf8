//! Requests that wait: a few of those whose handlers have nothing to do, for the next server to name.
//!
//! What threads are in is known anyway; a request that waits is in none. Each worker has some rows
//! for such requests in the memory that outlives the process. Those that came first keep them:
//! they are the ones that wait longest.

use crate::slot::{RequestId, Subject, Words};
use std::sync::{
    OnceLock,
    atomic::{
        AtomicU8,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Requests of a worker that are named, at most: a bit of a byte for each.
const ROWS: usize = 8;

/// The rows of a worker.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Which are taken.
    taken: AtomicU8,
    /// `None` where there is no memory that outlives the process, or no more of it.
    rows: [OnceLock<Option<Words>>; ROWS],
}

impl Waiting {
    /// A request waits: its row, if there is one free.
    pub(crate) fn begin<'a>(
        &self,
        request: RequestId<'a>,
        subject: impl FnOnce() -> Subject<'a>,
    ) -> Option<u8> {
        let free = self.taken.load(Relaxed).trailing_ones();
        let bit = 1_u8.checked_shl(free)?;
        if self.taken.fetch_or(bit, Acquire) & bit != 0 {
            // A stream of another worker was faster; it has not to be named.
            return None;
        }
        let words = self.rows[free as usize].get_or_init(Words::of_waiting);
        // Where there is none, it stays taken, so that nobody asks again.
        words.as_ref()?.write(request, &subject());
        u8::try_from(free).ok()
    }

    /// It does not wait any more.
    pub(crate) fn end(&self, row: u8) {
        if let Some(Some(words)) = self.rows[usize::from(row)].get() {
            words.clear();
        }
        self.taken.fetch_and(!(1 << row), Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::{Ran, SUBJECT_WORDS, SubjectMemory, SubjectWords, share_subjects};
    use std::sync::{
        LazyLock, Mutex,
        atomic::{AtomicU64, AtomicUsize},
    };

    /// Memory for two rows, which stands in for what outlives a process.
    static ROWS: LazyLock<[SubjectWords; 2]> =
        LazyLock::new(|| [(); 2].map(|()| [(); SUBJECT_WORDS].map(|()| AtomicU64::new(0))));
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    static BACK: Mutex<usize> = Mutex::new(0);

    fn begin(waiting: &Waiting, number: u128) -> Option<u8> {
        let subject = || Subject { method: "GET", target: "/slow", peer: None };
        waiting.begin(RequestId::Number(number), subject)
    }

    /// What the next process would find.
    fn left() -> Vec<(String, bool)> {
        let words = |row: &SubjectWords| row.each_ref().map(|word| word.load(Relaxed));
        let ran = ROWS.iter().filter_map(|row| Ran::read(&words(row)));
        ran.map(|ran| (ran.request_id, ran.waits)).collect()
    }

    #[test]
    fn as_many_are_named_as_there_is_memory_for_and_rows_are_used_again() {
        share_subjects(SubjectMemory {
            take: || ROWS.get(GIVEN.fetch_add(1, Relaxed)),
            give_back: |_| *BACK.lock().unwrap() += 1,
        });
        let waiting = Waiting::default();
        let rows: Vec<_> = (1..=20).map(|number| begin(&waiting, number)).collect();
        assert_eq!(rows[..3], [Some(0), Some(1), None]);
        assert!(rows[2..].iter().all(Option::is_none));
        let id = |number: u8| (format!("{number:032x}"), true);
        assert_eq!(left(), [id(1), id(2)]);
        waiting.end(0);
        assert_eq!(left(), [id(2)]);
        assert_eq!(begin(&waiting, 3), Some(0));
        assert_eq!(left(), [id(3), id(2)]);
        drop(waiting);
        assert_eq!(*BACK.lock().unwrap(), 2);
    }
}
