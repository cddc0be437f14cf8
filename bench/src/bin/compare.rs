//! Servers side by side, as fast as they can: requests a second, and the processor time of each.
//!
//! `compare bench/servers.json --rounds 5 --seconds 5 --connections 64 --path /`
//!
//! Each server has one worker and processor 0, the generator processor 1. Each is measured once a
//! round, so that what changes on the machine meanwhile hits all alike. Prints the medians of the
//! rounds as a table in Markdown; errors are those of all rounds together.

use clap::Parser;
use ripstop_bench::figures::median;
use ripstop_bench::{closed, process, servers, table};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Servers side by side, as fast as they can.
#[derive(Parser)]
struct Arguments {
    /// The list of servers, in JSON.
    servers: PathBuf,
    /// How often each server is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a server is measured in a round.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Keep-alive connections, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// What is asked for.
    #[arg(long, default_value = "/")]
    path: String,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let servers = servers::read(&arguments.servers)?;
    let mut runs: Vec<_> = servers.iter().map(|server| (server.name.as_str(), vec![])).collect();
    for round in 0..arguments.rounds {
        for (server, (name, reports)) in servers.iter().zip(&mut runs) {
            let report = measure(server, &arguments)?;
            eprintln!("round {round}, {name}: {:.0} a second", report.rate);
            reports.push(report);
        }
    }
    print!("{}", table::markdown(&rows(&runs)));
    Ok(())
}

fn measure(entry: &servers::Entry, arguments: &Arguments) -> io::Result<closed::Report> {
    // The server inherits where it may run.
    process::pin(0)?;
    let server = entry.start(1)?;
    process::pin(1)?;
    let load = closed::Load {
        path: arguments.path.clone(),
        connections: arguments.connections,
        warm_up: Duration::from_secs(1),
        length: Duration::from_secs_f64(arguments.seconds),
        pid: server.pid(),
    };
    closed::run(server.addr(), &load)
}

fn rows(runs: &[(&str, Vec<closed::Report>)]) -> Vec<Vec<String>> {
    const HEAD: [&str; 6] =
        ["server", "requests/s", "CPU us/request", "p50 ms", "p99 ms", "errors"];
    let mut rows = vec![HEAD.map(String::from).to_vec()];
    rows.extend(runs.iter().map(|(name, reports)| row(name, reports)));
    rows
}

fn row(name: &str, reports: &[closed::Report]) -> Vec<String> {
    let figure = |of: fn(&closed::Report) -> f64| median(reports.iter().map(of).collect());
    vec![
        name.into(),
        format!("{:.0}", figure(|of| of.rate)),
        format!("{:.2}", figure(|of| of.server_cpu_us)),
        format!("{:.2}", figure(|of| of.p50_ms)),
        format!("{:.2}", figure(|of| of.p99_ms)),
        reports.iter().map(|report| report.errors).sum::<usize>().to_string(),
    ]
}
