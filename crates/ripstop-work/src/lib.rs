//! Workers with spare threads, the watchdog that hands them the work of a stuck thread, and
//! everything that starts a thread or a task.
//!
//! A *worker* is a tokio runtime with one active thread and a few *spares*: threads of the same
//! runtime that are held by *plugs*. When a task blocks the active thread, the watchdog pulls a
//! plug, and the freed spare takes over the run queue, the timers and the I/O driver, so every
//! other task of that worker goes on. When the blocked thread comes back, a thread is plugged
//! again.
//!
//! The limit of this: tokio keeps the task that a running task woke last in a slot that other
//! threads cannot steal from, so one task that the stuck task itself woke may wait with it.

mod blocking;
mod clock;
mod error;
mod executors;
mod headroom;
mod load;
mod panics;
mod plugging;
mod plugs;
mod queue;
mod routes;
mod sink;
mod slot;
mod slots;
mod supervision;
mod sync;
mod tasks;
mod thrift;
mod waiting;
mod wall;
mod watchdog;
mod worker;
mod workers;

pub use blocking::blocking;
pub use clock::{Clock, Deadlines, Registered};
pub use error::Error;
pub use load::{LoadCell, Relief};
pub use queue::{Full, Job, JobError, JobHandle, Queue, QueueState};
pub use routes::{Route, RouteState, Routes};
pub use sink::{Note, Sink, Target};
pub use slot::{
    AtWork, OnRoute, Ran, RequestId, RouteName, SUBJECT_WORDS, Subject, SubjectMemory,
    SubjectWords, fingerprint, on_executor, share_subjects,
};
pub use supervision::Surrender;
pub use tasks::{Drained, Running};
pub use thrift::Thrift;
pub use wall::{Panicked, wall};
pub use worker::{Ending, Worker};
pub use workers::{List, Options, Workers, cpus};
