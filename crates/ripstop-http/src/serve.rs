//! The way in: a byte stream and a service, served until the connection ends.

use crate::{AccessLog, Body, Connection, Options, conn::Conn, h1, h2};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use ripstop_work::Worker;
use std::{error::Error as StdError, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// What handles requests: any tower service that can be cloned, such as a router.
pub trait Handler:
    Service<
        Request<Body>,
        Response = Response<ResponseBody<Self>>,
        Error: Into<BoxError>,
        Future: Send,
    > + HandlerBody
    + Clone
    + Send
    + 'static
{
}

/// Any error of an application.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of a handler's responses.
pub type ResponseBody<S> = <S as HandlerBody>::ResponseBody;

/// Names the body of a handler's responses.
pub trait HandlerBody {
    /// Any body whose data can be sent to another thread.
    type ResponseBody: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HandlerBody for S
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type ResponseBody = B;
}

impl<S, B> Handler for S
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
}

/// A byte stream, and how it is cut off.
#[derive(Debug)]
pub struct Wire<I> {
    /// The stream.
    pub io: I,
    /// Makes the close that follows a reset (`SO_LINGER` of zero), so that the peer does not
    /// take what it got for the whole.
    pub abort: fn(&I),
    /// Closing the stream is all it takes to end it, as in clear text; under TLS a
    /// `close_notify` has to be sent first.
    pub ends_by_close: bool,
}

impl<I> Wire<I> {
    /// Closes the stream with a reset.
    pub(crate) fn reset(self) {
        (self.abort)(&self.io);
    }
}

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
}

/// Serves one connection to its end, as the task of `worker` that it must be called from.
///
/// # Cancel safety
///
/// When the future is dropped, the connection is closed and the handlers of its requests are
/// cancelled.
pub async fn serve<I, S>(
    wire: Wire<I>,
    protocol: Protocol,
    facts: Arc<Connection>,
    service: S,
    shared: Shared,
    worker: Arc<Worker>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Handler,
{
    let conn = Arc::new(Conn::new(shared.options, facts, worker, shared.access));
    let (wire, read) = match protocol {
        Protocol::Http2 => (wire, Bytes::new()),
        Protocol::ByPreface => match h1::serve(wire, &conn, service.clone()).await {
            h1::End::Closed => return,
            h1::End::Http2(wire, read) => (wire, read),
        },
    };
    h2::serve(wire, read, &conn, service).await;
}
