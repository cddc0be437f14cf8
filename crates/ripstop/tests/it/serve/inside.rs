//! A server that is run from inside another runtime, as an `async fn main` would.

use axum::Router;
use ripstop::{Error, Outcome, Server};
use tokio::runtime::Builder;

/// Runs a server to its end, and one that cannot start, in the given runtime.
#[track_caller]
fn check(mut runtime: Builder) {
    runtime.enable_all().build().unwrap().block_on(async {
        let server = Server::new(Router::new()).listen("127.0.0.1:0");
        assert_eq!(server.run_until(async {}).unwrap(), Outcome::Drained);
        let nowhere = Server::new(Router::new()).run_until(async {});
        assert!(matches!(nowhere, Err(Error::NothingToListenOn)), "{nowhere:?}");
    });
}

#[test]
fn a_server_runs_inside_a_runtime_of_one_thread() {
    check(Builder::new_current_thread());
}

#[test]
fn a_server_runs_inside_a_runtime_of_several_threads() {
    check(Builder::new_multi_thread());
}
