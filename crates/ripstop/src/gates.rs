//! The gates of a server: opened at the start, and again by new options, where those that stayed
//! are not touched.

use crate::{Error, Listen, ListenError, Options, crashes, reception::Door, reception::names};
use arc_swap::ArcSwap;
use ripstop_balance::NetworkRules;
use ripstop_http::{Buffers, Handler, Rules, Shared};
use ripstop_net::{
    Address, Connections, Gate, Home, Inherited, Listener, ListenerConnections, Lots, Readmission,
    Refreshed, Tls, connections_by_descriptors,
};
use ripstop_work::Workers;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

/// All gates of a server.
#[derive(Debug)]
pub(crate) struct Gates<S> {
    service: S,
    workers: Arc<Workers>,
    /// Looked at by each new connection.
    shared: Arc<ArcSwap<Shared>>,
    /// Looked at by each request.
    rules: Arc<Rules>,
    /// What clients have not taken.
    buffers: Arc<Buffers>,
    /// Looked at by each new connection.
    networks: Arc<ArcSwap<NetworkRules>>,
    connections: Arc<Connections>,
    /// How many connections descriptors are enough for.
    possible: usize,
    lots: Arc<Lots>,
    open: Vec<Open<S>>,
    /// Listeners that were closed, as long as they have connections.
    closed: Vec<Closed<S>>,
}

#[derive(Debug)]
struct Open<S> {
    /// What it was opened with.
    listen: Listen,
    tls: Option<Tls>,
    connections: Arc<ListenerConnections>,
    number: Option<u16>,
    gate: Arc<Gate<Door<S>>>,
}

/// What is left of a listener that was closed.
#[derive(Debug)]
struct Closed<S> {
    number: u16,
    connections: Arc<ListenerConnections>,
    /// Gone when nobody accepts any more.
    gate: Weak<Gate<Door<S>>>,
}

/// Listeners that close as soon as the workers that accept notice it.
pub(crate) struct Closing(Vec<Pin<Box<dyn Future<Output = ()> + Send>>>);

/// A listener that is bound, but not accepted on yet.
struct Bound {
    listen: Listen,
    tls: Option<Tls>,
    listener: Listener,
    /// Those of the listener whose place it takes.
    connections: Option<Arc<ListenerConnections>>,
    /// The number that it had: connections that rest go on with the new one.
    number: Option<u16>,
}

impl<S: Handler + Sync> Gates<S> {
    /// Binds everything, and accepts nothing yet if anything of it fails.
    pub(crate) fn open(
        service: S,
        workers: Arc<Workers>,
        lots: Arc<Lots>,
        options: &Options,
        inherited: &Inherited,
    ) -> Result<Self, Error> {
        let rules = Arc::new(crashes::rules());
        let buffers = Arc::default();
        let shared = Arc::new(ArcSwap::from_pointee(options.shared(&rules, &buffers)));
        let networks = Arc::default();
        let possible = connections_by_descriptors();
        let connections = Connections::new(options.connection_limits(possible));
        let (open, closed) = (Vec::new(), Vec::new());
        let mut gates = Self {
            service,
            workers,
            shared,
            rules,
            buffers,
            networks,
            connections,
            possible,
            lots,
            open,
            closed,
        };
        // For the first connections too.
        gates.set_rules(options);
        gates.apply(options, inherited)?;
        Ok(gates)
    }

    /// Takes new options: all of them, or nothing where something fails. The listeners that are
    /// no longer wanted close by and by.
    pub(crate) fn apply(
        &mut self,
        options: &Options,
        inherited: &Inherited,
    ) -> Result<Closing, Error> {
        if options.listen.is_empty() {
            return Err(Error::NothingToListenOn);
        }
        let bound = self.bind_all(options, inherited)?;
        let opened = self.open_gates(bound, options)?;
        let (stay, go): (Vec<_>, Vec<_>) =
            self.open.drain(..).partition(|open| stays(&open.listen, &options.listen));
        self.open = stay;
        self.open.extend(opened);
        self.remember_closed(&go);
        let closing = Closing::of(go);
        self.limit_connections(options);
        self.set_rules(options);
        self.shared.store(Arc::new(options.shared(&self.rules, &self.buffers)));
        let tick = options.timeouts.tick();
        for worker in self.workers.list().iter() {
            worker.clock().set_tick(tick);
        }
        Ok(closing)
    }

