//! A closed loop: each connection sends its next request as soon as the last one is answered.
//!
//! It finds how much a server can do, and what of the processor a request takes. Its latencies are
//! those of a full server, and no measure of what users see.

use crate::figures::percentile_ms;
use crate::pool::Pool;
use crate::process;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What load to give.
#[derive(Clone, Debug)]
pub struct Load {
    /// What is asked for.
    pub path: String,
    /// Keep-alive connections, each with one request under way.
    pub connections: usize,
    /// The load before the figures begin.
    pub warm_up: Duration,
    /// The load that the figures are of.
    pub length: Duration,
    /// The server's process.
    pub pid: u32,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// Answers with status 200, a second.
    pub rate: f64,
    /// Processor time of the server for each of them, in microseconds.
    pub server_cpu_us: f64,
    /// Latency, in milliseconds.
    pub p50_ms: f64,
    /// Latency, in milliseconds.
    pub p99_ms: f64,
    /// Requests that failed, or were answered otherwise than with 200.
    pub errors: usize,
}

/// Gives the server at `addr` the load, and reports.
///
/// # Errors
/// When the server cannot be connected to, or `pid` is not there.
pub fn run(addr: SocketAddr, load: &Load) -> io::Result<Report> {
    let mut run = Run::new(Pool::connect(addr, load.connections)?, load);
    run.drive(load.warm_up)?;
    run.latencies.clear();
    run.errors = 0;
    let (before, begin) = (process::cpu_s(load.pid)?, Instant::now());
    run.drive(load.length)?;
    let (spent, took) = (process::cpu_s(load.pid)? - before, begin.elapsed());
    run.latencies.sort_unstable();
    let answered = run.latencies.len() as f64;
    Ok(Report {
        rate: answered / took.as_secs_f64(),
        server_cpu_us: spent / answered * 1e6,
        p50_ms: percentile_ms(&run.latencies, 0.5),
        p99_ms: percentile_ms(&run.latencies, 0.99),
        errors: run.errors,
    })
}

struct Run {
    pool: Pool,
    request: String,
    /// When each connection sent its request.
    sent: Vec<Instant>,
    latencies: Vec<Duration>,
    errors: usize,
}

impl Run {
    fn new(pool: Pool, load: &Load) -> Self {
        Self {
            pool,
            request: format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", load.path),
            sent: vec![Instant::now(); load.connections],
            latencies: Vec::new(),
            errors: 0,
        }
    }

    fn drive(&mut self, length: Duration) -> io::Result<()> {
        let end = Instant::now() + length;
        let mut finished = Vec::new();
        loop {
            while let Some(connection) = self.pool.send(self.request.as_bytes()) {
                self.sent[connection] = Instant::now();
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.pool.wait(left, &mut finished)?;
            for done in finished.drain(..) {
                match done.ok {
                    true => self.latencies.push(self.sent[done.connection].elapsed()),
                    false => self.errors += 1,
                }
            }
        }
    }
}
