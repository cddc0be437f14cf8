//! The server under test: on a port of its own, in this process, with an application that does
//! what the path says and a probe that tells what became of its requests.

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use ripstop::{
    Body, BoxError, Handler, Listen, ListenerOptions, Options, Running, Server, Timeouts,
};
use ripstop_testkit::{Client, until};
use std::{
    future::poll_fn,
    net::SocketAddr,
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::Semaphore;
use tower::service_fn;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A deadline that is to pass. What a test does meanwhile takes far less, also on a busy machine.
pub(crate) const SHORT: Duration = Duration::from_millis(500);

/// A deadline that must not pass while something goes on step by step, in pauses of [`STEP`].
pub(crate) const LONG: Duration = Duration::from_secs(2);

/// Eight of them take longer than [`LONG`], so it must be counted anew.
pub(crate) const STEP: Duration = Duration::from_millis(300);

/// For how long nothing has to happen to count as nothing.
pub(crate) const QUIET: Duration = Duration::from_millis(50);

/// The size of a piece of `/stream`.
pub(crate) const PIECE: usize = 64 << 10;

/// The size of `/large` and of `/in-two`.
pub(crate) const LARGE: usize = 8 << 20;

/// Any body.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// What a handler of the tests ends with.
pub(crate) type Reply = Result<Response<AnyBody>, BoxError>;

/// A server that runs until the test ends.
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    pub(crate) probe: Probe,
    pub(crate) running: Running,
}

impl Site {
    /// Serves the application that most tests share, see [`app`].
    pub(crate) fn start(options: Options) -> Self {
        let probe = Probe::default();
        let seen = probe.clone();
        let service = service_fn(move |request| app(request, seen.clone()));
        Self { probe, ..Self::of(service, options) }
    }

    /// Serves the application with deadlines that `change` makes.
    pub(crate) fn with_timeouts(change: impl FnOnce(&mut Timeouts)) -> Self {
        let mut options = options();
        change(&mut options.timeouts);
        Self::start(options)
    }

    /// Serves a service of the test's own.
    pub(crate) fn of<S: Handler + Sync>(service: S, mut options: Options) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        // Silent clients are not to be held back by the kernel.
        let listener = ListenerOptions { address, defer_accept: None, ..Default::default() };
        options.listen.push(Listen { listener, ..Listen::default() });
        let running = Server::with_options(service, options).start().unwrap();
        let addr = running.addresses()[0].1.to_string().parse().unwrap();
        Self { addr, probe: Probe::default(), running }
    }

    pub(crate) fn client(&self) -> Client {
        Client::tcp(self.addr).unwrap()
    }

    /// That the server still serves others.
    #[track_caller]
    pub(crate) fn assert_serves(&self) {
        assert_eq!(self.client().get("/").unwrap().text(), "hello");
    }
}

/// The options of most tests: one worker with one spare, so that a server costs little.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.workers.workers = NonZeroUsize::MIN;
    options.workers.spares = 1;
    options
}

/// What became of the requests that reached the handler, and what it waits for.
#[derive(Clone)]
pub(crate) struct Probe(Arc<Counts>);

struct Counts {
    begun: AtomicUsize,
    finished: AtomicUsize,
    dropped: AtomicUsize,
    produced: AtomicUsize,
    leave: Semaphore,
}

impl Default for Probe {
    fn default() -> Self {
        let zero = || AtomicUsize::new(0);
        Self(Arc::new(Counts {
            begun: zero(),
            finished: zero(),
            dropped: zero(),
            produced: zero(),
            leave: Semaphore::new(0),
        }))
    }
}

impl Probe {
    /// How many handlers were called.
    pub(crate) fn begun(&self) -> usize {
        self.0.begun.load(SeqCst)
    }

    /// How many handlers came to their end.
    pub(crate) fn finished(&self) -> usize {
        self.0.finished.load(SeqCst)
    }

    /// How many handlers were dropped before their end.
    pub(crate) fn dropped(&self) -> usize {
        self.0.dropped.load(SeqCst)
    }

    /// How many bytes the endless bodies made.
    pub(crate) fn produced(&self) -> usize {
        self.0.produced.load(SeqCst)
    }

    /// Lets one handler that waits go on.
    pub(crate) fn release(&self) {
        self.0.leave.add_permits(1);
    }

