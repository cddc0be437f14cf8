//! Crashes: what the server before was at when it died, and what follows for such requests.
//!
//! What threads are at is in memory that the next server reads; so is what is known of requests that
//! were running at crashes. Which of them are refused is decided in `ripstop-balance`.

use ripstop_http::{Fingerprint, Quarantine, Quarantined, Rules};
use ripstop_survive::{Crash, Wall, uptime, wall};
use ripstop_tears::{Kind, Sighting, Tears};
use ripstop_work::{Ran, SubjectMemory, share_subjects};
use std::{
    fmt::{self, Display},
    time::{Duration, Instant},
};

/// Requests that are named in a line of the log.
const NAMED: usize = 5;

/// How long nothing is said of refused requests after it was said.
const PAUSE: Duration = Duration::from_secs(10);

/// Has threads that start from now on say what they are at where the next server finds it.
pub(crate) fn outlive_threads() {
    share_subjects(SubjectMemory {
        take: || wall()?.threads().take(),
        give_back: |words| {
            wall().inspect(|wall| wall.threads().give_back(words));
        },
    });
}

/// What requests did to the servers before, where there is a process wall.
pub(crate) fn quarantine() -> Option<Quarantine> {
    wall().map(|wall| Quarantine::new(wall.suspects()))
}

/// Rules that know it.
pub(crate) fn rules() -> Rules {
    let rules = Rules::default();
    quarantine().inspect(|quarantine| rules.remember(*quarantine));
    rules
}

/// A death, with the requests that were running.
#[derive(Debug)]
pub(crate) struct Crashed {
    wall: &'static Wall,
    /// It is known which thread the process died of.
    has_culprit: bool,
    /// What that one was at.
    culprit: Option<Ran>,
    /// What the other threads were at.
    others: Vec<Ran>,
    /// Some of the requests that no thread was in.
    waiting: Vec<Ran>,
}

impl Crashed {
    /// What was left of the server before, if it has crashed.
    pub(crate) fn take(wall: &'static Wall) -> Option<Self> {
        let Crash { has_culprit, threads } = wall.crash()?;
        let (mut culprit, mut others, mut waiting) = (None, Vec::new(), Vec::new());
        for thread in threads {
            match Ran::read(&thread.words) {
                Some(ran) if ran.waits => waiting.push(ran),
                Some(ran) if thread.crashed => culprit = Some(ran),
                ran => others.extend(ran),
            }
        }
        // One that had waited, and was gone on with.
        let goes_on = |id: &str| culprit.iter().chain(&others).any(|ran| ran.request_id == id);
        waiting.retain(|ran| !goes_on(&ran.request_id));
        Some(Self { wall, has_culprit, culprit, others, waiting })
    }

    /// Counts it against the requests that it may be the fault of: that of the thread which died, or
    /// where nobody knows which one did, all of them. `cooling`: how long those are refused, at
    /// first, for whom it is one crash too many.
    pub(crate) fn count(&self, cooling: Duration) {
        let quarantine = Quarantine::new(self.wall.suspects());
        let suspects = match self.has_culprit {
            true => self.culprit.as_slice(),
            false => &self.others,
        };
        let master = self.wall.master();
        for Quarantined { fingerprint, route, left, .. } in
            quarantine.crashed(uptime(), suspects, cooling)
        {
            log::error!(
                route,
                fingerprint:%,
                seconds = left.as_secs(),
                lift:% = format_args!("ripstop poison lift --pid {master} {fingerprint}");
                "a request was running at crash after crash: it is refused for some time"
            );
        }
    }

    /// The requests that threads were in, the culprit's first.
    pub(crate) fn running(&self) -> impl Display {
        Named(self.culprit.iter().chain(&self.others).collect())
    }

    /// Some of the requests that waited.
    pub(crate) fn waiting(&self) -> impl Display {
        Named(self.waiting.iter().collect())
    }

    /// Reports it. `death`: how the process died.
    pub(crate) fn report(&self, tears: &Tears, death: &str) {
        let culprit = self.culprit.as_ref();
        let thread = if self.has_culprit { "the one that it died of" } else { "not known" };
        tears.file(Sighting {
            route: culprit.map(|ran| ran.route.clone()),
            request_id: culprit.map(|ran| ran.request_id.clone()),
            peer: culprit.and_then(|ran| ran.peer),
            message: format!("the process died ({death}) while it ran {}", self.running()),
            ..Sighting::new(Kind::Crash, thread)
        });
    }
}

/// Requests, as a line of the log has them.
struct Named<'a>(Vec<&'a Ran>);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ran) in self.0.iter().take(NAMED).enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{} ({})", ran.route, ran.request_id)?;
        }
        match self.0.len() {
            0 => f.write_str("no request"),
            count if count > NAMED => write!(f, " and {} more", count - NAMED),
            _ => Ok(()),
        }
    }
}

/// Looks now and then what becomes of the quarantine, and says it.
#[derive(Debug)]
pub(crate) struct Quarantines {
    quarantine: Option<Quarantine>,
    before: Vec<(Fingerprint, String)>,
    /// How many requests were said to be refused, and when.
    told: u64,
    told_at: Option<Instant>,
}

impl Quarantines {
    pub(crate) fn new(quarantine: Option<Quarantine>) -> Self {
        let told = quarantine.map_or(0, Quarantine::refused);
        Self { quarantine, before: Vec::new(), told, told_at: None }
    }

    /// To be called each second or so.
    pub(crate) fn look(&mut self) {
        let Some(quarantine) = self.quarantine else { return };
        quarantine.forget(uptime());
        let now: Vec<_> = quarantine.list();
        let is_in = |print: &Fingerprint| now.iter().any(|still| still.fingerprint == *print);
        for (fingerprint, route) in self.before.iter().filter(|(print, _)| !is_in(print)) {
            log::warn!(route, fingerprint:%; "a quarantine is over: such requests are handled again");
        }
        self.before = now.into_iter().map(|now| (now.fingerprint, now.route)).collect();
        let total = quarantine.refused();
        if total != self.told && self.told_at.is_none_or(|at| at.elapsed() >= PAUSE) {
            let refused = total - self.told;
            log::warn!(refused, total; "requests in quarantine were refused");
            (self.told, self.told_at) = (total, Some(Instant::now()));
        }
    }
}
