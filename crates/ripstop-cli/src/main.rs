//! The program `ripstop`: a server from a configuration file, or from nothing at all.
//!
//! The way through it: `arguments` → [`run`] → `serve::serve`, which opens what the
//! configuration names (`open`), binds and runs the library's server. Everything the
//! program does with a connection, the library offers to everybody.

mod arguments;
mod config;
mod control;
mod error;
mod logging;
mod open;
mod options;
mod pattern;
mod pid_file;
mod poison;
mod privileges;
mod redirect;
mod serve;
mod site;
mod upgrade;
mod welcome;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use mimalloc::MiMalloc;

use arguments::{Arguments, Command, PoisonCommand, Printed};
use error::{Error, chain};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Free pages go back to the system at once: else what a crowd took stays, for the thread that
/// would give it back sleeps when the crowd has been parked. It costs nothing that can be measured.
const ALLOCATOR_DEFAULTS: [(&str, &str); 1] = [("MIMALLOC_PURGE_DELAY", "0")];

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(err) => return explain(&err),
    };
    match run(arguments.command()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{}", chain(&err));
            ExitCode::from(err.exit_code())
        }
    }
}

/// Prints clap's answer: help and versions are no fault, the rest is one of usage.
fn explain(err: &clap::Error) -> ExitCode {
    // If the terminal is gone, the exit code is all that can still be said.
    let _ = err.print();
    ExitCode::from(if err.use_stderr() { error::USAGE } else { 0 })
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Serve { dir, options } => {
            // First of all: the master comes no further.
            ripstop::wall::enter_with(options.survival(), &ALLOCATOR_DEFAULTS);
            serve::serve(options.sources(dir))
        }
        Command::Check { options } => {
            let sources = options.sources(None);
            privileges::check(&sources)?;
            say(&match sources.file {
                Some(file) => format!("{}: no faults\n", file.display()),
                None => "no configuration file: the defaults have no faults\n".to_owned(),
            })
        }
        Command::Config { what: Printed::Default } => say(&config::default_file()),
        Command::Config { what: Printed::Schema } => say(&config::schema()),
        Command::Config { what: Printed::Reference } => say(&config::reference()),
        Command::Reload { process } => say(&control::reload(&process.pid_file())?),
        Command::Stop { process, timeout } => say(&control::stop(&process.pid_file(), timeout)?),
        Command::Upgrade { process, binary, timeout } => {
            say(&upgrade::upgrade(&process.pid_file(), binary.as_deref(), timeout)?)
        }
        Command::Status { process } => say(&upgrade::status(&process.pid_file())?),
        Command::Poison { what: PoisonCommand::List { server } } => {
            say(&poison::list(server.pid()?)?)
        }
        Command::Poison { what: PoisonCommand::Lift { fingerprint, server, .. } } => {
            say(&poison::lift(server.pid()?, fingerprint)?)
        }
        Command::Completions { shell } => say(&arguments::completions(shell)),
        Command::Man => say(&arguments::manual().map_err(cannot_write)?),
    }
}

/// Writes to standard output. That nobody reads it to its end is no fault.
fn say(text: &str) -> Result<(), Error> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(err)),
        _ => Ok(()),
    }
}

fn cannot_write(err: io::Error) -> Error {
    Error::io("cannot write to standard output", err)
}
