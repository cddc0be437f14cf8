//! Serving: from the command line to the end of the process.
//!
//! Owns the order: check and open everything, then logs, then the pid file, then
//! bind and serve. Where privileges are to be given up, pid file and listeners come
//! first, and all else is opened with what is left. And the reload, which goes the same way and changes all or
//! nothing. What a server is, the library knows.

use std::{path::PathBuf, sync::Arc};

use ripstop::net::BindError;
use ripstop::{Address, Handle, Inherited, ListenError, Outcome, Running, Server, wall};
use rustix::process::{Pid, getpid};

use crate::{
    config::{self, Config, Faults, Place, Sources},
    error::{Error, chain},
    logging::Logs,
    open::{self, Opened},
    options::options,
    pid_file::{self, PidFile},
    privileges,
    site::{CurrentSite, Site},
    welcome,
};

/// Serves until the process is told to end.
///
/// # Errors
///
/// Every fault of the configuration, ports in use among them; or what else keeps the
/// server from running.
pub(crate) fn serve(sources: Sources) -> Result<(), Error> {
    let (config, mut faults) = config::load(&sources).map_err(Error::Config)?;
    let inherited = inherited(&mut faults);
    let early = match &inherited {
        Some(inherited) if faults.is_empty() => give_up(&config, &sources, inherited, &faults)?,
        _ => None,
    };
    let opened = open::opened(config, faults).map_err(Error::Config)?;
    let Opened { mut config, mut faults, site } = opened;
    quieten(&mut config, &sources);
    let logs = Logs::install(&config.log, &mut faults);
    let (Some(logs), Some(inherited)) = (logs, inherited) else {
        return Err(Error::Config(faults));
    };
    warn_of_unknown_variables(&sources);
    let written = early.map_or_else(|| write_pid_file(&config, &sources), Ok)?;
    let _pid_file = warn_of_no_pid_file(written);
    let site = CurrentSite::new(site);
    let server = Server::with_options(site.clone(), options(&config, logs.access()));
    let mut current = Current { sources, config, site, logs };
    let (said, greeted) = (current.config.clone(), (current.sources.clone(), current.site.clone()));
    let greet = |running: &Running| greet(&said, &greeted.0, &greeted.1, &running.addresses());
    let outcome = server.inherit(inherited).run_reloading(greet, |handle| current.reload(handle));
    match outcome {
        Ok(Outcome::Cut(tasks)) => log::warn!(tasks; "cut off what had not finished in time"),
        Ok(Outcome::Drained) => {}
        Ok(Outcome::Surrendered(reason)) => return Err(Error::Surrendered(reason)),
        Err(err) => return Err(refused(err, &said, faults)),
    }
    Ok(())
}

/// Without a configuration the two lines of the greeting are all that is said, unless
/// somebody asked for a log.
fn quieten(config: &mut Config, sources: &Sources) {
    if sources.file.is_none() && !config.log.filter_said {
        "warn".clone_into(&mut config.log.filter);
    }
}

/// Gives up what the configuration says, if it says so, with the pid file written before that;
/// nothing but the configuration has been read by then.
fn give_up(
    config: &Config,
    sources: &Sources,
    inherited: &Inherited,
    faults: &Faults,
) -> Result<Option<Written>, Error> {
    let Some(privileges) = privileges::privileges(config, sources, &pid_file_path(config)) else {
        return Ok(None);
    };
    let written = write_pid_file(config, sources)?;
    let given_up = privileges.give_up(&options(config, None), inherited);
    given_up.map_err(|err| refused(err, config, faults.clone()))?;
    config::check_readable(sources).map_err(Error::Config)?;
    Ok(Some(written))
}

/// A pid file, or why there is none.
type Written = Result<PidFile, Error>;

/// Writes the pid file; one that was asked for must be there at the first start. Later servers may be a
/// user that cannot write it, and it names the master, which is still the same.
fn write_pid_file(config: &Config, sources: &Sources) -> Result<Written, Error> {
    let path = pid_file_path(config);
    match PidFile::write(&path, main_process(), sources.file.as_deref()) {
        Err(err) if config.server.pid_file.is_some() && is_first() => Err(err),
        written => Ok(written),
    }
}

fn warn_of_no_pid_file(written: Written) -> Option<PidFile> {
    let warn = |err: &Error| {
        let reason = chain(err);
        log::warn!(reason; "no pid file, name one by --pid-file to reload and stop this server");
    };
    written.inspect_err(warn).ok()
}

fn pid_file_path(config: &Config) -> PathBuf {
    let said = config.server.pid_file.clone();
    said.unwrap_or_else(|| pid_file::default_path_of(main_process()))
}

/// The process that signals go to: the master, where there is one.
fn main_process() -> Pid {
    wall::entered().and_then(|wall| Pid::from_raw(wall.master())).unwrap_or_else(getpid)
}

/// The sockets that a service manager opened.
fn inherited(faults: &mut Faults) -> Option<Inherited> {
    let place = faults.named("environment");
    Inherited::from_env().map_err(|err| faults.add(place, chain(&err))).ok()
}

/// What the library refused, told at the place where it was said.
fn refused(err: ripstop::Error, config: &Config, mut faults: Faults) -> Error {
    let ripstop::Error::Listen(errors) = &err else { return Error::Server(err) };
    for refused in errors {
        let Some(place) = place(refused, config) else { return Error::Server(err) };
        faults.add(place, chain(refused));
    }
    Error::Config(faults)
}

