//! Connections that become something else, or are asked to and do not.

use super::{
    refusals::assert_ended,
    site::{PATIENCE, Probe, QUIET, SHORT, Site, options},
};
use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    response::Response as AxumResponse,
    routing::{any, get},
};
use http::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ripstop::{Body, BoxError, Options};
use ripstop_testkit::{Client, Ending, until};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::service_fn;

/// The handshake of RFC 6455, section 1.3, with its key.
const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What that key is to be answered with.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

async fn socket(upgrade: WebSocketUpgrade) -> AxumResponse {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

fn websockets() -> Router {
    Router::new().route("/ws", any(socket)).route("/", get(async || "hello"))
}

/// A text frame as a client sends it, masked (RFC 6455, section 5.2); up to 125 bytes.
fn frame(text: &str) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let masked = text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [0x81, 0x80 | text.len() as u8].into_iter().chain(mask).chain(masked).collect()
}

/// Expects a text frame as a server sends it.
#[track_caller]
fn assert_frame(client: &mut Client, text: &str) {
    assert_eq!(client.read_exact(2).unwrap(), [0x81, text.len() as u8]);
    assert_eq!(client.read_exact(text.len()).unwrap(), text.as_bytes());
}

#[test]
fn a_websocket_route_of_axum_works() {
    let site = Site::of(websockets(), options());
    let mut client = site.client();
    assert_eq!(client.get("/").unwrap().text(), "hello");
    client.send(HANDSHAKE).unwrap();
    let head = client.head().unwrap();
    assert_eq!((head.status, head.header("sec-websocket-accept")), (101, Some(ACCEPT)));
    for text in ["one", "two", ""] {
        client.send(frame(text)).unwrap();
        assert_frame(&mut client, text);
    }
    // Close, with status 1000.
    client.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
    assert_eq!(client.ending().unwrap(), (vec![0x88, 0x02, 0x03, 0xe8], Ending::Closed));
}

#[test]
fn frames_behind_the_handshake_reach_the_websocket() {
    let site = Site::of(websockets(), options());
    let mut client = site.client();
    client.send([HANDSHAKE.as_bytes(), &frame("one"), &frame("two")].concat()).unwrap();
    assert_eq!(client.head().unwrap().status, 101);
    assert_frame(&mut client, "one");
    assert_frame(&mut client, "two");
}

#[test]
fn a_websocket_knows_no_deadline_of_http() {
    let mut options = options();
    let timeouts = &mut options.timeouts;
    for timeout in [
        &mut timeouts.header,
        &mut timeouts.body,
        &mut timeouts.write,
        &mut timeouts.idle,
        &mut timeouts.request,
    ] {
        *timeout = Some(SHORT);
    }
    let site = Site::of(websockets(), options);
    let mut client = site.client();
    client.send(HANDSHAKE).unwrap();
    assert_eq!(client.head().unwrap().status, 101);
    assert!(client.is_quiet_for(SHORT * 3).unwrap());
    client.send(frame("still here")).unwrap();
    assert_frame(&mut client, "still here");
}

#[test]
fn a_handshake_with_a_long_field_in_pieces_is_read() {
    let site = Site::of(websockets(), options());
    let long = format!("X: {}\r\n\r\n", "x".repeat(30_000));
    let handshake = HANDSHAKE.replace("\r\n\r\n", &format!("\r\n{long}"));
    for cut in [10, 6000, 20_000] {
        for earlier in ["", "GET / HTTP/1.1\r\nHost: test\r\n\r\n"] {
            let mut client = site.client();
            if !earlier.is_empty() {
                client.send(earlier).unwrap();
                assert_eq!(client.response().unwrap().text(), "hello");
            }
            client.send(&handshake[..cut]).unwrap();
            let _ = client.is_quiet_for(Duration::from_millis(2)).unwrap();
            client.send([&handshake.as_bytes()[cut..], &frame("one")].concat()).unwrap();
            assert_eq!(client.head().unwrap().status, 101, "cut at {cut} after {earlier:?}");
            assert_frame(&mut client, "one");
        }
    }
}

