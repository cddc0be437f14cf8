//! The command line: what can be said on it, and what it means.
//!
//! Owns the grammar and the help texts. Values that a configuration file could
//! say too are passed on as text, so that their faults are found in one place.

#![expect(clippy::doc_markdown, reason = "documentation is printed here as help, as it is")]

use std::{
    collections::BTreeMap, env, ffi::OsString, io, path::Path, path::PathBuf, time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ripstop::{Fingerprint, wall::Wanted};

use crate::{
    config::{Overrides, Sources, parse_duration},
    error::Error,
    pid_file,
};

/// The file that is read when none is named.
const FILE_DEFAULT: &str = "ripstop.toml";

/// An application server in which a fault costs at most the request that caused it.
#[derive(Debug, Parser)]
#[command(name = "ripstop", version, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// What to do; without a command: serve.
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Options,
}

/// A command with its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve: what the configuration says, a folder, or a welcome page
    Serve {
        /// A folder to serve on every path that no route of the configuration is for
        dir: Option<PathBuf>,
        #[command(flatten)]
        options: Options,
    },
    /// Check the configuration, and tell every fault in it
    Check {
        #[command(flatten)]
        options: Options,
    },
    /// Print a configuration to begin with, its schema for editors, or its reference
    Config {
        /// What to print
        #[arg(value_enum)]
        what: Printed,
    },
    /// Have the running server read its configuration again
    Reload {
        #[command(flatten)]
        process: ProcessOptions,
    },
    /// End the running server when its requests are answered
    Stop {
        #[command(flatten)]
        process: ProcessOptions,
        /// How long to wait for its end
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
        timeout: Duration,
    },
    /// Replace the program of the running server, which hands its connections over
    Upgrade {
        #[command(flatten)]
        process: ProcessOptions,
        /// The new program [default: what is now where the server was started from]
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
        /// How long it may take until it serves
        #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
        timeout: Duration,
    },
    /// Tell which processes serve, and how many connections each has
    Status {
        #[command(flatten)]
        process: ProcessOptions,
    },
    /// Show or lift the quarantine of requests that crashed the running server
    Poison {
        /// What to do
        #[command(subcommand)]
        what: PoisonCommand,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// What `ripstop poison` does.
#[derive(Debug, Subcommand)]
pub(crate) enum PoisonCommand {
    /// List the requests that are refused: fingerprint, route, and for how long
    List {
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Have such requests be handled again
    Lift {
        /// Which, as `ripstop poison list` and the log name it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        fingerprint: Option<Fingerprint>,
        /// All of them
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        server: ServerOptions,
    },
}

/// What `ripstop config` prints.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Printed {
    /// A commented file with every default
    Default,
    /// JSON Schema, for editors
    Schema,
    /// A page in Markdown
    Reference,
}

/// What goes before the configuration file.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Configuration file [else RIPSTOP_CONFIG, else ripstop.toml if it is here]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on instead of those in the file; may be given several times [else
    /// RIPSTOP_LISTEN]
    #[arg(short, long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Workers [else RIPSTOP_WORKERS; default: one for each CPU]
    #[arg(short, long, value_name = "N")]
    workers: Option<String>,
    /// What to log, as in RUST_LOG [else RIPSTOP_LOG_FILTER]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// File for the process id [else RIPSTOP_PID_FILE]
    #[arg(long, value_name = "FILE")]
    pid_file: Option<String>,
    /// Run as one process: a crash then costs all connections [the same as RIPSTOP_WALL=off]
    #[arg(long)]
    no_master: bool,
}

/// Which running server is meant.
#[derive(Args, Debug)]
pub(crate) struct ProcessOptions {
    /// File in which the server wrote its process id [else RIPSTOP_PID_FILE]
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

/// Which running server is meant, be it this program or another one of the library.
#[derive(Args, Debug)]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    process: ProcessOptions,
    /// Process id of the server or its master, in place of a file
    #[arg(long, value_name = "PID", conflicts_with = "pid_file")]
    pid: Option<i32>,
}

impl ServerOptions {
    /// The process.
    ///
    /// # Errors
    ///
    /// No server runs.
    pub(crate) fn pid(self) -> Result<i32, Error> {
        match self.pid {
            Some(pid) => Ok(pid),
            None => Ok(pid_file::find(&self.process.pid_file())?.pid.as_raw_pid()),
        }
    }
}

impl Arguments {
    /// The command; `serve` if none was said.
    pub(crate) fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve { dir: None, options: self.serve })
    }
}

impl Options {
    /// Whether a crash is to be survived.
    pub(crate) fn survival(&self) -> Wanted {
        if self.no_master { Wanted::No } else { Wanted::Yes }
    }

    /// Where the configuration comes from.
    pub(crate) fn sources(self, folder: Option<PathBuf>) -> Sources {
        let variables = variables();
        let file = self.config.or_else(|| named_file(&variables)).or_else(file_here);
        let flags = [
            ("server.workers", "--workers", self.workers),
            ("server.pid_file", "--pid-file", self.pid_file),
            ("log.filter", "--log", self.log),
        ];
        let flags = flags.into_iter().filter_map(|(key, flag, text)| Some((key, (flag, text?))));
        let flags: BTreeMap<_, _> = flags.collect();
        Sources { file, overrides: Overrides { flags, variables, listen: self.listen, folder } }
    }
}

impl ProcessOptions {
    /// The pid file: by the flag, by its variable, or where it always is.
    pub(crate) fn pid_file(self) -> PathBuf {
        let variable = || variables().remove("RIPSTOP_PID_FILE").map(PathBuf::from);
        self.pid_file.or_else(variable).unwrap_or_else(pid_file::default_path)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "it must be a duration such as \"30s\" or \"5m\"".to_owned())
}

/// All environment variables that could be ours.
fn variables() -> BTreeMap<String, String> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let all = env::vars_os().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| name.starts_with("RIPSTOP_")).collect()
}

fn named_file(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    variables.get("RIPSTOP_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn file_here() -> Option<PathBuf> {
    let path = Path::new(FILE_DEFAULT);
    path.exists().then(|| path.to_owned())
}

/// Completions for a shell.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::grammar(), "ripstop", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page.
///
/// # Errors
///
/// Never: it is written to memory.
pub(crate) fn manual() -> io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Arguments::grammar()).render(&mut page)?;
    page.extend_from_slice(include_bytes!("manual.roff"));
    Ok(String::from_utf8_lossy(&page).into_owned())
}

impl Arguments {
    /// The grammar. (`CommandFactory::command` would be mistaken for [`Arguments::command`].)
    fn grammar() -> clap::Command {
        <Self as CommandFactory>::command()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_has_no_contradictions() {
        Arguments::grammar().debug_assert();
    }

    #[test]
    fn no_command_is_serve() {
        for line in [&["ripstop", "--workers", "2"][..], &["ripstop", "serve", "--workers", "2"]] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            let Command::Serve { dir: None, options } = arguments.command() else {
                panic!("{line:?} is not serve");
            };
            assert_eq!(options.workers.as_deref(), Some("2"));
        }
    }
}
