//! The gate of a listener: who accepts, and which worker gets the connection.
//!
//! The right to accept is a *lease* that one worker holds at a time. The holder accepts until
//! nobody waits, and gives the lease on, by the placement policy, when it has taken sixteen
//! connections or when it is busy and another worker is idle. So in the common case a connection
//! is accepted where it is served, without a wake-up; a single connection is handed over only
//! when the balance is off. A lease whose holder is stuck is taken back and given to another.

#[cfg(test)]
mod tests;

use crate::{AcceptStep, Listener, Refusal, Reserve, Socket, reserve::UNAVAILABLE};
use pin_project_lite::pin_project;
use ripstop_balance::{Load, Placement, Placer, spill};
use ripstop_work::{Worker, Workers};
use std::{
    future::{Future, poll_fn},
    io::ErrorKind,
    os::fd::{AsFd, AsRawFd, RawFd},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{Notify, watch},
};

/// How many connections one lease is good for.
const LEASE: usize = 16;

/// How many of those who wait are taken when a gate closes, at most: the default of the kernel for
/// how many can wait.
const LAST: usize = 4096;

/// How long accepting pauses when the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a holder waits that cannot join the reactor yet.
const JOIN_PAUSE: Duration = Duration::from_millis(1);

/// What becomes of an accepted connection.
pub trait Reception: Send + Sync + 'static {
    /// Whether there is a place for `socket`, which is given back then; else it was refused.
    /// Called as it is accepted, by a task of `worker`: must neither wait nor block.
    fn let_in(&self, socket: Socket, worker: &Worker) -> Option<Socket>;

    /// A client was turned away, since no descriptor was free.
    fn out_of_descriptors(&self);

    /// Serves `socket` to its end, as a task of `worker`.
    fn receive(
        &self,
        socket: Socket,
        worker: &Arc<Worker>,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// A listener that is being accepted on.
#[derive(Debug)]
pub struct Gate<R> {
    listener: Listener,
    reception: R,
    workers: Arc<Workers>,
    lease: Mutex<Lease>,
    /// Rung when the lease was taken back or the gate closed.
    recalled: Notify,
    reserve: Mutex<Reserve>,
    /// Says that the answer to a client in clear text makes sense.
    plain: bool,
    /// Out of descriptors, and said so.
    pausing: AtomicBool,
    /// Goes after the listener, since it comes after it, and so tells that it is closed.
    open: watch::Sender<()>,
}

#[derive(Debug)]
struct Lease {
    placer: Placer,
    /// Grows with each grant; a holder whose number is not this one holds nothing any more.
    number: u64,
    /// `None` before the first grant.
    holder: Option<Arc<Worker>>,
    closed: bool,
}

impl<R: Reception> Gate<R> {
    /// Begins to accept. `plain`: the listener's clients speak HTTP without TLS.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left for the reserve.
    pub fn open(
        listener: Listener,
        reception: R,
        workers: Arc<Workers>,
        placement: Placement,
        plain: bool,
    ) -> std::io::Result<Arc<Self>> {
        let seed = u64::from(std::process::id()) << 16 | listener.as_fd().as_raw_fd() as u64;
        let placer = Placer::new(placement, seed);
        let gate = Arc::new(Self {
            listener,
            reception,
            workers,
            lease: Mutex::new(Lease { placer, number: 0, holder: None, closed: false }),
            recalled: Notify::new(),
            reserve: Mutex::new(Reserve::new()?),
            plain,
            pausing: AtomicBool::new(false),
            open: watch::Sender::new(()),
        });
        gate.give(|_| true);
        Ok(gate)
    }

    /// The listener behind the gate.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Stops accepting. Connections that were accepted go on, and those that wait already are
    /// taken, as far as the clients know they are connected. The listener itself closes when the
    /// last reference to the gate is gone, of which the worker that accepts has one.
    pub fn close(&self) {
        self.lock().closed = true;
        self.recalled.notify_waiters();
    }

    /// Waits until the listener is closed, without a reference to the gate.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<R> {
        let mut open = self.open.subscribe();
        async move {
            // Nothing is ever sent: what ends the wait is the end of the sender.
            let _ = open.changed().await;
        }
    }

    /// Takes the lease back if its holder is stuck or has been replaced, and gives it to another
    /// worker. To be called again where all others are stuck too.
    pub fn recall_from_stuck(self: &Arc<Self>) {
        if self.is_held_up() && self.give(|next| !is_stuck(next)) {
            log::warn!(listener:% = self.listener.name(); "accepting is taken from a stuck worker");
            self.recalled.notify_waiters();
        }
    }

    fn is_held_up(&self) -> bool {
        let workers = self.workers.list();
        let is_there = |holder| workers.iter().any(|worker| Arc::ptr_eq(worker, holder));
        let lease = self.lock();
        lease.holder.as_ref().is_some_and(|holder| is_stuck(holder) || !is_there(holder))
    }

    /// Gives the lease to the worker that the policy names, if `wanted` agrees with it. Returns
    /// whether it did.
    fn give(self: &Arc<Self>, wanted: impl FnOnce(&Worker) -> bool) -> bool {
        let workers = self.workers.list();
        let loads: Vec<_> = workers.iter().map(|worker| worker.load().snapshot()).collect();
        let mut lease = self.lock();
        let next = lease.placer.place(&loads).map(|next| &workers[next]);
        let Some(next) = next.filter(|next| wanted(next)) else {
            return false;
        };
        lease.number += 1;
        lease.holder = Some(next.clone());
        let number = lease.number;
        // The next holder looks at the lease at once: where it takes this thread's processor, it
        // would wait for the lock that this thread cannot release.
        drop(lease);
        next.spawn_service(hold(self.clone(), next.clone(), number));
        true
    }

    fn holds(&self, number: u64) -> bool {
        let lease = self.lock();
        !lease.closed && lease.number == number
    }

    fn lock(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_stuck(worker: &Worker) -> bool {
    worker.load().snapshot().stuck
}

/// Accepts for as long as the lease is held.
async fn hold<R: Reception>(gate: Arc<Gate<R>>, me: Arc<Worker>, number: u64) {
    let Some(listening) = join(&gate, number).await else {
        return gate.take_the_last(&me, number);
    };
    let mut taken = 0;
    while gate.holds(number) {
        let recalled = gate.recalled.notified();
        if !gate.holds(number) {
            break;
        }
        let mut ready = tokio::select! {
            ready = listening.readable() => match ready {
                Ok(ready) => ready,
                Err(_) => return,
            },
            () = recalled => continue,
        };
        let before = taken;
        match gate.accept_some(&me, LEASE.saturating_sub(taken), &mut taken) {
            AcceptStep::WouldBlock => ready.clear_ready(),
            // Nothing but errors, which may well go on.
            AcceptStep::Retry if taken == before => tokio::time::sleep(PAUSE).await,
            AcceptStep::Retry => {}
            AcceptStep::OutOfDescriptors => gate.turn_away().await,
            AcceptStep::Closed => return gate.close(),
        }
        if gate.passes_on(&me, taken) {
            return;
        }
        if taken >= LEASE {
            taken = 0;
        }
        // The connections just accepted are tasks of this worker: let them run.
        yield_once().await;
    }
    gate.take_the_last(&me, number);
}

/// Joins the reactor, as soon as that can be while the lease is held: an earlier holder may still be
/// there, for another thread of the worker has yet to end its task.
async fn join<R: Reception>(gate: &Arc<Gate<R>>, number: u64) -> Option<AsyncFd<Watched<R>>> {
    let mut told = false;
    while gate.holds(number) {
        match watch(gate.clone()) {
            Ok(listening) => return Some(listening),
            Err(err) if err.kind() == ErrorKind::AlreadyExists || told => {}
            Err(err) => {
                told = true;
                log::error!(err:%, listener:% = gate.listener.name(); "cannot watch a listener");
            }
        }
        tokio::time::sleep(JOIN_PAUSE).await;
    }
    None
}

pin_project! {
    /// A connection that comes from outside. A thread takes such tasks in between its own, and may
    /// have one of these where a spare cannot get at it: that one goes first.
    struct Behind<F> {
        #[pin]
        connection: F,
        went: bool,
    }
}

impl<F: Future<Output = ()>> Future for Behind<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let behind = self.project();
        if std::mem::replace(behind.went, true) {
            return behind.connection.poll(cx);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Lets other tasks run. tokio's own `yield_now` keeps the task where a spare cannot get at it
/// if the next task blocks the thread; a plain wake-up puts it into the run queue.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Joins the reactor of the calling worker.
// Its successor is unsafe. What that asks for holds: the descriptor belongs to the gate, which the
// registration keeps alive.
#[expect(deprecated, reason = "the successor is unsafe")]
fn watch<R>(gate: Arc<Gate<R>>) -> std::io::Result<AsyncFd<Watched<R>>> {
    AsyncFd::with_interest(Watched(gate), Interest::READABLE)
}

impl<R: Reception> Gate<R> {
    /// Accepts up to `limit` connections; says why it stopped, `Retry` for the limit.
    fn accept_some(&self, me: &Arc<Worker>, limit: usize, taken: &mut usize) -> AcceptStep {
        for _ in 0..limit {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    *taken += 1;
                    self.pausing.store(false, Relaxed);
                    if let Some(socket) = self.reception.let_in(socket, me) {
                        self.place(me, socket);
                    }
                }
                Err(err) => match err.next_step() {
                    AcceptStep::Retry => {}
                    step => return step,
                },
            }
        }
        AcceptStep::Retry
    }

    /// Takes those who wait, if the lease of this number was the last one. Bounded, since more may
    /// come until the listener is closed.
    fn take_the_last(&self, me: &Arc<Worker>, number: u64) {
        let lease = self.lock();
        let is_last = lease.closed && lease.number == number;
        drop(lease);
        if is_last {
            self.accept_some(me, LAST, &mut 0);
        }
    }

    /// Starts a connection: here, unless the balance is off.
    fn place(&self, me: &Arc<Worker>, socket: Socket) {
        let workers = self.workers.list();
        let home = match &*workers {
            [_] => None,
            _ => spill(me.index(), &self.workers.loads()).and_then(|index| workers.get(index)),
        };
        let Some(worker) = home else {
            return me.spawn_connection(self.reception.receive(socket, me));
        };
        let connection = self.reception.receive(socket, worker);
        worker.spawn_connection(Behind { connection, went: false });
    }

    /// Gives the lease on if it is used up, or if another worker is idle and this one is not.
    fn passes_on(self: &Arc<Self>, me: &Worker, taken: usize) -> bool {
        if self.workers.list().len() == 1 {
            return false;
        }
        let me_idle = me.load().snapshot().is_idle();
        let better = || !me_idle && self.workers.loads().iter().any(Load::is_idle);
        (taken >= LEASE || better()) && self.give(|next| next.index() != me.index())
    }

    /// Out of descriptors: answers one client from the reserve, and waits for others to close.
    async fn turn_away(&self) {
        if !self.pausing.swap(true, Relaxed) {
            log::warn!(listener:% = self.listener.name(); "out of descriptors: accepting pauses");
        }
        let answer = if self.plain { UNAVAILABLE } else { b"" };
        let refusal = self
            .reserve
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .refuse(&self.listener, answer);
        match refusal {
            Refusal::Answered => self.reception.out_of_descriptors(),
            Refusal::NobodyWaited | Refusal::NoSpare => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The listener's descriptor, watched by the holder's reactor while it holds the lease.
struct Watched<R>(Arc<Gate<R>>);

impl<R> AsRawFd for Watched<R> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.listener.as_fd().as_raw_fd()
    }
}