#[test]
fn a_refused_upgrade_leaves_the_connection_as_it_is() {
    let site = Site::of(websockets(), options());
    let mut client = site.client();
    // Without the key the handshake is refused; on `/` nobody looks at it.
    let bad = HANDSHAKE.replace("Sec-WebSocket-Key", "X");
    let ignored = HANDSHAKE.replace("/ws", "/");
    client.send(format!("{bad}{ignored}GET / HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
    assert_eq!(client.response().unwrap().status(), 400);
    assert_eq!(client.response().unwrap().text(), "hello");
    assert_eq!(client.response().unwrap().text(), "hello");
    client.send(HANDSHAKE).unwrap();
    assert_eq!(client.head().unwrap().status, 101);
}

#[test]
fn a_body_behind_an_ignored_upgrade_is_read() {
    let site = Site::start(options());
    let mut client = site.client();
    let fields = "Host: test\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                  HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA";
    let length = format!("POST /echo HTTP/1.1\r\n{fields}\r\nContent-Length: 5\r\n\r\nhello");
    let chunks = format!(
        "POST /echo HTTP/1.1\r\n{fields}\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n"
    );
    for _ in 0..2 {
        client.send(length.clone() + &chunks).unwrap();
        assert_eq!(client.response().unwrap().text(), "hello");
        assert_eq!(client.response().unwrap().text(), "hello");
    }
    assert_eq!(client.get("/").unwrap().text(), "hello");
}

#[test]
fn a_handler_that_ignores_an_upgrade_and_its_body_does_not_hold_the_connection_up() {
    let site = Site::start(options());
    let mut client = site.client();
    let head = "POST /ignore HTTP/1.1\r\nHost: test\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n";
    client.send(format!("{head}Content-Length: 100000\r\n\r\nhello")).unwrap();
    assert_eq!(client.response().unwrap().text(), "ignored");
    assert_ended(&mut client, "unread body");
}

/// Answers CONNECT with 200 and sends everything back in upper case; anything else with 204.
async fn tunnel(request: Request<Body>, probe: Probe) -> Result<Response<String>, BoxError> {
    let visit = probe.enter();
    let connect = request.method() == http::Method::CONNECT;
    if request.uri().host() == Some("refused") {
        let mut response = Response::new("refused".to_owned());
        *response.status_mut() = StatusCode::FORBIDDEN;
        return Ok(response);
    }
    if connect {
        let upgrade = hyper::upgrade::on(request);
        tokio::runtime::Handle::current().spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.expect("the connection is a tunnel"));
            let mut buf = vec![0; 1 << 16];
            while let Ok(read @ 1..) = stream.read(&mut buf).await {
                buf[..read].make_ascii_uppercase();
                if stream.write_all(&buf[..read]).await.is_err() {
                    break;
                }
            }
            // The client may have gone.
            let _ = stream.shutdown().await;
            visit.leave();
        });
    }
    Ok(Response::new(String::new()))
}

/// A server of tunnels.
pub(crate) fn tunnels(mut options: Options) -> Site {
    options.connect = true;
    let probe = Probe::default();
    let seen = probe.clone();
    let service = service_fn(move |request| tunnel(request, seen.clone()));
    Site { probe, ..Site::of(service, options) }
}

fn connect(host: &str) -> String {
    format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n")
}

#[test]
fn a_handler_that_takes_connect_gets_a_tunnel() {
    let site = tunnels(options());
    let mut client = site.client();
    client.send(connect("test")).unwrap();
    let head = client.head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!((head.header("content-length"), head.header("transfer-encoding")), (None, None));
    // What looks like a request is one no more.
    for text in ["hello", "get / http/1.1\r\n\r\n", "\n\n\0"] {
        client.send(text).unwrap();
        assert_eq!(client.read_exact(text.len()).unwrap(), text.to_uppercase().as_bytes());
    }
    assert_eq!(site.probe.begun(), 1);
}

#[test]
fn bytes_behind_connect_reach_the_tunnel() {
    let site = tunnels(options());
    let mut client = site.client();
    let early = "get / http/1.1\n\n".repeat(10_000);
    client.send(connect("test") + &early).unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.read_exact(early.len()).unwrap(), early.to_uppercase().as_bytes());
    client.finish_sending().unwrap();
    assert_eq!(client.ending().unwrap(), (vec![], Ending::Closed));
    assert!(until(PATIENCE, || site.probe.finished() == 1), "the tunnel has no end");
}

#[test]
fn a_refused_connect_leaves_the_connection_as_it_is() {
    let site = tunnels(options());
    let mut client = site.client();
    client.send(connect("refused") + &connect("test") + "hello").unwrap();
    let refused = client.response().unwrap();
    assert_eq!((refused.status(), refused.text()), (403, "refused".into()));
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.read_exact(5).unwrap(), b"HELLO");
}

#[test]
fn nothing_is_read_behind_an_upgrade_until_it_is_answered() {
    let site = Site::start(options());
    let mut client = site.client();
    let head = "GET /wait HTTP/1.1\r\nHost: test\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
    client.send(format!("{head}GET / HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
    site.probe.await_begun(1);
    assert!(client.is_quiet_for(QUIET).unwrap());
    site.probe.release();
    assert_eq!(client.response().unwrap().text(), "waited");
    assert_eq!(client.response().unwrap().text(), "hello");
}
