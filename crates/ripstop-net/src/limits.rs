//! How many connections there may be: in all, of a listener, of a client, and by memory.
//!
//! Owns the counts and the decision. Every accepted socket carries its [`Ticket`], which gives its
//! place back when the socket is gone, whatever it has become by then. What is told to a
//! connection for which there is no place is left to `reserve.rs`.
//!
//! A connection costs two counters at its beginning and at its end; a request none.

mod clients;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ripstop_balance::Client;

use crate::socket::Socket;
use clients::Clients;

/// How many connections there may be at once. A change holds for those that come from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// Of one client's address; of its /64 where that is IPv6. `None` counts no clients at all.
    pub per_client: Option<usize>,
}

/// Why there was no place for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There are as many as there may be in all.
    Total,
    /// The listener has as many as it may have.
    Listener,
    /// The client has as many as it may have.
    Client,
    /// Memory has reached its ceiling.
    Memory,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Total => "too many connections",
            Self::Listener => "too many connections of the listener",
            Self::Client => "too many connections of the client",
            Self::Memory => "too little memory",
        })
    }
}

impl std::error::Error for Full {}

/// The connections of a server, counted.
#[derive(Debug)]
pub struct Connections {
    /// Held below `total`.
    open: AtomicUsize,
    total: AtomicUsize,
    /// How many there may be while memory is short; else the largest number.
    room: AtomicUsize,
    accepted: AtomicU64,
    clients: Clients,
    refused: Refusals,
    denied: AtomicU64,
    /// Those that are listened on, or have connections.
    listeners: Mutex<Vec<Weak<ListenerConnections>>>,
}

/// The connections of one listener, counted.
#[derive(Debug)]
pub struct ListenerConnections {
    name: Arc<str>,
    open: AtomicUsize,
    max: AtomicUsize,
    accepted: AtomicU64,
    all: Arc<Connections>,
}

#[derive(Debug, Default)]
struct Refusals {
    total: AtomicU64,
    listener: AtomicU64,
    client: AtomicU64,
    memory: AtomicU64,
    descriptors: AtomicU64,
}

/// The connections of a server at one moment. The numbers are read one after the other, so that
/// they may differ by what happened in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Open now; tunnels such as WebSocket among them.
    pub open: usize,
    /// How many may be open.
    pub limit: usize,
    /// Accepted since the start, those among them that were refused or denied then.
    pub accepted: u64,
    /// Refused since the start.
    pub refused: RefusedCounts,
    /// Closed since the start, since their networks may not come.
    pub denied: u64,
    /// Clients that have connections; 0 while clients are not counted.
    pub clients: usize,
    /// The listeners, and those that are closed and still have connections.
    pub listeners: Vec<ListenerCounts>,
}

/// The connections of one listener at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerCounts {
    /// Its name.
    pub name: Arc<str>,
    /// Open now.
    pub open: usize,
    /// How many may be open, if it has a limit of its own.
    pub limit: Option<usize>,
    /// Accepted since it was opened, those among them that were refused then.
    pub accepted: u64,
}

/// Connections that were refused since the start, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedCounts {
    /// There were too many in all.
    pub total: u64,
    /// There were too many of their listener.
    pub listener: u64,
    /// There were too many of their client.
    pub client: u64,
    /// Memory had reached its ceiling.
    pub memory: u64,
    /// No descriptor was free.
    pub descriptors: u64,
}

impl RefusedCounts {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.total + self.listener + self.client + self.memory + self.descriptors
    }
}

