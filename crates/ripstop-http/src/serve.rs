//! The way in: a byte stream and a service, served until the connection ends.

use crate::{AccessLog, Connection, Handler, Options, Wire, conn::Conn, h1, h2};
use bytes::Bytes;
use ripstop_work::Worker;
use std::sync::Arc;
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
