//! What a handler may know of its request beside the message.

use super::site::{Site, options};
use http::{Request, Response};
use ripstop::{Body, BoxError, Facts, Listen, ListenerOptions};
use tower::service_fn;

/// Answers with the facts, a line each.
async fn tell(request: Request<Body>) -> Result<Response<String>, BoxError> {
    let facts = request.extensions().get::<Facts>().ok_or("no facts")?;
    let connection = &facts.connection;
    let peer = connection.peer.map(|peer| peer.to_string()).unwrap_or_default();
    let tls = connection.tls.is_some();
    let id = &facts.request_id;
    Ok(Response::new(format!("{peer}\n{}\n{tls}\n{id}", connection.listener)))
}

fn told(answer: &str) -> Vec<String> {
    answer.lines().map(str::to_owned).collect()
}

#[test]
fn a_handler_knows_the_peer_the_listener_and_that_there_is_no_tls() {
    let mut options = options();
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = ListenerOptions { name: "front".into(), address, ..Default::default() };
    options.listen.push(Listen { listener, ..Listen::default() });
    let site = Site::of(service_fn(tell), options);
    let mut client = site.client();
    let own = client.local_addr().unwrap().to_string();
    for _ in 0..2 {
        let facts = told(&client.get("/").unwrap().text());
        assert_eq!(facts[..3], [own.clone(), "front".into(), "false".into()]);
    }
}

#[test]
fn a_valid_request_id_is_taken_and_any_other_replaced() {
    let site = Site::of(service_fn(tell), options());
    let mut client = site.client();
    let long = "x".repeat(129);
    for (sent, taken) in [("7f3-a.B_9", true), ("a b", false), ("", false), (&long, false)] {
        client
            .send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Request-Id: {sent}\r\n\r\n"))
            .unwrap();
        let id = told(&client.response().unwrap().text())[3].clone();
        assert_eq!(id == sent, taken, "{sent:?}");
        assert!(taken || id.len() == 32, "{id}");
    }
}

#[test]
fn made_request_ids_differ() {
    let site = Site::of(service_fn(tell), options());
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut client = site.client();
        for _ in 0..10 {
            ids.push(told(&client.get("/").unwrap().text())[3].clone());
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 30);
}
