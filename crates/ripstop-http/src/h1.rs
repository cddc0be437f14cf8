//! The driver of an HTTP/1 connection: polls hyper, and does what hyper leaves undone.
//!
//! hyper reads requests and writes responses. The driver acts on deadlines, answers what never
//! becomes a request, and ends the connection: politely, with a reset, or as something else
//! (HTTP/2 by its preface, a tunnel).

use crate::{
    Refusal,
    conn::{Conn, Link, Reading, Switch},
    dispatch::dispatch,
    handler::{Handler, ResponseBody},
    handling::Handling,
    ledger::{Ledger, Paid},
    outgoing::Outgoing,
    progress::Wait,
    seam::Seam,
    wire::Wire,
};
use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::http1::{Builder, Connection},
    service::Service,
};
use ripstop_work::Ending;
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that hyper may buffer beyond the largest head.
const READ_AHEAD: usize = 8 << 10;

/// How long a connection that was refused is read on, so that the peer gets to see why.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes read at once meanwhile. Only the time is bounded: a client that sends all it has before
/// it reads gets to the answer, too.
const LINGER_PIECE: usize = 16 << 10;

/// How long a draining server waits for the first request of a connection.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// What an HTTP/1 connection ended as.
pub(crate) enum End<I> {
    /// It is over.
    Closed,
    /// It is idle, and leaves its task: for the worker of this index, or until it is used again.
    Rests(I, Option<usize>),
    /// It speaks HTTP/2; these bytes of it were read.
    Http2(Wire<I>, Bytes),
}