impl Connections {
    /// No connections yet.
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            total: AtomicUsize::new(limits.total),
            room: AtomicUsize::new(usize::MAX),
            accepted: AtomicU64::new(0),
            clients: Clients::new(limits.per_client),
            refused: Refusals::default(),
            denied: AtomicU64::new(0),
            listeners: Mutex::default(),
        })
    }

    /// Sets the limits for those that come from now on. Clients whose connections began while
    /// clients were not counted have those free.
    pub fn limit(&self, limits: ConnectionLimits) {
        self.total.store(limits.total, Relaxed);
        self.clients.limit(limits.per_client);
    }

    /// Sets how many there may be while memory is short; `None` while it is not. It may be passed by
    /// as many as there are accepting threads.
    pub fn leave_room(&self, room: Option<usize>) {
        self.room.store(room.unwrap_or(usize::MAX), Relaxed);
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// One more listener; `max` as in [`ListenerConnections::limit`].
    pub fn listener(
        self: &Arc<Self>,
        name: Arc<str>,
        max: Option<usize>,
    ) -> Arc<ListenerConnections> {
        let listener = Arc::new(ListenerConnections {
            name,
            open: AtomicUsize::new(0),
            max: AtomicUsize::new(max.unwrap_or(usize::MAX)),
            accepted: AtomicU64::new(0),
            all: self.clone(),
        });
        let mut listeners = self.listeners();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&listener));
        listener
    }

    /// How many there are now.
    pub fn counts(&self) -> ConnectionCounts {
        let listeners: Vec<_> = self.listeners().iter().filter_map(Weak::upgrade).collect();
        ConnectionCounts {
            open: self.open.load(Relaxed),
            limit: self.total.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.counts(),
            denied: self.denied.load(Relaxed),
            clients: self.clients.len(),
            listeners: listeners.iter().map(|listener| listener.counts()).collect(),
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<ListenerConnections>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ListenerConnections {
    /// What the listener is called.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether none of its connections is open.
    pub fn is_empty(&self) -> bool {
        self.open.load(Relaxed) == 0
    }

    /// How many of its connections may be open; `None` leaves that to the limit of the whole.
    pub fn limit(&self, max: Option<usize>) {
        self.max.store(max.unwrap_or(usize::MAX), Relaxed);
    }

    /// Gives `socket` its place, which it has as long as it lives; it must have none yet.
    ///
    /// # Errors
    ///
    /// There is none: the connection is to be refused, and has been counted as such.
    pub fn admit(self: &Arc<Self>, socket: &mut Socket) -> Result<(), Full> {
        socket.ticket = Some(self.ticket()?);
        Ok(())
    }

    /// A client was turned away since no descriptor was free.
    pub fn out_of_descriptors(&self) {
        self.accepted();
        self.all.refused.descriptors.fetch_add(1, Relaxed);
    }

    /// The client of `socket` may not come.
    pub fn denied(&self, socket: &Socket) {
        if socket.ticket.is_none() {
            self.accepted();
        }
        self.all.denied.fetch_add(1, Relaxed);
    }

    fn ticket(self: &Arc<Self>) -> Result<Ticket, Full> {
        self.accepted();
        let all = &*self.all;
        if all.open() >= all.room.load(Relaxed) {
            return Err(all.refused.count(Full::Memory));
        }
        if !take_place(&all.open, &all.total) {
            return Err(all.refused.count(Full::Total));
        }
        if !take_place(&self.open, &self.max) {
            all.open.fetch_sub(1, Relaxed);
            return Err(all.refused.count(Full::Listener));
        }
        Ok(Ticket { listener: Some(self.clone()), client: None })
    }

    fn accepted(&self) {
        self.all.accepted.fetch_add(1, Relaxed);
        self.accepted.fetch_add(1, Relaxed);
    }

    fn counts(&self) -> ListenerCounts {
        let max = self.max.load(Relaxed);
        ListenerCounts {
            name: self.name.clone(),
            open: self.open.load(Relaxed),
            limit: (max < usize::MAX).then_some(max),
            accepted: self.accepted.load(Relaxed),
        }
    }
}

/// Counts one more, unless there are `max` already.
fn take_place(open: &AtomicUsize, max: &AtomicUsize) -> bool {
    let max = max.load(Relaxed);
    open.fetch_update(AcqRel, Relaxed, |open| (open < max).then_some(open + 1)).is_ok()
}

impl Refusals {
    fn count(&self, full: Full) -> Full {
        let counter = match full {
            Full::Total => &self.total,
            Full::Listener => &self.listener,
            Full::Client => &self.client,
            Full::Memory => &self.memory,
        };
        counter.fetch_add(1, Relaxed);
        full
    }

    fn counts(&self) -> RefusedCounts {
        RefusedCounts {
            total: self.total.load(Relaxed),
            listener: self.listener.load(Relaxed),
            client: self.client.load(Relaxed),
            memory: self.memory.load(Relaxed),
            descriptors: self.descriptors.load(Relaxed),
        }
    }
}

impl Socket {
    /// Takes a place among the connections of its client, by its address as it is known now; does
    /// so for a socket once. Without an address (a Unix peer), and before it was admitted, nothing
    /// is counted.
    ///
    /// # Errors
    ///
    /// There is none: the connection is to be refused, and has been counted as such.
    pub fn admit_client(&mut self) -> Result<(), Full> {
        match (self.peer_addr(), &mut self.ticket) {
            (Some(peer), Some(ticket)) => ticket.admit_client(peer.ip()),
            _ => Ok(()),
        }
    }
}

/// The place of one connection, given back on drop.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// `None` after the place was left behind.
    listener: Option<Arc<ListenerConnections>>,
    client: Option<Client>,
}

impl Ticket {
    /// The place that a connection kept which was at rest: of `client` too, if it is counted there.
    pub(crate) fn kept(listener: Arc<ListenerConnections>, client: Option<IpAddr>) -> Self {
        Self { listener: Some(listener), client: client.map(Client::of) }
    }

    /// One more place for a connection that has two descriptors for a while, whatever the limits.
    pub(crate) fn second(listener: Arc<ListenerConnections>) -> Self {
        listener.all.open.fetch_add(1, AcqRel);
        listener.open.fetch_add(1, AcqRel);
        Self { listener: Some(listener), client: None }
    }

    /// Leaves the place to a connection that goes to rest, for [`Ticket::kept`].
    pub(crate) fn leave_behind(mut self) {
        (self.listener, self.client) = (None, None);
    }

    /// Whether the connection is counted among those of its client.
    pub(crate) fn counts_client(&self) -> bool {
        self.client.is_some()
    }

    pub(crate) fn admit_client(&mut self, ip: IpAddr) -> Result<(), Full> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let all = &listener.all;
        if self.client.is_some() || !all.clients.are_counted() {
            return Ok(());
        }
        let client = Client::of(ip);
        if !all.clients.enter(client) {
            return Err(all.refused.count(Full::Client));
        }
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(listener) = &self.listener else { return };
        if let Some(client) = self.client {
            listener.all.clients.leave(client);
        }
        listener.open.fetch_sub(1, AcqRel);
        listener.all.open.fetch_sub(1, AcqRel);
    }
}
