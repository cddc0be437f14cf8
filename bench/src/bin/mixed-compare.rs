//! Servers side by side under the mixed load (see `mixed`).
//!
//! `mixed-compare bench/servers.json --rounds 5 --seconds 20`
//!
//! Starts one server after the other, each of them once a round, so that what changes on the machine
//! meanwhile hits all alike; in a round all get the same requests at the same times. Prints the
//! medians of the rounds as a table in Markdown. Errors are those of all rounds together.

use clap::Parser;
use ripstop_bench::figures::{Figures, median};
use ripstop_bench::mix::{self, MIX};
use ripstop_bench::{open, servers, table};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Servers side by side under the mixed load.
#[derive(Parser)]
struct Arguments {
    /// The list of servers, in JSON.
    servers: PathBuf,
    /// How often each server is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// How long a server is measured in a round.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Seconds of load before that.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// The share of the time for which the server's processors shall be busy.
    #[arg(long, default_value_t = 0.85)]
    busy: f64,
    /// The server's processors, which are its workers too.
    #[arg(long, default_value_t = 2)]
    cores: u16,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The seed of the first round; each further one has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let servers = servers::read(&arguments.servers)?;
    let mut runs: Vec<_> = servers.iter().map(|server| (server.name.as_str(), vec![])).collect();
    for round in 0..arguments.rounds {
        for (server, (name, reports)) in servers.iter().zip(&mut runs) {
            let report = measure(server, &arguments, arguments.seed + round)?;
            eprintln!("round {round}, {name}: {}", serde_json::to_string(&report.cost)?);
            reports.push(report);
        }
    }
    print!("{}", table::markdown(&rows(&runs)));
    Ok(())
}

fn measure(entry: &servers::Entry, arguments: &Arguments, seed: u64) -> io::Result<open::Report> {
    let server = entry.start(arguments.cores.into())?;
    let load = open::Load {
        rate: mix::rate(arguments.busy, arguments.cores.into()),
        connections: arguments.connections,
        warm_up: Duration::from_secs_f64(arguments.warm_up),
        length: Duration::from_secs_f64(arguments.seconds),
        seed,
        pid: Some(server.pid()),
    };
    open::run(server.addr(), &load)
}

/// One row for each class of each server, those of a class together.
fn rows(runs: &[(&str, Vec<open::Report>)]) -> Vec<Vec<String>> {
    const HEAD: [&str; 11] = [
        "server",
        "class",
        "count",
        "errors",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "late %",
        "CPU s",
        "lag p99 ms",
    ];
    let mut rows = vec![HEAD.map(String::from).to_vec()];
    for class in 0..=MIX.len() {
        rows.extend(runs.iter().map(|(name, reports)| row(name, class, reports)));
    }
    rows
}

fn row(name: &str, class: usize, reports: &[open::Report]) -> Vec<String> {
    let figure = |of: fn(&Figures) -> f64| median_of(reports, |report| of(&report.figures[class]));
    let errors: usize = reports.iter().map(|report| report.figures[class].errors).sum();
    vec![
        name.into(),
        reports.first().map_or("", |report| report.figures[class].class).into(),
        format!("{:.0}", figure(|of| of.count as f64)),
        errors.to_string(),
        format!("{:.2}", figure(|of| of.p50_ms)),
        format!("{:.2}", figure(|of| of.p99_ms)),
        format!("{:.2}", figure(|of| of.p999_ms)),
        format!("{:.2}", figure(|of| of.max_ms)),
        format!("{:.3}", figure(|of| of.late * 100.0)),
        format!("{:.2}", median_of(reports, |report| report.cost.server_cpu_s.unwrap_or(f64::NAN))),
        format!("{:.2}", median_of(reports, |report| report.cost.lag_p99_ms)),
    ]
}

fn median_of(reports: &[open::Report], of: impl Fn(&open::Report) -> f64) -> f64 {
    median(reports.iter().map(of).collect())
}
