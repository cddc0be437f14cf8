//! Panics: each makes one report that says where, in which request and whose.

use ripstop::{Kind, Tear};
use ripstop_testkit::{Client, Ending};

use super::site::{Site, get, names, options};

/// Asks for `path` with an id of the test's own.
fn ask(client: &mut Client, path: &str) -> u16 {
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Request-Id: mine\r\n\r\n"))
        .unwrap();
    let response = client.response().unwrap();
    if response.status() == 500 {
        assert_eq!(response.header("x-request-id"), Some("mine"));
    }
    response.status()
}

/// That a report is of the request that [`ask`] sends.
#[track_caller]
fn is_of(tear: &Tear, client: &Client, route: &str, message: &str) {
    assert_eq!(tear.route.as_deref(), Some(route), "{tear}");
    assert_eq!(tear.request_id.as_deref(), Some("mine"), "{tear}");
    assert_eq!(tear.peer, Some(client.local_addr().unwrap()), "{tear}");
    assert!(tear.message.starts_with(message), "{tear}");
    assert!(tear.thread.starts_with("rip-w0") && tear.worker == Some(0), "{tear}");
}

/// A panic of this route is answered 500, reported once, and the connection goes on.
#[track_caller]
fn check(path: &str, message: &str, function: &str) {
    let site = Site::start(&options(1, 1));
    let mut client = site.client();
    assert_eq!(ask(&mut client, path), 500);
    assert_eq!(client.get("/").unwrap().text(), "hello", "the connection goes on");
    let tear = &site.reported(Kind::Panic, 1)[0];
    is_of(tear, &client, &format!("GET {path}"), message);
    assert!(names(tear, function), "{tear}");
    assert_eq!(site.handle().tears().count(Kind::Panic), 1);
    drop(client);
    site.ends_whole(&[Kind::Panic]);
}

#[test]
fn a_panic_is_answered_500_and_reported_with_its_request_and_its_stack() {
    check("/panic", "torn in the handler at ", "it::tears::routes::panic_in_handler");
}

#[test]
fn a_panic_in_the_drop_of_a_handler_is_reported() {
    check("/panic-drop", "torn by a drop at ", "it::tears::routes::panic_in_drop");
}

#[test]
fn the_culprit_of_a_panic_is_the_handler() {
    let site = Site::start(&options(1, 1));
    assert_eq!(ask(&mut site.client(), "/panic"), 500);
    let tear = &site.reported(Kind::Panic, 1)[0];
    let culprit = tear.culprit().unwrap();
    let function = culprit.function.as_deref().unwrap();
    assert!(function.starts_with("it::tears::routes::panic_in_handler"), "{tear}");
    assert!(culprit.file.as_ref().unwrap().ends_with("tests/it/tears/routes.rs"), "{tear}");
    assert!(culprit.line.is_some());
    site.ends_whole(&[Kind::Panic]);
}

#[test]
fn a_payload_that_panics_as_well_is_a_second_panic_of_the_same_request() {
    let site = Site::start(&options(1, 1));
    let mut client = site.client();
    assert_eq!(ask(&mut client, "/panic-bomb"), 500);
    assert_eq!(client.get("/").unwrap().text(), "hello");
    let tears = site.reported(Kind::Panic, 2);
    is_of(&tears[0], &client, "GET /panic-bomb", "a panic without a text at ");
    is_of(&tears[1], &client, "GET /panic-bomb", "torn by the payload at ");
    assert_eq!(site.handle().tears().count(Kind::Panic), 2);
    drop(client);
    site.ends_whole(&[Kind::Panic]);
}

#[test]
fn each_panic_has_its_report_with_the_route_and_not_the_path() {
    let site = Site::start(&options(1, 1));
    let mut client = site.client();
    for nth in 1..=20 {
        assert_eq!(ask(&mut client, &format!("/panic/{nth}")), 500);
    }
    for tear in site.reported(Kind::Panic, 20) {
        is_of(&tear, &client, "GET /panic/{}", "torn in the handler at ");
    }
    drop(client);
    site.ends_whole(&[Kind::Panic]);
}

#[test]
fn a_panic_in_a_body_is_reported_and_its_connection_reset() {
    let site = Site::start(&options(1, 1));
    let mut client = site.client();
    client.send(get("/panic-body")).unwrap();
    // A reset may overtake what was sent before it.
    let (bytes, ending) = client.ending().unwrap();
    assert!(ending == Ending::Cut && !bytes.ends_with(b"0\r\n\r\n"), "{ending:?}: {bytes:?}");
    let tear = &site.reported(Kind::Panic, 1)[0];
    assert!(tear.message.starts_with("torn in the body at "), "{tear}");
    assert!(names(tear, "it::tears::routes::panic_in_body"), "{tear}");
    assert_eq!(tear.route.as_deref(), Some("GET /panic-body"), "{tear}");
    site.ends_whole(&[Kind::Panic]);
}

/// A panic in something that the application started itself is reported, and costs nobody
/// anything.
#[track_caller]
fn check_task(path: &str, answer: &str, message: &str) {
    let site = Site::start(&options(1, 1));
    let mut client = site.client();
    assert_eq!(client.get(path).unwrap().text(), answer);
    assert_eq!(client.get("/").unwrap().text(), "hello");
    let tear = &site.reported(Kind::Panic, 1)[0];
    assert!(tear.message.starts_with(message), "{tear}");
    assert_eq!(tear.worker, Some(0));
    assert!(names(tear, "it::tears::routes::panic_in_"), "{tear}");
    drop(client);
    site.ends_whole(&[Kind::Panic]);
}

#[test]
fn a_panic_in_a_task_of_the_application_is_reported() {
    check_task("/panic-task", "the task panicked", "torn in a task at ");
}

#[test]
fn a_panic_after_a_timer_of_the_application_is_reported() {
    check_task("/panic-timer", "the timer panicked", "torn after a timer at ");
}

#[test]
fn a_panic_in_a_web_socket_ends_that_connection_alone() {
    let site = Site::start(&options(1, 1));
    let (mut other, mut socket) = (site.client(), site.client());
    assert_eq!(other.get("/").unwrap().text(), "hello");
    socket
        .send(
            "GET /panic-socket HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    assert_eq!(socket.head().unwrap().status, 101);
    assert_eq!(socket.ending().unwrap().0, b"");
    assert_eq!(other.get("/").unwrap().text(), "hello");
    let tear = &site.reported(Kind::Panic, 1)[0];
    assert!(tear.message.starts_with("torn in a socket at "), "{tear}");
    drop((other, socket));
    site.ends_whole(&[Kind::Panic]);
}

#[test]
fn a_panic_is_streamed_while_it_is_kept() {
    let site = Site::start(&options(1, 1));
    let mut stream = site.handle().tears().stream();
    assert_eq!(ask(&mut site.client(), "/panic"), 500);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let streamed = runtime.block_on(stream.next()).unwrap();
    assert_eq!(streamed.number, site.reported(Kind::Panic, 1)[0].number);
    site.ends_whole(&[Kind::Panic]);
}
