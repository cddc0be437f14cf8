//! Running commands and saying how long each took.

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

/// Runs `work` under a heading, and says what it took.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    println!("== {name}");
    let begin = Instant::now();
    let done = work();
    let outcome = if done.is_ok() { "passed" } else { "FAILED" };
    println!("== {name}: {outcome} after {:.1} s", begin.elapsed().as_secs_f64());
    done
}

/// Runs `program` in `dir` with `args`, which are parted by blanks.
pub(crate) fn command(dir: &Path, program: &str, args: &str) -> Result<(), String> {
    run(Command::new(program).current_dir(dir), program, args)
}

/// The same, with one more variable in its environment.
pub(crate) fn with(
    dir: &Path,
    (name, value): (&str, &str),
    program: &str,
    args: &str,
) -> Result<(), String> {
    print!("{name}={value} ");
    run(Command::new(program).current_dir(dir).env(name, value), program, args)
}

fn run(command: &mut Command, program: &str, args: &str) -> Result<(), String> {
    println!("$ {program} {args}");
    let status = command.args(args.split(' ')).status();
    let status = status.map_err(|err| format!("cannot run {program}: {err}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {args}: {status}")) }
}

/// Whether `program` is somewhere in `PATH`.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| fs::metadata(dir.join(program)).is_ok())
}
