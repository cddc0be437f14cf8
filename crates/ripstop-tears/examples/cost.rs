//! What a report costs: the thread that is asked, the one that asks, and the memory of the process.
//!
//! Prints an example of a record first. `cargo run --release -p ripstop-tears --example cost`

use ripstop_tears::{Activity, Kind, Sighting, Stack, Tear, Tears, Thread};
use std::{
    error::Error,
    fs,
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(1);
const ASKED: u32 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let end = Arc::new(AtomicBool::new(false));
    let sleeping = start(&end, |_| sleep_long())?;
    let spinning = start(&end, spin)?;
    let (sleeping, spinning) = (sleeping.recv()?, spinning.recv()?);

    println!("resident at the start: {} KiB", resident());
    let tears = Tears::new();
    for (thread, activity) in [(&sleeping, Activity::Asleep), (&spinning, Activity::Spinning)] {
        for _ in 0..2 {
            let begin = Instant::now();
            let tear = report(&tears, thread, activity);
            println!("\nreported after {:?}, {} KiB resident", begin.elapsed(), resident());
            println!("{tear}");
        }
    }

    println!("\na stack of a sleeping thread takes {:?}", time_of(&sleeping));
    println!("a stack of a spinning thread takes {:?}", time_of(&spinning));
    println!("a stack of the caller takes {:?}", time_of_here());
    end.store(true, Relaxed);
    println!("a question makes a thread pause for {:?}", pause_of_the_asked()?);
    Ok(())
}

fn start(end: &Arc<AtomicBool>, body: fn(&AtomicBool)) -> Result<Receiver<Thread>, Box<dyn Error>> {
    let (end, (sender, receiver)) = (end.clone(), channel());
    thread::Builder::new().name("stuck".into()).spawn(move || {
        // Whoever waits for it is the main thread, which lives.
        let _ = sender.send(Thread::current());
        body(&end);
    })?;
    Ok(receiver)
}

#[inline(never)]
#[expect(clippy::disallowed_methods, reason = "it is what is asked about")]
fn sleep_long() {
    thread::sleep(Duration::from_secs(3600));
}

#[inline(never)]
fn spin(end: &AtomicBool) {
    while !end.load(Relaxed) {
        spin_loop();
    }
}

fn report(tears: &Tears, thread: &Thread, activity: Activity) -> Arc<Tear> {
    let before = tears.recent().len();
    let stack = thread.stack(PATIENCE);
    let activity = Some(activity);
    tears.file(Sighting { activity, stack, ..Sighting::new(Kind::Stall, thread.name()) });
    loop {
        if let Some(tear) = tears.recent().get(before) {
            return tear.clone();
        }
        thread::yield_now();
    }
}

fn time_of(thread: &Thread) -> Duration {
    let begin = Instant::now();
    for _ in 0..ASKED {
        assert!(!thread.stack(PATIENCE).is_empty(), "it answers");
    }
    begin.elapsed() / ASKED
}

fn time_of_here() -> Duration {
    let begin = Instant::now();
    for _ in 0..ASKED {
        assert!(!Stack::here().is_empty(), "it has callers");
    }
    begin.elapsed() / ASKED
}

/// The median of as many of a loop's longest turns as its thread was asked.
fn pause_of_the_asked() -> Result<Duration, Box<dyn Error>> {
    let ((sender, receiver), (result, results)) = (channel(), channel());
    let over = Arc::new(AtomicBool::new(false));
    let ended = over.clone();
    thread::Builder::new().name("measured".into()).spawn(move || {
        // As above.
        let _ = sender.send(Thread::current());
        let _ = result.send(pauses(&ended));
    })?;
    let thread = receiver.recv()?;
    for _ in 0..ASKED {
        thread.stack(PATIENCE);
    }
    over.store(true, Relaxed);
    let mut pauses = results.recv()?;
    pauses.sort_unstable();
    Ok(pauses[pauses.len() - ASKED as usize / 2])
}

/// The time of each turn of a loop.
fn pauses(over: &AtomicBool) -> Vec<Duration> {
    let mut pauses = Vec::new();
    let mut last = Instant::now();
    while !over.load(Relaxed) {
        let now = Instant::now();
        pauses.push(now - last);
        last = now;
    }
    pauses
}

/// KiB of memory, without what files are mapped to.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
