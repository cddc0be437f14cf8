//! Gives a server the mixed load and prints what its users would have seen.
//!
//! `mixed PORT --seconds 10 --busy 0.85 --cores 2 --pid PID`
//!
//! 95 % of the requests are `/cpu?us=200`, 4 % `/cpu?us=4000` and 1 % `/cpu?us=50000`. They are due
//! at random times (Poisson), go out on whichever keep-alive connection is free, and their latency
//! counts from when they were due. Prints a line of JSON for each class, one for all of them, and
//! one with what the run took: the server's and the generator's processor time, and the generator's
//! own lag. Where that is not far below the latencies, it takes too long to get a processor: give
//! it one of its own (`taskset`), or priority (`chrt -r 1`).

use clap::Parser;
use ripstop_bench::{mix, open};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Gives a server the mixed load and prints what its users would have seen.
#[derive(Parser)]
struct Arguments {
    /// The server's port, on 127.0.0.1.
    port: u16,
    /// How long it is measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds of load before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Requests a second. Default: as `--busy` and `--cores` say.
    #[arg(long, conflicts_with_all = ["busy", "cores"])]
    rate: Option<f64>,
    /// The share of the time for which the server's processors shall be busy.
    #[arg(long, default_value_t = 0.85)]
    busy: f64,
    /// The server's processors.
    #[arg(long, default_value_t = 2.0)]
    cores: f64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The same seed is the same load.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server's process, to tell its processor time.
    #[arg(long)]
    pid: Option<u32>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let load = open::Load {
        rate: arguments.rate.unwrap_or_else(|| mix::rate(arguments.busy, arguments.cores)),
        connections: arguments.connections,
        warm_up: Duration::from_secs_f64(arguments.warm_up),
        length: Duration::from_secs_f64(arguments.seconds),
        seed: arguments.seed,
        pid: arguments.pid,
    };
    let report = open::run((Ipv4Addr::LOCALHOST, arguments.port).into(), &load)?;
    for figures in &report.figures {
        println!("{}", serde_json::to_string(figures)?);
    }
    println!("{}", serde_json::to_string(&report.cost)?);
    Ok(())
}
