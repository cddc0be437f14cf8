//! Checks and chores of the workspace: `cargo xtask`.
//!
//! `test` is what a change must pass, here and in CI. Depends on nothing outside the standard
//! library, so that it is built in a second.

mod needs;
mod run;
mod tidy;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test   all that a change must pass: rustfmt, tidy, clippy, every test, doc test and example.
         Installs with apt what the tests need beyond Rust and a C compiler, and says so.
  tidy   what no other tool checks: levels of crates, docs of files, fixed ports, sleeps in tests
  deny   licences, sources and doubled versions of the dependencies, by cargo-deny
";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let (command, rest) = (args.next().unwrap_or_default(), args.next());
    let done = match (command.as_str(), rest) {
        ("test", None) => test(),
        ("tidy", None) => tidy::check(&root()),
        ("deny", None) => deny(),
        ("help" | "--help" | "-h", None) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder: above this package, of which cargo tells where it lies; without cargo
/// the one we stand in.
fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let above = package.and_then(|package| package.parent().map(PathBuf::from));
    above.unwrap_or_else(|| ".".into())
}

fn test() -> Result<(), String> {
    let root = root();
    let cargo = |args: &str| run::command(&root, "cargo", args);
    run::step("needs", needs::install)?;
    run::step("rustfmt", || cargo("fmt --all --check"))?;
    run::step("tidy", || tidy::check(&root))?;
    run::step("clippy", || {
        cargo("clippy --workspace --all-targets --quiet --locked -- -D warnings")
    })?;
    run::step("test", || cargo("test --workspace --quiet --locked --no-fail-fast"))
}

/// Not part of `test`: cargo-deny takes minutes to build. The advisories are left out, since they
/// change from day to day and are fetched from elsewhere: `cargo deny check advisories`.
fn deny() -> Result<(), String> {
    let root = root();
    if !run::is_installed("cargo-deny") {
        println!("cargo-deny is missing: it is built now, which takes some minutes");
        run::command(&root, "cargo", "install --locked cargo-deny")?;
    }
    run::command(&root, "cargo", "deny check bans licenses sources")
}
