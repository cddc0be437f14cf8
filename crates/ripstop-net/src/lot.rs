//! Lots: where connections are that have been idle for a while.
//!
//! A parked connection is no task and has no registration in tokio. All that remains of it is its
//! claim, and an entry in its worker's lot: an epoll instance that the worker's reactor watches as
//! one descriptor, and that another worker can watch instead when this one is stuck. Only TLS
//! leaves more behind, its session. What a connection becomes when bytes come is left to a
//! [`Readmission`].

mod handover;
mod resume;

pub use handover::{HandedOver, TakenOver};
pub use resume::Home;

use crate::{gate::yield_once, limits::Ticket, socket::Socket, stream::Stream, tls::TlsStream};
use arc_swap::ArcSwap;
use handover::Handover;
use ripstop_survive::{Claim, Claims, Facts, Resting, Tick, claims};
use ripstop_work::{Worker, Workers};
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
};
use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, OwnedFd, RawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
};

/// Connections that are taken out of a lot at once.
const BATCH: usize = 64;

/// What becomes of a connection that wakes up, by its listener.
pub trait Readmission: Send + Sync + 'static {
    /// Serves it again, as a task of `worker`.
    fn readmit(&self, stream: Stream, worker: &Arc<Worker>);

    /// The connections of the listener, among which parked ones keep their place.
    fn connections(&self) -> &Arc<crate::ListenerConnections>;

    /// How long one may be parked; `None` for ever.
    fn parked_max(&self) -> Option<Duration>;
}

/// The lots of all workers.
pub struct Lots {
    /// The number of the server: a process may have several, and has one table of claims.
    server: u16,
    lots: Vec<Lot>,
    listeners: ArcSwap<Listeners>,
    /// What becomes of those that come to rest.
    rule: ArcSwap<Rule>,
}

/// What becomes of connections that come to rest.
#[derive(Default)]
enum Rule {
    /// They are parked.
    #[default]
    Park,
    /// They are parked until they go to another process.
    HandOver(Handover),
    /// They stay with their tasks.
    Stay,
}

/// By the listeners' numbers; a number is given out again when nobody has a claim with it.
type Listeners = Vec<Option<Arc<dyn Readmission>>>;

/// The parked connections of one worker.
struct Lot {
    epoll: OwnedFd,
    /// How many there are; a part of the worker's load.
    parked: Arc<AtomicUsize>,
    /// Held while a connection goes into the lot, and by whoever empties it: between being parked
    /// and being watched a connection can be had by nobody.
    entering: Mutex<()>,
    /// Those under TLS, by their descriptors.
    sessions: Mutex<HashMap<RawFd, Session>>,
    /// The workers that watch it.
    watchers: Mutex<Vec<Arc<Worker>>>,
    /// Told when `watchers` has changed.
    changed: Notify,
}

/// A parked connection under TLS.
struct Session {
    stream: Box<TlsStream>,
    generation: u32,
    since: Tick,
}

/// A descriptor's number and the generation of its claim, as the kernel keeps them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    number: RawFd,
    generation: u32,
}

/// A parked connection that has something to say.
#[derive(Clone, Copy)]
struct Told {
    key: Key,
    /// Its client says nothing after that.
    ended: bool,
}

impl Key {
    fn to_data(self) -> EventData {
        EventData::new_u64(
            u64::from(self.generation) << 32 | u64::from(self.number.cast_unsigned()),
        )
    }

    fn of(claim: Claim) -> Self {
        Self { number: claim.number(), generation: claim.generation() }
    }

    fn from_data(data: EventData) -> Self {
        let data = data.u64();
        // Both halves, by truncations that are meant.
        Self { number: (data as u32).cast_signed(), generation: (data >> 32) as u32 }
    }
}

impl Lots {
    /// A lot for each worker, watched by it.
    ///
    /// # Errors
    ///
    /// When there is no descriptor for one.
    pub fn open(workers: &Workers) -> io::Result<Arc<Self>> {
        let list = workers.list();
        let parked = list.iter().map(|worker| worker.load().parked());
        let lots = parked.map(|parked| Lot::new(parked.clone())).collect::<io::Result<_>>()?;
        let listeners = ArcSwap::default();
        let (server, rule) = (number_of_server(), ArcSwap::default());
        let lots = Arc::new(Self { server, lots, listeners, rule });
        lots.look_after(workers);
        Ok(lots)
    }

