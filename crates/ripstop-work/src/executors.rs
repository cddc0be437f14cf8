//! Executors: the threads that serve the task queue.
//!
//! As many of them are free to work as was asked for; one that a job holds is replaced, up to a
//! limit, and the surplus ends when jobs have come back. Which job is next is the queue's matter,
//! who is held the watchdog's.

use crate::{
    Queue,
    queue::{Shared, Take},
    slot::InPoll,
    slots::Slots,
    watchdog::Bell,
};
use ripstop_tears::{Kind, Sighting, Tears};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// The group of executors.
#[derive(Debug)]
pub(crate) struct Executors {
    queue: Queue,
    pub(crate) slots: Arc<Slots>,
    /// Threads that run, or have been started and are about to.
    running: Arc<AtomicUsize>,
    /// Numbers the threads, for their names.
    started: AtomicUsize,
    bell: Arc<Bell>,
    tears: Tears,
}

impl Executors {
    /// A group without threads.
    pub(crate) fn new(queue: Queue, bell: Arc<Bell>, tears: Tears) -> Self {
        let (slots, running, started) = (Arc::default(), Arc::default(), AtomicUsize::new(0));
        Self { queue, slots, running, started, bell, tears }
    }

    /// How many there are.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Relaxed)
    }

    /// Jobs that wait for one of them.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.shared().hub.waiting().0
    }

    /// Starts or ends threads, so that there will be this many. Called by one thread at a time.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started; those before it are.
    pub(crate) fn resize(&self, wanted: usize) -> io::Result<()> {
        let running = self.running();
        self.queue.shared().hub.set_surplus(running.saturating_sub(wanted));
        (running..wanted).try_for_each(|_| self.start_one())
    }

    /// Lets all of them end, and drops the jobs that wait.
    pub(crate) fn close(&self) {
        self.queue.shared().hub.close().iter().for_each(|task| task.abandon());
    }

    fn start_one(&self) -> io::Result<()> {
        let shared = self.queue.shared().clone();
        let (slots, bell) = (self.slots.clone(), self.bell.clone());
        let seat = Seat::take(&self.running, &self.tears);
        let number = self.started.fetch_add(1, Relaxed);
        let builder = thread::Builder::new().name(format!("rip-e{number}"));
        builder.spawn(move || {
            let _present = Present::enter(&slots, &seat.tears);
            serve(&shared, &bell);
        })?;
        Ok(())
    }
}

/// Runs jobs until this thread should end.
fn serve(shared: &Shared, bell: &Bell) {
    let hub = &shared.hub;
    loop {
        let next = hub.take(|| hub.now());
        bell.ring();
        match next {
            Take::Run(ticket, task) => {
                let _poll = InPoll::begin();
                task.run(ticket, shared);
            }
            Take::Expired(task) => task.expire(shared),
            Take::Retire => return,
        }
    }
}

/// The slot of an executor, as long as its thread runs.
struct Present<'a>(&'a Slots);

impl<'a> Present<'a> {
    fn enter(slots: &'a Slots, tears: &Tears) -> Self {
        slots.enter(None, tears);
        Self(slots)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Counts an executor as long as it lives, or until it turns out that it cannot be started.
struct Seat {
    running: Arc<AtomicUsize>,
    tears: Tears,
}

impl Seat {
    fn take(running: &Arc<AtomicUsize>, tears: &Tears) -> Self {
        running.fetch_add(1, Relaxed);
        Self { running: running.clone(), tears: tears.clone() }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Relaxed);
        // Not by a job: its panic ends at its wall.
        if thread::panicking() {
            let message = "an executor has panicked: another one is started".into();
            let name = thread::current().name().unwrap_or_default().to_owned();
            self.tears.file(Sighting { message, ..Sighting::new(Kind::ExecutorLost, &name) });
        }
    }
}
