//! A server that runs: its main thread, and the handles to it.
//!
//! The main thread has no part in any request. It delegates the accepting ([`Gates`]), looks
//! after certificates, gives the leases of stuck workers to others, and carries out the end.

use crate::{
    Address, Error, MemoryCounts, Options, RouteState, Tears,
    admin::{self, AdminGate},
    crashes::{self, Crashed},
    gates::{Closing, Gates, refresh},
    memory::{Gauge, Memory, Reach},
    privileges,
    signals::{Asked, Signals},
    survival::{Echoes, Guardian, Survival, Wish},
};
use ripstop_admin::Health;
use ripstop_balance::Class;
use ripstop_http::{Fingerprint, Handler, Quarantine, Quarantined, RateCounts, Rules};
use ripstop_net::{
    ConnectionCounts, Connections, HandedOver, Inherited, Lots, RefusedCounts, raise_descriptors,
};
use ripstop_survive::Successor;
use ripstop_work::{Drained, Ending, Job, JobHandle, Queue, Routes, Surrender, Workers};
use std::{
    ops::Deref,
    sync::{Arc, mpsc as std_mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// How often certificate files are looked at.
const TLS_LOOK: Duration = Duration::from_secs(1);

/// How long connections that are cut off may take to end, and to say so. Where a thread is stuck,
/// that is how long it takes.
const CUT_TIME: Duration = Duration::from_millis(500);

/// How long requests may take to finish when the process asks to be replaced.
const SURRENDER_TIME: Duration = Duration::from_secs(1);

/// How long a hand-over waits for connections at rest, until a death is not answered any more.
const REST_TIME: Duration = Duration::from_secs(1);

/// How often it is looked, in a hand-over, whether all have gone.
const HANDOVER_LOOK: Duration = Duration::from_millis(5);

/// How long connections that never came to rest have, at the end of a hand-over, to be told that
/// they end.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// How often it is looked whether connections were refused.
const REFUSED_LOOK: Duration = Duration::from_secs(1);

/// How long nothing is said of it after it was said.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// How often it is seen to that there is a watchdog.
const WATCHDOG_LOOK: Duration = Duration::from_secs(1);

/// How long a listener that is closed is waited for.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that ran was finished.
    Drained,
    /// This many connections and handlers were cut off.
    Cut(usize),
    /// Threads were lost, or workers torn, faster than they could be replaced: only a new process
    /// can help.
    Surrendered(Surrender),
}

/// How far the end of a server has come; only ever goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Serving,
    Draining,
    Cutting,
}

/// A server that runs. Dropping it ends the server at once.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    main: Option<JoinHandle<Outcome>>,
}

/// A handle to a server that runs; does not keep it running.
#[derive(Clone, Debug)]
pub struct Handle {
    stage: watch::Sender<Stage>,
    apply: mpsc::Sender<Apply>,
    addresses: watch::Receiver<Vec<(Arc<str>, Address)>>,
    queue: Queue,
    routes: Arc<Routes>,
    connections: Arc<Connections>,
    lots: Arc<Lots>,
    rules: Arc<Rules>,
    memory: Arc<Gauge>,
    tears: Tears,
}

/// Why a server ends.
enum End {
    /// Somebody has asked for it.
    Asked,
    /// Only a new process can help.
    Surrender(Surrender),
    /// Another server takes its place.
    Successor(Successor),
}

/// New options, and where to say what became of them.
type Apply = (Box<Options>, std_mpsc::SyncSender<Result<(), Error>>);

/// What is called on HUP.
pub(crate) type Reload<'a> = dyn FnMut(&Handle) + Send + 'a;

impl Handle {
    /// The names of the listeners and the addresses they are bound to; the admin listener last.
    pub fn addresses(&self) -> Vec<(Arc<str>, Address)> {
        self.addresses.borrow().clone()
    }

    /// The task queue. One of a server that has ended takes no jobs.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What was learned of routes: those that have stalled a thread, or that are queued.
    pub fn routes(&self) -> Vec<RouteState> {
        self.routes.list()
    }

    /// How many connections there are, were, and were refused.
    pub fn connections(&self) -> ConnectionCounts {
        self.connections.counts()
    }

    /// How many of the connections are parked: idle, and without a task.
    pub fn parked(&self) -> usize {
        self.lots.parked()
    }

