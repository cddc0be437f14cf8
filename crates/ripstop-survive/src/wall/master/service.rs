//! What the service manager is told of the servers: the master speaks for them, since it is the
//! process that was started.

use super::ward::Ward;
use crate::{manager::Manager, wall::control::now};

/// What was told, and what was seen at that time.
pub(super) struct Service {
    manager: Option<Manager>,
    /// The last generation that serves, as was told.
    generation: u32,
    /// A reload that was begun: how many had been done before it.
    reload: Option<u32>,
    stopping: bool,
    /// The server's heart, when a sign of life was given.
    beat: u32,
    /// When the next one is due.
    due: u64,
}

impl Service {
    pub(super) fn new() -> Self {
        let manager = Manager::of_this_process();
        Self { manager, generation: 0, reload: None, stopping: false, beat: 0, due: 0 }
    }

    /// HUP is about to be passed on.
    pub(super) fn reloads(&mut self, ward: &Ward) {
        self.reload = Some(ward.control.reloads());
        self.manager.as_ref().map(Manager::reloading).unwrap_or_default();
    }

    /// Tells what has changed, and that the server's heart beats.
    pub(super) fn look(&mut self, ward: &Ward, stopping: bool) {
        let Some(manager) = &self.manager else { return };
        let control = ward.control;
        if stopping && !std::mem::replace(&mut self.stopping, true) {
            manager.stopping();
        }
        let generation = control.generation();
        let is_done = self.reload.is_some_and(|before| before != control.reloads());
        if control.is_ready() && !stopping && (is_done || generation != self.generation) {
            self.reload = None;
            self.generation = generation;
            manager.ready(&format!("serving, server number {generation}"));
        }
        let beat = control.beats();
        if now() < self.due || beat == self.beat {
            return;
        }
        self.beat = beat;
        if stopping {
            manager.drains();
        }
        if let Some(period) = manager.period() {
            self.due = now() + u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
            manager.lives();
        }
    }
}
