//! The reception of a listener: from an accepted socket to HTTP on a byte stream, and from there
//! to the lot and back.
//!
//! accept (`ripstop_net::Gate`) → PROXY header → networks, limits → TLS handshake →
//! `ripstop_http::serve` ⇄ parked (`ripstop_net::Lots`).

use arc_swap::ArcSwap;
use ripstop_balance::NetworkRules;
use ripstop_http::{
    Begin, Connection, Earlier, Handler, Protocol, Rested, Served, Shared, Wire, serve,
};
use ripstop_net::{
    Alpn, Full, Listener, ListenerConnections, Lots, Readmission, Reception, Socket, Stream, Tls,
    TlsFacts, proxy,
};
use ripstop_survive::{Claim, Facts, Tick};
use ripstop_work::{Ending, Worker, Workers};
use std::{error::Error, future::Future, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Receives the connections of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Door<S> {
    pub(crate) service: S,
    pub(crate) shared: Arc<ArcSwap<Shared>>,
    pub(crate) listener: Arc<str>,
    pub(crate) proxy_protocol: bool,
    pub(crate) tls: Option<Tls>,
    /// Whose connections the server takes, and of them the listener.
    pub(crate) networks: (Arc<ArcSwap<NetworkRules>>, NetworkRules),
    pub(crate) connections: Arc<ListenerConnections>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) workers: Arc<Workers>,
    /// Where its connections are parked.
    pub(crate) lots: Arc<Lots>,
    /// The listener's number there; without one its connections stay with their tasks.
    pub(crate) number: Option<u16>,
}

impl<S: Handler + Sync> Reception for Door<S> {
    fn let_in(&self, mut socket: Socket, worker: &Worker) -> Option<Socket> {
        // With the PROXY protocol the client is not known yet.
        let known = !self.proxy_protocol;
        if known && !self.may_come(&socket) {
            self.forbid(socket);
            return None;
        }
        let mut admitted = self.connections.admit(&mut socket);
        if known {
            admitted = admitted.and_then(|()| socket.admit_client());
        }
        match admitted {
            Ok(()) => {
                if known {
                    self.claim(&mut socket, worker);
                    // Nothing was read of it: should this worker be stuck before its task begins,
                    // another one can have it.
                    let claim = socket.claim().filter(|_| self.tls.is_none());
                    claim.inspect(|claim| claim.rest());
                }
                Some(socket)
            }
            Err(full) => {
                self.turn_away(socket, full);
                None
            }
        }
    }

    fn out_of_descriptors(&self) {
        self.connections.out_of_descriptors();
    }

    fn receive(
        &self,
        socket: Socket,
        worker: &Arc<Worker>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (door, worker) = (self.clone(), worker.clone());
        async move {
            match door.admit(socket, &worker).await {
                Ok(stream) => {
                    let begin = Begin::New(protocol(&stream));
                    door.serve(stream, begin, worker).await;
                }
                Err(err) => log::debug!(err:%; "a connection was not admitted"),
            }
        }
    }
}

impl<S: Handler> Door<S> {
    /// Reads the PROXY header and does the handshake, where the listener has them.
    async fn admit(
        &self,
        mut socket: Socket,
        worker: &Worker,
    ) -> Result<Stream, Box<dyn Error + Send + Sync>> {
        if !self.proxy_protocol && self.tls.is_none() {
            return Ok(socket.into());
        }
        let deadline = Instant::now() + self.handshake_timeout;
        if self.proxy_protocol {
            let named = proxy::read(&mut socket, deadline).await?.is_some();
            if !self.may_come(&socket) {
                self.forbid(socket);
                return Err("its network may not come".into());
            }
            if named && let Err(full) = socket.admit_client() {
                self.turn_away(socket, full);
                return Err(full.into());
            }
            self.claim(&mut socket, worker);
        }
        match &self.tls {
            Some(tls) => Ok(tls.accept(socket, deadline).await?.into()),
            None => Ok(socket.into()),
        }
    }

    /// Whether both the server and the listener take connections of this client. A Unix peer has no
    /// address to be judged by. Whom a PROXY header does not name is judged by the load balancer's.
    fn may_come(&self, socket: &Socket) -> bool {
        let Some(peer) = socket.peer_addr() else { return true };
        let (server, listener) = &self.networks;
        server.load().admit(peer.ip()) && listener.admit(peer.ip())
    }

    /// Tells a client that it may not come.
    fn forbid(&self, socket: Socket) {
        log::debug!(listener:% = self.listener, peer:? = socket.peer_addr(); "denied");
        self.connections.denied(&socket);
        socket.forbid(self.tls.is_none());
    }

    /// Tells a client that there is no place for it.
    fn turn_away(&self, socket: Socket, full: Full) {
        log::debug!(full:%, listener:% = self.listener, peer:? = socket.peer_addr(); "refused");
        socket.turn_away(self.tls.is_none());
    }

