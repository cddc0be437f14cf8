//! The queue with real executors.

use super::*;
use crate::{executors::Executors, watchdog::Bell};
use ripstop_balance::Class;
use ripstop_tears::Tears;
use std::{
    future::{pending, poll_fn},
    sync::{Mutex, mpsc},
    task::{Poll, Waker},
};
use tokio::runtime::{Builder, Runtime};

/// A queue for this many jobs, with this many executors.
struct Bench {
    queue: Queue,
    executors: Executors,
    runtime: Runtime,
}

impl Bench {
    fn new(jobs: usize, executors: usize) -> Self {
        let routes = Arc::new(Routes::new(Duration::from_millis(20)));
        let queue = Queue::new(Bounds { jobs, work: Duration::from_secs(3600) }, routes);
        let group = Executors::new(queue.clone(), Arc::<Bell>::default(), Tears::new());
        group.resize(executors).expect("threads can be started");
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { queue, executors: group, runtime }
    }

    fn submit<T: Send + 'static>(&self, job: Job<T>) -> JobHandle<T> {
        self.queue.submit(job).expect("there is room")
    }

    fn wait<T>(&self, handle: JobHandle<T>) -> Result<T, JobError> {
        self.runtime.block_on(handle)
    }

    /// Holds the only executor until the sender is used or dropped.
    fn hold(&self) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel::<()>();
        let (started, begun) = mpsc::channel();
        let job = self.submit(Job::call(move || {
            started.send(()).expect("the test waits for it");
            let _ = held.recv();
        }));
        drop(job.detached());
        begun.recv().expect("the job runs");
        release
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.executors.close();
    }
}

#[test]
fn closures_and_futures_give_their_results() {
    let bench = Bench::new(10, 2);
    let (called, awaited) = (Job::call(|| 7), Job::future(async { 8 }));
    let (called, awaited) = (bench.submit(called), bench.submit(awaited));
    assert_eq!((bench.wait(called), bench.wait(awaited)), (Ok(7), Ok(8)));
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let bench = Bench::new(1, 1);
    let _held = bench.hold();
    let waits = bench.submit(Job::call(|| ()));
    assert_eq!(bench.queue.submit(Job::call(|| ())).err(), Some(Full));
    let state = bench.queue.state();
    assert_eq!((state.waiting, state.taken, state.refused), (1, 2, 1));
    drop(waits);
}

#[test]
fn a_panic_is_the_jobs_own_and_its_executor_goes_on() {
    let bench = Bench::new(10, 1);
    let torn = bench.submit(Job::<()>::call(|| std::panic::resume_unwind(Box::new("torn"))));
    assert_eq!(bench.wait(torn), Err(JobError::Panicked));
    let next = bench.submit(Job::call(|| 1));
    assert_eq!(bench.wait(next), Ok(1));
    assert_eq!((bench.executors.running(), bench.queue.state().panicked), (1, 1));
}

#[test]
fn a_job_is_not_started_after_its_deadline() {
    let bench = Bench::new(10, 1);
    let held = bench.hold();
    let late = bench.submit(Job::call(|| ()).deadline(Duration::ZERO));
    drop(held);
    assert_eq!(bench.wait(late), Err(JobError::Expired));
    assert_eq!(bench.queue.state().expired, 1);
}

#[test]
fn a_dropped_handle_cancels_what_waits_and_makes_room() {
    let bench = Bench::new(1, 1);
    let held = bench.hold();
    let (sender, ran) = mpsc::channel();
    drop(bench.submit(Job::call(move || sender.send(()))));
    assert_eq!(bench.queue.state().waiting, 0);
    assert!(ran.recv().is_err(), "the closure was dropped uncalled");
    drop(held);
}

#[test]
fn a_dropped_handle_drops_a_future_where_it_waits() {
    let bench = Bench::new(10, 1);
    let (sender, dropped) = mpsc::channel::<()>();
    let (started, begun) = mpsc::channel();
    let handle = bench.submit(Job::future(async move {
        let _sender = sender;
        started.send(()).expect("the test waits for it");
        pending::<()>().await;
    }));
    begun.recv().expect("the job runs");
    drop(handle);
    assert!(dropped.recv().is_err());
}