    /// Gives a listener its number, by which the claims of its connections name it. `None` where
    /// there are too many: its connections are not claimed.
    pub fn enter(&self, readmission: &Arc<dyn Readmission>) -> Option<u16> {
        let mut number = None;
        self.listeners.rcu(|listeners| {
            let mut listeners = Listeners::clone(listeners);
            let free = listeners.iter().position(Option::is_none);
            let index = free.unwrap_or(listeners.len());
            number = u16::try_from(index).ok();
            if index == listeners.len() {
                listeners.push(None);
            }
            listeners[index] = Some(readmission.clone());
            listeners
        });
        number
    }

    /// Lets connections of the listener with this number go on otherwise from now on.
    pub fn replace(&self, number: u16, readmission: &Arc<dyn Readmission>) -> u16 {
        self.set(number, Some(readmission));
        number
    }

    /// Frees the number of a listener that is closed and has no connections any more.
    pub fn leave(&self, number: u16) {
        self.set(number, None);
    }

    fn set(&self, number: u16, readmission: Option<&Arc<dyn Readmission>>) {
        self.listeners.rcu(|listeners| {
            let mut listeners = Listeners::clone(listeners);
            listeners[usize::from(number)] = readmission.cloned();
            listeners
        });
    }

    /// Makes an accepted connection, of the listener with this number and of the worker with this
    /// index, known to others than its task. Without memory for claims it stays with its task.
    pub fn claim(&self, socket: &mut Socket, listener: u16, worker: usize) {
        socket.enter_claims(self.server, listener);
        socket.claim().inspect(|claim| claim.belongs_to(worker));
    }

    /// The connections at rest of the worker with this index.
    fn at_rest_of(&self, worker: usize) -> impl Iterator<Item = Resting> {
        self.all_at_rest().filter(move |at| usize::from(at.worker) == worker)
    }

    fn all_at_rest(&self) -> impl Iterator<Item = Resting> {
        let ours = |at: &Resting| at.facts.server == self.server;
        claims().into_iter().flat_map(Claims::at_rest).filter(ours)
    }

    /// How many connections in clear text are at rest, parked or not.
    pub fn at_rest(&self) -> usize {
        self.all_at_rest().count()
    }

    /// How many connections are parked.
    pub fn parked(&self) -> usize {
        self.lots.iter().map(|lot| lot.parked.load(Relaxed)).sum()
    }

    /// Parks a connection at rest in the lot of the worker with this index. By its claim it may be
    /// idle, so that it is not lost with the process for a moment; whoever has taken it keeps it.
    /// Gives it back where it has to stay with a task: it has no claim, or bytes that were
    /// read of it; or the lots are closed.
    #[must_use]
    pub fn park(&self, stream: Stream, worker: usize) -> Option<Stream> {
        let Some(lot) = self.lots.get(worker) else { return Some(stream) };
        let _entering = lock(&lot.entering);
        let rule = self.rule.load();
        match stream {
            stream if matches!(**rule, Rule::Stay) => Some(stream),
            Stream::Plain(socket) => {
                let back = lot.enter(socket, worker).map(Stream::Plain);
                if let Rule::HandOver(handover) = &**rule {
                    handover.sweep();
                }
                back
            }
            // Its session cannot go to another process.
            Stream::Tls(_) if matches!(**rule, Rule::HandOver(_)) => Some(stream),
            Stream::Tls(tls) => lot.enter_tls(tls, worker).map(Stream::Tls),
        }
    }

    /// Sees to it that each lot is watched: by its own worker, and while that is stuck by another
    /// one, too; and that the idle connections of those that are stuck or were replaced go on with
    /// one that is neither. To be called when workers drown or are replaced, and now and then.
    pub fn look_after(self: &Arc<Self>, workers: &Workers) {
        let list = workers.list();
        let is_stuck = |worker: &Arc<Worker>| worker.load().snapshot().stuck;
        let free = list.iter().find(|worker| !is_stuck(worker));
        for (index, lot) in self.lots.iter().enumerate() {
            let Some(own) = list.get(index) else { continue };
            let rescuer = free.filter(|_| is_stuck(own));
            let replaced = lot.was_of_another(own);
            let wanted = [Some(own), rescuer].into_iter().flatten().cloned().collect();
            for worker in lot.set_watchers(wanted) {
                worker.spawn_service(watch(self.clone(), index, worker.clone()));
            }
            if let Some(to) = rescuer.or(Some(own).filter(|_| replaced)) {
                let rescued = self.rescue(index, to);
                log::debug!(worker = index, rescued; "its idle connections go on elsewhere");
            }
        }
    }

