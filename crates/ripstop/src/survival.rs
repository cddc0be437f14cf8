//! Survival: the server's dealings with the process wall.
//!
//! Says once what became of the connections that another process left, sees them off that cannot go
//! on, and lets the master and the keeper know how the server is. What survives, and how, is in
//! `ripstop-survive`.

use crate::crashes::{self, Crashed, Quarantines};
use ripstop_net::{Home, Lots, TakenOver};
use ripstop_survive::{Death, Farewells, Manager, Resumed, Successor, Wall, wall};
use ripstop_tears::Tears;
use ripstop_work::Surrender;
use std::{
    convert::Infallible,
    io,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Interval, MissedTickBehavior, interval},
};

/// How often the server shows that it goes on.
const BEAT: Duration = Duration::from_secs(1);

/// Within this time of a stop, another one is the same: a terminal and a service manager send it to
/// all processes, and the master passes its own on.
const ECHO: Duration = Duration::from_millis(250);

/// The exit code of a server that asks to be replaced: `EX_TEMPFAIL`.
const REPLACE: i32 = 75;

/// Looks after which it is said that a server has died, even if nobody knows how.
const PATIENCE: u32 = 10;

/// Who is told how a server that runs by itself is.
#[derive(Debug)]
pub(crate) enum Guardian {
    /// The master and the keeper; the master speaks to a service manager.
    Wall(&'static Wall),
    /// Without a wall, the service manager.
    Manager(Manager),
    /// Nobody.
    Nobody,
}

impl Guardian {
    /// That of a process whose only purpose the server is.
    pub(crate) fn of_process(wall: Option<&'static Wall>) -> Self {
        let manager = || Manager::of_this_process().map_or(Self::Nobody, Self::Manager);
        wall.map_or_else(manager, Self::Wall)
    }

    pub(crate) fn wall(&self) -> Option<&'static Wall> {
        if let Self::Wall(wall) = self { Some(wall) } else { None }
    }

    fn manager(&self) -> Option<&Manager> {
        if let Self::Manager(manager) = self { Some(manager) } else { None }
    }

    fn is_ready(&self) {
        self.wall().inspect(|wall| wall.ready());
        self.manager().inspect(|manager| manager.ready(SERVING));
    }

    fn beat(&self, draining: bool) {
        self.wall().inspect(|wall| wall.beat());
        self.manager().filter(|manager| manager.period().is_some()).inspect(|m| m.lives());
        self.manager().filter(|_| draining).inspect(|manager| manager.drains());
    }

    /// Reads the configuration again.
    pub(crate) fn reload(&self, reload: impl FnOnce()) {
        self.manager().inspect(|manager| manager.reloading());
        reload();
        self.wall().inspect(|wall| wall.reloaded());
        self.manager().inspect(|manager| manager.ready(SERVING));
    }
}

/// What the master wants.
pub(crate) enum Wish {
    /// Another server takes this one's place.
    Successor(Successor),
    /// The server is to end.
    End,
}

/// What a service manager shows.
const SERVING: &str = "serving";

/// What the main thread has of the wall. Without one it does nothing.
#[derive(Debug)]
pub(crate) struct Survival {
    guardian: Arc<Guardian>,
    /// The end has begun.
    draining: Arc<AtomicBool>,
    farewell: Interval,
    /// When to look whether the end is meant, and what became of the quarantine.
    plan: Interval,
    /// What was resumed, until it was said.
    resumed: Option<(Resumed, u32)>,
    farewells: Option<Farewells>,
    /// What the server before was at, and where that is reported.
    crashed: Option<(Crashed, Tears)>,
    quarantines: Quarantines,
    /// How long nobody accepted, in milliseconds.
    took_ms: u64,
    /// Where the master tells of a server that takes this one's place.
    master: Option<AsyncFd<BorrowedFd<'static>>>,
}

impl Survival {
    /// To be called inside a runtime, when the server accepts: from now on its death is answered by
    /// another one. `homeless`: connections that no listener took over.
    pub(crate) fn begin(
        guardian: &Arc<Guardian>,
        homeless: usize,
        crashed: Option<Crashed>,
        tears: &Tears,
    ) -> Self {
        guardian.is_ready();
        let wall = guardian.wall();
        let took_ms = wall.and_then(Wall::since_death_ms).unwrap_or(0);
        let mut resumed = wall.and_then(Wall::resumed).map(|resumed| (resumed, 0));
        if let Some((resumed, _)) = &mut resumed {
            resumed.kept -= homeless.min(resumed.kept);
            resumed.disbelieved += homeless;
        }
        let farewells = resumed.as_mut().map(|(resumed, _)| resumed.farewells());
        let (draining, farewell) = (Arc::<AtomicBool>::default(), every(Farewells::PAUSE));
        if let (None, Some(crashed)) = (&resumed, &crashed) {
            // Its keeper died with it, and nobody was told how.
            crashed.report(tears, &death(None));
        }
        let crashed = crashed.map(|crashed| (crashed, tears.clone()));
        let quarantines = Quarantines::new(wall.and_then(|_| crashes::quarantine()));
        let master = wall.and_then(Wall::socket).and_then(|socket| join(socket).ok());
        let guardian = guardian.clone();
        let plan = every(BEAT);
        Self {
            guardian,
            draining,
            farewell,
            resumed,
            farewells,
            crashed,
            quarantines,
            plan,
            took_ms,
            master,
        }
    }