    #[track_caller]
    pub(crate) fn await_begun(&self, count: usize) {
        assert!(until(PATIENCE, || self.begun() == count), "{} begun", self.begun());
    }

    #[track_caller]
    pub(crate) fn await_finished(&self, count: usize) {
        assert!(until(PATIENCE, || self.finished() == count), "{} finished", self.finished());
    }

    #[track_caller]
    pub(crate) fn await_dropped(&self, count: usize) {
        assert!(until(PATIENCE, || self.dropped() == count), "{} dropped", self.dropped());
    }

    /// A handler or a body begins; it counts as dropped unless it leaves.
    pub(crate) fn enter(&self) -> Visit {
        self.0.begun.fetch_add(1, SeqCst);
        Visit { probe: self.clone(), left: false }
    }

    /// Waits until the test releases it.
    pub(crate) async fn released(&self) {
        self.0.leave.acquire().await.expect("never closed").forget();
    }
}

/// A handler at work.
pub(crate) struct Visit {
    probe: Probe,
    left: bool,
}

impl Visit {
    pub(crate) fn leave(mut self) {
        self.left = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let counts = &self.probe.0;
        let count = if self.left { &counts.finished } else { &counts.dropped };
        count.fetch_add(1, SeqCst);
    }
}

/// Does what the path says:
///
/// - `/echo` sends the body back when it has read all of it,
/// - `/mirror` while it reads it,
/// - `/ignore` answers without reading it,
/// - `/swallow` answers whatever happened to it,
/// - `/wait` answers when the test releases it,
/// - `/give-up` as well, when it has begun to read the body and dropped it,
/// - `/stream` sends bytes without end,
/// - `/large` sends eight MiB in one piece, `/in-two` in two,
/// - anything else is greeted.
async fn app(request: Request<Body>, probe: Probe) -> Reply {
    let visit = probe.enter();
    let reply = match request.uri().path() {
        "/echo" => whole(request.into_body().collect().await?.to_bytes()),
        "/mirror" => Ok(Response::new(request.into_body().map_err(Into::into).boxed_unsync())),
        "/ignore" => text("ignored"),
        "/swallow" => {
            let read = request.into_body().collect().await;
            text(if read.is_ok() { "read" } else { "swallowed" })
        }
        "/wait" => {
            probe.released().await;
            text("waited")
        }
        "/give-up" => {
            give_up(request.into_body()).await;
            probe.released().await;
            text("waited")
        }
        "/stream" => Ok(Response::new(endless(&probe))),
        "/large" => whole(Bytes::from(vec![b'x'; LARGE])),
        "/in-two" => Ok(Response::new(InTwo { sent: 0, paused: false }.boxed_unsync())),
        _ => text("hello"),
    };
    visit.leave();
    reply
}

/// Reads until there is nothing to read yet, and drops the body then.
async fn give_up(mut body: Body) {
    poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut body).poll_frame(cx) {}
        Poll::Ready(())
    })
    .await;
}

/// A response of `text`.
pub(crate) fn text(text: &'static str) -> Reply {
    whole(Bytes::from_static(text.as_bytes()))
}

fn whole(bytes: Bytes) -> Reply {
    Ok(Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync()))
}

/// Eight MiB, of which the first byte goes out alone, and which end with their last piece.
struct InTwo {
    sent: usize,
    paused: bool,
}

impl HttpBody for InTwo {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.sent == 1 && !std::mem::replace(&mut self.paused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let len = if self.sent == 0 { 1 } else { LARGE - self.sent };
        self.sent += len;
        Poll::Ready((len > 0).then(|| Ok(Frame::data(Bytes::from(vec![b'x'; len])))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == LARGE
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((LARGE - self.sent) as u64)
    }
}

/// Zeros, counted, for as long as somebody takes them; the body counts as a visit of its own.
fn endless(probe: &Probe) -> AnyBody {
    let visit = probe.enter();
    let piece = Bytes::from(vec![0; PIECE]);
    let pieces = stream::repeat_with(move || {
        visit.probe.0.produced.fetch_add(PIECE, SeqCst);
        Ok(Frame::data(piece.clone()))
    });
    StreamBody::new(pieces).boxed_unsync()
}
