//! An open loop: requests are due when the seed says so, whether or not earlier ones are answered.
//!
//! A latency counts from when its request was due. So a server that stalls is charged with all who
//! came meanwhile, as its users would, and not only with those whose connection was busy.

use crate::arrivals::{Arrival, Arrivals};
use crate::figures::{Figures, Sample, figures, percentile_ms};
use crate::mix::MIX;
use crate::pool::{Finished, Pool};
use crate::process;
use serde::Serialize;
use std::collections::VecDeque;
use std::io;
use std::iter::Peekable;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the last requests are waited for.
const GRACE: Duration = Duration::from_secs(10);

/// What load to give.
#[derive(Clone, Debug)]
pub struct Load {
    /// Requests a second, in the mean.
    pub rate: f64,
    /// Keep-alive connections.
    pub connections: usize,
    /// The load before the figures begin.
    pub warm_up: Duration,
    /// The load that the figures are of.
    pub length: Duration,
    /// The same seed is the same load.
    pub seed: u64,
    /// The server's process, if its processor time is wanted.
    pub pid: Option<u32>,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of each class, and of all together, last.
    pub figures: Vec<Figures>,
    /// What it took.
    pub cost: Cost,
}

/// What a run took of the machine, and how well the generator kept its promise.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Requests a second that were asked for.
    pub rate: f64,
    /// What the handlers of the requests drawn burn: it varies with the seed, most of all by how
    /// many of the longest were drawn.
    pub handlers_cpu_s: f64,
    /// Processor time of the server, its children included; without its pid null.
    pub server_cpu_s: Option<f64>,
    /// Processor time of the generator.
    pub generator_cpu_s: f64,
    /// How late the generator itself woke up to send: this is part of all latencies, and a sign of
    /// a machine with too few processors if it is not small.
    pub lag_p50_ms: f64,
    /// As `lag_p50_ms`.
    pub lag_p99_ms: f64,
    /// As `lag_p50_ms`.
    pub lag_max_ms: f64,
}

/// Gives the server at `addr` the load, waits for the last answers, and reports.
///
/// # Errors
/// When the server cannot be connected to, or `pid` is not there.
pub fn run(addr: SocketAddr, load: &Load) -> io::Result<Report> {
    process::wake_in_time()?;
    let mut run = Run::new(Pool::connect(addr, load.connections)?, load);
    let before = run.drive(load)?;
    let after = Spent::read(load.pid)?;
    run.give_up();
    run.lags.sort_unstable();
    let cost = Cost {
        rate: load.rate,
        handlers_cpu_s: run.samples.iter().map(|it| MIX[it.class].cost.as_secs_f64()).sum(),
        server_cpu_s: after.server.zip(before.server).map(|(end, begin)| end - begin),
        generator_cpu_s: after.generator - before.generator,
        lag_p50_ms: percentile_ms(&run.lags, 0.5),
        lag_p99_ms: percentile_ms(&run.lags, 0.99),
        lag_max_ms: percentile_ms(&run.lags, 1.0),
    };
    Ok(Report { figures: figures(&run.samples), cost })
}

/// Processor time since the begin of the processes, in seconds.
struct Spent {
    server: Option<f64>,
    generator: f64,
}

impl Spent {
    fn read(pid: Option<u32>) -> io::Result<Self> {
        let server = pid.map(process::cpu_s).transpose()?;
        Ok(Self { server, generator: process::own_cpu_s() })
    }
}

/// A run under way. All times count from `begin`.
struct Run {
    pool: Pool,
    requests: Vec<String>,
    begin: Instant,
    warm_up: Duration,
    end: Duration,
    arrivals: Peekable<Arrivals>,
    /// Due, but without a connection.
    waiting: VecDeque<Arrival>,
    /// What each connection has under way.
    under_way: Vec<Option<Arrival>>,
    samples: Vec<Sample>,
    lags: Vec<Duration>,
}

impl Run {
    fn new(pool: Pool, load: &Load) -> Self {
        let end = load.warm_up + load.length;
        let request = |path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Self {
            pool,
            requests: MIX.iter().map(|class| request(class.path)).collect(),
            begin: Instant::now(),
            warm_up: load.warm_up,
            end,
            arrivals: Arrivals::new(load.seed, load.rate, end).peekable(),
            waiting: VecDeque::new(),
            under_way: vec![None; load.connections],
            samples: Vec::new(),
            lags: Vec::new(),
        }
    }

    /// Runs to the end, and returns what had been spent when the warm-up was over.
    fn drive(&mut self, load: &Load) -> io::Result<Spent> {
        let mut before = None;
        let mut finished = Vec::new();
        while let Some(next) = self.next_event() {
            self.pool.wait(next.saturating_sub(self.begin.elapsed()), &mut finished)?;
            let now = self.begin.elapsed();
            finished.drain(..).for_each(|done| self.settle(done, now));
            if before.is_none() && now >= self.warm_up {
                before = Some(Spent::read(load.pid)?);
            }
            self.admit();
            self.send();
        }
        before.map_or_else(|| Spent::read(load.pid), Ok)
    }

    /// When something is to be done even if the server does nothing; `None` when all is over.
    fn next_event(&mut self) -> Option<Duration> {
        if let Some(arrival) = self.arrivals.peek() {
            return Some(arrival.due);
        }
        let all_answered = self.waiting.is_empty() && self.under_way.iter().all(Option::is_none);
        let last = self.end + GRACE;
        (!all_answered && self.begin.elapsed() < last).then_some(last)
    }

    fn admit(&mut self) {
        let now = self.begin.elapsed();
        while let Some(arrival) = self.arrivals.next_if(|arrival| arrival.due <= now) {
            if arrival.due >= self.warm_up {
                self.lags.push(now - arrival.due);
            }
            self.waiting.push_back(arrival);
        }
    }

    fn send(&mut self) {
        while let Some(arrival) = self.waiting.front()
            && let Some(connection) = self.pool.send(self.requests[arrival.class].as_bytes())
        {
            self.under_way[connection] = self.waiting.pop_front();
        }
    }

    fn settle(&mut self, done: Finished, now: Duration) {
        let arrival = self.under_way[done.connection].take().expect("what ends has begun");
        self.count(arrival, done.ok.then(|| now - arrival.due));
    }

    /// Counts what is still unanswered as failed.
    fn give_up(&mut self) {
        let under_way: Vec<_> = self.under_way.iter_mut().filter_map(Option::take).collect();
        let waiting: Vec<_> = self.waiting.drain(..).collect();
        under_way.into_iter().chain(waiting).for_each(|arrival| self.count(arrival, None));
    }

    fn count(&mut self, arrival: Arrival, latency: Option<Duration>) {
        if arrival.due >= self.warm_up {
            self.samples.push(Sample { class: arrival.class, latency });
        }
    }
}
