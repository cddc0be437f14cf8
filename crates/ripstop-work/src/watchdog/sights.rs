//! What is made of polls that take too long: who is charged with it, and what is reported.

use super::polls::{Event, Step};
use crate::{
    Routes,
    slot::{Seen, Slot},
    slots::Entries,
};
use ripstop_tears::{Activity, Kind, Sighting, Tears, Usage};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long a thread may take to show its stack.
const PATIENCE: Duration = Duration::from_millis(20);

/// The slow polls of a group of threads.
#[derive(Debug)]
pub(super) struct Sights {
    routes: Arc<Routes>,
    tears: Tears,
    /// Slow polls, by their thread.
    slow: HashMap<usize, Slow>,
}

/// A poll that takes its time.
#[derive(Debug)]
struct Slow {
    /// What its thread had used when it began to be slow.
    usage: Option<Usage>,
    seen: Duration,
    /// Its route has been charged.
    charged: bool,
    reported: bool,
}

impl Sights {
    pub(super) fn new(routes: Arc<Routes>, tears: Tears) -> Self {
        Self { routes, tears, slow: HashMap::new() }
    }

    /// Acts on what has become of a poll. The threads are held in place meanwhile.
    pub(super) fn heed(&mut self, event: &Event, threads: &Entries, now: Duration) {
        let Some(slot) = threads.slot(event.thread) else {
            self.slow.remove(&event.thread);
            return;
        };
        match event.step {
            Some(Step::Slow) => {
                let usage = slot.thread.usage();
                let slow = Slow { usage, seen: now, charged: false, reported: false };
                self.slow.insert(event.thread, slow);
            }
            Some(Step::Stall) => self.charge(event, slot, now),
            Some(Step::Report) => {
                self.charge(event, slot, now);
                self.report(event, slot, now);
            }
            Some(Step::Lost) => self.lose(event, slot),
            None => self.over(event, slot),
        }
    }

    /// Charges the route with a stall, unless its thread had no processor to run on.
    fn charge(&mut self, event: &Event, slot: &Slot, now: Duration) {
        let Some(slow) = self.slow.get_mut(&event.thread) else { return };
        if slow.charged || slow.activity(slot, now).is_none() {
            return;
        }
        slow.charged = true;
        if let Some(subject) = slot.subject() {
            self.routes.stalled(&subject.route);
        }
    }

    /// Reports a stall of a worker. An executor is there to be held.
    fn report(&mut self, event: &Event, slot: &Slot, now: Duration) {
        let Some(slow) = self.slow.get_mut(&event.thread) else { return };
        if slot.worker.is_none() {
            return;
        }
        slow.reported = true;
        let activity = slow.activity(slot, now);
        let stack = slot.thread.stack(PATIENCE);
        let message = match activity {
            Some(_) => String::new(),
            None => "its thread got no processor".into(),
        };
        let lasted = Some(event.lasted);
        let sighting = sight(Kind::Stall, slot);
        self.tears.file(Sighting { activity, message, lasted, stack, ..sighting });
    }

    fn lose(&self, event: &Event, slot: &Slot) {
        if slot.worker.is_none() && slot.has_subject() {
            let message = "a request does not give its executor back".into();
            let (lasted, stack) = (Some(event.lasted), slot.thread.stack(PATIENCE));
            let sighting = sight(Kind::ExecutorLost, slot);
            self.tears.file(Sighting { message, lasted, stack, ..sighting });
        }
    }

    fn over(&mut self, event: &Event, slot: &Slot) {
        let slow = self.slow.remove(&event.thread);
        let unreported = slow.is_some_and(|slow| slow.charged && !slow.reported);
        if slot.worker.is_some() && unreported {
            self.tears.add(Kind::Stall);
        }
        let millis = event.lasted.as_millis();
        log::debug!(thread = slot.thread.name(), millis:%; "a stuck thread came back");
    }
}

impl Slow {
    /// What the thread did since the poll became slow; `None` if it had to wait for a processor.
    fn activity(&self, slot: &Slot, now: Duration) -> Option<Activity> {
        let (Some(before), Some(after)) = (&self.usage, slot.thread.usage()) else {
            return Some(Activity::Asleep);
        };
        activity(before, &after, now.saturating_sub(self.seen))
    }
}

/// What a thread did between two looks at what it had used; `None` if it had to wait for a
/// processor most of the time.
pub(super) fn activity(before: &Usage, after: &Usage, elapsed: Duration) -> Option<Activity> {
    let asleep = matches!(after.state, 'S' | 'D').then_some(Activity::Asleep);
    if elapsed.is_zero() {
        // The watchdog came late, and saw in one look that it was slow and what came of it.
        return asleep;
    }
    let on_cpu = after.on_cpu.saturating_sub(before.on_cpu);
    let waited = after.waited.saturating_sub(before.waited);
    if on_cpu * 2 >= elapsed {
        Some(Activity::Spinning)
    } else if waited * 2 > elapsed {
        None
    } else {
        // The kernel counts a wait when it is over: one that goes on is in neither number.
        asleep
    }
}

/// A sighting of what a thread works on.
pub(crate) fn sight(kind: Kind, slot: &Slot) -> Sighting {
    let sighting = Sighting { worker: slot.worker, ..Sighting::new(kind, slot.thread.name()) };
    match slot.subject() {
        Some(Seen { route, request, peer }) => Sighting {
            route: Some(Routes::key(route.as_name())),
            request_id: Some(request),
            peer,
            ..sighting
        },
        None => sighting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(on_cpu: u64, waited: u64, state: char) -> Usage {
        let [on_cpu, waited] = [on_cpu, waited].map(Duration::from_millis);
        Usage { on_cpu, waited, state }
    }

    #[track_caller]
    fn check(on_cpu: u64, waited: u64, state: char, activity: Option<Activity>) {
        let (before, after) = (usage(5, 7, state), usage(5 + on_cpu, 7 + waited, state));
        let seen = super::activity(&before, &after, Duration::from_millis(10));
        let text = format!("{on_cpu} ms on a processor, {waited} ms in the way to one, {state}");
        assert_eq!(seen, activity, "{text}");
    }

    #[test]
    fn a_thread_that_was_seen_once_is_judged_by_its_state() {
        let asleep = Some(Activity::Asleep);
        for (state, activity) in [('S', asleep), ('D', asleep), ('R', None)] {
            let usage = usage(0, 0, state);
            assert_eq!(super::activity(&usage, &usage, Duration::ZERO), activity, "{state}");
        }
    }

    #[test]
    fn a_thread_that_had_no_processor_is_not_to_blame() {
        check(0, 0, 'S', Some(Activity::Asleep));
        check(4, 5, 'S', Some(Activity::Asleep));
        check(5, 5, 'R', Some(Activity::Spinning));
        check(10, 0, 'R', Some(Activity::Spinning));
        check(4, 6, 'S', None);
    }

    #[test]
    fn a_thread_that_waits_for_a_processor_all_the_time_is_not_to_blame() {
        check(0, 0, 'R', None);
        check(4, 5, 'R', None);
        check(0, 0, 'T', None);
    }
}
