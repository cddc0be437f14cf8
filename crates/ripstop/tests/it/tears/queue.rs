//! Queued handlers that do not come back: their client is answered, and the others go on.

use ripstop::{Kind, Lane, Options};
use ripstop_testkit::until;
use std::time::{Duration, Instant};

use super::site::{Site, alone, options};
use crate::serve::setup::SOON;

/// A deadline that is to pass, and that no other request comes near, on whatever machine.
const SHORT: Duration = Duration::from_secs(2);

/// All is queued, and has to be answered within [`SHORT`].
fn queued() -> Options {
    let mut options = Options { lane: Lane::Queued, ..options(1, 1) };
    options.timeouts.request = Some(SHORT);
    options
}

/// A queued handler that blocks its executor is answered 504, and costs nobody anything.
#[track_caller]
fn check(path: &str) {
    let _alone = alone();
    let site = Site::start(&queued());
    let begin = Instant::now();
    let mut victim = site.send(path);
    site.lever.await_begun(1);
    let response = victim.response().unwrap();
    assert_eq!(response.status(), 504);
    assert!(begin.elapsed() >= SHORT, "{:?}", begin.elapsed());
    let tear = &site.reported(Kind::Deadline, 1)[0];
    assert_eq!(tear.route.as_deref(), Some(&*format!("GET {path}")), "{tear}");
    assert_eq!(tear.peer, Some(victim.local_addr().unwrap()), "{tear}");
    assert_eq!(tear.request_id.as_deref(), response.header("x-request-id"), "{tear}");
    assert!(tear.message.contains("held on an executor"), "{tear}");
    // Its connection goes on, and so do others: two executors, of which it holds one.
    for _ in 0..20 {
        assert!(victim.get("/name").unwrap().text().starts_with("rip-e"));
        assert_eq!(site.client().get("/").unwrap().text(), "hello");
    }
    assert_eq!(site.handle().queue().state().late, 0);
    site.lever.release();
    let late = until(SOON, || site.handle().queue().state().late == 1);
    assert!(late, "{:?}", site.handle().queue().state());
    drop(victim);
    site.ends_whole(&[Kind::Deadline]);
}

#[test]
fn a_queued_handler_that_burns_its_thread_is_answered_504_and_its_result_counted_as_late() {
    check("/spin");
}

#[test]
fn a_queued_handler_that_sleeps_is_answered_504_and_its_result_counted_as_late() {
    check("/wedge");
}

#[test]
fn more_held_executors_than_there_are_do_not_hold_up_the_others() {
    let _alone = alone();
    let mut options = queued();
    options.timeouts.request = None;
    let site = Site::start(&options);
    let mut held: Vec<_> = (0..6).map(|_| site.send("/wedge")).collect();
    site.lever.await_begun(6);
    for _ in 0..20 {
        assert!(site.client().get("/name").unwrap().text().starts_with("rip-e"));
    }
    site.lever.release();
    for client in &mut held {
        assert!(client.response().unwrap().text().starts_with("rip-e"));
    }
    drop(held);
    site.ends_whole(&[]);
}

#[test]
fn a_request_that_waits_in_the_queue_past_its_deadline_is_answered_504_and_never_run() {
    let _alone = alone();
    let mut options = queued();
    options.workers.executors = std::num::NonZeroUsize::MIN;
    options.workers.executors_max = 1;
    let site = Site::start(&options);
    let mut held = site.send("/wedge");
    site.lever.await_begun(1);
    let mut waits = site.send("/wedge");
    assert_eq!(waits.response().unwrap().status(), 504);
    assert_eq!(held.response().unwrap().status(), 504);
    site.lever.release();
    assert_eq!(site.client().get("/").unwrap().text(), "hello");
    assert_eq!(site.lever.begun(), 1);
    assert_eq!(site.handle().queue().state().waiting, 0);
    drop((held, waits));
    site.ends_whole(&[Kind::Deadline]);
}
