//! An axum application runs unchanged: the same answers as on `axum::serve`.

use axum::{
    Form, Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode},
    response::{
        Html, IntoResponse, Redirect,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use futures_util::{Stream, StreamExt, stream};
use ripstop_testkit::{Client, Response};
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tower_http::{
    compression::CompressionLayer,
    cors::{Any, CorsLayer},
    limit::RequestBodyLimitLayer,
    timeout::TimeoutLayer,
    trace::TraceLayer,
};

use super::setup::{options, start, tcp};

/// The application's own limit on bodies.
const BODY_MAX: usize = 64 << 10;

#[derive(Debug, Deserialize, Serialize)]
struct Search {
    word: String,
    #[serde(default)]
    page: u32,
}

fn app() -> Router {
    let visits = Arc::new(AtomicU64::new(0));
    let inner = Router::new()
        .route("/users/{id}", get(|Path(id): Path<u64>| async move { format!("user {id}") }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not in this version") });
    Router::new()
        .route("/hello/{name}", get(|Path(name): Path<String>| async { Html(name) }))
        .route("/search", get(|Query(search): Query<Search>| async { Json(search) }))
        .route("/json", post(|Json(search): Json<Search>| async { Json(search) }))
        .route("/form", post(|Form(search): Form<Search>| async { Json(search) }))
        .route("/visits", get(visit))
        .route("/agent", get(agent))
        .route("/old", get(|| async { Redirect::permanent("/visits") }))
        .route("/nothing", get(|| async { StatusCode::NO_CONTENT }))
        .route("/download", get(download))
        .route("/upload", post(upload))
        .route("/echo", post(|body: Body| async { body }))
        .route("/events", get(events))
        .route("/never", get(std::future::pending::<()>))
        .nest("/api/v1", inner)
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(BODY_MAX))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_millis(200),
        ))
        .layer(CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]))
        .layer(TraceLayer::new_for_http())
        .with_state(visits)
}

async fn visit(State(visits): State<Arc<AtomicU64>>) -> String {
    format!("visit {}", visits.fetch_add(1, SeqCst))
}

async fn agent(headers: HeaderMap) -> impl IntoResponse {
    let agent = headers.get("user-agent").cloned();
    (
        [("x-seen", headers.len().to_string())],
        agent.unwrap_or("nobody".parse().unwrap()).as_bytes().to_vec(),
    )
}

async fn download() -> Body {
    let piece = |n: u8| Ok::<_, Infallible>(Bytes::from(vec![n; 10_000]));
    Body::from_stream(stream::iter((0..20).map(piece)))
}

/// Reads a body piece by piece.
async fn upload(body: Body) -> Result<String, (StatusCode, String)> {
    let mut pieces = body.into_data_stream();
    let (mut bytes, mut sum) = (0, 0u64);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|err| (StatusCode::BAD_REQUEST, err.to_string()))?;
        bytes += piece.len();
        sum += piece.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    }
    Ok(format!("{bytes} bytes, sum {sum}"))
}

async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let event = |n: u32| Ok(Event::default().event("tick").id(n.to_string()).data(format!("{n}")));
    Sse::new(stream::iter((0..3).map(event)))
}