    /// Shows that the main thread goes on, for as long as it is polled beside all that it does.
    pub(crate) fn beats(&self) -> impl Future<Output = Infallible> + use<> {
        let (guardian, draining) = (self.guardian.clone(), self.draining.clone());
        async move {
            let mut beat = every(BEAT);
            loop {
                beat.tick().await;
                guardian.beat(draining.load(Relaxed));
            }
        }
    }

    /// Sees to what a dead server has left, until the master has another server take this one's
    /// place, or wants it to end: its signal may have come too early to be taken. For ever, where
    /// there is no wall. Cancel safe.
    pub(crate) async fn look(&mut self) -> Wish {
        let Some(wall) = self.guardian.wall() else { return std::future::pending().await };
        loop {
            let busy = self.resumed.is_some() || self.farewells.is_some();
            tokio::select! {
                _ = self.farewell.tick(), if busy => self.see_off(wall),
                _ = self.plan.tick() => {
                    self.quarantines.look();
                    if wall.is_planned() {
                        return Wish::End;
                    }
                }
                () = told(&self.master) => match wall.successor() {
                    Ok(Some(successor)) => return Wish::Successor(successor),
                    Ok(None) => {}
                    // It has ended.
                    Err(_) => self.master = None,
                }
            }
        }
    }

    /// Takes over what another server hands over whose place this one takes.
    pub(crate) fn take_over(&self, lots: &Arc<Lots>, homes: Vec<Home>) {
        let predecessor = self.guardian.wall().and_then(Wall::predecessor);
        let Some(predecessor) = predecessor else { return };
        let tell = |taken: TakenOver| {
            let TakenOver { taken, refused } = taken;
            log::info!(taken, refused; "the connections of the server before have come");
        };
        if let Err(err) = lots.take_over(predecessor, homes, tell) {
            log::error!(err:%; "the connections of the server before are lost");
        }
    }

    /// The end is meant.
    pub(crate) fn plan(&self) {
        self.guardian.wall().inspect(|wall| wall.plan());
    }

    fn see_off(&mut self, wall: &Wall) {
        if self.farewells.as_mut().is_some_and(|farewells| !farewells.look()) {
            self.farewells = None;
        }
        if let Some((resumed, looks)) = &mut self.resumed {
            *looks += 1;
            // The master may not have seen the death yet.
            if wall.death() != Some(Death::Unknown) || *looks >= PATIENCE {
                let crashed = self.crashed.take();
                tell(resumed, wall, self.took_ms, crashed.as_ref().map(|(crashed, _)| crashed));
                crashed.inspect(|(crashed, tears)| crashed.report(tears, &death(wall.death())));
                self.resumed = None;
            }
        }
    }

    /// The end: as planned, or by giving way to another process, which goes on with the
    /// connections. Then it does not return.
    pub(crate) fn end(&self, surrender: Option<Surrender>) {
        self.draining.store(true, Relaxed);
        self.guardian.manager().inspect(|manager| manager.stopping());
        match (self.guardian.wall(), surrender) {
            (Some(wall), Some(reason)) => {
                log::error!(reason:?; "only a new process can help: it takes over");
                wall.replace(REPLACE)
            }
            (Some(wall), None) => wall.plan(),
            (None, _) => {}
        }
    }
}

/// Ticks that are late are not made up for.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

// Its successor is unsafe. What that asks for holds: the socket is open as long as the process.
#[expect(deprecated, reason = "the successor is unsafe")]
fn join(socket: BorrowedFd<'static>) -> io::Result<AsyncFd<BorrowedFd<'static>>> {
    AsyncFd::with_interest(socket, Interest::READABLE)
}

/// Waits until the master may have said something. Cancel safe.
async fn told(master: &Option<AsyncFd<BorrowedFd<'static>>>) {
    let ready = match master {
        Some(master) => master.readable().await,
        None => std::future::pending().await,
    };
    match ready {
        Ok(mut ready) => ready.clear_ready(),
        // The reactor has ended, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

fn tell(resumed: &Resumed, wall: &Wall, took_ms: u64, crashed: Option<&Crashed>) {
    log::warn!(
        kept = resumed.kept,
        answered_503 = resumed.told,
        reset = resumed.cut,
        disbelieved = resumed.disbelieved,
        death:% = death(wall.death()),
        took_ms,
        servers = wall.generation(),
        running:% = crashed.map(Crashed::running).map_or_else(String::new, |ran| ran.to_string()),
        waiting:% = crashed.map(Crashed::waiting).map_or_else(String::new, |ran| ran.to_string());
        "the server before has died, this one goes on with its connections"
    );
}

fn death(death: Option<Death>) -> String {
    match death {
        Some(Death::Signal(signal)) => format!("signal {signal}"),
        Some(Death::Exit(code)) => format!("exit code {code}"),
        Some(Death::Stopped) => "it stood still".to_owned(),
        Some(Death::Unknown) | None => "unknown".to_owned(),
    }
}

/// Tells stops from those that are the same one again.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    last: Option<Instant>,
}

impl Echoes {
    /// Whether a stop that comes now is one that has come already. Without a wall none is.
    pub(crate) fn is_echo(&mut self) -> bool {
        let before = self.last.replace(Instant::now());
        wall().is_some() && before.is_some_and(|before| before.elapsed() < ECHO)
    }
}
