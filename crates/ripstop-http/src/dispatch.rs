//! Dispatch: from a request as hyper read it to its handling, for both versions of HTTP.

use crate::{
    Body,
    admit::{OwnFields, admit},
    conn::Link,
    exchange::Exchange,
    handler::{Handler, ResponseBody},
    handling::Handling,
    progress::Wait,
};
use http::Request;
use http_body::Body as _;
use hyper::body::Incoming;

/// Begins the exchange of `request`, and its handling if its head and the server's rules admit it.
pub(crate) fn dispatch<S: Handler>(
    service: S,
    request: Request<Incoming>,
    link: Link,
) -> Handling<S, ResponseBody<S>> {
    let options = &link.conn.options;
    let own = OwnFields::find(request.headers());
    let length = request.body().size_hint().exact();
    let mut admitted = admit(&request, &own, length, &options.limits, options.connect);
    link.conn.request_comes();
    link.progress().set(Wait::Handler, options.timeouts.request);
    if own.is_last {
        link.conn.last_request_begins();
    }
    let peer = link.conn.facts.peer.map(|peer| peer.ip());
    let judged = link.conn.rules.judge(peer, &request, &mut admitted);
    let exchange = Exchange::begin(link, &request, own.request_id, judged);
    let mut request = request.map(|incoming| Body::new(incoming, &exchange.link));
    request.extensions_mut().insert(exchange.facts());
    match admitted {
        Ok(()) => Handling::new(service, request, exchange),
        Err(refusal) => Handling::refused(refusal, &request, exchange),
    }
}
