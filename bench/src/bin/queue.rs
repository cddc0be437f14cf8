//! What a job on the task queue costs, beside `spawn_blocking` and a plain channel to threads.
//!
//! `queue --rounds 9 --millis 200`
//!
//! A job is submitted by a task of a worker, run on another thread, and its reply awaited there.
//! *Idle* means one job at a time; else so many are in flight, from one worker or from two. All run
//! in the same process, which has Ripstop's workers, executors and watchdog as a server has them; the
//! channel has as many threads as there are executors. Each is measured once a round, so that what
//! changes on the machine meanwhile hits all alike. Prints the medians of the rounds as a table in
//! Markdown: processor time of the whole process for a job, that of the work included, and time.

use clap::Parser;
use ripstop::Tears;
use ripstop_bench::figures::median;
use ripstop_bench::{process, table};
use ripstop_work::{Job, Options, Workers};
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::iter::zip;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use std::{error, io, thread};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a job on the task queue costs, beside `spawn_blocking` and a plain channel to threads.
#[derive(Parser)]
struct Arguments {
    /// How often each is measured.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long each is measured in a round.
    #[arg(long, default_value_t = 200)]
    millis: u64,
    /// Only lines with this in their name.
    #[arg(long, default_value = "")]
    only: String,
}

/// How a closure comes to another thread.
#[derive(Clone, Copy)]
enum Way {
    Queue,
    SpawnBlocking,
    Channel,
}

const WAYS: [(&str, Way); 3] =
    [("queue", Way::Queue), ("spawn_blocking", Way::SpawnBlocking), ("channel", Way::Channel)];

/// What is measured of each way.
#[derive(Clone, Copy)]
struct Scene {
    name: &'static str,
    work: fn(),
    submitters: usize,
    /// Jobs in flight of each submitter.
    window: usize,
}

const fn scene(name: &'static str, work: fn(), submitters: usize, window: usize) -> Scene {
    Scene { name, work, submitters, window }
}

const SCENES: [Scene; 10] = [
    scene("empty, idle", nothing, 1, 1),
    scene("empty, 64 in flight", nothing, 1, 64),
    scene("empty, 1000 in flight", nothing, 1, 1000),
    scene("empty, 2 x 32 in flight", nothing, 2, 32),
    scene("empty, 2 x 500 in flight", nothing, 2, 500),
    scene("5 us, idle", five_microseconds, 1, 1),
    scene("5 us, 64 in flight", five_microseconds, 1, 64),
    scene("5 us, 1000 in flight", five_microseconds, 1, 1000),
    scene("5 us, 2 x 32 in flight", five_microseconds, 2, 32),
    scene("5 us, 2 x 500 in flight", five_microseconds, 2, 500),
];

fn nothing() {}

fn five_microseconds() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(5) {
        std::hint::spin_loop();
    }
}

/// Microseconds for a job.
#[derive(Clone, Copy)]
struct Cost {
    cpu: f64,
    wall: f64,
}

fn main() -> Result<(), Box<dyn error::Error>> {
    let arguments = Arguments::parse();
    let length = Duration::from_millis(arguments.millis);
    let options = Options { workers: 2.try_into()?, ..Options::default() };
    let bench = Bench {
        channel: Channel::start(options.executors.get())?,
        workers: Workers::start(&options, Tears::new())?,
    };
    let scenes: Vec<_> =
        SCENES.into_iter().filter(|scene| scene.name.contains(&arguments.only)).collect();
    let mut costs = vec![[const { Vec::new() }; WAYS.len()]; scenes.len()];
    for _ in 0..arguments.rounds {
        for (scene, costs) in zip(&scenes, &mut costs) {
            for ((_, way), costs) in zip(WAYS, costs) {
                costs.push(bench.measure(way, *scene, length)?);
            }
        }
    }
    print!("{}", table::markdown(&rows(&scenes, &costs)));
    Ok(())
}

struct Bench {
    workers: Workers,
    channel: Channel,
}

