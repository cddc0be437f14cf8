//! Connections that go to the process which takes this one's place, and those that come from the one
//! whose place this one takes.
//!
//! A thread of its own writes, another one reads: both wait for each other, and nobody else does.

use super::{Home, Lots, Rule};
use crate::stream::Stream;
use ripstop_survive::{Claim, Predecessor, Successor, claims};
use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};
use tokio::sync::oneshot;

/// What is to go to another process.
pub(super) struct Handover(Sender<Order>);

enum Order {
    Give(OwnedFd, Claim),
    /// To say when all before it has gone.
    Tell(oneshot::Sender<HandedOver>),
}

/// What has gone to another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// Connections that go on there.
    pub given: usize,
    /// Those that were closed, since nobody took them.
    pub lost: usize,
}

/// What has come from another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Connections that go on here.
    pub taken: usize,
    /// Those that were closed: they belong to none of the listeners, or there is no room for them.
    pub refused: usize,
}

impl Lots {
    /// Gives all that are parked to another process, and from now on whatever comes to rest. Those
    /// that cannot go, since they are under TLS, are closed then.
    ///
    /// # Errors
    ///
    /// When there is no thread for it; nothing has changed then.
    pub fn hand_over(&self, successor: Successor) -> io::Result<()> {
        let (orders, taken) = mpsc::channel();
        thread::Builder::new().name("rip-handover".into()).spawn(move || write(&successor, taken))?;
        self.rule.store(Arc::new(Rule::HandOver(Handover(orders))));
        let rule = self.rule.load_full();
        if let Rule::HandOver(handover) = &*rule {
            self.take_out(|_, _, _| true, |stream| drop(self.hand_over_one(stream, handover)));
        }
        Ok(())
    }

    /// Waits until all that was to go has gone, and says how many that were so far. Nothing, where
    /// nothing is handed over.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn handed_over(&self) -> HandedOver {
        let (tell, told) = oneshot::channel();
        if let Rule::HandOver(handover) = &**self.rule.load() {
            // Without a thread there is nothing to wait for.
            let _ = handover.0.send(Order::Tell(tell));
        } else {
            return HandedOver::default();
        }
        told.await.unwrap_or_default()
    }

    /// The connection is closed here, whatever becomes of it.
    pub(super) fn hand_over_one(&self, stream: Stream, handover: &Handover) -> Option<Stream> {
        match stream {
            Stream::Plain(socket) => {
                let lot = socket.lot().and_then(|worker| self.lots.get(worker));
                if let Some((fd, claim)) = socket.into_parts() {
                    lot.inspect(|lot| lot.forget(&fd));
                    // Without a thread it is closed, as it is when nobody takes it.
                    let _ = handover.0.send(Order::Give(fd, claim));
                }
            }
            tls @ Stream::Tls(_) => tls.close(),
        }
        None
    }

    /// Parks what another process hands over, evenly in all lots, until that has ended; on a thread
    /// of its own. `told` learns of the outcome.
    ///
    /// # Errors
    ///
    /// When there is no thread for it.
    pub fn take_over(
        self: &Arc<Self>,
        predecessor: Predecessor,
        homes: Vec<Home>,
        told: impl FnOnce(TakenOver) + Send + 'static,
    ) -> io::Result<()> {
        let lots = self.clone();
        let work = move || told(lots.read(&predecessor, &homes));
        thread::Builder::new().name("rip-takeover".into()).spawn(work).map(drop)
    }

    fn read(&self, predecessor: &Predecessor, homes: &[Home]) -> TakenOver {
        let mut taken = TakenOver::default();
        for worker in (0..self.lots.len()).cycle() {
            let (fd, facts) = match predecessor.take() {
                Ok(Some(connection)) => connection,
                Ok(None) => break,
                Err(err) => {
                    log::debug!(err:%; "a connection was not taken over");
                    taken.refused += 1;
                    continue;
                }
            };
            let claim = claims().and_then(|claims| claims.begin(&fd, &facts));
            match claim.and_then(|claim| self.take_in(fd, claim, worker, homes)) {
                Some(()) => taken.taken += 1,
                None => taken.refused += 1,
            }
        }
        taken
    }
}

/// Gives what is to go, until there is nothing more.
fn write(successor: &Successor, orders: Receiver<Order>) {
    let mut done = HandedOver::default();
    for order in orders {
        match order {
            Order::Give(fd, claim) => match successor.give(fd, claim) {
                Ok(()) => done.given += 1,
                Err(err) => {
                    log::debug!(err:%; "a connection was not handed over");
                    done.lost += 1;
                }
            },
            // Whoever asked may not wait any more.
            Order::Tell(told) => drop(told.send(done)),
        }
    }
}
