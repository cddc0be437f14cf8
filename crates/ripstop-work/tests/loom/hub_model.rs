//! Each job is taken once, and none is left behind while an executor sleeps.

use crate::hub::{Hub, Take};
use loom::{sync::Arc, thread};
use ripstop_balance::{Bounds, Class, Offer};
use std::time::Duration;

const OFFER: Offer = Offer { class: Class::Normal, cost: Duration::ZERO, deadline: None };

fn hub() -> Arc<Hub<u32>> {
    Arc::new(Hub::new(Bounds { jobs: 8, work: Duration::from_secs(1) }))
}

fn now() -> Duration {
    Duration::ZERO
}

/// An executor that does one thing: runs a job, whose number it returns, or ends. Where it sleeps for
/// ever because nobody rings for it, the model fails.
fn executor(hub: &Arc<Hub<u32>>) -> thread::JoinHandle<Option<u32>> {
    let hub = hub.clone();
    thread::spawn(move || match hub.take(now) {
        Take::Run(_, job) => Some(job),
        Take::Expired(job) => panic!("job {job} has no deadline"),
        Take::Retire => None,
    })
}

fn ends(executors: [thread::JoinHandle<Option<u32>>; 2]) -> [Option<u32>; 2] {
    let mut ends = executors.map(|executor| executor.join().expect("it ends"));
    ends.sort_unstable();
    ends
}

#[test]
fn two_jobs_are_run_once_each_by_two_executors() {
    loom::model(|| {
        let hub = hub();
        let executors = [executor(&hub), executor(&hub)];
        assert!(hub.push(now(), OFFER, 1).is_ok());
        assert!(hub.push(now(), OFFER, 2).is_ok());
        assert_eq!(ends(executors), [Some(1), Some(2)]);
    });
}

/// The executor that was rung for the job may be the one that ends.
#[test]
fn a_job_is_not_forgotten_by_an_executor_that_ends() {
    loom::model(|| {
        let hub = hub();
        let executors = [executor(&hub), executor(&hub)];
        assert!(hub.push(now(), OFFER, 1).is_ok());
        hub.set_surplus(1);
        assert_eq!(ends(executors), [None, Some(1)]);
    });
}

#[test]
fn a_job_that_is_cancelled_is_run_or_given_back() {
    loom::model(|| {
        let hub = hub();
        let ticket = hub.push(now(), OFFER, 1).expect("there is room");
        let executors = [executor(&hub), executor(&hub)];
        let removed = hub.remove(&ticket);
        let left = hub.close();
        let [_, run] = ends(executors);
        let ways = [removed.is_some(), !left.is_empty(), run.is_some()];
        assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{ways:?}");
    });
}

#[test]
fn closing_lets_all_executors_end() {
    loom::model(|| {
        let hub = hub();
        let executors = [executor(&hub), executor(&hub)];
        assert!(hub.close().is_empty());
        assert_eq!(ends(executors), [None, None]);
    });
}