impl Bench {
    fn measure(&self, way: Way, scene: Scene, length: Duration) -> Result<Cost, mpsc::RecvError> {
        let (stop, (sender, done)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
        let (cpu, start) = (process::own_cpu_s(), Instant::now());
        for submitter in 0..scene.submitters {
            self.submit(submitter, way, scene, stop.clone(), sender.clone());
        }
        // Nobody says anything before the stop.
        let _ = done.recv_timeout(length);
        stop.store(true, Relaxed);
        drop(sender);
        let jobs = done.iter().take(scene.submitters).sum::<u64>() as f64;
        let micros = |seconds: f64| seconds * 1e6 / jobs;
        let wall = micros(start.elapsed().as_secs_f64());
        Ok(Cost { cpu: micros(process::own_cpu_s() - cpu), wall })
    }

    /// Submits from a worker until it is stopped, and says how many jobs there were.
    fn submit(
        &self,
        submitter: usize,
        way: Way,
        Scene { work, window, .. }: Scene,
        stop: Arc<AtomicBool>,
        jobs: Sender<u64>,
    ) {
        let (queue, channel) = (self.workers.queue().clone(), self.channel.clone());
        self.workers.list()[submitter].spawn(async move {
            let count = match way {
                Way::Queue => {
                    let submit = || queue.submit(Job::call(work)).expect("there is room");
                    keep_in_flight(window, &stop, submit).await
                }
                Way::SpawnBlocking => keep_in_flight(window, &stop, || spawn_blocking(work)).await,
                Way::Channel => keep_in_flight(window, &stop, move || channel.submit(work)).await,
            };
            // The bench is there until all have told.
            let _ = jobs.send(count);
        });
    }
}

/// Keeps so many jobs in flight until it is stopped; returns how many there were.
async fn keep_in_flight<F: Future>(
    window: usize,
    stop: &AtomicBool,
    submit: impl Fn() -> F,
) -> u64 {
    let mut flight = VecDeque::with_capacity(window);
    let mut count = 0;
    while !stop.load(Relaxed) {
        if flight.len() == window
            && let Some(oldest) = flight.pop_front()
        {
            oldest.await;
        }
        flight.push_back(submit());
        count += 1;
    }
    for job in flight {
        job.await;
    }
    count
}

/// Threads with a channel each, which get jobs in turn.
#[derive(Clone)]
struct Channel {
    threads: Vec<Sender<Box<dyn FnOnce() + Send>>>,
    next: Cell<usize>,
}

impl Channel {
    fn start(threads: usize) -> io::Result<Self> {
        let start = |_| {
            let (sender, jobs): (_, Receiver<Box<dyn FnOnce() + Send>>) = mpsc::channel();
            let serve = move || jobs.iter().for_each(|job| job());
            thread::Builder::new().spawn(serve)?;
            Ok(sender)
        };
        let threads = (0..threads).map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads, next: Cell::new(0) })
    }

    fn submit(&self, work: fn()) -> oneshot::Receiver<()> {
        let (reply, outcome) = oneshot::channel();
        self.next.set((self.next.get() + 1) % self.threads.len());
        let job = move || {
            work();
            // Nobody waits any more if that fails.
            let _ = reply.send(());
        };
        self.threads[self.next.get()].send(Box::new(job)).expect("the threads are there");
        outcome
    }
}

fn rows(scenes: &[Scene], costs: &[[Vec<Cost>; WAYS.len()]]) -> Vec<Vec<String>> {
    let name = |(name, _): &(&str, Way)| [format!("{name}, cpu us"), "us".into()];
    let head = ["jobs".into()].into_iter().chain(WAYS.iter().flat_map(name)).collect();
    let row = |(scene, costs): (&Scene, &[Vec<Cost>; WAYS.len()])| {
        let cells = costs.iter().flat_map(|costs| {
            let cell =
                |of: fn(&Cost) -> f64| format!("{:.2}", median(costs.iter().map(of).collect()));
            [cell(|cost| cost.cpu), cell(|cost| cost.wall)]
        });
        [scene.name.to_owned()].into_iter().chain(cells).collect()
    };
    [head].into_iter().chain(zip(scenes, costs).map(row)).collect()
}