    /// The requests that are refused, since they were running at crash after crash.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.rules.quarantine().map_or_else(Vec::new, Quarantine::list)
    }

    /// How many requests were refused for that, by this server and those before it.
    pub fn refused_by_quarantine(&self) -> u64 {
        self.rules.quarantine().map_or(0, Quarantine::refused)
    }

    /// Has requests of this fingerprint be handled again; false if nothing was known of them.
    pub fn lift(&self, fingerprint: Fingerprint) -> bool {
        self.rules.quarantine().is_some_and(|quarantine| quarantine.lift(fingerprint))
    }

    /// How far memory is from its ceiling, and what was done for it.
    pub fn memory(&self) -> MemoryCounts {
        self.memory.counts()
    }

    /// What each of the rate limits has done.
    pub fn rate_limits(&self) -> Vec<RateCounts> {
        self.rules.rates()
    }

    /// The reports of what tears in this server.
    pub fn tears(&self) -> &Tears {
        &self.tears
    }

    /// Stops accepting, lets everything that runs finish within the drain time, and ends.
    pub fn stop(&self) {
        self.reach(Stage::Draining);
    }

    /// Ends at once.
    pub fn cut(&self) {
        self.reach(Stage::Cutting);
    }

    /// Takes new options: new listeners are opened, those no longer named are closed, all others
    /// are not touched; limits and deadlines hold for new connections, rate limits and trusted
    /// proxies for new requests. A rate limit that stays the same goes on counting. The number of
    /// workers and the admin listener stay as they are. Blocks the calling thread for some
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// When something cannot be bound or read; nothing has changed then. A server that ends takes
    /// no options: that is reported as an error of its main thread.
    pub fn apply(&self, options: Options) -> Result<(), Error> {
        let ended = |reason| Error::Main(std::io::Error::other(reason));
        let (told, outcome) = std_mpsc::sync_channel(1);
        self.apply.try_send((Box::new(options), told)).map_err(|err| match err {
            TrySendError::Full(_) => ended("other options are being applied"),
            TrySendError::Closed(_) => ended("the server is ending"),
        })?;
        outcome.recv().unwrap_or_else(|_| Err(ended("the server is ending")))
    }

    /// The first time stops, the second time cuts.
    fn stop_or_cut(&self) {
        let stage = *self.stage.borrow();
        self.reach(if stage == Stage::Serving { Stage::Draining } else { Stage::Cutting });
    }

    fn reach(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let further = *now < stage;
            if further {
                *now = stage;
            }
            further
        });
    }
}

impl Running {
    /// Starts workers and gates, and the main thread over them.
    pub(crate) fn start<S: Handler + Sync>(
        service: S,
        options: Options,
        inherited: Inherited,
        tears: Tears,
        guardian: &Arc<Guardian>,
    ) -> Result<Self, Error> {
        if options.raise_descriptors
            && let Err(err) = raise_descriptors()
        {
            log::warn!(err:%; "the limit of descriptors cannot be raised");
        }
        privileges::tell();
        let crashed = guardian.wall().and_then(Crashed::take);
        if let (Some(crashed), Some(cooling)) = (&crashed, options.quarantine) {
            crashed.count(cooling);
        }
        crashes::outlive_threads();
        let runtime = OwnRuntime::new()?;
        let health = Health::new();
        let workers = Workers::start(&options.threads(), tears.clone()).map_err(Error::Workers)?;
        let workers = Arc::new(workers);
        let (queue, routes) = (workers.queue().clone(), workers.routes().clone());
        let lots = Lots::open(&workers).map_err(Error::Main)?;
        let gates = Gates::open(service, workers.clone(), lots.clone(), &options, &inherited);
        let admin = options
            .admin
            .as_ref()
            .map(|address| admin::open(address, health.clone(), &workers, &lots, &inherited))
            .transpose();
        let (gates, admin) = both(gates, admin)?;
        let unclaimed = if guardian.wall().is_some() { gates.resume() } else { 0 };
        let (connections, rules) = (gates.connections().clone(), gates.rules().clone());
        let mut memory = Memory::new(&workers, gates.buffers());
        memory.set(options.memory, options.buffered);
        let gauge = memory.gauge().clone();
        let (stage, stages) = watch::channel(Stage::Serving);
        let (apply, applies) = mpsc::channel(1);
        let (listening, addresses) = watch::channel(Vec::new());
        let survival = {
            let _inside = runtime.enter();
            Survival::begin(guardian, unclaimed, crashed, &tears)
        };
        survival.take_over(&lots, gates.homes());
        let main = Main {
            workers,
            lots: lots.clone(),
            gates,
            admin,
            health,
            options,
            inherited,
            stages,
            applies,
            listening,
            memory,
            survival,
        };
        main.announce();
        // Gates are open, and whoever is told of the start next may ask.
        main.health.ready();
        let builder = thread::Builder::new().name("rip-main".into());
        let thread = builder.spawn(move || runtime.block_on(main.run())).map_err(Error::Main)?;
        let handle = Handle {
            stage,
            apply,
            addresses,
            queue,
            routes,
            connections,
            lots,
            rules,
            memory: gauge,
            tears,
        };
        Ok(Self { handle, main: Some(thread) })
    }

