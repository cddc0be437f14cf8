//! An application whose handlers wait until the test lets them go.

use axum::{Extension, Router, extract::State, routing::get};
use ripstop::Facts;
use ripstop_testkit::until;
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::sync::watch;

use super::setup::SOON;

/// What the test moves and reads. Dropping it lets everybody go.
pub(crate) struct Levers(Arc<Shared>);

struct Shared {
    /// Requests whose handler began.
    begun: AtomicUsize,
    /// Handlers of `/wait` and `/stream` go on when it is true.
    free: watch::Sender<bool>,
    /// Handlers of `/wedge` block their thread until it is true.
    unwedged: Mutex<bool>,
    changed: Condvar,
}

impl Levers {
    /// The levers and their application: `/`, `/wait`, `/wedge`, `/thread` and `/facts`.
    pub(crate) fn new() -> (Self, Router) {
        let shared = Arc::new(Shared {
            begun: AtomicUsize::new(0),
            free: watch::Sender::new(false),
            unwedged: Mutex::new(false),
            changed: Condvar::new(),
        });
        let app = Router::new()
            .route("/", get(hello))
            .route("/wait", get(wait))
            .route("/wedge", get(wedge))
            .route("/thread", get(thread))
            .route("/facts", get(facts))
            .with_state(shared.clone());
        (Self(shared), app)
    }

    /// How many handlers have begun.
    pub(crate) fn begun(&self) -> usize {
        self.0.begun.load(SeqCst)
    }

    /// Waits until so many handlers have begun.
    #[track_caller]
    pub(crate) fn await_begun(&self, count: usize) {
        assert!(until(SOON, || self.begun() >= count), "{} of {count} have begun", self.begun());
    }

    /// Lets the handlers of `/wait` go on.
    pub(crate) fn free(&self) {
        self.0.free.send_replace(true);
    }

    /// Lets the handlers of `/wedge` go on.
    pub(crate) fn unwedge(&self) {
        *self.0.wedge() = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Levers {
    fn drop(&mut self) {
        self.free();
        self.unwedge();
    }
}

impl Shared {
    fn wedge(&self) -> MutexGuard<'_, bool> {
        self.unwedged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hello(State(shared): State<Arc<Shared>>) -> &'static str {
    shared.begun.fetch_add(1, SeqCst);
    "hello"
}

async fn wait(State(shared): State<Arc<Shared>>) -> &'static str {
    shared.begun.fetch_add(1, SeqCst);
    let mut free = shared.free.subscribe();
    // The sender lives as long as the state.
    let _ = free.wait_for(|free| *free).await;
    "waited"
}

async fn wedge(State(shared): State<Arc<Shared>>) -> &'static str {
    shared.begun.fetch_add(1, SeqCst);
    let waited = shared.changed.wait_while(shared.wedge(), |unwedged| !*unwedged);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
    "unwedged"
}

/// The worker, by the name of its thread: `0` for `rip-w0` and `rip-w0-s2`.
async fn thread() -> String {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let worker = name.strip_prefix("rip-w").unwrap_or(&name);
    worker.split('-').next().unwrap_or_default().to_owned()
}

/// Listener and peer.
async fn facts(Extension(facts): Extension<Facts>) -> String {
    let connection = &facts.connection;
    let peer = connection.peer.map_or("nobody".to_owned(), |peer| peer.to_string());
    let subject = connection.tls.as_ref().and_then(|tls| tls.client_subject.as_deref());
    format!("{} {peer} {}", connection.listener, subject.unwrap_or("-"))
}
