//! Checks and chores of the workspace: `cargo xtask`.
//!
//! `test` is what a change must pass, here and in CI. Depends on nothing outside the standard
//! library, so that it is built in a second.

mod needs;
mod run;
mod tidy;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test   all that a change must pass: rustfmt, tidy, clippy, every test, doc test and example.
         Installs with apt what the tests need beyond Rust and a C compiler, and says so.
  tidy   what no other tool checks: levels of crates, docs of files, fixed ports, sleeps in tests
  soak [MINUTES]
         kills, upgrades, reloads, wedges and panics at random under load, for half an hour or so long
  deny   licences, sources and doubled versions of the dependencies, by cargo-deny
  bench mixed|compare [OPTION]...
         Ripstop, axum and actix-web side by side: under a mixed load, or as fast as they can;
         `bench mixed --help` says which options there are
";

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["test"] => test(),
        ["tidy"] => tidy::check(&root()),
        ["soak"] => soak("30"),
        ["soak", minutes] => soak(minutes),
        ["deny"] => deny(),
        ["bench", "mixed", ref options @ ..] => bench("mixed-compare", options),
        ["bench", "compare", ref options @ ..] => bench("compare", options),
        ["help" | "--help" | "-h"] => {
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
    run::step("bench", || check_bench(&root.join("bench")))?;
    let soak = ("SOAK_SECONDS", SOAK_IN_TESTS);
    let tests = "test --workspace --quiet --locked --no-fail-fast";
    run::step("test", || run::with(&root, soak, "cargo", tests))
}

/// The test of that name, for longer, with what it prints.
fn soak(minutes: &str) -> Result<(), String> {
    let minutes: u64 = minutes.parse().map_err(|_| format!("{minutes} is no number of minutes"))?;
    let seconds = (minutes * 60).to_string();
    run::with(
        &root(),
        ("SOAK_SECONDS", &seconds),
        "cargo",
        "build -p ripstop --examples --release",
    )?;
    let test = "test -p ripstop --release --test it wall::soak -- --nocapture";
    run::with(&root(), ("SOAK_SECONDS", &seconds), "cargo", test)
}

/// How long the soak among the tests is, in seconds.
const SOAK_IN_TESTS: &str = "120";

/// That the workspace of the benchmarks still fits this one. Its lock file need not: it would have
/// to change with every dependency of ours.
fn check_bench(dir: &Path) -> Result<(), String> {
    run::command(dir, "cargo", "fmt --check")?;
    run::command(dir, "cargo", "clippy --all-targets --quiet -- -D warnings")
}

fn bench(program: &str, options: &[&str]) -> Result<(), String> {
    let dir = root().join("bench");
    // All of them, since the servers are programs too.
    run::command(&dir, "cargo", "build --release")?;
    let run = ["run --release --quiet --bin", program, "-- servers.json"];
    run::command(&dir, "cargo", &[&run, options].concat().join(" "))
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