    /// A handle that can be given to others.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// See [`Handle::addresses`].
    pub fn addresses(&self) -> Vec<(Arc<str>, Address)> {
        self.handle.addresses()
    }

    /// See [`Handle::stop`].
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// Waits until the server has ended. Blocks the calling thread.
    ///
    /// # Panics
    ///
    /// Goes on with a panic of the server's main thread.
    pub fn wait(mut self) -> Outcome {
        let main = self.main.take().expect("taken only here and on drop");
        main.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }

    /// Serves until a signal or a handle stops it, and drains; a second signal ends it at once.
    /// The signals were taken over on `runtime`.
    pub(crate) fn obey(
        self,
        runtime: &Runtime,
        mut signals: Signals,
        mut reload: Option<&mut Reload<'_>>,
        guardian: &Guardian,
    ) -> Result<Outcome, Error> {
        let handle = self.handle.clone();
        on_own_thread(|| {
            let mut ended = handle.addresses.clone();
            let mut echoes = Echoes::default();
            while let Some(asked) = runtime.block_on(next(&mut signals, &mut ended)) {
                match (asked, &mut reload) {
                    (Asked::Stop, _) if echoes.is_echo() => {}
                    (Asked::Stop, _) => handle.stop_or_cut(),
                    (Asked::Reload, Some(reload)) => guardian.reload(|| reload(&handle)),
                    (Asked::Reload, None) => {}
                }
            }
        })?;
        Ok(self.wait())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.cut();
        if let Some(main) = self.main.take() {
            // Its panic has been printed, and whoever drops does not ask for the outcome.
            let _ = main.join();
        }
    }
}

/// Both, or the faults of both and nothing left open.
fn both<S: Handler + Sync>(
    gates: Result<Gates<S>, Error>,
    admin: Result<Option<AdminGate>, Error>,
) -> Result<(Gates<S>, Option<AdminGate>), Error> {
    match (gates, admin) {
        (Ok(gates), Ok(admin)) => Ok((gates, admin)),
        (Ok(mut gates), Err(err)) => {
            gates.close();
            Err(err)
        }
        (Err(err), Ok(admin)) => {
            admin.inspect(|admin| admin.close());
            Err(err)
        }
        (Err(Error::Listen(mut faults)), Err(Error::Listen(more))) => {
            faults.extend(more);
            Err(Error::Listen(faults))
        }
        (Err(err), Err(_)) => Err(err),
    }
}

/// The next signal; `None` when the server has ended.
async fn next(
    signals: &mut Signals,
    ended: &mut watch::Receiver<Vec<(Arc<str>, Address)>>,
) -> Option<Asked> {
    loop {
        tokio::select! {
            asked = signals.next() => return Some(asked),
            changed = ended.changed() => if changed.is_err() { return None },
        }
    }
}

/// Runs `work` where no other runtime is in the way, and waits for it.
pub(crate) fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work).map_err(Error::Main)?;
        Ok(thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)))
    })
}

/// A runtime for one thread, which may be dropped inside another runtime too.
#[derive(Debug)]
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(crate) fn new() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self(Some(runtime.map_err(Error::Main)?)))
    }
}

impl Deref for OwnRuntime {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("taken only on drop")
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A plain drop waits for blocking work, which tokio forbids inside a runtime.
            runtime.shutdown_background();
        }
    }
}

/// Waits until the end has come this far. Cancel safe.
async fn reached(stages: &mut watch::Receiver<Stage>, stage: Stage) {
    // A handle that is gone asks for nothing more: `Running` cuts when it is dropped.
    let _ = stages.wait_for(|now| *now >= stage).await;
}

/// Waits until all that runs has finished: first for the listeners, which take those who wait
/// before they close.
async fn drained(closing: Closing, workers: &Workers, deadline: Duration) -> Drained {
    closing.wait(CLOSE_PATIENCE.min(deadline)).await;
    workers.drained(deadline).await
}

