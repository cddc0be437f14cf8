//! What the server gives up between binding and opening, and what it can open from then on.
//!
//! Owns the list of paths that a configuration names. How privileges are given up, and in
//! which order, the library knows.

use std::path::Path;

use ripstop::{Inherited, Landlock, Options, Privileges};

use crate::{
    config::{self, Action, Config, Faults, Output, Place, Sources},
    error::Error,
    open,
};

/// A path that a configuration names.
struct Named<'a> {
    path: &'a Path,
    written: bool,
    place: Place,
}

/// What the server gives up, if anything. `pid_file` is where it writes that.
pub(crate) fn privileges(
    config: &Config,
    sources: &Sources,
    pid_file: &Path,
) -> Option<Privileges> {
    let account = config.server.account.clone();
    let landlock = config.server.landlock.then(|| landlock(config, sources, pid_file));
    let any = account.is_some() || landlock.is_some();
    any.then(|| Privileges { account, landlock, ..Privileges::default() })
}

fn landlock(config: &Config, sources: &Sources, pid_file: &Path) -> Landlock {
    let folders = |path: &Path| Landlock::folders(path);
    let mut landlock = Landlock::default();
    landlock.read.extend(sources.file.iter().flat_map(|file| folders(file)));
    landlock.write.extend(folders(pid_file));
    for named in named(config) {
        if named.written {
            landlock.write.extend(folders(named.path));
        } else {
            landlock.read.push(named.path.to_owned());
            // Where one link leads to the present of several folders, the next one is beside it.
            let is_link = named.path.is_symlink();
            landlock.read.extend(folders(named.path).into_iter().skip(1).filter(|_| is_link));
        }
    }
    landlock
}

/// All paths but those of certificates and sockets, which the library looks after.
fn named(config: &Config) -> Vec<Named<'_>> {
    let roots = config.routes.iter().filter_map(|route| match &route.action {
        Action::Files(files) => {
            Some(Named { path: &files.options.root, written: false, place: files.place })
        }
        Action::Respond(_) | Action::Redirect(_) => None,
    });
    let (log, access) = (&config.log, &config.log.access);
    let access = access.format.and(Some((&access.to, access.place)));
    let logs = [Some((&log.to, log.place)), access].into_iter().flatten();
    let logs = logs.filter_map(|(output, place)| match output {
        Output::File(path) => Some(Named { path, written: true, place }),
        Output::Stdout | Output::Stderr => None,
    });
    roots.chain(logs).collect()
}

/// Tells what a configuration names that this process cannot open any more.
pub(crate) fn check_held(config: &Config, faults: &mut Faults) {
    let tls = config.listen.iter().filter_map(|listen| listen.tls.as_ref());
    let files = tls.flat_map(|tls| &tls.files);
    let files = files.map(|(path, place)| Named { path, written: false, place: *place });
    let sockets = config.listen.iter().filter_map(|listen| match &listen.address {
        ripstop::Address::Unix(path) => Some(Named { path, written: true, place: listen.place }),
        _ => None,
    });
    for Named { path, written, place } in named(config).into_iter().chain(files).chain(sockets) {
        if !Landlock::allows(path, written) {
            let path = path.display();
            let what = format!(
                "{path} is outside of the folders that Landlock has left to the server since it \
                 started (server.landlock), restart it"
            );
            faults.add(place, what);
        }
    }
}

/// Checks a configuration as the user that it names, where this process can be that one.
///
/// # Errors
///
/// Every fault there is.
pub(crate) fn check(sources: &Sources) -> Result<(), Error> {
    let (config, faults) = config::load(sources).map_err(Error::Config)?;
    if let Some(account) = config.server.account.clone().filter(|_| faults.is_empty()) {
        let privileges = Privileges { account: Some(account), ..Privileges::default() };
        let given_up = privileges.give_up(&Options::default(), &Inherited::default());
        given_up.map_err(Error::Server)?;
        config::check_readable(sources).map_err(Error::Config)?;
    }
    open::opened(config, faults).map_err(Error::Config).map(drop)
}
