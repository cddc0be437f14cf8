//! A worker all of whose threads are stuck: since when, and whether it only looks so, since one of
//! them gets no processor. More threads would get no more of them.

use super::sights::activity;
use crate::slots::Entries;
use ripstop_tears::{Activity, Usage};
use std::{iter::zip, time::Duration};

/// What was known when it began.
#[derive(Debug)]
pub(super) struct Drowning {
    /// Since when all threads have been stuck that had their processors.
    pub(super) since: Duration,
    began: Duration,
    /// What each thread had used then.
    usages: Vec<Of>,
}

/// The number of a thread, and what it has used.
type Of = (usize, Option<Usage>);

impl Drowning {
    pub(super) fn begins(now: Duration, threads: &Entries) -> Self {
        Self { since: now, began: now, usages: threads.usages().collect() }
    }

    /// Whether one of so many threads has neither slept nor burned a processor for the time of a
    /// stall: then it waits for one, and comes back when it gets it.
    pub(super) fn is_starved(
        &mut self,
        threads: &Entries,
        count: usize,
        stall: Duration,
        now: Duration,
    ) -> bool {
        let usages: Vec<_> = threads.usages().collect();
        if !numbers(&usages).eq(numbers(&self.usages)) {
            // One had no processor to enter by until now.
            (self.began, self.usages) = (now, usages);
            return true;
        }
        let elapsed = now.saturating_sub(self.began);
        let starved = |((_, before), (_, after)): (&Of, &Of)| match (before, after) {
            (Some(before), Some(after)) => is_starved(before, after, elapsed, stall),
            _ => false,
        };
        usages.len() < count || zip(&self.usages, &usages).any(starved)
    }
}

fn numbers(usages: &[Of]) -> impl Iterator<Item = usize> {
    usages.iter().map(|(number, _)| *number)
}

/// Whether a thread has only waited for a processor between two looks: it is not asleep, and has
/// burned less than a stall.
fn is_starved(before: &Usage, after: &Usage, elapsed: Duration, stall: Duration) -> bool {
    let burned = after.on_cpu.saturating_sub(before.on_cpu);
    burned < stall && activity(before, after, elapsed) != Some(Activity::Asleep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;
    use ripstop_tears::Tears;
    use std::{sync::mpsc, thread};

    const STALL: Duration = Duration::from_millis(20);

    fn usage(on_cpu: u64, waited: u64, state: char) -> Usage {
        let [on_cpu, waited] = [on_cpu, waited].map(Duration::from_millis);
        Usage { on_cpu, waited, state }
    }

    #[test]
    fn who_burns_or_sleeps_is_not_starved_however_little_he_gets() {
        for (on_cpu, waited, state, starved) in [
            (0, 0, 'S', false),
            (0, 200, 'S', true),
            (0, 0, 'R', true),
            (19, 181, 'R', true),
            (20, 180, 'R', false),
            (200, 0, 'R', false),
        ] {
            let (before, after) = (usage(5, 7, state), usage(5 + on_cpu, 7 + waited, state));
            let elapsed = Duration::from_millis(200);
            let seen = is_starved(&before, &after, elapsed, STALL);
            assert_eq!(
                seen, starved,
                "{on_cpu} ms on a processor, {waited} ms in the way, {state}"
            );
        }
    }

    #[test]
    fn a_thread_that_has_not_begun_yet_is_starved_and_one_that_sleeps_is_not() {
        let (slots, tears) = (Slots::default(), Tears::new());
        let ms = Duration::from_millis;
        let (enter, entered) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let mut drowning = Drowning::begins(ms(0), &slots.lock());
        assert!(drowning.is_starved(&slots.lock(), 1, STALL, ms(200)));
        thread::scope(|scope| {
            let (slots, tears) = (&slots, &tears);
            scope.spawn(move || {
                slots.enter(Some(0), tears);
                enter.send(()).unwrap();
                ended.recv().unwrap_err();
                slots.leave();
            });
            entered.recv().unwrap();
            // Its time begins now.
            assert!(drowning.is_starved(&slots.lock(), 1, STALL, ms(210)));
            let sleeps = || slots.lock().usages().all(|(_, usage)| usage.unwrap().state == 'S');
            while !sleeps() {
                thread::yield_now();
            }
            assert!(!drowning.is_starved(&slots.lock(), 1, STALL, ms(1_000_000)));
            drop(end);
        });
    }
}
