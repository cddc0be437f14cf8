//! All interleavings of the claim word, by loom. The source is the product's own, with loom's
//! primitives in place of the standard library's.

// Parts of the source have no part in the models.
#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../../src/claims/word.rs"]
mod word;

/// Loom's primitives, by the names that the source uses.
mod sync {
    pub(crate) use loom::{
        sync::atomic::{AtomicU64, Ordering},
        thread::yield_now,
    };
}

use loom::{sync::Arc, thread};
use word::{State, Word};

/// Somebody who wants an idle connection; tells whether it was won.
fn taker(word: &Arc<Word>, generation: u32) -> thread::JoinHandle<bool> {
    let word = word.clone();
    thread::spawn(move || {
        let won = word.take(generation);
        if won {
            word.taken(generation, true);
        }
        won
    })
}

/// The task that has the connection reads, or the rescuer has it: never both, never neither.
#[test]
fn an_idle_connection_belongs_to_the_task_or_to_who_takes_it() {
    loom::model(|| {
        let word = Arc::new(Word::default());
        let generation = word.begin();
        word.rest(generation);
        let taker = taker(&word, generation);
        let reads = word.resume(generation);
        let taken = taker.join().expect("it does not panic");
        assert!(reads != taken);
        word.free();
        assert_eq!(word.state(), State::Free);
    });
}

/// Of a watcher that was woken, one that is late, and the sweep, one has the descriptor.
#[test]
fn a_parked_connection_goes_to_one_of_those_who_want_it() {
    loom::model(|| {
        let word = Arc::new(Word::default());
        let generation = word.begin();
        assert!(word.park(generation));
        let wants = || {
            let word = word.clone();
            thread::spawn(move || word.unpark(generation).is_some())
        };
        let (one, two) = (wants(), wants());
        let third = word.unpark(generation).is_some();
        let won = [one.join().expect("no panic"), two.join().expect("no panic"), third];
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    });
}

/// An idle connection is parked by its task, or taken by a rescuer; then whoever wakes it or hands it
/// to another process has it: one of all these.
#[test]
fn a_connection_that_is_parked_from_its_rest_has_one_owner_at_a_time() {
    loom::model(|| {
        let word = Arc::new(Word::default());
        let generation = word.begin();
        word.rest(generation);
        let taker = taker(&word, generation);
        let handing = {
            let word = word.clone();
            thread::spawn(move || word.hand(generation))
        };
        let parked = word.park(generation);
        let woken = word.unpark(generation).is_some();
        let taken = taker.join().expect("no panic");
        let handed = handing.join().expect("no panic");
        assert!(parked != taken);
        assert_eq!([taken, woken, handed].iter().filter(|won| **won).count(), 1);
    });
}

/// The descriptor is open for as long as somebody who has won it duplicates it.
#[test]
fn an_owner_closes_nothing_that_is_being_duplicated() {
    loom::model(|| {
        let word = Arc::new(Word::default());
        let open = Arc::new(loom::sync::atomic::AtomicBool::new(true));
        let generation = word.begin();
        word.rest(generation);
        let taker = {
            let (word, open) = (word.clone(), open.clone());
            thread::spawn(move || {
                if word.take(generation) {
                    assert!(open.load(std::sync::atomic::Ordering::Relaxed));
                    word.taken(generation, true);
                }
            })
        };
        word.free();
        open.store(false, std::sync::atomic::Ordering::Relaxed);
        taker.join().expect("it does not panic");
        assert_ne!(word.state(), State::Taking);
    });
}