#[test]
fn the_result_of_a_job_that_nobody_waits_for_is_dropped_and_counted() {
    let bench = Bench::new(10, 1);
    let (release, held) = mpsc::channel::<()>();
    let (started, begun) = mpsc::channel();
    let handle = bench.submit(Job::call(move || {
        started.send(()).expect("the test waits for it");
        held.recv().expect("the test says when");
    }));
    begun.recv().expect("the job runs");
    drop(handle);
    release.send(()).expect("the job waits for it");
    // The only executor takes the next job when it has done with that one.
    let next = bench.submit(Job::call(|| ()));
    assert_eq!(bench.wait(next), Ok(()));
    assert_eq!(bench.queue.state().late, 1);
}

#[test]
fn a_future_that_waits_holds_no_executor() {
    let bench = Bench::new(10, 1);
    let shared = Arc::new(Mutex::new((false, None::<Waker>)));
    let other = shared.clone();
    let first = bench.submit(Job::future(poll_fn(move |cx| {
        let mut shared = other.lock().expect("no thread has panicked");
        shared.1 = Some(cx.waker().clone());
        if shared.0 { Poll::Ready(()) } else { Poll::Pending }
    })));
    let second = bench.submit(Job::call(move || {
        let mut shared = shared.lock().expect("no thread has panicked");
        shared.0 = true;
        shared.1.take()
    }));
    if let Some(waker) = bench.wait(second).expect("it does not panic") {
        waker.wake();
    }
    assert_eq!(bench.wait(first), Ok(()));
}

#[test]
fn a_job_that_wakes_itself_is_run_again() {
    let bench = Bench::new(10, 1);
    let mut left = 1000;
    let handle = bench.submit(Job::future(poll_fn(move |cx| {
        left -= 1;
        cx.waker().wake_by_ref();
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })));
    assert_eq!(bench.wait(handle), Ok(()));
}

#[test]
fn classes_and_costs_decide_who_is_next() {
    let bench = Bench::new(10, 1);
    let held = bench.hold();
    let order = Arc::new(Mutex::new(Vec::new()));
    let submit = |name, class, cost| {
        let order = order.clone();
        let note = move || order.lock().expect("no thread has panicked").push(name);
        bench.submit(Job::call(note).class(class).cost(Duration::from_secs(cost)))
    };
    let jobs = [
        submit("background", Class::Background, 0),
        submit("dear", Class::Normal, 100),
        submit("cheap", Class::Normal, 0),
        submit("urgent", Class::Urgent, 100),
    ];
    drop(held);
    for job in jobs {
        assert_eq!(bench.wait(job), Ok(()));
    }
    let order = order.lock().expect("no thread has panicked").clone();
    assert_eq!(order, ["urgent", "cheap", "dear", "background"]);
}

#[test]
fn timers_of_the_runtime_that_submits_work_in_jobs() {
    let bench = Bench::new(10, 1);
    let outcome = bench.runtime.block_on(async {
        let nap = tokio::time::timeout(Duration::from_millis(1), pending::<()>());
        bench.submit(Job::future(nap)).await
    });
    assert!(matches!(outcome, Ok(Err(_))), "the timer has ended the wait");
}

#[test]
fn the_group_grows_and_shrinks() {
    let bench = Bench::new(100, 1);
    let held: Vec<_> = (0..4)
        .map(|executors| {
            bench.executors.resize(executors + 1).expect("threads can be started");
            bench.hold()
        })
        .collect();
    assert_eq!(bench.executors.running(), 4);
    drop(held);
    bench.executors.resize(1).expect("no thread has to be started");
    // Jobs one after the other: each executor that takes one more sees that it is too many.
    while bench.executors.running() > 1 {
        let job = bench.submit(Job::call(|| ()));
        assert_eq!(bench.wait(job), Ok(()));
    }
}

#[test]
fn a_closed_queue_refuses_and_ends_what_waits() {
    let bench = Bench::new(10, 1);
    let held = bench.hold();
    let waits = bench.submit(Job::call(|| ()));
    bench.executors.close();
    assert_eq!(bench.wait(waits), Err(JobError::Expired));
    assert_eq!(bench.queue.submit(Job::call(|| ())).err(), Some(Full));
    drop(held);
}
