//! From checked values to the library's options.
//!
//! A translation without decisions: what may be said is checked by then, and what
//! it does is up to the library.

use std::{num::NonZeroUsize, sync::Arc};

use ripstop::access::AccessLog;

use crate::config::{Config, Listen};

/// The library's options for a configuration.
pub(crate) fn options(config: &Config, access: Option<Arc<AccessLog>>) -> ripstop::Options {
    ripstop::Options {
        listen: config.listen.iter().map(|said| listen(said, config)).collect(),
        workers: workers(config),
        placement: config.server.placement,
        lane: config.server.lane,
        quarantine: config.server.quarantine,
        timeouts: config.timeouts.http,
        handshake_timeout: config.timeouts.handshake,
        limits: config.limits.http,
        connections: config.limits.connections,
        connections_per_client: config.limits.connections_per_client,
        memory: config.limits.memory,
        buffered: config.limits.buffered,
        networks: config.clients.networks.clone(),
        trusted_proxies: config.clients.trusted_proxies.clone(),
        rate_limits: config.rates.clone(),
        raise_descriptors: true,
        access,
        drain: config.server.drain,
        admin: config.admin.enabled.then(|| config.admin.listen.clone()),
        ..ripstop::Options::default()
    }
}

/// The library's workers for a configuration.
pub(crate) fn workers(config: &Config) -> ripstop::workers::Options {
    let default = ripstop::workers::Options::default();
    let number = |said: Option<u32>| said.and_then(|number| NonZeroUsize::new(number as usize));
    let server = &config.server;
    ripstop::workers::Options {
        workers: number(server.workers).unwrap_or(default.workers),
        spares: server.spares as usize,
        executors: number(server.executors).unwrap_or(default.executors),
        executors_max: server.executors_max as usize,
        tick: config.timeouts.http.tick(),
        ..default
    }
}

fn listen(said: &Listen, config: &Config) -> ripstop::Listen {
    let listener = ripstop::ListenerOptions {
        name: said.name.as_str().into(),
        address: said.address.clone(),
        backlog: said.backlog,
        defer_accept: said.defer_accept,
        unix_mode: said.mode,
        proxy_protocol: said.proxy_protocol,
        ..ripstop::ListenerOptions::default()
    };
    let handshakes_max = config.limits.handshakes;
    let tls = said.tls.as_ref();
    let tls = tls.map(|tls| ripstop::TlsOptions { handshakes_max, ..tls.options.clone() });
    let networks = said.networks.clone();
    ripstop::Listen { listener, tls, connections: said.connections, networks }
}
