//! Privileges: what a server gives up when it has bound its listeners, and before it reads anything
//! that its options name.
//!
//! Owns the order. The calls, and what master and keeper do, are in `ripstop-survive`; which files
//! are left is in `landlock.rs`.

use crate::{Error, Options, admin, landlock::Landlock};
use ripstop_net::{Inherited, ListenerOptions};
use ripstop_survive::{Account, NewPrivileges, give_up};
use std::{
    fmt, fs, io,
    sync::{Mutex, PoisonError},
};

/// What a server gives up before it reads anything that its options name, and for all servers that
/// come after it, its master and its keeper: see [`Server::privileges`](crate::Server::privileges).
#[derive(Clone, Debug)]
pub struct Privileges {
    /// Whom it runs as, once it has bound its listeners as root. Default: whoever has started it. A
    /// process that is started as this account needs no root.
    pub account: Option<Account>,
    /// Whether no program that is executed from now on can have more privileges, by setuid or file
    /// capabilities (`no_new_privs`). Default: true.
    pub no_new_privs: bool,
    /// Which files it can still open. Needs `no_new_privs`, which is set with it. Default: all that
    /// its account may. Master and keeper are not held.
    pub landlock: Option<Landlock>,
}

impl Default for Privileges {
    fn default() -> Self {
        Self { account: None, no_new_privs: true, landlock: None }
    }
}

/// Why privileges were not given up. The process must end: some may be gone.
#[derive(Debug)]
#[non_exhaustive]
pub enum PrivilegesError {
    /// The process is neither root nor of this account.
    NotRoot(Account),
    /// So many threads run already, for which it would not hold.
    Threads(usize),
    /// The system has refused it, or it did not last.
    GiveUp(io::Error),
    /// Landlock has refused the rules.
    Landlock(io::Error),
}

impl fmt::Display for PrivilegesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRoot(account) => write!(
                f,
                "this process is not root, so it cannot be another ({account}): start it as root, as \
                 that user with that group, or leave the user out"
            ),
            Self::Threads(count) => write!(
                f,
                "{count} threads run already, for which no_new_privs and Landlock would not hold: give \
                 privileges up before any is started"
            ),
            Self::GiveUp(_) => f.write_str("privileges cannot be given up"),
            Self::Landlock(_) => f.write_str("Landlock cannot hold the process"),
        }
    }
}

impl std::error::Error for PrivilegesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotRoot(_) | Self::Threads(_) => None,
            Self::GiveUp(err) | Self::Landlock(err) => Some(err),
        }
    }
}

/// What has been given up, to be said when there is a log.
static SAID: Mutex<Option<String>> = Mutex::new(None);

impl Privileges {
    /// Binds the listeners of `options` into `inherited`, by which a server gets them, and gives the
    /// privileges up, in the order that this takes. [`Server::privileges`](crate::Server::privileges)
    /// does so at the start; a program that opens files before that, as its log, calls this earlier.
    /// What is so already is left as it is.
    ///
    /// Behind a process wall it is for the first thread.
    ///
    /// # Errors
    ///
    /// A listener cannot be bound, or something cannot be given up. Then the process has to end.
    pub fn give_up(&self, options: &Options, inherited: &Inherited) -> Result<(), Error> {
        let account = self.account.as_ref();
        self.check().map_err(Error::Privileges)?;
        let owner = account.map(|account| (account.user(), account.group()));
        inherited.bind(&listeners(options), owner).map_err(|faults| {
            Error::Listen(faults.into_iter().map(crate::ListenError::Bind).collect())
        })?;
        let new = if self.is_bound() { NewPrivileges::None } else { NewPrivileges::Allowed };
        let refused = |err| Error::Privileges(PrivilegesError::GiveUp(err));
        give_up(account, new).map_err(refused)?;
        let held = self.landlock.as_ref().map(|landlock| landlock.hold(options)).transpose();
        let held = held.map_err(|err| Error::Privileges(PrivilegesError::Landlock(err)))?;
        let account = account.map_or_else(|| "as it was started".to_owned(), ToString::to_string);
        let held = held.unwrap_or_else(|| "off".to_owned());
        let said = format!("{account}; no_new_privs {}; landlock {held}", self.is_bound());
        *SAID.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
        Ok(())
    }

    /// Whether it can be done, as far as that can be known before.
    ///
    /// # Errors
    ///
    /// As [`Privileges::give_up`], but for listeners.
    pub fn check(&self) -> Result<(), PrivilegesError> {
        if let Some(account) = self.account.as_ref().filter(|account| !account.is_possible()) {
            return Err(PrivilegesError::NotRoot(account.clone()));
        }
        if !self.is_bound() {
            return Ok(());
        }
        match fs::read_dir("/proc/self/task").map_err(PrivilegesError::GiveUp)?.count() {
            1 => Ok(()),
            threads => Err(PrivilegesError::Threads(threads)),
        }
    }

    fn is_bound(&self) -> bool {
        self.no_new_privs || self.landlock.is_some()
    }
}

/// Says what was given up, once.
pub(crate) fn tell() {
    if let Some(said) = SAID.lock().unwrap_or_else(PoisonError::into_inner).take() {
        log::info!(account:% = said; "privileges were given up");
    }
}

/// All that is bound at the start.
fn listeners(options: &Options) -> Vec<ListenerOptions> {
    let admin = options.admin.iter().map(admin::listener);
    options.listen.iter().map(|listen| listen.listener.clone()).chain(admin).collect()
}
