//! The driver of an HTTP/2 connection: polls hyper, runs its streams as tasks of the worker, and
//! acts on the deadlines of the connection and of each stream.

mod flood;
mod frames;
mod heads;

use crate::{
    conn::{Conn, Link},
    dispatch::dispatch,
    handler::{Handler, ResponseBody},
    handling::Handling,
    outgoing::Outgoing,
    progress::{Progress, Wait},
    wire::Wire,
};
use bytes::Bytes;
use frames::Frames;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::http2::{Builder, Connection},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use ripstop_work::{Ending, Worker};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// What a stream may receive before the handler reads it.
const STREAM_WINDOW: u32 = 256 << 10;

/// What all streams of a connection may receive before handlers read it.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// What a stream may keep that its peer has not taken, beside the last piece of it.
const SEND_BUFFER: usize = 64 << 10;

/// How often a silent peer is asked whether it is still there, and how long it may take to
/// answer.
const PING: Duration = Duration::from_secs(20);

/// Streams that errors of the peer may have reset before the connection is given up: each may have
/// started a handler.
const ERRORS_MAX: usize = 1024;

/// How long a peer that was told to go may take to do so.
const GOAWAY_GRACE: Duration = Duration::from_secs(5);

/// Serves HTTP/2 until the connection ends; `read` was read of it already.
pub(crate) async fn serve<I, S>(wire: Wire<I>, read: Bytes, conn: &Arc<Conn>, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Handler,
{
    conn.progress.wakes(&poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
    conn.held.is_of_http2();
    let next = NextStream::default();
    let io = TokioIo::new(Frames::new(wire.io, read, conn));
    let streams = Streams { service, conn: conn.clone(), next: next.clone() };
    let spawner = Spawner { conn: conn.clone(), next };
    let mut http = builder(conn, spawner).serve_connection(io, streams);
    let mut goodbye = Goodbye::default();
    poll_fn(|cx| drive(Pin::new(&mut http), conn, &mut goodbye, cx)).await;
}

fn builder(conn: &Conn, spawner: Spawner) -> Builder<Spawner> {
    let limits = &conn.options.limits;
    let mut builder = Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(limits.streams)
        .max_local_error_reset_streams(ERRORS_MAX)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// hyper's side of a connection.
type Http2<I, S> = Connection<TokioIo<Frames<I>>, Streams<S>, Spawner>;

/// Whether the peer was told to go.
#[derive(Debug, Default)]
struct Goodbye {
    said: bool,
}

impl Goodbye {
    /// Tells the peer, once.
    fn say<I, S>(&mut self, http: Pin<&mut Http2<I, S>>, conn: &Conn)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Handler,
    {
        if !std::mem::replace(&mut self.said, true) {
            conn.progress.set(Wait::Peer, Some(GOAWAY_GRACE));
            http.graceful_shutdown();
        }
    }
}

fn drive<I, S>(
    mut http: Pin<&mut Http2<I, S>>,
    conn: &Conn,
    goodbye: &mut Goodbye,
    cx: &mut Context<'_>,
) -> Poll<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Handler,
{
    let progress = &conn.progress;
    let ending = conn.worker.ending();
    if progress.any_passed() || ending != Ending::NotYet {
        conn.hurries(progress);
        let gives_way = conn.owes_nothing() && !goodbye.said && conn.gives_way();
        let idle = conn.owes_nothing() && progress.passed(Wait::Peer);
        let cut = progress.passed(Wait::Write) || ending == Ending::AtOnce;
        if cut || (idle && goodbye.said) {
            conn.gives_up();
            return Poll::Ready(());
        }
        if gives_way {
            conn.worker.thrift().closes();
        }
        if idle || gives_way || ending != Ending::NotYet || progress.passed(Wait::Age) {
            goodbye.say(http.as_mut(), conn);
        }
    }
    if conn.is_used_up() {
        goodbye.say(http.as_mut(), conn);
    }
    match http.poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(()),
        Poll::Ready(Err(err)) => {
            log::debug!(err:%; "an HTTP/2 connection failed");
            Poll::Ready(())
        }
        Poll::Pending => {
            if !conn.owes_nothing() {
                progress.clear(Wait::Peer);
            }
            if !goodbye.said && conn.is_used_up() {
                // The last request has just come.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }
    }
}

/// The progress of the stream whose request hyper has just handed over, on its way to the task
/// that hyper starts for it next.
type NextStream = Arc<Mutex<Option<Arc<Progress>>>>;

/// hyper's service: begins an exchange for each stream.
struct Streams<S> {
    service: S,
    conn: Arc<Conn>,
    next: NextStream,
}

impl<S: Handler> Service<Request<Incoming>> for Streams<S> {
    type Response = Response<Outgoing<ResponseBody<S>>>;
    type Error = Infallible;
    type Future = Handling<S, ResponseBody<S>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let progress = Arc::new(Progress::new(self.conn.worker.clock()));
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
        let link = Link { conn: self.conn.clone(), stream: Some(progress) };
        dispatch(self.service.clone(), request, link)
    }
}

/// Runs hyper's streams as tasks of the connection's worker.
#[derive(Clone)]
struct Spawner {
    conn: Arc<Conn>,
    next: NextStream,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, stream: F) {
        let progress = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What comes without a request is the tunnel that a stream has become.
        let tunnel = progress.is_none().then(|| Tunnel::new(self.conn.clone()));
        let worker = &self.conn.worker;
        // Frames stay with the connection; what makes them can run where there is room.
        let guest = self.conn.is_busy().then(|| worker.with_room()).flatten();
        let guest = guest.map(|other| Guest::new(worker, &other));
        let conn = self.conn.clone();
        let task = StreamTask { stream, conn, progress, begun: false, tunnel, guest };
        match &task.guest {
            Some(Guest { at, .. }) => at.clone().spawn(task),
            None => worker.spawn(task),
        }
    }
}

pin_project_lite::pin_project! {
    /// A stream that is given up when its peer does not take the response.
    struct StreamTask<F> {
        #[pin]
        stream: F,
        conn: Arc<Conn>,
        progress: Option<Arc<Progress>>,
        begun: bool,
        tunnel: Option<Tunnel>,
        guest: Option<Guest>,
    }
}

/// A stream that runs on another worker than its connection: it is in flight there.
struct Guest {
    at: Arc<Worker>,
    home: Arc<Worker>,
}

impl Guest {
    fn new(home: &Arc<Worker>, at: &Arc<Worker>) -> Self {
        home.load().request_ended();
        at.load().request_begins();
        Self { at: at.clone(), home: home.clone() }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.at.load().request_ended();
        self.home.load().request_begins();
    }
}

/// Counts a tunnel as open: its exchange has ended with the response's head.
struct Tunnel(Arc<Conn>);

impl Tunnel {
    fn new(conn: Arc<Conn>) -> Self {
        conn.exchange_begins();
        Self(conn)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if self.0.exchange_ended() {
            self.0.progress.set(Wait::Peer, self.0.options.timeouts.idle);
        }
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Some(progress) = this.progress {
            if !*this.begun {
                *this.begun = true;
                progress.wakes(cx.waker());
            }
            if progress.any_passed() {
                this.conn.hurries(progress);
                if progress.passed(Wait::Write) {
                    this.conn.gives_up();
                    // Dropping the stream resets it.
                    return Poll::Ready(());
                }
                progress.judge_request();
            }
        }
        this.stream.poll(cx)
    }
}