/// Serves HTTP/1 until the connection ends or turns out to be HTTP/2.
pub(crate) async fn serve<I, S>(wire: Wire<I>, conn: &Arc<Conn>, service: S) -> End<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Handler,
{
    let (io, ends) = wire.split();
    conn.progress.wakes(&poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
    let exchanges = Exchanges { service, conn: conn.clone() };
    let again = conn.reading() == Reading::Between;
    let seam = Seam::new(io, ends.poll_readable(), conn.clone(), again);
    let mut http = builder(conn).serve_connection(seam, exchanges);
    let ledger = Ledger::new(conn.has_moved);
    let mut way = Way { asked_to_end: false, parks: ends.parks(), ledger };
    let step = poll_fn(|cx| drive(Pin::new(&mut http), conn, &mut way, cx)).await;
    // The ends are on the heap, as far as they wait: here they would be a part of every
    // connection's task.
    if let Step::Switch = step {
        Box::pin(switch(http, conn)).await;
        return End::Closed;
    }
    let parts = http.into_parts();
    let (io, kept) = parts.io.into_parts();
    let wire = ends.of(io);
    match step {
        Step::Lost => {}
        Step::Rest(to) if kept.is_empty() && is_nothing(&parts.read_buf) => {
            return End::Rests(wire.io, to);
        }
        // Cannot be: it rested, and whoever goes on with it would begin in the middle of a request.
        Step::Rest(_) => wire.reset(),
        Step::Http2 => return End::Http2(wire, kept.freeze()),
        Step::Finished => {
            let read_whole = conn.reading() == Reading::Between
                && kept.is_empty()
                && parts.read_buf.is_empty()
                && !conn.refused.load(Relaxed);
            finish(wire, read_whole).await;
        }
        Step::Answered => Box::pin(linger(wire)).await,
        Step::Refuse(refusal) => Box::pin(refuse(wire, refusal)).await,
        Step::Abort | Step::Switch => wire.reset(),
    }
    End::Closed
}

/// Whether nothing was read of a next request: empty lines before it mean nothing (RFC 9112 section
/// 2.2).
fn is_nothing(read: &[u8]) -> bool {
    read.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

fn builder(conn: &Conn) -> Builder {
    let limits = &conn.options.limits;
    let mut builder = Builder::new();
    // Not `pipeline_flush`: it copies every body, buffers without a bound, and holds a response
    // back while a part of the next head is there.
    builder.header_read_timeout(None).max_buf_size(limits.head + READ_AHEAD);
    if limits.fields > HYPER_FIELDS {
        builder.max_headers(limits.fields);
    }
    builder
}

/// Up to this many fields hyper parses without allocating.
const HYPER_FIELDS: usize = 100;

/// What to do with the connection next.
enum Step {
    /// hyper is done with it.
    Finished,
    /// hyper has refused a head that the guard let pass, and told the peer.
    Answered,
    /// It failed, or the peer does not take what it is sent.
    Abort,
    /// Answer this and close.
    Refuse(Refusal),
    /// It speaks HTTP/2.
    Http2,
    /// It becomes a tunnel.
    Switch,
    /// It leaves its task, being idle, for the worker of this index or until it is used again.
    Rest(Option<usize>),
    /// Somebody else has it.
    Lost,
}

/// What the driver remembers.
struct Way {
    /// hyper was told that no further request is wanted.
    asked_to_end: bool,
    /// The connection can leave its task.
    parks: bool,
    /// What it costs.
    ledger: Ledger,
}

/// Polls hyper between looks at the deadlines before and at the reading side after.
fn drive<I, S>(
    mut http: Pin<&mut Connection<Seam<I>, Exchanges<S>>>,
    conn: &Conn,
    way: &mut Way,
    cx: &mut Context<'_>,
) -> Poll<Step>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Handler,
{
    if conn.progress.any_passed() || conn.worker.ending() != Ending::NotYet {
        if let Some(step) = heed_deadlines(conn, way) {
            return Poll::Ready(step);
        }
        if !way.asked_to_end && ends_soon(conn) {
            if !conn.resumes() {
                return Poll::Ready(Step::Lost);
            }
            way.asked_to_end = true;
            http.as_mut().graceful_shutdown();
        }
    }
    let paid = Paid::begin(conn.worker.load());
    let mut polled = http.as_mut().poll(cx);
    if polled.is_pending() && conn.begins_end_watch() {
        polled = http.as_mut().poll(cx);
    }
    way.ledger.pay(&paid);
    if conn.is_lost() {
        return Poll::Ready(Step::Lost);
    }
    if let Poll::Ready(outcome) = polled {
        return Poll::Ready(ended(outcome));
    }
    match conn.switch() {
        Switch::Wanted => return Poll::Ready(Step::Switch),
        Switch::Stay if conn.reading() == Reading::Held => {
            // What stood behind the request can be read now, and nothing else tells hyper so.
            conn.set_reading(Reading::Body);
            cx.waker().wake_by_ref();
        }
        _ => {}
    }
    if conn.is_at_rest() { at_rest(conn, way, &paid) } else { Poll::Pending }
}

/// What follows from how hyper ended.
fn ended(outcome: hyper::Result<()>) -> Step {
    match outcome {
        Ok(()) => Step::Finished,
        Err(err) => {
            log::debug!(err:%; "an HTTP/1 connection failed");
            if err.is_parse() { Step::Answered } else { Step::Abort }
        }
    }
}

/// Whether the connection should end after the request it is at.
fn ends_soon(conn: &Conn) -> bool {
    let draining = conn.ending() >= Ending::AfterRequest;
    if conn.reading() == Reading::Fresh && draining {
        // Its first request may be on its way: it is answered if it comes at once.
        conn.progress.set_sooner(Wait::Peer, DRAIN_PATIENCE);
        return false;
    }
    draining || conn.progress.passed(Wait::Age)
}

/// Acts on deadlines that have passed.
fn heed_deadlines(conn: &Conn, way: &Way) -> Option<Step> {
    let progress = &conn.progress;
    conn.hurries(progress);
    let gives_way = gives_way(conn, way);
    let (silent, at_once) = (progress.passed(Wait::Peer), conn.ending() == Ending::AtOnce);
    let cut = progress.passed(Wait::Write) || at_once;
    if silent && !cut && way.may_park(conn) {
        return Some(Step::Rest(None));
    }
    // What others may take is not touched before it is ours.
    if (cut || silent || gives_way) && conn.owes_nothing() && !conn.resumes() {
        return Some(Step::Lost);
    }
    if cut {
        conn.gives_up();
        return Some(Step::Abort);
    }
    if !conn.owes_nothing() {
        progress.judge_request();
    } else if gives_way {
        conn.worker.thrift().closes();
        return Some(Step::Finished);
    } else if conn.is_at_rest() && silent {
        return Some(match conn.reading() {
            Reading::Head => Step::Refuse(Refusal::PeerTimeout),
            _ => Step::Finished,
        });
    }
    None
}

/// Whether the connection is closed to save memory: it is idle for too long, and cannot be parked.
fn gives_way(conn: &Conn, way: &Way) -> bool {
    let idle = conn.is_at_rest() && conn.is_between();
    idle && way.parks_in(conn).is_none() && conn.gives_way()
}

/// No request is handled: what the reading side waits for.
fn at_rest(conn: &Conn, way: &Way, paid: &Paid) -> Poll<Step> {
    if conn.moves_on() && !way.asked_to_end {
        // It stays at rest for others, in whose hands it is next.
        conn.rests();
        return Poll::Ready(Step::Rest(None));
    }
    if let Some(to) = way.moves(conn, paid) {
        return Poll::Ready(Step::Rest(Some(to)));
    }
    conn.rests();
    match conn.reading() {
        Reading::Preface => return Poll::Ready(Step::Http2),
        Reading::Refused(refusal) => return Poll::Ready(Step::Refuse(refusal)),
        Reading::Between => {
            let parks_in = way.parks_in(conn);
            conn.progress.set_if_clear(Wait::Peer, parks_in.or(conn.options.timeouts.idle));
            if parks_in.is_some() && conn.worker.parks_soon() {
                // At the next tick: one that is used all the time never pays for it.
                conn.progress.set_sooner(Wait::Peer, Duration::ZERO);
            }
        }
        // It began while the request before it was handled: its time runs from now.
        Reading::Head => {
            conn.progress.set_if_clear(Wait::Peer, conn.options.timeouts.header);
        }
        _ => {}
    }
    Poll::Pending
}

impl Way {
    /// How long the connection may be idle before it leaves its task; `None` where it stays until
    /// it is closed.
    fn parks_in(&self, conn: &Conn) -> Option<Duration> {
        let timeouts = &conn.options.timeouts;
        let park = timeouts.park.filter(|_| self.parks && !self.asked_to_end)?;
        timeouts.idle.is_none_or(|idle| park < idle).then_some(park)
    }

    /// Whether the connection, idle for its time, can leave its task.
    fn may_park(&self, conn: &Conn) -> bool {
        let at_rest = conn.is_at_rest() && conn.reading() == Reading::Between;
        at_rest && self.parks_in(conn).is_some()
    }

    /// The worker that the connection should go on with, if it can and this one has too much to do.
    fn moves(&self, conn: &Conn, paid: &Paid) -> Option<usize> {
        let can = self.parks && !self.asked_to_end && conn.is_between() && !conn.is_resting();
        can.then(|| self.ledger.moves(paid, conn.worker.load())).flatten()
    }
}

/// Ends a connection that hyper is done with.
async fn finish<I: AsyncRead + AsyncWrite + Unpin>(mut wire: Wire<I>, read_whole: bool) {
    if !read_whole {
        Box::pin(linger(wire)).await;
    } else if !wire.ends_by_close {
        // A peer that has gone does not get to know that it was told.
        let _ = tokio::time::timeout(LINGER, wire.io.shutdown()).await;
    }
}

/// Answers and ends a connection on which no request is being handled.
async fn refuse<I: AsyncRead + AsyncWrite + Unpin>(mut wire: Wire<I>, refusal: Refusal) {
    let answer = refusal.bytes();
    if let Ok(Ok(())) = tokio::time::timeout(LINGER, wire.io.write_all(&answer)).await {
        linger(wire).await;
    }
}

/// Ends the writing side, and reads on for a while: closing with bytes unread would reset the
/// connection, and the peer might never see the answer.
async fn linger<I: AsyncRead + AsyncWrite + Unpin>(mut wire: Wire<I>) {
    let drain = async {
        wire.io.shutdown().await?;
        let mut buf = vec![0; LINGER_PIECE];
        while wire.io.read(&mut buf).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whatever comes of it, the connection is over.
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// Goes on with a connection that becomes a tunnel when its response is written.
async fn switch<I, S>(http: Connection<Seam<I>, Exchanges<S>>, conn: &Conn)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Handler,
{
    conn.set_switch(Switch::Tunnel);
    let mut http = http.with_upgrades();
    let outcome = poll_fn(|cx| {
        if conn.progress.any_passed() && conn.progress.passed(Wait::Write) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut http).poll(cx)
    });
    if let Err(err) = outcome.await {
        log::debug!(err:%; "a connection failed while it became a tunnel");
    }
}

/// hyper's service: begins an exchange for each request.
pub(crate) struct Exchanges<S> {
    service: S,
    conn: Arc<Conn>,
}

impl<S: Handler> Service<Request<Incoming>> for Exchanges<S> {
    type Response = Response<Outgoing<ResponseBody<S>>>;
    type Error = Infallible;
    type Future = Handling<S, ResponseBody<S>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.conn.progress.forget_verdict();
        self.conn.progress.clear(Wait::Peer);
        self.conn.set_switch(Switch::Undecided);
        let link = Link { conn: self.conn.clone(), stream: None };
        dispatch(self.service.clone(), request, link)
    }
}
