//! Connections that go to the process which takes this one's place, and those that come from the one
//! whose place this one takes.
//!
//! A thread of its own writes, another one reads: both wait for each other, and nobody else does.

use super::{Home, Lots, Rule, lock};
use ripstop_survive::{Predecessor, Successor};
use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::Ordering::Relaxed,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};
use tokio::sync::oneshot;

/// Where the thread is told that something is to go to another process.
pub(super) struct Handover(Sender<Order>);

enum Order {
    /// Something was parked.
    Sweep,
    /// To say when all that was parked before has gone.
    Tell(oneshot::Sender<HandedOver>),
}

impl Handover {
    pub(super) fn sweep(&self) {
        // The thread ends with the lots.
        let _ = self.0.send(Order::Sweep);
    }
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
    /// Gives all that are parked to another process, and from now on whatever is parked, on a thread
    /// of its own. Until they go they are parked as any other, so that a death costs nothing. Those
    /// under TLS cannot go: they are closed, or stay with their tasks.
    ///
    /// # Errors
    ///
    /// When there is no thread for it; nothing has changed then.
    pub fn hand_over(self: &Arc<Self>, successor: Successor) -> io::Result<()> {
        let (orders, taken) = mpsc::channel();
        let lots = Arc::downgrade(self);
        let work = move || write(&lots, &successor, taken);
        thread::Builder::new().name("rip-handover".into()).spawn(work)?;
        let handover = Handover(orders);
        handover.sweep();
        self.rule.store(Arc::new(Rule::HandOver(handover)));
        self.close_sessions();
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

    /// Gives what is parked.
    fn give(&self, successor: &Successor, done: &mut HandedOver) {
        for (index, lot) in self.lots.iter().enumerate() {
            // Whatever is parked by now is watched, too.
            drop(lock(&lot.entering));
            for at in self.at_rest_of(index).filter(|at| at.parked) {
                let Some(place) = self.place(&at.facts) else { continue };
                match successor.give(&at, |fd| lot.forget(fd)) {
                    Ok(true) => done.given += 1,
                    // Its place is that of the connection that goes on here.
                    Ok(false) => {
                        place.leave_behind();
                        continue;
                    }
                    Err(err) => {
                        log::debug!(err:%; "a connection was not handed over");
                        done.lost += 1;
                    }
                }
                lot.parked.fetch_sub(1, Relaxed);
            }
        }
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
        let work = move || told(lots.read(predecessor, &homes));
        thread::Builder::new().name("rip-takeover".into()).spawn(work).map(drop)
    }

    fn read(&self, mut predecessor: Predecessor, homes: &[Home]) -> TakenOver {
        let mut taken = TakenOver::default();
        for worker in (0..self.lots.len()).cycle() {
            let is_in = match predecessor.take() {
                Ok(Some(at)) => self.take_in(&at, worker, homes),
                Ok(None) => break,
                Err(err) => {
                    log::debug!(err:%; "a connection was not taken over");
                    false
                }
            };
            taken.taken += usize::from(is_in);
            taken.refused += usize::from(!is_in);
        }
        taken
    }
}

/// Gives what is parked each time that it is told so.
fn write(lots: &Weak<Lots>, successor: &Successor, orders: Receiver<Order>) {
    let mut done = HandedOver::default();
    match successor.give_left() {
        Ok(given) => done.given += given,
        Err(err) => log::debug!(err:%; "what was about to be handed over was not"),
    }
    for order in orders {
        let Some(lots) = lots.upgrade() else { return };
        lots.give(successor, &mut done);
        if let Order::Tell(told) = order {
            // Whoever asked may not wait any more.
            let _ = told.send(done);
        }
    }
}