    /// Takes the idle connections of the worker with this index that were not parked yet, for the
    /// worker `to`. Returns how many.
    fn rescue(&self, from: usize, to: &Arc<Worker>) -> usize {
        let Some(claims) = claims() else { return 0 };
        let idle = self.at_rest_of(from).filter(|at| !at.parked);
        let mut rescued = 0;
        for at in idle {
            // What is beyond the numbers of listeners is nobody's.
            let Some(stream) = self.take_away(claims, at) else { continue };
            rescued += 1;
            self.readmit(stream, to);
        }
        rescued
    }

    /// A connection that its task loses.
    fn take_away(&self, claims: &'static Claims, at: Resting) -> Option<Stream> {
        let (fd, facts) = claims.take(at.number, at.generation)?;
        let readmission = self.readmission(&facts)?;
        let claim = claims.begin(&fd, &Facts { counted: false, ..facts });
        let ticket = Ticket::second(readmission.connections().clone());
        Some(Stream::Plain(Socket::resumed(fd, claim, &facts, ticket)))
    }

    /// Closes the connections that have been parked for too long.
    pub fn sweep(&self) {
        let listeners = self.listeners.load();
        let of = |facts: &Facts| listeners.get(usize::from(facts.listener))?.as_ref();
        let too_long = |facts: &Facts, since: Tick, now: Tick| {
            let most = of(facts).and_then(|readmission| readmission.parked_max());
            most.is_some_and(|most| now.since(since) >= most)
        };
        self.close_where(too_long);
    }

    /// Closes those that have been parked for so long. Returns how many.
    pub fn close_idle(&self, idle: Duration) -> usize {
        self.close_where(|_, since, now| now.since(since) >= idle)
    }

    /// Closes all that are parked; from now on none is.
    pub fn close(&self) {
        self.rule.store(Arc::new(Rule::Stay));
        self.close_where(|_, _, _| true);
    }

    /// Closes the parked connections under TLS.
    fn close_sessions(&self) {
        let sessions = self.lots.iter().flat_map(|lot| lot.sessions_where(|_| true));
        sessions.for_each(Stream::close);
    }

    /// Closes those of which `goes` is true, by what is known of them, since when they are parked,
    /// and the time now. Returns how many.
    fn close_where(&self, goes: impl Fn(&Facts, Tick, Tick) -> bool) -> usize {
        if self.parked() == 0 {
            return 0;
        }
        let (now, mut closed) = (Tick::now(), 0);
        for (index, lot) in self.lots.iter().enumerate() {
            let entering = lock(&lot.entering);
            let mut out = Vec::new();
            for at in self.at_rest_of(index).filter(|at| at.parked) {
                if goes(&at.facts, at.since, now) {
                    out.extend(self.unpark(lot, at.number, at.generation));
                }
            }
            out.extend(lot.sessions_where(|session| {
                let facts = session.stream.socket().claim().map(Claim::facts);
                facts.is_some_and(|facts| goes(&facts, session.since, now))
            }));
            drop(entering);
            closed += out.len();
            out.into_iter().for_each(Stream::close);
        }
        closed
    }

    /// A connection out of its lot, for whoever is the first to want it.
    fn unpark(&self, lot: &Lot, number: RawFd, generation: u32) -> Option<Stream> {
        let (fd, claim) = claims()?.unpark(number, generation)?;
        lot.parked.fetch_sub(1, Relaxed);
        let (facts, worker) = (claim.facts(), claim.worker());
        let Some(ticket) = self.place(&facts) else {
            claim.free();
            return None;
        };
        let socket = Socket::resumed(fd, Some(claim), &facts, ticket);
        Some(Stream::Plain(socket.registered_in(worker)))
    }