/// Where the listener of an error was said.
fn place(err: &ListenError, config: &Config) -> Option<Place> {
    let mut listeners = config.listen.iter();
    match err {
        ListenError::Bind(err) => {
            let address = address(err);
            let listeners = listeners.map(|listen| (&listen.address, listen.place));
            let mut all = listeners.chain([(&config.admin.listen, config.admin.place)]);
            all.find_map(|(said, place)| (said == address).then_some(place))
        }
        ListenError::Tls { listener, .. } => {
            listeners.find_map(|listen| (listen.name == **listener).then_some(listen.place))
        }
        ListenError::Address { .. } | ListenError::Reserve(_) => None,
    }
}

/// The address that an error names.
fn address(err: &BindError) -> &Address {
    match err {
        BindError::InUse(address)
        | BindError::Permission(address)
        | BindError::NotAvailable(address)
        | BindError::NoFolder(address)
        | BindError::NotASocket(address)
        | BindError::NotInherited { address, .. }
        | BindError::Io { address, .. } => address,
    }
}

/// Puts the bound addresses on the welcome page, and says them in two lines where no
/// configuration says what runs.
fn greet(
    config: &Config,
    sources: &Sources,
    site: &CurrentSite,
    addresses: &[(Arc<str>, Address)],
) {
    let urls: Vec<_> = addresses.iter().map(|(_, address)| url(address)).collect();
    let (listeners, admin) = urls.split_at(config.listen.len().min(urls.len()));
    if config.routes.is_empty() {
        site.swap(Site::welcome(&welcome::page(config, listeners, admin)));
    }
    if sources.file.is_some() || !is_first() {
        return;
    }
    let what = match &sources.overrides.folder {
        Some(folder) => format!("the folder {}", folder.display()),
        None => "a welcome page".to_owned(),
    };
    eprintln!("ripstop {} serves {what} on {}", env!("CARGO_PKG_VERSION"), listeners.join(" "));
    match admin.first() {
        Some(url) => eprintln!("its health is told on {url}/health/ready; Ctrl-C ends it"),
        None => eprintln!("`ripstop --help` says what else there is; Ctrl-C ends it"),
    }
}

/// Whether there was no server of the same master before this one.
fn is_first() -> bool {
    wall::entered().is_none_or(|wall| wall.generation() == 1)
}

/// An address as one can open it in a browser.
fn url(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("http://{address}"),
        Address::Unix(_) | Address::Inherited(_) => address.to_string(),
    }
}

/// A variable that is almost one of ours is most likely a mistake. (Others are not ours to
/// judge: container platforms set variables for a service of our name.)
fn warn_of_unknown_variables(sources: &Sources) {
    let known = config::variables();
    for name in sources.overrides.variables.keys().filter(|name| !known.contains(name)) {
        if let Some(meant) = config::nearest(name, known.iter().map(String::as_str)) {
            log::warn!(name, meant; "unknown variable");
        }
    }
}

/// What runs now, and what is needed to replace it.
struct Current {
    sources: Sources,
    config: Config,
    site: CurrentSite,
    logs: Logs,
}

impl Current {
    /// Reads the configuration again; takes all of it, or nothing and says why.
    fn reload(&mut self, handle: &Handle) {
        self.logs.reopen();
        match self.replace(handle) {
            Ok(()) => log::info!("configuration reloaded"),
            Err(Error::Config(faults)) => {
                for fault in faults.lines() {
                    log::error!(fault; "configuration not reloaded");
                }
            }
            Err(err) => log::error!(reason = chain(&err); "configuration not reloaded"),
        }
    }

    fn replace(&mut self, handle: &Handle) -> Result<(), Error> {
        let (config, mut faults) = config::load(&self.sources).map_err(Error::Config)?;
        privileges::check_held(&config, &mut faults);
        let opened = open::opened(config, faults).map_err(Error::Config)?;
        let Opened { mut config, mut faults, site } = opened;
        quieten(&mut config, &self.sources);
        let Some(logs) = self.logs.prepare(&config.log, &mut faults) else {
            return Err(Error::Config(faults));
        };
        let applied = handle.apply(options(&config, logs.access()));
        applied.map_err(|err| refused(err, &config, faults))?;
        self.site.swap(site);
        self.logs.replace(logs);
        warn_of_restart(&self.config, &config);
        self.config = config;
        Ok(())
    }
}

/// Says which changes wait for a restart.
fn warn_of_restart(old: &Config, new: &Config) {
    let (server, before) = (&new.server, &old.server);
    let changed = [
        ("server.workers", server.workers != before.workers),
        ("server.spares", server.spares != before.spares),
        ("server.executors", server.executors != before.executors),
        ("server.executors_max", server.executors_max != before.executors_max),
        ("server.user", server.account != before.account),
        ("server.landlock", server.landlock != before.landlock),
        ("server.pid_file", server.pid_file != before.pid_file),
        ("admin.enabled", new.admin.enabled != old.admin.enabled),
        ("admin.listen", new.admin.listen != old.admin.listen),
    ];
    for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
        log::warn!(key; "takes a restart");
    }
}
