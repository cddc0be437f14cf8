//! Landlock: which files a process can still open, by the kernel's own word, whatever becomes of it.
//!
//! Owns the rules. They hold for the thread that sets them and for all that it starts, for ever. What
//! is open already stays open, and connections are not touched.

use crate::{ClientAuth, Options};
use landlock::{
    ABI, Access, AccessFs, BitFlags, RestrictSelfError, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, path_beneath_rules,
};
use ripstop_net::Address;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The newest kind of rules that are set; an older kernel has some of them.
const NEWEST: ABI = ABI::V5;

/// What every process reads: libraries with their debug information, the databases of users and
/// names, what the kernel says of processes and groups.
const SYSTEM: [&str; 7] = ["/etc", "/lib", "/lib32", "/lib64", "/proc", "/sys/fs/cgroup", "/usr"];

/// Devices that hold nothing.
const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// Which files a server can still open once it has bound its listeners, where the kernel has Landlock
/// (5.13): those in these folders, those that its options name (the folders of certificates and of Unix
/// sockets), its program and libraries, and what every process reads (`/usr`, `/lib`, `/etc`, `/proc`,
/// `/sys/fs/cgroup`). Nothing but the program itself can be executed. The default adds nothing.
///
/// It is fixed for the life of the process: options that are applied later can name nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landlock {
    /// Folders and files that are read.
    pub read: Vec<PathBuf>,
    /// Folders in which files are also written, made and removed, and files that are written.
    pub write: Vec<PathBuf>,
}

/// Where this process can read and write, if it is held.
static HELD: Mutex<Option<Landlock>> = Mutex::new(None);

impl Landlock {
    /// Whether this process can open the file, or make it: true in any case for one that is not held by
    /// rules of its own. Links are followed.
    pub fn allows(path: &Path, write: bool) -> bool {
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = &*held else { return true };
        // What is not there yet is made in its folder.
        let real = path.ancestors().find_map(|path| fs::canonicalize(path).ok());
        let real = real.unwrap_or_else(|| path.to_owned());
        let read = held.read.iter().filter(|_| !write);
        held.write.iter().chain(read).any(|allowed| real.starts_with(allowed))
    }

    /// The folders that it takes to open a file again after another one was put in its place: its own,
    /// and that of what it leads to if it is a link.
    pub fn folders(file: &Path) -> Vec<PathBuf> {
        let real = fs::canonicalize(file).ok();
        let all = [Some(file.to_owned()), real].into_iter().flatten();
        let folder = |file: PathBuf| match file.parent()? {
            here if here.as_os_str().is_empty() => Some(PathBuf::from(".")),
            folder => Some(folder.to_owned()),
        };
        all.filter_map(folder).collect()
    }

    /// Holds the calling thread, and all that it starts. Returns how far, in words.
    pub(crate) fn hold(&self, options: &Options) -> io::Result<String> {
        let held = self.with(options);
        let read_file = AccessFs::ReadFile | AccessFs::ReadDir;
        let made = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock;
        let write = AccessFs::from_all(NEWEST) & !made;
        let rules: [(&[PathBuf], BitFlags<AccessFs>); 4] = [
            (&held.read, read_file),
            (&held.write, write),
            (&mapped_files(), AccessFs::ReadFile | AccessFs::Execute),
            (&DEVICES.map(PathBuf::from), AccessFs::ReadFile | AccessFs::WriteFile),
        ];
        let status = restrict(&rules)?;
        let (read, write) = (held.read.len(), held.write.len());
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(format!("{status}: {read} places to read, {write} to write"))
    }

    /// All places, without links: those that the options name, and those of every process, too.
    fn with(&self, options: &Options) -> Self {
        let system = SYSTEM.map(PathBuf::from);
        let files =
            options.listen.iter().filter_map(|listen| listen.tls.as_ref()).flat_map(|tls| {
                let authority = match &tls.client_auth {
                    ClientAuth::Optional(path) | ClientAuth::Required(path) => Some(path),
                    ClientAuth::None => None,
                };
                let certified =
                    tls.certificates.iter().flat_map(|files| [&files.chain, &files.key]);
                certified.chain(authority)
            });
        let listeners = options.listen.iter().map(|listen| &listen.listener.address);
        let sockets = listeners.chain(&options.admin).filter_map(|address| match address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) | Address::Inherited(_) => None,
        });
        Self {
            read: places(
                self.read
                    .iter()
                    .chain(&system)
                    .cloned()
                    .chain(files.flat_map(|file| Self::folders(file))),
            ),
            write: places(
                self.write.iter().cloned().chain(sockets.flat_map(|file| Self::folders(file))),
            ),
        }
    }
}

/// The places that there are, each once.
fn places(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let real: BTreeSet<_> = paths.filter_map(|path| fs::canonicalize(path).ok()).collect();
    real.into_iter().collect()
}

/// The program and its libraries.
fn mapped_files() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])));
    let program = PathBuf::from("/proc/self/exe");
    let files: BTreeSet<_> = paths.filter(|path| path.is_file()).chain([program]).collect();
    files.into_iter().collect()
}

fn restrict(rules: &[(&[PathBuf], BitFlags<AccessFs>)]) -> io::Result<&'static str> {
    let created = || -> Result<_, RulesetError> {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.create()?;
        rules.iter().try_fold(ruleset, |ruleset, (paths, access)| {
            ruleset.add_rules(path_beneath_rules(*paths, *access))
        })
    };
    let status = match created().map_err(io::Error::other)?.restrict_self() {
        Ok(status) => status.ruleset,
        // Those of the servers before, whose keepers were cloned by held ones, are all that there can be.
        Err(err) if is_one_too_many(&err) => return Ok("in force by the servers before"),
        Err(err) => return Err(io::Error::other(err)),
    };
    Ok(match status {
        RulesetStatus::FullyEnforced => "in force",
        RulesetStatus::PartiallyEnforced => "in force as far as this kernel has it",
        RulesetStatus::NotEnforced => "not in force, this kernel does not have it",
    })
}

/// Whether the kernel has as many layers of rules as it allows.
fn is_one_too_many(err: &RulesetError) -> bool {
    let RulesetError::RestrictSelf(RestrictSelfError::RestrictSelfCall { source, .. }) = err else {
        return false;
    };
    source.kind() == io::ErrorKind::ArgumentListTooLong
}
