//! The way in: a byte stream and a service, served until the connection ends.

use crate::{AccessLog, Buffers, Connection, Handler, Options, Rules, Wire, conn::Conn, h1, h2};
use bytes::Bytes;
use ripstop_work::Worker;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// By which protocol a connection begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1, unless it begins with the preface of HTTP/2: clear text, or TLS without ALPN.
    #[default]
    ByPreface,
    /// HTTP/2, by ALPN.
    Http2,
}

/// What all connections of a listener have in common.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// Limits and deadlines.
    pub options: Arc<Options>,
    /// Where exchanges are logged, if they are.
    pub access: Option<Arc<AccessLog>>,
    /// By what each request is judged, also on connections that began before they were set.
    pub rules: Arc<Rules>,
    /// Where what clients have not taken is counted.
    pub buffers: Arc<Buffers>,
}

/// What was before on a connection that has rested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Requests that have come.
    pub requests: u32,
    /// The time since the accept.
    pub age: Duration,
    /// It has just come from another worker.
    pub moved: bool,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It was just accepted.
    New(Protocol),
    /// It has rested, between two requests of HTTP/1.
    Again(Earlier),
}

/// What became of a connection.
#[derive(Debug)]
pub enum Served<I> {
    /// It is over.
    Ended,
    /// It has been idle for the time to park: to be begun again when there is something to read. By
    /// its claim it may be at rest, and so in other hands by now.
    Parks(Rested<I>),
    /// It should go on with the worker of this index, which has less to do. Its claim is busy.
    Moves(Rested<I>, usize),
}

/// A connection between two requests.
#[derive(Debug)]
pub struct Rested<I> {
    /// The byte stream.
    pub io: I,
    /// Requests that have come so far.
    pub requests: u32,
}

/// Serves one connection until it ends or leaves, as the task of `worker` that it must be called
/// from.
///
/// # Cancel safety
///
/// When the future is dropped, the connection is closed and the handlers of its requests are
/// cancelled.
pub async fn serve<I, S>(
    wire: Wire<I>,
    begin: Begin,
    facts: Arc<Connection>,
    service: S,
    shared: Shared,
    worker: Arc<Worker>,
) -> Served<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Handler,
{
    let (protocol, earlier) = match begin {
        Begin::New(protocol) => (protocol, None),
        Begin::Again(earlier) => (Protocol::ByPreface, Some(earlier)),
    };
    let conn = Arc::new(Conn::new(shared, facts, worker, wire.claim, earlier));
    let (wire, read) = match protocol {
        Protocol::Http2 => (wire, Bytes::new()),
        Protocol::ByPreface => match h1::serve(wire, &conn, service.clone()).await {
            h1::End::Closed => return Served::Ended,
            h1::End::Rests(io, to) => {
                let rested = Rested { io, requests: conn.requests_so_far() };
                return match to {
                    None => Served::Parks(rested),
                    Some(worker) => Served::Moves(rested, worker),
                };
            }
            h1::End::Http2(wire, read) => (wire, read),
        },
    };
    // Settings go out before any request: to another process this is a response that has begun.
    conn.responds();
    // On the heap: here it would be a part of every connection's task.
    Box::pin(h2::serve(wire, read, &conn, service)).await;
    Served::Ended
}