/// Waits for the end of a job, if there is one. Cancel safe.
async fn ended(job: &mut Option<JobHandle<()>>) {
    if let Some(job) = job {
        // How it ended makes no difference: the next one is no other.
        let _ = job.await;
    }
}

/// The main thread's part.
struct Main<S> {
    workers: Arc<Workers>,
    lots: Arc<Lots>,
    gates: Gates<S>,
    admin: Option<AdminGate>,
    health: Health,
    options: Options,
    inherited: Inherited,
    stages: watch::Receiver<Stage>,
    applies: mpsc::Receiver<Apply>,
    listening: watch::Sender<Vec<(Arc<str>, Address)>>,
    memory: Memory,
    survival: Survival,
}

impl<S: Handler + Sync> Main<S> {
    async fn run(self) -> Outcome {
        let beats = self.survival.beats();
        tokio::select! {
            outcome = self.live() => outcome,
            never = beats => match never {},
        }
    }

    async fn live(mut self) -> Outcome {
        let end = self.serve().await;
        let surrender = if let End::Surrender(reason) = end { Some(reason) } else { None };
        if let End::Successor(successor) = end {
            self.hand_over(successor).await;
        }
        self.survival.end(surrender);
        if surrender.is_some() {
            self.options.drain = SURRENDER_TIME.min(self.options.drain);
        }
        let ended = self.end().await;
        let outcome = surrender.map_or(ended, Outcome::Surrendered);
        log::info!(outcome:?; "server ended");
        outcome
    }