    /// Makes the connection known to others than its task.
    fn claim(&self, socket: &mut Socket, worker: &Worker) {
        if let Some(number) = self.number {
            self.lots.claim(socket, number, worker.index());
            // What goes out under TLS is not HTTP: another process could say nothing there.
            let claim = socket.claim().filter(|_| self.tls.is_some());
            claim.inspect(|claim| claim.start());
        }
    }

    /// Serves the connection until it is over or parked.
    async fn serve(self, mut stream: Stream, mut begin: Begin, worker: Arc<Worker>) {
        loop {
            let left = match self.serve_once(stream, begin, &worker).await {
                Served::Ended => None,
                Served::Parks(rested) => self.park(rested, &worker),
                Served::Moves(rested, to) => self.give(rested, to),
            };
            // What cannot go on elsewhere ends where it should have gone.
            let left = left.filter(|_| worker.ending() != Ending::MoveOn);
            let Some(back) = left else { return };
            begin = Begin::Again(earlier(&back));
            stream = back;
        }
    }

    async fn serve_once(
        &self,
        stream: Stream,
        begin: Begin,
        worker: &Arc<Worker>,
    ) -> Served<Stream> {
        let connection = Connection {
            peer: stream.peer_addr(),
            listener: self.listener.clone(),
            tls: stream.tls_facts().map(|facts| tls_facts(facts)),
        };
        let shared = Shared::clone(&self.shared.load());
        let (service, worker) = (self.service.clone(), worker.clone());
        serve(wire(stream), begin, Arc::new(connection), service, shared, worker).await
    }

    /// Puts a connection that rests into its worker's lot, or gives it back to be served on.
    fn park(&self, rested: Rested<Stream>, worker: &Worker) -> Option<Stream> {
        self.lots.park(remembered(rested), worker.index())
    }

    /// Gives a connection that rests to the worker of this index, or back where there is none.
    fn give(&self, rested: Rested<Stream>, to: usize) -> Option<Stream> {
        let mut stream = remembered(rested);
        let Some(worker) = self.workers.list().get(to).cloned() else { return Some(stream) };
        // Without its reactor the connection is closed.
        if stream.leave_reactor().is_ok() {
            self.lots.readmit(stream, &worker);
        }
        None
    }
}

impl<S: Handler + Sync> Readmission for Door<S> {
    fn readmit(&self, stream: Stream, worker: &Arc<Worker>) {
        let claim = stream.claim();
        let moved = claim.is_some_and(|claim| claim.worker() != worker.index());
        let begin = Begin::Again(Earlier { moved, ..earlier(&stream) });
        claim.inspect(|claim| claim.belongs_to(worker.index()));
        worker.spawn_connection(self.clone().serve(stream, begin, worker.clone()));
    }

    fn connections(&self) -> &Arc<ListenerConnections> {
        &self.connections
    }

    fn parked_max(&self) -> Option<Duration> {
        let timeouts = self.shared.load().options.timeouts;
        // How long it was idle before is not known: a crowd is parked sooner than others.
        timeouts.park.and(timeouts.idle)
    }
}

/// By which protocol a new connection begins.
fn protocol(stream: &Stream) -> Protocol {
    match stream.tls_facts().map(|facts| &facts.alpn) {
        Some(Alpn::H2) => Protocol::Http2,
        _ => Protocol::ByPreface,
    }
}

/// A connection whose claim knows what has come by it.
fn remembered(rested: Rested<Stream>) -> Stream {
    let Rested { io: stream, requests } = rested;
    if let Some(claim) = stream.claim() {
        claim.set_facts(&Facts { requests, ..claim.facts() });
    }
    stream
}

/// What was before on a connection that has rested.
fn earlier(stream: &Stream) -> Earlier {
    let facts = stream.claim().map(Claim::facts);
    facts.map_or_else(Earlier::default, |facts| Earlier {
        requests: facts.requests,
        age: Tick::now().since(facts.born),
        moved: false,
    })
}

fn wire(stream: Stream) -> Wire<Stream> {
    let (plain, claim) = (matches!(stream, Stream::Plain(_)), stream.claim());
    Wire {
        io: stream,
        abort: Stream::abort,
        ends_by_close: plain,
        // A session under TLS cannot be taken from its task.
        claim: claim.filter(|_| plain),
        poll_readable: Stream::poll_readable,
        parks: claim.is_some(),
    }
}

fn tls_facts(facts: &TlsFacts) -> ripstop_http::Tls {
    ripstop_http::Tls {
        version: facts.version,
        cipher: facts.cipher,
        server_name: facts.server_name.clone(),
        client_subject: facts.client_subject.clone(),
        client_certificate: facts.client_certificate.clone(),
    }
}

/// What a door needs to know of its listener.
pub(crate) fn names(listener: &Listener) -> (Arc<str>, bool) {
    (listener.name().clone(), listener.proxy_protocol())
}