    /// The place that a parked connection has kept; `None` if its listener is gone.
    fn place(&self, facts: &Facts) -> Option<Ticket> {
        let readmission = self.readmission(facts)?;
        let client = facts.peer.map(|peer| peer.ip()).filter(|_| facts.counted);
        Some(Ticket::kept(readmission.connections().clone(), client))
    }

    /// A connection that is at rest no longer goes on as a task of `worker`, unless its client has
    /// gone: then it needs none.
    fn wake(&self, lot: &Lot, Told { key, ended }: Told, worker: &Arc<Worker>) {
        let plain = self.unpark(lot, key.number, key.generation);
        match plain.or_else(|| lot.session(key)) {
            Some(stream) if ended && stream.is_over() => stream.close(),
            Some(stream) => self.readmit(stream, worker),
            None => {}
        }
    }

    /// Serves a connection that rested, as a task of `worker`.
    pub fn readmit(&self, stream: Stream, worker: &Arc<Worker>) {
        let facts = stream.claim().map(Claim::facts);
        if let Some(readmission) = facts.and_then(|facts| self.readmission(&facts)) {
            readmission.readmit(stream, worker);
        }
    }

    fn readmission(&self, facts: &Facts) -> Option<Arc<dyn Readmission>> {
        self.listeners.load().get(usize::from(facts.listener))?.clone()
    }
}

impl std::fmt::Debug for Lots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lots").field("parked", &self.parked()).finish_non_exhaustive()
    }
}

impl Lot {
    fn new(parked: Arc<AtomicUsize>) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            parked,
            entering: Mutex::default(),
            sessions: Mutex::default(),
            watchers: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Parks a connection in clear text, or gives it back.
    fn enter(&self, mut socket: Socket, worker: usize) -> Option<Socket> {
        let Some(claim) = socket.claim() else { return Some(socket) };
        if socket.has_read_ahead() || socket.leave_reactor().is_err() {
            return Some(socket);
        }
        let registered = socket.lot() == Some(worker);
        let watched =
            socket.fd().is_some_and(|fd| self.watch(fd, Key::of(claim), registered).is_ok());
        if !watched {
            return Some(socket);
        }
        claim.belongs_to(worker);
        self.parked.fetch_add(1, Relaxed);
        if let Err(lost) = socket.park() {
            self.parked.fetch_sub(1, Relaxed);
            self.forget(&lost);
        }
        None
    }

    /// Parks a connection under TLS, whose session has nothing to hand out or to send; or
    /// gives it back.
    fn enter_tls(&self, mut tls: Box<TlsStream>, worker: usize) -> Option<Box<TlsStream>> {
        let Some(claim) = tls.socket().claim() else { return Some(tls) };
        if !tls.is_at_rest() || tls.leave_reactor().is_err() {
            return Some(tls);
        }
        let (key, since) = (Key::of(claim), Tick::now());
        let watched = tls.socket().fd().is_some_and(|fd| self.watch(fd, key, false).is_ok());
        if !watched {
            return Some(tls);
        }
        claim.belongs_to(worker);
        self.parked.fetch_add(1, Relaxed);
        let session = Session { stream: tls, generation: key.generation, since };
        lock(&self.sessions).insert(key.number, session);
        None
    }