    /// Sets the rules for the connections and requests that come from now on.
    fn set_rules(&self, options: &Options) {
        self.networks.store(Arc::new(options.networks.clone()));
        self.rules.set(options.trusted_proxies.clone(), &options.rate_limits);
        self.rules.set_quarantine(options.quarantine.is_some());
    }

    /// Sets the limits for the connections that come from now on.
    fn limit_connections(&self, options: &Options) {
        let (limits, possible) = (options.connection_limits(self.possible), self.possible);
        if limits.total > possible {
            log::warn!(connections = limits.total, possible; "descriptors are too few");
        }
        self.connections.limit(limits);
        for open in &self.open {
            open.connections.limit(open.listen.connections);
        }
    }

    /// Binds what is not open yet, or says everything that is wrong. A listener whose options
    /// have changed keeps its socket.
    fn bind_all(&self, options: &Options, inherited: &Inherited) -> Result<Vec<Bound>, Error> {
        let (mut bound, mut faults) = (Vec::new(), Vec::new());
        let mut going: Vec<_> =
            self.open.iter().filter(|open| !stays(&open.listen, &options.listen)).collect();
        for listen in options.listen.iter().filter(|listen| !self.has(listen)) {
            let name = &listen.listener.name;
            let tls = listen.tls.as_ref().map(Tls::load).transpose().unwrap_or_else(|errors| {
                let fault = |source| ListenError::Tls { listener: name.to_string(), source };
                faults.extend(errors.into_iter().map(fault));
                None
            });
            let address = &listen.listener.address;
            let same = going.iter().position(|open| open.listen.listener.address == *address);
            let same = same.map(|index| going.swap_remove(index));
            let namesake = same.filter(|open| open.connections.name() == name);
            let connections = namesake.map(|open| open.connections.clone());
            let number = namesake.and_then(|open| open.number);
            let listener = match same {
                Some(open) => open.gate.listener().renewed(&listen.listener),
                None => Listener::bind(&listen.listener, inherited),
            };
            match listener {
                Ok(listener) => {
                    bound.push(Bound {
                        listen: listen.clone(),
                        tls,
                        listener,
                        connections,
                        number,
                    });
                }
                Err(err) => faults.push(ListenError::Bind(err)),
            }
        }
        if faults.is_empty() { Ok(bound) } else { Err(Error::Listen(faults)) }
    }

    /// Opens all of them, or none.
    fn open_gates(&self, bound: Vec<Bound>, options: &Options) -> Result<Vec<Open<S>>, Error> {
        let mut opened = Vec::<Open<S>>::new();
        for bound in bound {
            match self.open_gate(bound, options) {
                Ok(open) => opened.push(open),
                Err(err) => {
                    opened.iter().for_each(|open| open.gate.close());
                    return Err(err);
                }
            }
        }
        Ok(opened)
    }

    fn open_gate(&self, bound: Bound, options: &Options) -> Result<Open<S>, Error> {
        let Bound { listen, tls, listener, connections, number } = bound;
        let (name, proxy_protocol) = names(&listener);
        let connections = connections
            .unwrap_or_else(|| self.connections.listener(name.clone(), listen.connections));
        let door = Door {
            service: self.service.clone(),
            shared: self.shared.clone(),
            listener: name,
            proxy_protocol,
            tls: tls.clone(),
            networks: (self.networks.clone(), listen.networks.clone()),
            connections: connections.clone(),
            handshake_timeout: options.handshake_timeout,
            workers: self.workers.clone(),
            lots: self.lots.clone(),
            number: None,
        };
        let readmission: Arc<dyn Readmission> = Arc::new(door.clone());
        let new = number.is_none().then(|| self.lots.enter(&readmission)).flatten();
        let number = number.map(|number| self.lots.replace(number, &readmission)).or(new);
        let door = Door { number, ..door };
        let plain = tls.is_none();
        let gate = Gate::open(listener, door, self.workers.clone(), options.placement, plain)
            .map_err(|err| Error::Listen(vec![ListenError::Reserve(err)]))
            .inspect_err(|_| new.into_iter().for_each(|number| self.lots.leave(number)))?;
        Ok(Open { listen, tls, connections, number, gate })
    }

