//! The configuration: from a file, variables and flags to checked values.
//!
//! Owns the way there: [`load`] reads the file, walks it section by section and
//! gives a [`Config`] or all faults at once. A key is written down once, in the
//! function that reads its section; `describe.rs` derives the default file, the
//! schema and the reference from those same functions. After [`load`] nobody
//! checks a value again.

mod clients;
mod describe;
mod fault;
mod kind;
mod listen;
mod privileges;
mod rate;
mod reader;
mod route;
mod sections;
#[cfg(test)]
mod tests;
mod unit;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml::{Spanned, de::DeTable};

use clients::Clients;
pub(crate) use describe::{default_file, reference, schema, variables};
pub(crate) use fault::{Faults, Place};
pub(crate) use listen::{Listen, Tls};
use reader::{Field, Reader, Table};
pub(crate) use reader::{Overrides, nearest};
use ripstop::RateLimit;
pub(crate) use route::{Action, Files, Respond, Route};
pub(crate) use sections::{
    Access, AccessFormat, Admin, Limits, Log, LogFormat, Output, Server, Timeouts,
};
pub(crate) use unit::parse_duration;

/// A configuration in which nothing is left to check.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The process and its workers.
    pub(crate) server: Server,
    /// Where to listen; at least one.
    pub(crate) listen: Vec<Listen>,
    /// What is answered; none means the welcome page.
    pub(crate) routes: Vec<Route>,
    /// Whose connections are taken, and who a client is.
    pub(crate) clients: Clients,
    /// How often clients may come, whatever they ask for.
    pub(crate) rates: Vec<RateLimit>,
    /// How long each wait may take.
    pub(crate) timeouts: Timeouts,
    /// How much each client may ask for.
    pub(crate) limits: Limits,
    /// What is said, and where.
    pub(crate) log: Log,
    /// Health checks.
    pub(crate) admin: Admin,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// What goes before it.
    pub(crate) overrides: Overrides,
}

impl Config {
    /// All sections, in the order in which they are documented.
    fn read(document: &mut Table<'_, '_>) -> Self {
        Self {
            server: document.table("server", "The process and its workers.", Server::read),
            listen: listen::read_all(document),
            routes: route::read_all(document),
            clients: document.table(
                "clients",
                "Whose connections are taken, and who a client is behind proxies.",
                Clients::read,
            ),
            rates: rate::read_all(
                document,
                "How often clients may come, whatever they ask for; as many limits as needed, \
                 which are looked at in turn. A reload keeps the counts of those that stay the \
                 same.",
            ),
            timeouts: document.table("timeouts", "How long each wait may take.", Timeouts::read),
            limits: document.table("limits", "How much each client may ask for.", Limits::read),
            log: document.table("log", "What is logged, and where.", Log::read),
            admin: document.table(
                "admin",
                "The listener for health checks: /health/live and /health/ready.",
                Admin::read,
            ),
        }
    }
}

/// Reads a configuration, and tells every fault of the file, the variables and the flags.
///
/// The configuration is whole even if there are faults (a default stands in for what is
/// wrong, and a route or listener that is wrong is left out), so that whoever opens what
/// it names can tell more of them. It must not be served from unless there are none.
///
/// # Errors
///
/// If the file can't be read at all.
pub(crate) fn load(sources: &Sources) -> Result<(Config, Faults), Faults> {
    let Some(path) = &sources.file else {
        return Ok(parse("", None, Path::new(""), &sources.overrides));
    };
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|err| unreadable(&name, &err))?;
    let base = path.parent().unwrap_or(Path::new(""));
    Ok(parse(&name, Some(&text), base, &sources.overrides))
}

/// Whether this process can read the file again, which may not be who it was when it was loaded.
///
/// # Errors
///
/// Why not.
pub(crate) fn check_readable(sources: &Sources) -> Result<(), Faults> {
    let Some(path) = &sources.file else { return Ok(()) };
    let opened = fs::File::open(path).map(drop);
    opened.map_err(|err| unreadable(&path.display().to_string(), &err))
}

fn unreadable(name: &str, err: &io::Error) -> Faults {
    let mut faults = Faults::new(name, "");
    let place = faults.named(name);
    let what = match err.kind() {
        io::ErrorKind::NotFound => {
            "no such file, `ripstop config default` prints one to begin with".to_owned()
        }
        io::ErrorKind::InvalidData => "not UTF-8, it must be TOML".to_owned(),
        _ => format!("{err}, it must be a file that can be read"),
    };
    faults.add(place, what);
    faults
}

fn parse(name: &str, text: Option<&str>, base: &Path, overrides: &Overrides) -> (Config, Faults) {
    let mut faults = Faults::new(name, text.unwrap_or_default());
    let (document, errors) = match text {
        Some(text) => {
            let (document, errors) = DeTable::parse_recoverable(text);
            (Some(document), errors)
        }
        None => (None, Vec::new()),
    };
    for err in &errors {
        let offset = err.span().map_or(0, |span| span.start);
        faults.add(Place::File(offset), err.message().replace('\n', ", "));
    }
    let entries = document.as_ref().map(Spanned::get_ref);
    let broken = !errors.is_empty();
    let mut reader = Reader { overrides, base, faults, broken, describing: false };
    let (config, _) = Table::document(&mut reader, entries, Config::read);
    (config, reader.faults)
}

/// All keys there are.
fn fields() -> Vec<Field> {
    let overrides = Overrides::default();
    let (base, faults) = (Path::new(""), Faults::default());
    let mut reader =
        Reader { overrides: &overrides, base, faults, broken: false, describing: true };
    Table::document(&mut reader, None, Config::read).1
}