    /// Until the end is asked for, or cannot be avoided.
    async fn serve(&mut self) -> End {
        let mut watchdog = interval(WATCHDOG_LOOK);
        watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refused = interval(REFUSED_LOOK);
        refused.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = RefusedCounts::default();
        let mut look = interval(TLS_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refreshing = None;
        let mut memory = interval(Duration::from_secs(1));
        let mut sweep = interval(self.options.timeouts.sweep());
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = reached(&mut self.stages, Stage::Draining) => return End::Asked,
                reason = self.workers.surrendered() => return End::Surrender(reason),
                wish = self.survival.look() => return match wish {
                    Wish::Successor(successor) => End::Successor(successor),
                    Wish::End => End::Asked,
                },
                Some((options, told)) = self.applies.recv() => {
                    // Nobody may wait for the answer any more; the options count all the same.
                    let _ = told.send(self.apply(*options).await);
                    sweep = interval(self.options.timeouts.sweep());
                }
                () = self.workers.drowned() => self.relieve_stuck(),
                _ = sweep.tick() => {
                    self.lots.sweep();
                }
                _ = memory.tick() => memory.reset_after(self.look_at_memory()),
                _ = watchdog.tick() => {
                    self.workers.look_after_watchdog();
                    // Where all were stuck, nobody could take over.
                    self.relieve_stuck();
                    self.gates.forget_closed();
                }
                _ = refused.tick() => if self.tell_of_refused(&mut told) {
                    refused.reset_after(REFUSED_PAUSE);
                },
                _ = look.tick(), if refreshing.is_none() => refreshing = self.refresh_tls(),
                () = ended(&mut refreshing), if refreshing.is_some() => refreshing = None,
            }
        }
    }

    /// Looks at the memory, and does what follows. Returns when to look again.
    fn look_at_memory(&mut self) -> Duration {
        self.memory.look(Reach {
            workers: &self.workers,
            lots: &self.lots,
            connections: self.gates.connections(),
            idle: self.options.timeouts.idle,
        })
    }

    /// Looks at certificate files, on an executor: the disk may take its time. Where the queue is
    /// full, the next look will do.
    fn refresh_tls(&self) -> Option<JobHandle<()>> {
        let acceptors = self.gates.tls();
        if acceptors.is_empty() {
            return None;
        }
        let job = Job::call(move || refresh(&acceptors)).class(Class::Background);
        self.workers.queue().submit(job).ok()
    }

    /// Gives what stuck workers have to others: their leases, and their connections at rest.
    fn relieve_stuck(&self) {
        self.lots.look_after(&self.workers);
        self.gates.recall_from_stuck();
        if let Some(admin) = &self.admin {
            admin.recall_from_stuck();
        }
    }

    /// A line for all that were refused since the last one, since clients must not fill the log.
    /// Returns whether there were any.
    fn tell_of_refused(&self, told: &mut RefusedCounts) -> bool {
        let counts = self.gates.connections().counts();
        let refused = counts.refused;
        let any = refused != *told;
        if any {
            log::warn!(
                total = refused.total - told.total,
                listener = refused.listener - told.listener,
                client = refused.client - told.client,
                memory = refused.memory - told.memory,
                descriptors = refused.descriptors - told.descriptors,
                open = counts.open,
                limit = counts.limit;
                "connections were refused"
            );
            *told = refused;
        }
        any
    }

    async fn apply(&mut self, options: Options) -> Result<(), Error> {
        let closing = self.gates.apply(&options, &self.inherited)?;
        self.options = options;
        self.memory.set(self.options.memory, self.options.buffered);
        self.announce();
        closing.wait(CLOSE_PATIENCE).await;
        Ok(())
    }

    /// Gives the connections at rest to the server that takes this one's place, then the others as
    /// they come to rest, as long as they may take; what is left ends as in any end. A death in the
    /// middle is answered as any other until all that was at rest has gone.
    async fn hand_over(&mut self, successor: Successor) {
        self.health.draining();
        self.refuse_applies();
        // It is the other's to answer for the server.
        self.admin.take().inspect(|admin| admin.close());
        if let Err(err) = self.lots.hand_over(successor) {
            log::error!(err:%; "the connections end with this server");
            return;
        }
        self.workers.end(Ending::MoveOn);
        // Bounded, since clients go on coming.
        let _ = timeout(REST_TIME, self.rest_has_gone()).await;
        let HandedOver { given, lost } = self.lots.handed_over().await;
        log::info!(given, lost; "another server has taken the place of this one");
        self.survival.plan();
        let closing = self.gates.close();
        let patience = self.options.drain.saturating_sub(GOODBYE_TIME);
        let mut stages = self.stages.clone();
        tokio::select! {
            _ = timeout(patience, self.handed_over(closing)) => {}
            () = reached(&mut stages, Stage::Draining) => {}
        }
        let HandedOver { given, lost } = self.lots.handed_over().await;
        log::info!(given, lost; "all connections that can have gone to the other server");
    }

    /// Waits until no connection is at rest.
    async fn rest_has_gone(&self) {
        self.lots.handed_over().await;
        while self.lots.at_rest() > 0 {
            sleep(HANDOVER_LOOK).await;
            self.lots.handed_over().await;
        }
    }

    /// Waits until no connection is left.
    async fn handed_over(&self, closing: Closing) {
        closing.wait(CLOSE_PATIENCE).await;
        loop {
            self.workers.drained(self.options.drain).await;
            self.lots.handed_over().await;
            // One that was parked may have had a request once more.
            if self.gates.connections().counts().open == 0 {
                return;
            }
            sleep(HANDOVER_LOOK).await;
        }
    }

    /// Lets what runs finish, for as long as that may take.
    async fn end(&mut self) -> Outcome {
        self.health.draining();
        self.refuse_applies();
        let closing = self.gates.close();
        self.workers.end(Ending::AfterRequest);
        self.lots.close();
        log::info!(seconds = self.options.drain.as_secs(); "draining");
        let drained = tokio::select! {
            drained = drained(closing, &self.workers, self.options.drain) => drained,
            () = reached(&mut self.stages, Stage::Cutting) => {
                self.workers.drained(Duration::ZERO).await
            }
        };
        if drained != Drained::Whole {
            // What is cut is reset, so that nobody takes it for whole.
            self.workers.end(Ending::AtOnce);
            self.workers.drained(CUT_TIME).await;
            self.workers.list_as_cut();
        }
        if let Some(admin) = &self.admin {
            admin.close();
        }
        match drained {
            Drained::Whole => Outcome::Drained,
            Drained::Cut(tasks) => Outcome::Cut(tasks),
        }
    }

    /// Whoever applies options from now on, or waits for them to be taken, is told of the end.
    fn refuse_applies(&mut self) {
        self.applies.close();
        while self.applies.try_recv().is_ok() {}
    }

    /// Publishes where the server listens.
    fn announce(&self) {
        let mut addresses = self.gates.addresses();
        if let Some(admin) = &self.admin {
            let listener = admin.listener();
            addresses.push((listener.name().clone(), listener.local_address().clone()));
        }
        for (listener, address) in &addresses {
            log::info!(listener:%, address:%; "listening");
        }
        self.listening.send_replace(addresses);
    }
}
