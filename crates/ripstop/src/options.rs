//! Everything that can be set about a server.

use crate::MemoryCeiling;
use ripstop_balance::{Lane, NetworkRules, Placement};
use ripstop_http::{
    AccessLog, Buffers, Disconnect, Limits, RateLimit, Rules, Timeouts, TrustedProxies,
};
use ripstop_net::{Address, ConnectionLimits, ListenerOptions, TlsOptions};
use std::{sync::Arc, time::Duration};

/// How a server listens, works, and ends.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens. Default: nowhere; at least one is needed.
    pub listen: Vec<Listen>,
    /// Workers, spares, and when a thread counts as stuck. Fixed at the start.
    pub workers: ripstop_work::Options,
    /// Which worker gets the next connections. Fixed for the life of a listener.
    pub placement: Placement,
    /// Deadlines of connections and requests.
    pub timeouts: Timeouts,
    /// How long a TLS handshake may take, and a PROXY header. Default 10 s.
    pub handshake_timeout: Duration,
    /// Bounds on what a peer may send.
    pub limits: Limits,
    /// How many connections may be open, tunnels such as WebSocket among them; a further one is answered
    /// 503, or closed where it would speak TLS. Default: what descriptors are enough for, nine
    /// tenths of what the process may have (`RLIMIT_NOFILE`) without what it has open at the
    /// start, at least 64. The admin listener's are not counted.
    pub connections: Option<usize>,
    /// How many of them one client may have, by its address, and by the /64 of an IPv6 one; with
    /// the PROXY protocol the client is whom its header names. Unix peers and clients without a
    /// name are not counted. Default none: behind a load balancer without the PROXY protocol all
    /// clients have one address, behind a mobile network's NAT thousands have, and only the
    /// operator knows what is too many.
    pub connections_per_client: Option<usize>,
    /// How much memory the process may use before connections give way: from seven eighths of it
    /// on idle ones are parked at once; at it no more are busy than were when memory last grew, a
    /// further one is answered as by [`Options::connections`]; at a sixteenth above idle ones are
    /// closed, those first that have been idle for longest. 64 busy connections there may be in any
    /// case. `None` for no ceiling. Default: 80 percent of what the process may have.
    pub memory: Option<MemoryCeiling>,
    /// How many bytes of responses there may be that clients have not taken, all together, in
    /// percent of the ceiling of memory or in bytes: with more, clients that take nothing for two
    /// seconds are reset, however long [`Timeouts::write`] is. `None` for no limit. Default: 25
    /// percent.
    pub buffered: Option<MemoryCeiling>,
    /// Whose connections are taken, by the address they come from, and with the PROXY protocol by
    /// that of the client in its header. Others are closed, in clear text with 403. Unix peers are
    /// not looked at, nor are connections of the admin listener. Default: everybody's.
    pub networks: NetworkRules,
    /// Proxies that are believed when they say who the client of a request is: then rate limits,
    /// the access log and [`Facts::client`](crate::Facts::client) go by that. Default: none.
    pub trusted_proxies: TrustedProxies,
    /// How often clients may come, each limit counted by itself and in this order up to the first
    /// that is exceeded; then 429. A part of the application takes limits of its own by
    /// [`RateLayer`](crate::RateLayer). Default: none.
    pub rate_limits: Vec<RateLimit>,
    /// Whether the start raises the soft limit of descriptors to the hard one, for the whole
    /// process. Default: no; the program `ripstop` does.
    pub raise_descriptors: bool,
    /// What happens to a handler whose client has gone.
    pub disconnect: Disconnect,
    /// Whether the application takes `CONNECT`. Default: no, it is answered 405.
    pub connect: bool,
    /// Where handlers run. Default: on their connection's worker, until their route has stalled it.
    pub lane: Lane,
    /// How long requests are refused that were running at three crashes within a minute, with 503:
    /// at first, and twice as long each time that they crash the server again after it. Only behind
    /// the process wall. `None`: never. Default 5 minutes.
    pub quarantine: Option<Duration>,
    /// Where requests are logged. Default: nowhere.
    pub access: Option<Arc<AccessLog>>,
    /// How long a stop waits for requests that run. Default 30 s.
    pub drain: Duration,
    /// Where health is told. Default: nowhere.
    pub admin: Option<Address>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            workers: ripstop_work::Options::default(),
            placement: Placement::default(),
            timeouts: Timeouts::default(),
            handshake_timeout: Duration::from_secs(10),
            limits: Limits::default(),
            connections: None,
            connections_per_client: None,
            memory: Some(MemoryCeiling::Percent(80)),
            buffered: Some(MemoryCeiling::Percent(25)),
            networks: NetworkRules::default(),
            trusted_proxies: TrustedProxies::default(),
            rate_limits: Vec::new(),
            raise_descriptors: false,
            disconnect: Disconnect::default(),
            connect: false,
            lane: Lane::default(),
            quarantine: Some(Duration::from_secs(300)),
            access: None,
            drain: Duration::from_secs(30),
            admin: None,
        }
    }
}

/// One listener, in clear text or with TLS.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    /// Where, and how.
    pub listener: ListenerOptions,
    /// Certificates, for TLS.
    pub tls: Option<TlsOptions>,
    /// How many of its connections may be open; a further one is refused as by
    /// [`Options::connections`]. Default none.
    pub connections: Option<usize>,
    /// Whose connections it takes, of those that the server takes by [`Options::networks`].
    /// Default: everybody's.
    pub networks: NetworkRules,
}

impl Options {
    /// The workers: no thread counts as lost while its request may still take its time.
    pub(crate) fn threads(&self) -> ripstop_work::Options {
        let request = self.timeouts.request.unwrap_or(Duration::MAX);
        ripstop_work::Options { lost: self.workers.lost.max(request), ..self.workers.clone() }
    }

    /// The limits of connections; `possible` are those that descriptors are enough for.
    pub(crate) fn connection_limits(&self, possible: usize) -> ConnectionLimits {
        let total = self.connections.unwrap_or(possible);
        ConnectionLimits { total, per_client: self.connections_per_client }
    }

    /// The part that each connection looks at.
    pub(crate) fn shared(
        &self,
        rules: &Arc<Rules>,
        buffers: &Arc<Buffers>,
    ) -> ripstop_http::Shared {
        let options = ripstop_http::Options {
            timeouts: self.timeouts,
            limits: self.limits,
            disconnect: self.disconnect,
            connect: self.connect,
            lane: self.lane,
        };
        ripstop_http::Shared {
            options: Arc::new(options),
            access: self.access.clone(),
            rules: rules.clone(),
            buffers: buffers.clone(),
        }
    }
}
