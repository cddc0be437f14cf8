//! A server whose application tears, and what it says of that.

use axum::Router;
use ripstop::{Address, Handle, Kind, Options, Outcome, RouteState, Running, Tear};
use ripstop_testkit::{Client, until};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use super::{
    lever::{Lever, Stop},
    routes,
};
use crate::serve::setup::{self, SOON, connect, tcp};

/// Only one of the tests that stall a thread runs at a time: they tell from each other's effects
/// by time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that runs.
pub(crate) struct Site {
    /// First, so that it lets all threads go before the server ends.
    pub(crate) lever: Lever,
    pub(crate) running: Running,
}

/// So many workers with so many spares, two executors, and health.
pub(crate) fn options(workers: usize, spares: usize) -> Options {
    let admin = Some(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))));
    let mut options = Options { admin, ..setup::options(workers, spares) };
    options.workers.executors = std::num::NonZeroUsize::new(2).unwrap();
    options
}

/// A request for `path`.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

impl Site {
    #[track_caller]
    pub(crate) fn start(options: &Options) -> Self {
        Self::of(options, routes::app)
    }

    #[track_caller]
    pub(crate) fn of(options: &Options, app: impl FnOnce(Stop) -> Router) -> Self {
        let (lever, stop) = Lever::new();
        Self { lever, running: setup::start(app(stop), options) }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.running.handle()
    }

    pub(crate) fn client(&self) -> Client {
        connect(&self.running)
    }

    /// Sends a request on a connection of its own, and does not wait for the answer.
    pub(crate) fn send(&self, path: &str) -> Client {
        let mut client = self.client();
        client.send(get(path)).unwrap();
        client
    }

    /// The reports of this kind, but for those that the machine made.
    pub(crate) fn reports(&self, kind: Kind) -> Vec<Arc<Tear>> {
        let mut reports = self.handle().tears().recent();
        reports.retain(|tear| tear.kind == kind && !is_the_machines(tear));
        reports
    }

    /// Waits for a report of this client's request, of whatever it is.
    #[track_caller]
    pub(crate) fn reported_of(&self, client: &Client) -> Arc<Tear> {
        let peer = Some(client.local_addr().unwrap());
        let find = || self.handle().tears().recent().into_iter().find(|tear| tear.peer == peer);
        assert!(until(SOON, || find().is_some()), "{:#?}", self.handle().tears().recent());
        find().unwrap()
    }

    /// Waits until there are so many reports of this kind.
    #[track_caller]
    pub(crate) fn reported(&self, kind: Kind, count: usize) -> Vec<Arc<Tear>> {
        let there = until(SOON, || self.reports(kind).len() >= count);
        let reports = self.reports(kind);
        assert!(there && reports.len() == count, "{count} were expected: {reports:#?}");
        reports
    }

    /// What is known of a route; waits until `holds` of it.
    #[track_caller]
    pub(crate) fn route(&self, name: &str, holds: impl Fn(&RouteState) -> bool) -> RouteState {
        let find = || self.handle().routes().into_iter().find(|route| &*route.name == name);
        let held = until(SOON, || find().is_some_and(|route| holds(&route)));
        assert!(held, "{name}: {:?}", self.handle().routes());
        find().unwrap()
    }

    /// That health answers, that nothing was reported but these kinds, and that the server ends
    /// without anything that it could not finish: all tasks are back.
    #[track_caller]
    pub(crate) fn ends_whole(self, kinds: &[Kind]) {
        self.is_healthy();
        let tears = self.handle().tears();
        let others = |tear: &Arc<Tear>| !kinds.contains(&tear.kind) && !is_the_machines(tear);
        let others: Vec<_> = tears.recent().into_iter().filter(others).collect();
        assert!(others.is_empty(), "{others:#?}");
        self.lever.release();
        self.running.stop();
        assert_eq!(outcome(self.running), Outcome::Drained);
    }

    #[track_caller]
    pub(crate) fn is_healthy(&self) {
        let mut admin = Client::tcp(tcp(&self.running, "admin")).unwrap();
        assert_eq!(admin.get("/health/live").unwrap().status(), 200);
        assert_eq!(self.client().get("/").unwrap().text(), "hello");
    }
}

/// On a busy machine, a thread may get no processor wherever it is.
fn is_the_machines(tear: &Tear) -> bool {
    tear.kind == Kind::Stall && tear.activity.is_none()
}

/// Waits for the end, on a thread of its own, so that a server that never ends fails the test.
#[track_caller]
pub(crate) fn outcome(running: Running) -> Outcome {
    let (told, outcome) = mpsc::channel();
    thread::Builder::new().spawn(move || told.send(running.wait())).unwrap();
    outcome.recv_timeout(SOON).expect("the server ends")
}

/// Whether some frame of a report is in this function.
pub(crate) fn names(tear: &Tear, function: &str) -> bool {
    tear.stack.iter().any(|frame| frame.function.as_ref().is_some_and(|at| at.contains(function)))
}
