//! Threads that get stuck in one way each, and reports of them.

use ripstop_tears::{Kind, Sighting, Tear, Tears, Thread};
use ripstop_testkit::until;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::channel,
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How long a thread may take to answer, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Tells a stuck thread to go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Release(Arc<AtomicBool>);

impl Release {
    pub(crate) fn is_given(&self) -> bool {
        self.0.load(SeqCst)
    }

    pub(crate) fn give(&self) {
        self.0.store(true, SeqCst);
    }
}

/// A thread that is stuck until it is released.
pub(crate) struct Stuck {
    pub(crate) thread: Thread,
    pub(crate) release: Release,
    handle: Option<JoinHandle<()>>,
}

impl Stuck {
    pub(crate) fn start(name: &str, body: impl FnOnce(&Release) + Send + 'static) -> Self {
        let release = Release::default();
        let released = release.clone();
        let (sender, receiver) = channel();
        let run = move || {
            sender.send(Thread::current()).unwrap();
            body(&released);
        };
        let handle = Builder::new().name(name.into()).stack_size(8 << 20).spawn(run).unwrap();
        Self { thread: receiver.recv().unwrap(), release, handle: Some(handle) }
    }

    pub(crate) fn end(mut self) -> Thread {
        self.join();
        self.thread.clone()
    }

    fn join(&mut self) {
        self.release.give();
        if let Some(handle) = self.handle.take() {
            handle.join().unwrap();
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.join();
    }
}

/// Files a sighting and waits for the report.
pub(crate) fn reported(tears: &Tears, sighting: Sighting) -> Arc<Tear> {
    let thread = sighting.thread.clone();
    let seen = tears.recent().last().map_or(0, |tear| tear.number);
    tears.file(sighting);
    let mut found = None;
    let come = until(DEADLINE, || {
        found = tears.recent().into_iter().rfind(|tear| tear.number > seen);
        found.is_some()
    });
    assert!(come, "no report of {thread}");
    found.unwrap()
}

/// A report of where a thread is now.
pub(crate) fn report(tears: &Tears, thread: &Thread) -> Arc<Tear> {
    let stack = thread.stack(PATIENCE);
    reported(tears, Sighting { stack, ..Sighting::new(Kind::Stall, thread.name()) })
}

/// Whether a function of that name is on the stack.
pub(crate) fn names(tear: &Tear, name: &str) -> bool {
    let ends = |function: &String| function.rsplit("::").any(|part| part == name);
    tear.stack.iter().any(|frame| frame.function.as_ref().is_some_and(ends))
}
