//! The reception of a listener: from an accepted socket to HTTP on a byte stream.
//!
//! accept (`ripstop_net::Gate`) → PROXY header → TLS handshake → `ripstop_http::serve`.

use arc_swap::ArcSwap;
use ripstop_http::{Connection, Handler, Protocol, Shared, Wire, serve};
use ripstop_net::{
    Alpn, Full, Listener, ListenerConnections, Reception, Socket, Stream, Tls, TlsFacts, proxy,
};
use ripstop_work::Worker;
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
    pub(crate) connections: Arc<ListenerConnections>,
    pub(crate) handshake_timeout: Duration,
}

impl<S: Handler + Sync> Reception for Door<S> {
    fn let_in(&self, mut socket: Socket) -> Option<Socket> {
        let mut admitted = self.connections.admit(&mut socket);
        if !self.proxy_protocol {
            // Else the client is not known yet.
            admitted = admitted.and_then(|()| socket.admit_client());
        }
        match admitted {
            Ok(()) => Some(socket),
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
            match door.admit(socket).await {
                Ok(stream) => door.serve(stream, worker).await,
                Err(err) => log::debug!(err:%; "a connection was not admitted"),
            }
        }
    }
}

impl<S: Handler> Door<S> {
    /// Reads the PROXY header and does the handshake, where the listener has them.
    async fn admit(&self, mut socket: Socket) -> Result<Stream, Box<dyn Error + Send + Sync>> {
        if !self.proxy_protocol && self.tls.is_none() {
            return Ok(socket.into());
        }
        let deadline = Instant::now() + self.handshake_timeout;
        if self.proxy_protocol
            && proxy::read(&mut socket, deadline).await?.is_some()
            && let Err(full) = socket.admit_client()
        {
            self.turn_away(socket, full);
            return Err(full.into());
        }
        match &self.tls {
            Some(tls) => Ok(tls.accept(socket, deadline).await?.into()),
            None => Ok(socket.into()),
        }
    }

    /// Tells a client that there is no place for it.
    fn turn_away(&self, socket: Socket, full: Full) {
        log::debug!(full:%, listener:% = self.listener, peer:? = socket.peer_addr(); "refused");
        socket.turn_away(self.tls.is_none());
    }

    async fn serve(self, stream: Stream, worker: Arc<Worker>) {
        let facts = stream.tls_facts();
        let protocol = match facts.map(|facts| &facts.alpn) {
            Some(Alpn::H2) => Protocol::Http2,
            _ => Protocol::ByPreface,
        };
        let connection = Connection {
            peer: stream.peer_addr(),
            listener: self.listener,
            tls: facts.map(|facts| tls_facts(facts)),
        };
        let ends_by_close = matches!(stream, Stream::Plain(_));
        let wire = Wire { io: stream, abort: Stream::abort, ends_by_close };
        let shared = Shared::clone(&self.shared.load());
        serve(wire, protocol, Arc::new(connection), self.service, shared, worker).await;
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