    fn has(&self, listen: &Listen) -> bool {
        self.open.iter().any(|open| is_same(&open.listen, listen))
    }

    /// The connections of all listeners.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// What clients of all listeners have not taken.
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// The rules for requests.
    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The listeners' names and the addresses they are bound to.
    pub(crate) fn addresses(&self) -> Vec<(Arc<str>, Address)> {
        let of = |open: &Open<S>| {
            let listener = open.gate.listener();
            (listener.name().clone(), listener.local_address().clone())
        };
        self.open.iter().map(of).collect()
    }

    /// Takes over the connections that another process left at rest. Returns how many belong to
    /// none of the listeners, and were closed.
    pub(crate) fn resume(&self) -> usize {
        self.lots.resume(&self.homes())
    }

    /// The listeners whose connections outlive their process.
    pub(crate) fn homes(&self) -> Vec<Home> {
        let home = |open: &Open<S>| {
            let listener = open.gate.listener();
            let (address, number) = (listener.local_address().clone(), open.number?);
            // The session of a connection under TLS goes with its process.
            let proxy_protocol = listener.proxy_protocol();
            open.tls.is_none().then_some(Home { address, number, proxy_protocol })
        };
        self.open.iter().filter_map(home).collect()
    }

    /// Stops accepting.
    pub(crate) fn close(&mut self) -> Closing {
        Closing::of(std::mem::take(&mut self.open))
    }

    fn remember_closed(&mut self, gone: &[Open<S>]) {
        let is_taken = |number| self.open.iter().any(|open| open.number == Some(number));
        let closed = |open: &Open<S>| {
            let number = open.number.filter(|number| !is_taken(*number))?;
            let (connections, gate) = (open.connections.clone(), Arc::downgrade(&open.gate));
            Some(Closed { number, connections, gate })
        };
        let closed: Vec<_> = gone.iter().filter_map(closed).collect();
        self.closed.extend(closed);
    }

    /// Frees the numbers of closed listeners whose last connection has ended.
    pub(crate) fn forget_closed(&mut self) {
        let ended = |closed: &mut Closed<S>| {
            closed.gate.strong_count() == 0 && closed.connections.is_empty()
        };
        let ended = self.closed.extract_if(.., ended);
        ended.for_each(|closed| self.lots.leave(closed.number));
    }

    /// Gives the leases of stuck workers to others.
    pub(crate) fn recall_from_stuck(&self) {
        for open in &self.open {
            open.gate.recall_from_stuck();
        }
    }

    /// The TLS acceptors, to look after their files.
    pub(crate) fn tls(&self) -> Vec<(Arc<str>, Tls)> {
        let of = |open: &Open<S>| Some((open.gate.listener().name().clone(), open.tls.clone()?));
        self.open.iter().filter_map(of).collect()
    }
}

impl Closing {
    fn of<S: Handler + Sync>(gates: Vec<Open<S>>) -> Self {
        let close = |open: Open<S>| {
            open.gate.close();
            Box::pin(open.gate.closed()) as _
        };
        Self(gates.into_iter().map(close).collect())
    }

    /// Waits until their addresses are free again, at most for `deadline`: a worker that is stuck
    /// does not notice.
    pub(crate) async fn wait(self, deadline: Duration) {
        let all = async {
            for closed in self.0 {
                closed.await;
            }
        };
        if tokio::time::timeout(deadline, all).await.is_err() {
            log::warn!("a listener is still open: the worker that accepts on it is stuck");
        }
    }
}

/// Whether the listener is among those wanted.
fn stays(listen: &Listen, wanted: &[Listen]) -> bool {
    wanted.iter().any(|other| is_same(listen, other))
}

/// Options have no equality of their own, since files behind equal paths may differ; for staying
/// open it is enough that everything is written the same.
fn is_same(one: &Listen, other: &Listen) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

/// Looks at the files of TLS acceptors and swaps what has changed. Blocks on file I/O.
pub(crate) fn refresh(acceptors: &[(Arc<str>, Tls)]) {
    for (listener, tls) in acceptors {
        match tls.refresh() {
            Refreshed::Unchanged => {}
            Refreshed::Swapped => log::info!(listener:%; "certificates swapped"),
            Refreshed::Refused(errors) => {
                for err in errors {
                    log::error!(listener:%, err:%; "new certificate refused, the old one stays");
                }
            }
        }
    }
}
