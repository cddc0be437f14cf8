//! The task that plugs a thread: waits until the thread keeps no other task to itself, and holds
//! it.
//!
//! Tokio lets other threads steal what waits in a thread's run queue, but not what was deferred
//! there (by `yield_now`, or where a task has used up its budget): that waits until the thread
//! parks or looks at its drivers. Held by a plug, a thread would keep it for as long as it is held.

use crate::{plugs::Plugs, slot::Slot};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, ThreadId},
};
use tokio::task::yield_now;

/// Holds the thread that polls it until a plug is pulled.
pub(crate) async fn plug(plugs: Arc<Plugs>) {
    nothing_is_left_behind().await;
    plugs.hold();
}

/// Waits for a poll before which the thread has released what was deferred on it, and since which no
/// other task of ours was polled there. What wakes itself goes behind all that waits, and to where
/// other threads can take it from.
fn nothing_is_left_behind() -> impl Future<Output = ()> {
    let (mut sentinel, mut before) = (Sentinel::default(), None);
    poll_fn(move |cx| {
        let now = (thread::current().id(), Slot::of_this_thread(Slot::mark));
        let alone = before.replace(now) == Some(now);
        if alone && sentinel.is_back() {
            return Poll::Ready(());
        }
        sentinel.goes_to(now.0);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// A waker that was deferred on a thread: it comes back when all that was deferred there does.
#[derive(Default)]
struct Sentinel {
    back: Arc<Back>,
    /// Where it is, until it is back.
    on: Option<ThreadId>,
}

#[derive(Default)]
struct Back(AtomicBool);

impl Wake for Back {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

impl Sentinel {
    fn is_back(&self) -> bool {
        self.back.0.load(Relaxed)
    }

    /// Is deferred on the calling thread, if it is not yet.
    fn goes_to(&mut self, thread: ThreadId) {
        if self.on == Some(thread) && !self.is_back() {
            return;
        }
        *self = Self { back: Arc::default(), on: Some(thread) };
        let waker = Waker::from(self.back.clone());
        // It is not polled a second time: what counts is when it is woken.
        let _ = pin!(yield_now()).poll(&mut Context::from_waker(&waker));
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, Workers};
    use ripstop_tears::Tears;
    use std::{
        num::NonZeroUsize,
        sync::mpsc::{self, RecvTimeoutError},
        time::Duration,
    };
    use tokio::task::yield_now;

    /// Longer than many plugs take, and much shorter than a held task would.
    const TURN: Duration = Duration::from_micros(200);

    /// Where a task is held with a thread, its plug has to be pulled for it to go on: with all plugs in,
    /// it would wait for ever.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_task_that_yields_is_never_held_with_a_thread() {
        let options = Options { workers: NonZeroUsize::MIN, spares: 2, ..Options::default() };
        let workers = Workers::start(&options, Tears::new()).expect("threads can be started");
        let worker = workers.list()[0].clone();
        for _ in 0..50 {
            let (sender, ended) = mpsc::channel::<()>();
            for _ in 0..4 {
                let sender = sender.clone();
                worker.spawn(async move {
                    for _ in 0..500 {
                        yield_now().await;
                    }
                    drop(sender);
                });
            }
            drop(sender);
            for freed in [2, 1, 2, 0] {
                worker.free_spares(freed);
                let _ = ended.recv_timeout(TURN);
            }
            assert_eq!(ended.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
        }
    }
}
