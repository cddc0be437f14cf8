//! Survival: the server's dealings with the process wall.
//!
//! Says once what became of the connections that another process left, sees them off that cannot go
//! on, and lets the master and the keeper know how the server is. What survives, and how, is in
//! `ripstop-survive`.

use crate::crashes::{self, Crashed, Quarantines};
use ripstop_survive::{Death, Farewells, Resumed, Wall, wall};
use ripstop_tears::Tears;
use ripstop_work::Surrender;
use std::time::{Duration, Instant};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the server shows that it goes on.
const BEAT: Duration = Duration::from_secs(1);

/// Within this time of a stop, another one is the same: a terminal and a service manager send it to
/// all processes, and the master passes its own on.
const ECHO: Duration = Duration::from_millis(250);

/// The exit code of a server that asks to be replaced: `EX_TEMPFAIL`.
const REPLACE: i32 = 75;

/// Looks after which it is said that a server has died, even if nobody knows how.
const PATIENCE: u32 = 10;

/// What the main thread has of the wall. Without one it does nothing.
#[derive(Debug)]
pub(crate) struct Survival {
    wall: Option<&'static Wall>,
    beat: Interval,
    farewell: Interval,
    /// What was resumed, until it was said.
    resumed: Option<(Resumed, u32)>,
    farewells: Option<Farewells>,
    /// What the server before was at, and where that is reported.
    crashed: Option<(Crashed, Tears)>,
    quarantines: Quarantines,
    /// How long nobody accepted, in milliseconds.
    took_ms: u64,
}

impl Survival {
    /// To be called inside a runtime, when the server accepts: from now on its death is answered by
    /// another one. `homeless`: connections that no listener took over.
    pub(crate) fn begin(
        wall: Option<&'static Wall>,
        homeless: usize,
        crashed: Option<Crashed>,
        tears: &Tears,
    ) -> Self {
        wall.inspect(|wall| wall.ready());
        let took_ms = wall.and_then(Wall::since_death_ms).unwrap_or(0);
        let every = |period| {
            let mut interval = interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let mut resumed = wall.and_then(Wall::resumed).map(|resumed| (resumed, 0));
        if let Some((resumed, _)) = &mut resumed {
            resumed.kept -= homeless.min(resumed.kept);
            resumed.disbelieved += homeless;
        }
        let farewells = resumed.as_mut().map(|(resumed, _)| resumed.farewells());
        let (beat, farewell) = (every(BEAT), every(Farewells::PAUSE));
        if let (None, Some(crashed)) = (&resumed, &crashed) {
            // Its keeper died with it, and nobody was told how.
            crashed.report(tears, &death(None));
        }
        let crashed = crashed.map(|crashed| (crashed, tears.clone()));
        let quarantines = Quarantines::new(wall.and_then(|_| crashes::quarantine()));
        Self { wall, beat, farewell, resumed, farewells, crashed, quarantines, took_ms }
    }

    /// Waits for the next thing to do, and does it. For ever, where there is no wall. Cancel safe.
    pub(crate) async fn look(&mut self) {
        let Some(wall) = self.wall else { return std::future::pending().await };
        let busy = self.resumed.is_some() || self.farewells.is_some();
        tokio::select! {
            _ = self.beat.tick() => {
                wall.beat();
                self.quarantines.look();
            }
            _ = self.farewell.tick(), if busy => self.see_off(wall),
        }
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
        match (self.wall, surrender) {
            (Some(wall), Some(reason)) => {
                log::error!(reason:?; "only a new process can help: it takes over");
                wall.replace(REPLACE)
            }
            (Some(wall), None) => wall.plan(),
            (None, _) => {}
        }
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
