//! Routes: kinds of work, by name, with what was learned of each.
//!
//! Only a route that has stalled a thread, or that the application queues, has an entry: on a
//! server whose handlers behave, the table is empty and a request costs one look at it. The table is
//! bounded whatever clients send: beyond the bound, a route that behaves gives way, and where there
//! is none, all further ones share one entry.

mod key;

use crate::{RouteName, slot::SeenRoute};
use arc_swap::ArcSwap;
use key::Key;
use ripstop_balance::{Change, Conduct, Mean, Run};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Entries at most.
const ENTRIES: usize = 1024;

/// The name of the entry that all share for whom there is none.
const OTHERS: &str = "(others)";

/// What was learned of routes; one table for a process's workers.
#[derive(Debug)]
pub struct Routes {
    table: ArcSwap<HashMap<Arc<str>, Arc<Route>>>,
    /// Whether the table has an entry: all that most requests look at.
    any: AtomicBool,
    /// Held while the table is replaced.
    entering: Mutex<()>,
    others: Arc<Route>,
    start: Instant,
    /// From when on a poll is a stall.
    stall: Duration,
}

/// One route.
pub struct Route {
    name: Arc<str>,
    conduct: Mutex<Conduct>,
    /// What `conduct` says, for those who have no time for its lock.
    queued: AtomicBool,
    /// A [`Mean`] of what a run costs, in its bits.
    cost: AtomicU64,
    stalls: AtomicU64,
    changes: AtomicU64,
}

/// A route as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteState {
    /// Its name: the application's, or method and path with `{}` in place of what looks variable.
    pub name: Arc<str>,
    /// Where its requests run when nothing else is said.
    pub run: Run,
    /// How often it has stalled a thread.
    pub stalls: u64,
    /// How often it went from inline to queued, or back.
    pub changes: u64,
    /// What a run on an executor takes on average; `None` if there was none.
    pub cost: Option<Duration>,
}

impl Routes {
    pub(crate) fn new(stall: Duration) -> Self {
        Self {
            table: ArcSwap::default(),
            any: AtomicBool::new(false),
            entering: Mutex::new(()),
            others: Arc::new(Route::new(OTHERS.into())),
            start: Instant::now(),
            stall,
        }
    }

    /// Whether there is something to know of any route.
    #[inline]
    pub fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// The route of this name, if there is something to know of it.
    pub fn find(&self, name: RouteName<'_>) -> Option<Arc<Route>> {
        let table = self.table.load();
        let found = table.get(Key::of(name).as_str()).cloned();
        found.or_else(|| (table.len() >= ENTRIES).then(|| self.others.clone()))
    }

    /// The route of this name, which gets an entry if it has none.
    pub fn enter(&self, name: RouteName<'_>) -> Arc<Route> {
        let key = Key::of(name);
        if let Some(route) = self.table.load().get(key.as_str()) {
            return route.clone();
        }
        let _entering = lock(&self.entering);
        let table = self.table.load();
        if let Some(route) = table.get(key.as_str()) {
            return route.clone();
        }
        let mut next = HashMap::clone(&table);
        if next.len() >= ENTRIES && !make_room(&mut next) {
            return self.others.clone();
        }
        let route = Arc::new(Route::new(key.as_str().into()));
        next.insert(route.name.clone(), route.clone());
        self.table.store(Arc::new(next));
        self.any.store(true, Relaxed);
        route
    }

    /// All routes that are known, by their names.
    pub fn list(&self) -> Vec<RouteState> {
        let table = self.table.load();
        let others = (table.len() >= ENTRIES).then_some(&self.others);
        let mut list: Vec<_> = table.values().chain(others).map(|route| route.state()).collect();
        list.sort_by(|one, other| one.name.cmp(&other.name));
        list
    }

    /// The name by which a route goes here: as the application says it, or method and path with `{}`
    /// in place of what looks variable.
    pub fn key(name: RouteName<'_>) -> Arc<str> {
        Key::of(name).as_str().into()
    }

    /// A thread was stuck in a poll of this route.
    pub(crate) fn stalled(&self, name: &SeenRoute) -> Arc<Route> {
        let route = self.enter(name.as_name());
        route.stalls.fetch_add(1, Relaxed);
        route.learn(|conduct| conduct.stalled(self.start.elapsed()));
        route
    }

    /// An executor has run a job of this route: `whole` in all, in one poll at most `longest`.
    pub(crate) fn ran(&self, route: &Route, whole: Duration, longest: Duration) {
        route.measured(whole);
        route.learn(|conduct| conduct.ran(self.start.elapsed(), longest, self.stall));
    }
}

/// Takes one entry out that has learned nothing; false if there is none.
fn make_room(table: &mut HashMap<Arc<str>, Arc<Route>>) -> bool {
    let idle = |route: &&Arc<Route>| !route.queued.load(Relaxed);
    // The one with the fewest stalls tells the least.
    let least = table.values().filter(idle).min_by_key(|route| route.stalls.load(Relaxed));
    let Some(name) = least.map(|route| route.name.clone()) else { return false };
    table.remove(&name);
    true
}

impl Route {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            conduct: Mutex::default(),
            queued: AtomicBool::new(false),
            cost: AtomicU64::new(Mean::default().to_bits()),
            stalls: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// The route's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where its requests run when nothing else is said.
    pub fn run(&self) -> Run {
        if self.queued.load(Relaxed) { Run::Queued } else { Run::Inline }
    }

    /// What a run takes on average, as far as that was measured.
    pub fn cost(&self) -> Option<Duration> {
        Mean::from_bits(self.cost.load(Relaxed)).get()
    }

    fn measured(&self, whole: Duration) {
        // Two executors at once may lose one of their measurements: a mean can bear that.
        let mut mean = Mean::from_bits(self.cost.load(Relaxed));
        mean.update(whole);
        self.cost.store(mean.to_bits(), Relaxed);
    }

    fn learn(&self, lesson: impl FnOnce(&mut Conduct) -> Option<Change>) {
        let change = lesson(&mut lock(&self.conduct));
        let Some(change) = change else { return };
        self.changes.fetch_add(1, Relaxed);
        self.queued.store(matches!(change, Change::ToQueued { .. }), Relaxed);
        let route = &self.name;
        match change {
            Change::ToQueued { until } => log::warn!(
                route:%, seconds = until.as_secs();
                "a route stalls its thread: it is queued until it has behaved for some time"
            ),
            Change::ToInline => log::info!(route:%; "a route has behaved: it runs inline again"),
        }
    }

    fn state(&self) -> RouteState {
        RouteState {
            name: self.name.clone(),
            run: self.run(),
            stalls: self.stalls.load(Relaxed),
            changes: self.changes.load(Relaxed),
            cost: self.cost(),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these locks is held, so a poisoned state is a whole one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
