//! The application that tears: each route is a way to do so.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State, WebSocketUpgrade},
    response::Response,
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use std::{
    convert::Infallible,
    future::pending,
    panic::panic_any,
    time::{Duration, Instant},
};
use tokio::time::timeout;

use super::lever::Stop;

/// - `/` greets, `/name` names the thread, `/wait` waits for the lever,
/// - `/wedge`, `/spin` and `/deadlock` block their thread until the lever is moved; `/spin` answers
///   which share of a processor it had,
/// - `/wedge/{ms}` for so long,
/// - `/open/{path}` opens a file,
/// - `/panic…` panic in all kinds of places,
/// - `/echo` sends the body back.
pub(crate) fn app(stop: Stop) -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/name", get(async || thread_name()))
        .route("/wait", get(wait))
        .route("/wedge", get(wedge))
        .route("/wedge/{ms}", get(wedge_for))
        .route("/spin", get(spin))
        .route("/deadlock", get(deadlock))
        .route("/open/{*path}", get(open))
        .route("/panic", get(panic_in_handler))
        .route("/panic/{nth}", get(panic_in_handler))
        .route("/panic-bomb", get(panic_with_a_bomb))
        .route("/panic-drop", get(panic_in_drop))
        .route("/panic-body", get(panic_in_body))
        .route("/panic-task", get(panic_in_task))
        .route("/panic-timer", get(panic_in_timer))
        .route("/panic-socket", get(panic_in_socket))
        .route("/echo", post(async |body: Body| body))
        .with_state(stop)
}

pub(crate) fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

async fn wait(State(stop): State<Stop>) -> &'static str {
    stop.wait().await;
    "waited"
}

pub(crate) async fn wedge(State(stop): State<Stop>) -> String {
    stop.wedge();
    thread_name()
}

async fn wedge_for(Path(ms): Path<u64>) -> String {
    let end = Instant::now() + Duration::from_millis(ms);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    thread_name()
}

async fn spin(State(stop): State<Stop>) -> String {
    stop.spin().to_string()
}

async fn deadlock(State(stop): State<Stop>) -> String {
    stop.deadlock();
    thread_name()
}

async fn open(Path(path): Path<String>) -> String {
    std::fs::File::open(format!("/{path}")).map_or_else(|err| err.to_string(), |_| "opened".into())
}

pub(crate) async fn panic_in_handler() -> &'static str {
    panic!("torn in the handler")
}

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

async fn panic_with_a_bomb() -> &'static str {
    panic_any(Bomb("torn by the payload"))
}

async fn panic_in_drop() -> &'static str {
    let _bomb = Bomb("torn by a drop");
    "dropped"
}

async fn panic_in_body() -> Body {
    let pieces = stream::iter(0..2).map(|piece| match piece {
        0 => Ok::<_, Infallible>(Bytes::from_static(b"the first piece\n")),
        _ => panic!("torn in the body"),
    });
    Body::from_stream(pieces)
}

#[expect(clippy::disallowed_methods, reason = "applications do")]
async fn panic_in_task() -> &'static str {
    let torn = tokio::spawn(async { panic!("torn in a task") }).await;
    if torn.is_err() { "the task panicked" } else { "the task ended" }
}

#[expect(clippy::disallowed_methods, reason = "applications do")]
async fn panic_in_timer() -> &'static str {
    let torn = tokio::spawn(async {
        let _ = timeout(Duration::from_millis(1), pending::<()>()).await;
        panic!("torn after a timer")
    });
    if torn.await.is_err() { "the timer panicked" } else { "the timer ended" }
}

async fn panic_in_socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |_socket| panic!("torn in a socket"))
}
