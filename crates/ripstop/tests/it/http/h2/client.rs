//! An HTTP/2 client for blocking tests. It knows the protocol, so that it can be asked how a
//! stream ended; what it would never send, `frames.rs` sends.

use crate::http::site::{PATIENCE, Site};
use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response};
use std::{future::Future, net::SocketAddr};
use tokio::{
    net::TcpStream,
    runtime::{self, Runtime},
    task::JoinHandle,
    time::timeout,
};

/// A connection, driven by a thread of its own.
pub(crate) struct H2 {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    pub(crate) local_addr: SocketAddr,
}

/// A response, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl H2 {
    pub(crate) fn connect(site: &Site) -> Self {
        Self::with(site, &Builder::new())
    }

    /// Connects with settings of the test's own.
    pub(crate) fn with(site: &Site, builder: &Builder) -> Self {
        let runtime = runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let (requests, connection, local_addr) = runtime.block_on(async {
            let stream = TcpStream::connect(site.addr).await.unwrap();
            let local_addr = stream.local_addr().unwrap();
            let (requests, connection) = builder.handshake(stream).await.unwrap();
            (requests, connection, local_addr)
        });
        let connection = runtime.spawn(connection);
        Self { runtime, requests, connection, local_addr }
    }

    /// Waits for `future`, but not for ever.
    #[track_caller]
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        let outcome = self.runtime.block_on(async { timeout(PATIENCE, future).await });
        outcome.expect("it comes in time")
    }

    /// Sends a request's head; `end`: that is all of it.
    #[track_caller]
    pub(crate) fn open(
        &self,
        request: Request<()>,
        end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = self.wait(self.requests.clone().ready()).unwrap();
        requests.send_request(request, end).unwrap()
    }

    /// Sends a request and reads the response.
    ///
    /// # Errors
    ///
    /// The stream or the connection fails.
    #[track_caller]
    pub(crate) fn ask(&self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let (response, mut stream) = self.open(request, body.is_empty());
        if !body.is_empty() {
            // The server may have answered already and want no more of it.
            let _ = stream.send_data(Bytes::copy_from_slice(body), true);
        }
        self.wait(answer(response))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(get(path), b"").unwrap_or_else(|err| panic!("{path}: {err}"))
    }

    /// Opens a stream for `path` whose response is waited for later.
    #[track_caller]
    pub(crate) fn begin(&self, path: &str) -> ResponseFuture {
        self.open(get(path), true).0
    }

    /// Waits until the server has ended the connection: in order, or how else.
    ///
    /// # Errors
    ///
    /// It did not end in order.
    #[track_caller]
    pub(crate) fn ended(self) -> Result<(), h2::Error> {
        let Self { runtime, requests, connection, .. } = self;
        let outcome = runtime.block_on(async { timeout(PATIENCE, connection).await });
        drop(requests);
        outcome.expect("the connection ends").unwrap()
    }
}

/// `GET` for `path`.
pub(crate) fn get(path: &str) -> Request<()> {
    request("GET", path)
}

/// A request without a body, for the host `test`.
pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://test{path}")).body(()).unwrap()
}

/// Reads a whole response.
pub(crate) async fn answer(response: ResponseFuture) -> Result<Answer, h2::Error> {
    whole(response.await?).await
}

/// Reads the body of a response.
pub(crate) async fn whole(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.into() })
}
