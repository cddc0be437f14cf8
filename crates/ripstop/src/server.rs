//! The server: an application and options, until it is started.

use crate::{
    Address, Error, Handle, Listen, ListenError, Options, Outcome, Privileges, Running, Tears,
    running::{OwnRuntime, Reload, on_own_thread},
    signals::Signals,
    survival::Guardian,
};
use ripstop_http::Handler;
use ripstop_net::{Inherited, ListenerOptions};
use ripstop_survive::{Wall, Wanted};
use std::{fmt, future::Future, sync::Arc};

/// A server that has not started yet.
///
/// ```
/// # fn main() -> Result<(), ripstop::Error> {
/// let app = axum::Router::new().route("/", axum::routing::get(|| async { "Hello, World!" }));
/// let running = ripstop::Server::new(app).listen("127.0.0.1:0").start()?;
/// let (_, address) = &running.addresses()[0];
/// assert_ne!(address.to_string(), "127.0.0.1:0");
/// running.stop();
/// assert_eq!(running.wait(), ripstop::Outcome::Drained);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server<S> {
    service: S,
    options: Options,
    inherited: Inherited,
    faults: Vec<ListenError>,
    tears: Tears,
    wanted: Wanted,
    resumes: Hook,
    privileges: Option<Privileges>,
}

/// What an application does when its server is not the first.
struct Hook(Option<Box<dyn FnOnce(&'static Wall) + Send>>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.0.is_some()).finish()
    }
}

impl<S: Handler + Sync> Server<S> {
    /// A server of `service` with default options, which listens nowhere yet.
    pub fn new(service: S) -> Self {
        Self::with_options(service, Options::default())
    }

    /// A server of `service` with these options.
    pub fn with_options(service: S, options: Options) -> Self {
        let (inherited, faults, tears) = (Inherited::default(), Vec::new(), Tears::new());
        let (wanted, resumes) = (Wanted::Yes, Hook(None));
        let privileges = None;
        Self { service, options, inherited, faults, tears, wanted, resumes, privileges }
    }

    /// Listens on one more address, in clear text: `127.0.0.1:8080`, `[::1]:80`, `:8080`,
    /// `unix:/run/app.sock` or `fd:NAME`. An address that makes no sense is reported by the
    /// start.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        match address.parse::<Address>() {
            Ok(address) => {
                let listener = ListenerOptions { address, ..ListenerOptions::default() };
                self.options.listen.push(Listen { listener, ..Listen::default() });
            }
            Err(source) => {
                let address = address.to_owned();
                self.faults.push(ListenError::Address { address, source });
            }
        }
        self
    }

    /// The reports of what tears in this server: panics, stalls, threads that were lost. They can be
    /// streamed before it starts, and as long as it runs.
    pub fn tears(&self) -> &Tears {
        &self.tears
    }

    /// Takes the listening sockets that a parent process left, for addresses of the form
    /// `fd:NAME`.
    #[must_use]
    pub fn inherit(mut self, inherited: Inherited) -> Self {
        self.inherited = inherited;
        self
    }

    /// Whether a crash of the process costs no connection: [`run`](Server::run) and its kin then
    /// have a master and a keeper, and `main` begins anew in another process; see
    /// [`wall::enter`](crate::wall::enter). Default: true.
    #[must_use]
    pub fn survive(mut self, survive: bool) -> Self {
        self.wanted = if survive { Wanted::Yes } else { Wanted::No };
        self
    }

    /// Calls `hook` where the server goes on for another one, after a crash or as an upgrade, before
    /// anything is accepted: what the application wants to carry over is in [`Wall::value`], if it
    /// was put there by [`Wall::carry`]. In an upgrade the server before still serves at that time.
    #[must_use]
    pub fn on_resume(mut self, hook: impl FnOnce(&'static Wall) + Send + 'static) -> Self {
        self.resumes = Hook(Some(Box::new(hook)));
        self
    }

    /// Gives privileges up when the listeners are bound, before anything else that the options name is
    /// read, and for good: options that are applied later are carried out with what is left. A server
    /// that goes on for this one, after a crash or as an upgrade, has the same.
    ///
    /// Nothing may have started a thread by then, or the start fails.
    #[must_use]
    pub fn privileges(mut self, privileges: Privileges) -> Self {
        self.privileges = Some(privileges);
        self
    }

    /// Binds everything and begins to serve, on threads of its own. Works inside and outside of
    /// another runtime.
    ///
    /// # Errors
    ///
    /// When something cannot be bound or started; then nothing is.
    pub fn start(self) -> Result<Running, Error> {
        self.start_behind(&Arc::new(Guardian::Nobody))
    }

    fn start_behind(mut self, guardian: &Arc<Guardian>) -> Result<Running, Error> {
        if !self.faults.is_empty() {
            return Err(Error::Listen(self.faults));
        }
        if let Some(privileges) = self.privileges.take() {
            privileges.give_up(&self.options, &self.inherited)?;
        }
        let resumed = guardian.wall().filter(|wall| wall.generation() > 1);
        if let (Some(wall), Some(hook)) = (resumed, self.resumes.0.take()) {
            hook(wall);
        }
        Running::start(self.service, self.options, self.inherited, self.tears, guardian)
    }

    /// Serves until the process gets TERM or INT, then drains; a second such signal ends it at
    /// once. Blocks the calling thread.
    ///
    /// A server that dies otherwise is replaced by another process, which goes on with its
    /// connections: the first process that comes here becomes the master of the others, and does
    /// not return. So what this program does before happens once in each of them.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub fn run(self) -> Result<Outcome, Error> {
        self.run_with(None, |_| {})
    }

    /// As [`Server::run`]; calls `started` when everything is bound, and `reload` on HUP. Without
    /// `run_reloading`, HUP is left as it is.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub fn run_reloading(
        self,
        started: impl FnOnce(&Running),
        mut reload: impl FnMut(&Handle) + Send,
    ) -> Result<Outcome, Error> {
        self.run_with(Some(&mut reload), started)
    }

    fn run_with(
        self,
        reload: Option<&mut Reload<'_>>,
        started: impl FnOnce(&Running),
    ) -> Result<Outcome, Error> {
        let guardian = Arc::new(Guardian::of_process(ripstop_survive::enter(self.wanted)));
        let runtime = OwnRuntime::new()?;
        // Before the start, so that whoever sees it listen can end it by a signal.
        let signals = Signals::listen(&runtime, reload.is_some()).map_err(Error::Main)?;
        let running = self.start_behind(&guardian)?;
        started(&running);
        running.obey(&runtime, signals, reload, &guardian)
    }

    /// Serves until `stop` is ready, then drains. Blocks the calling thread; `stop` is polled on
    /// a runtime of its own, with timers and I/O.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    ///
    /// # Panics
    ///
    /// Goes on with a panic of `stop`.
    pub fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<Outcome, Error> {
        let guardian = Arc::new(Guardian::of_process(ripstop_survive::enter(self.wanted)));
        let runtime = OwnRuntime::new()?;
        let running = self.start_behind(&guardian)?;
        on_own_thread(|| runtime.block_on(stop))?;
        running.stop();
        Ok(running.wait())
    }
}