    /// Tells of the next bytes, or the end, of a connection once. What was told of before stays in
    /// the lot without being watched.
    fn watch(&self, fd: impl AsFd, key: Key, registered: bool) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ONESHOT;
        if !registered {
            match epoll::add(&self.epoll, &fd, key.to_data(), flags) {
                // It was here before it was elsewhere.
                Err(Errno::EXIST) => {}
                added => return Ok(added?),
            }
        }
        Ok(epoll::modify(&self.epoll, &fd, key.to_data(), flags)?)
    }

    /// Tells of nothing more of a descriptor, of which another process has a duplicate: closing it
    /// here would not end that.
    fn forget(&self, fd: impl AsFd) {
        // It may not be in the lot at all.
        let _ = epoll::delete(&self.epoll, fd);
    }

    fn session(&self, key: Key) -> Option<Stream> {
        let mut sessions = lock(&self.sessions);
        let is_meant = sessions.get(&key.number)?.generation == key.generation;
        let session = is_meant.then(|| sessions.remove(&key.number)).flatten()?;
        shrink(&mut sessions);
        self.parked.fetch_sub(1, Relaxed);
        Some(Stream::Tls(session.stream))
    }

    fn sessions_where(&self, mut goes: impl FnMut(&Session) -> bool) -> Vec<Stream> {
        let mut sessions = lock(&self.sessions);
        let gone: Vec<_> = sessions.extract_if(|_, session| goes(session)).collect();
        shrink(&mut sessions);
        self.parked.fetch_sub(gone.len(), Relaxed);
        gone.into_iter().map(|(_, session)| Stream::Tls(session.stream)).collect()
    }

    /// Whether the lot has had another worker than `own`.
    fn was_of_another(&self, own: &Arc<Worker>) -> bool {
        lock(&self.watchers).first().is_some_and(|watcher| !Arc::ptr_eq(watcher, own))
    }

    /// Sets who watches, the lot's own worker first; returns those who have yet to begin.
    fn set_watchers(&self, wanted: Vec<Arc<Worker>>) -> Vec<Arc<Worker>> {
        let mut watchers = lock(&self.watchers);
        let is_among =
            |one: &Arc<Worker>, all: &[Arc<Worker>]| all.iter().any(|w| Arc::ptr_eq(w, one));
        let new = wanted.iter().filter(|worker| !is_among(worker, &watchers)).cloned().collect();
        let goes = watchers.iter().any(|worker| !is_among(worker, &wanted));
        *watchers = wanted;
        if goes {
            self.changed.notify_waiters();
        }
        new
    }

    fn is_watched_by(&self, worker: &Arc<Worker>) -> bool {
        lock(&self.watchers).iter().any(|watcher| Arc::ptr_eq(watcher, worker))
    }

    /// The connections that have something to say, up to a batch of them.
    fn told(&self, into: &mut Vec<Told>) -> io::Result<()> {
        let nothing = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [nothing; BATCH];
        let no_time = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(&self.epoll, &mut events, Some(&no_time))?;
        into.clear();
        let ends = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let told = |event: &epoll::Event| Told {
            key: Key::from_data(event.data),
            // By a copy: the fields of an event are not aligned.
            ended: { event.flags }.intersects(ends),
        };
        into.extend(events[..count].iter().map(told));
        Ok(())
    }
}

/// A number for one more server of this process. After 65536 of them, one that has ended long ago
/// gives it.
fn number_of_server() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    NEXT.fetch_add(1, Relaxed)
}

/// Wakes connections of a lot as long as the worker is one of those who watch it.
async fn watch(lots: Arc<Lots>, index: usize, worker: Arc<Worker>) {
    let lot = &lots.lots[index];
    let watched = match lot.epoll.try_clone().and_then(join) {
        Ok(watched) => watched,
        Err(err) => {
            log::error!(err:%, worker = worker.index(); "cannot watch parked connections");
            return;
        }
    };
    let mut told = Vec::new();
    loop {
        let changed = lot.changed.notified();
        if !lot.is_watched_by(&worker) {
            return;
        }
        let mut ready = tokio::select! {
            ready = watched.readable() => match ready {
                Ok(ready) => ready,
                Err(_) => return,
            },
            () = changed => continue,
        };
        ready.clear_ready();
        while lot.told(&mut told).is_ok() && !told.is_empty() {
            // Whoever was just told of is parked when the one who parks it has left.
            drop(lock(&lot.entering));
            told.drain(..).for_each(|told| lots.wake(lot, told, &worker));
            yield_once().await;
        }
    }
}

// Its successor is unsafe. What that asks for holds: the registration owns the descriptor.
#[expect(deprecated, reason = "the successor is unsafe")]
fn join(epoll: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(epoll, Interest::READABLE)
}

/// A map that was large gives its memory back.
fn shrink(sessions: &mut HashMap<RawFd, Session>) {
    if sessions.capacity() > SHRINK_MIN.max(sessions.len() * 4) {
        let twice = sessions.len() * 2;
        sessions.shrink_to(twice);
    }
}

/// Sessions for which a map keeps its room.
const SHRINK_MIN: usize = 64;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these locks is held, so a poisoned state is a whole one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