/// Requests by their method, target, fields and body.
const REQUESTS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/hello/w%C3%B6rld", "", ""),
    ("HEAD", "/hello/world", "", ""),
    ("GET", "/search?word=a+b&page=3", "", ""),
    ("GET", "/search?page=3", "", ""),
    ("GET", "/search?word=a&page=x", "", ""),
    ("POST", "/json", "Content-Type: application/json\r\n", r#"{"word":"a","page":1}"#),
    ("POST", "/json", "Content-Type: application/json\r\n", r#"{"page":1}"#),
    ("POST", "/json", "Content-Type: application/json\r\n", "{"),
    ("POST", "/json", "", r#"{"word":"a"}"#),
    ("POST", "/form", "Content-Type: application/x-www-form-urlencoded\r\n", "word=a&page=7"),
    ("POST", "/form", "Content-Type: application/x-www-form-urlencoded\r\n", "page=7"),
    ("GET", "/visits", "", ""),
    ("GET", "/visits", "", ""),
    ("GET", "/agent", "User-Agent: test\r\nX-A: 1\r\nX-A: 2\r\n", ""),
    ("GET", "/old", "", ""),
    ("GET", "/nothing", "", ""),
    ("GET", "/download", "", ""),
    ("GET", "/download", "Accept-Encoding: gzip\r\n", ""),
    ("POST", "/upload", "", "a body of some bytes"),
    ("POST", "/echo", "", "back again"),
    ("GET", "/events", "Accept: text/event-stream\r\n", ""),
    ("GET", "/never", "", ""),
    ("GET", "/api/v1/users/7", "", ""),
    ("GET", "/api/v1/users/seven", "", ""),
    ("GET", "/api/v1/nobody", "", ""),
    ("GET", "/nowhere", "", ""),
    ("DELETE", "/json", "", ""),
    ("OPTIONS", "/json", "Origin: http://a.test\r\nAccess-Control-Request-Method: GET\r\n", ""),
    ("GET", "/visits", "Origin: http://a.test\r\n", ""),
];

#[test]
fn every_answer_is_that_of_axum_serve() {
    let running = start(app(), &options(2, 1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let axum = on_axum(&runtime);
    for request in REQUESTS {
        let bytes = message(request);
        let is_head = request.0 == "HEAD";
        let expected = answer(axum, &bytes, is_head);
        assert_eq!(answer(tcp(&running, "main"), &bytes, is_head), expected, "{request:?}");
    }
}

#[test]
fn a_body_over_the_applications_limit_is_refused_as_on_axum_serve() {
    let running = start(app(), &options(2, 1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for addr in [on_axum(&runtime), tcp(&running, "main")] {
        let mut client = Client::tcp(addr).unwrap();
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
            BODY_MAX + 1
        );
        client.send(head).unwrap();
        assert_eq!(client.response().unwrap().status(), 413);
        // Without a length, it is the handler that meets the limit.
        let mut client = Client::tcp(addr).unwrap();
        client
            .send("POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        client.send(format!("{:x}\r\n{}\r\n", BODY_MAX + 1, "x".repeat(BODY_MAX + 1))).unwrap();
        let response = client.response().unwrap();
        assert_eq!((response.status(), &*response.text()), (400, "length limit exceeded"));
    }
}

#[test]
fn bodies_stream_both_ways_at_the_same_time() {
    let running = start(app(), &options(2, 1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for addr in [on_axum(&runtime), tcp(&running, "main")] {
        let mut client = Client::tcp(addr).unwrap();
        client
            .send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for (round, piece) in ["5\r\nfirst\r\n", "6\r\nsecond\r\n"].iter().enumerate() {
            client.send(piece).unwrap();
            if round == 0 {
                assert_eq!(client.head().unwrap().status, 200);
            }
            // The piece is back before the next one is sent.
            assert_eq!(client.read_exact(piece.len()).unwrap(), piece.as_bytes());
        }
        client.send("0\r\n\r\n").unwrap();
        assert_eq!(client.read_exact(5).unwrap(), b"0\r\n\r\n");
        assert_eq!(client.get("/visits").unwrap().status(), 200);
    }
}

/// The application on `axum::serve`.
fn on_axum(runtime: &tokio::runtime::Runtime) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(async { axum::serve(listener, app()).await });
    addr
}

fn message((method, target, fields, body): &(&str, &str, &str, &str)) -> String {
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let fields = format!("Host: test\r\nConnection: close\r\n{fields}{length}");
    format!("{method} {target} HTTP/1.1\r\n{fields}\r\n{body}")
}

/// The answer, without what may differ from one second to the next.
fn answer(addr: SocketAddr, message: &str, is_head: bool) -> Response {
    let mut client = Client::tcp(addr).unwrap();
    client.send(message).unwrap();
    let mut response = match is_head {
        true => Response { head: client.head().unwrap(), body: Vec::new() },
        false => client.response().unwrap(),
    };
    assert_eq!(client.read_to_end().unwrap(), b"");
    assert!(response.header("date").is_some());
    response.head.headers.retain(|(name, _)| name != "date");
    response.head.headers.sort();
    response
}
