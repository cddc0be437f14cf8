//! Clients that are never idle, and count what they see of a server that is killed.

use crate::Client;
use std::{
    net::SocketAddr,
    sync::{
        LockResult, RwLock, RwLockWriteGuard,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::Scope,
};

/// What became of the requests of clients that are never idle.
#[derive(Debug, Default)]
pub struct Busy {
    stop: AtomicBool,
    /// Read by each client while it asks.
    asking: RwLock<()>,
    /// As they should be.
    pub answered: AtomicUsize,
    /// 503, by the server after the one that was killed.
    pub told: AtomicUsize,
    /// The connection was closed or reset before a whole answer.
    pub cut: AtomicUsize,
    /// Connections that were not taken.
    pub refused: AtomicUsize,
    /// Anything else.
    pub wrong: AtomicUsize,
}

impl Busy {
    /// Begins with so many clients, each on one connection after the other.
    pub fn run<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        to: SocketAddr,
        clients: usize,
    ) {
        self.run_on(scope, to, clients, ("/", "Hello, World!"));
    }

    /// As [`Busy::run`], on a path that has this answer.
    pub fn run_on<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        to: SocketAddr,
        clients: usize,
        asked: (&'static str, &'static str),
    ) {
        for _ in 0..clients {
            scope.spawn(move || {
                while !self.stop.load(SeqCst) {
                    self.connection(to, asked);
                }
            });
        }
    }

    /// Stops the clients when it is dropped, so that a failed test ends.
    pub fn guard(&self) -> impl Drop {
        Guard(self)
    }

    /// Has no client ask anything until what this returns is dropped; what was asked is answered.
    ///
    /// # Errors
    ///
    /// Somebody has panicked in such a pause before; it is one all the same.
    pub fn pause(&self) -> LockResult<RwLockWriteGuard<'_, ()>> {
        self.asking.write()
    }

    fn connection(&self, to: SocketAddr, (path, answer): (&str, &str)) {
        let Ok(mut client) = Client::tcp(to) else {
            self.refused.fetch_add(1, Relaxed);
            return;
        };
        while !self.stop.load(SeqCst) {
            let _asking = self.asking.read();
            let Ok(response) = client.get(path) else {
                self.cut.fetch_add(1, Relaxed);
                return;
            };
            match (response.status(), response.text().as_str()) {
                (200, text) if text == answer => self.answered.fetch_add(1, Relaxed),
                (503, _) => {
                    self.told.fetch_add(1, Relaxed);
                    return;
                }
                _ => self.wrong.fetch_add(1, Relaxed),
            };
        }
    }
}

struct Guard<'a>(&'a Busy);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
    }
}
