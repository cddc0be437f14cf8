//! The sink: where log lines go without ever blocking whoever writes them.
//!
//! Lines are copied into a bounded buffer; one thread, `rip-log`, takes the buffer and writes it
//! in big chunks. A reader that stopped reading, or a full disk, costs lines, which are counted
//! and confessed in one line, and never a worker's time. Owns the buffer and the thread;
//! `output.rs` owns the file, its reopening and what a failed write means. Formats nothing.

mod output;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use output::Output;

/// How long the first line of a batch may wait for others.
const LINGER: Duration = Duration::from_millis(50);

/// A batch of this size is written without lingering any longer.
const BATCH_BYTES: usize = 128 * 1024;

/// Says in one line, without its end, how many lines were dropped.
pub type Note = fn(dropped: u64) -> String;

/// Where a [`Sink`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The process's standard output, as it is when the sink is opened.
    Stdout,
    /// The process's standard error, as it is when the sink is opened.
    Stderr,
    /// A file, appended to and made if it is not there, opened anew when it is moved or removed.
    /// A FIFO is not waited for: until somebody reads it, it fills up and lines are dropped.
    File(PathBuf),
}

/// A bounded, non-blocking writer of lines. Clones write to the same place.
///
/// The writer's thread ends, after a last attempt to write what is there, when the last clone is
/// dropped; a process that ends calls [`Sink::flush`] first.
#[derive(Clone)]
pub struct Sink {
    handle: Arc<Handle>,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl Sink {
    /// Opens `target` and starts its writer, with room for `capacity_bytes` of lines that wait or
    /// are being written. (Two buffers of that size are the most memory it takes.)
    ///
    /// # Errors
    ///
    /// The file cannot be opened, the standard stream is closed, or no thread can be started.
    pub fn open(target: Target, capacity_bytes: usize) -> io::Result<Self> {
        Self::open_noting(target, capacity_bytes, |dropped| {
            format!("ripstop: log lines dropped here: {dropped}")
        })
    }

    /// As [`Sink::open`]; the line that says how many were dropped is made by `note`, for formats
    /// that another program reads.
    ///
    /// # Errors
    ///
    /// As [`Sink::open`].
    pub fn open_noting(target: Target, capacity_bytes: usize, note: Note) -> io::Result<Self> {
        let output = Output::open(target, note)?;
        let shared = Arc::new(Shared::new(capacity_bytes));
        let for_thread = Arc::clone(&shared);
        thread::Builder::new().name("rip-log".into()).spawn(move || for_thread.run(output))?;
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// Writes `line`, with an end of line if it has none. Never blocks: it is dropped and counted
    /// when there is no room for it.
    pub fn write_line(&self, line: &[u8]) {
        self.handle.shared.push(line);
    }

    /// How many lines were dropped since the sink was opened, for want of room or because they
    /// could not be written.
    pub fn dropped(&self) -> u64 {
        self.handle.shared.dropped.load(Ordering::Relaxed)
    }

    /// Opens the file anew before the next line is written. Does not wait for it.
    pub fn reopen(&self) {
        self.handle.shared.lock().reopen = true;
        self.handle.shared.arrived.notify_one();
    }

    /// Waits until all that came before is written or dropped, at most for `deadline`, and tells
    /// whether that was so in time. Blocks the thread.
    #[must_use]
    pub fn flush(&self, deadline: Duration) -> bool {
        self.handle.shared.flush(deadline)
    }
}

/// Each call of `write` is taken as one line, or as several whole ones; no call fails or blocks.
/// This is what `env_logger`'s `Target::Pipe` does: one call for each record.
impl io::Write for Sink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_line(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the clones of a sink hold together; its drop ends the thread.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_one();
    }
}

/// What those who write lines and the thread share.
struct Shared {
    capacity: usize,
    state: Mutex<State>,
    /// Notified when the thread has something to do, once for each time it waits.
    arrived: Condvar,
    /// Notified after each batch that somebody waits for.
    settled: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Whole lines that the thread has not taken yet.
    buf: Vec<u8>,
    /// The bytes that the thread has taken and still writes.
    in_hand: usize,
    /// Lines that found no room since the thread last took `buf`.
    overflowed: u64,
    /// What the thread does; set by itself, and to `Busy` by whoever wakes it.
    thread: Doing,
    reopen: bool,
    closed: bool,
    /// How many flushes were asked for, and how many the thread has done.
    flushes_asked: u64,
    flushes_done: u64,
}

/// What the writer's thread does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Doing {
    /// It works, or was woken and will look: nobody needs to wake it.
    #[default]
    Busy,
    /// It waits for more lines to write together; woken early by a full batch.
    Lingering,
    /// It waits for the first line.
    Asleep,
}

impl State {
    fn is_idle(&self) -> bool {
        self.buf.is_empty() && self.overflowed == 0 && !self.is_urgent()
    }

    fn is_urgent(&self) -> bool {
        self.reopen || self.closed || self.flushes_asked > self.flushes_done
    }

    fn needs_waking(&self, batch_bytes: usize) -> bool {
        match self.thread {
            Doing::Busy => false,
            Doing::Lingering => self.buf.len() >= batch_bytes,
            Doing::Asleep => true,
        }
    }
}

impl Shared {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::default(),
            arrived: Condvar::new(),
            settled: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Nothing panics while it holds the lock, so a poisoned state is a whole one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A small buffer must not overflow before its thread is woken.
    fn batch_bytes(&self) -> usize {
        BATCH_BYTES.min(self.capacity / 2)
    }

    fn push(&self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut state = self.lock();
        let used = state.buf.len() + state.in_hand;
        if line.len() < self.capacity.saturating_sub(used) {
            state.buf.extend_from_slice(line);
            state.buf.push(b'\n');
        } else {
            state.overflowed += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        let wake = state.needs_waking(self.batch_bytes());
        if wake {
            state.thread = Doing::Busy;
        }
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    fn flush(&self, deadline: Duration) -> bool {
        let mut state = self.lock();
        state.flushes_asked += 1;
        let mine = state.flushes_asked;
        self.arrived.notify_one();
        let waiting = |state: &mut State| state.flushes_done < mine;
        let waited = self.settled.wait_timeout_while(state, deadline, waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.flushes_done >= mine
    }

    /// The thread: takes what has come together and writes it, until the last clone is gone.
    fn run(&self, mut output: Output) {
        let mut batch = Vec::new();
        loop {
            let taken = self.take(&mut batch);
            if taken.reopen {
                output.reopen();
            }
            let lost = output.write(&batch, taken.overflowed);
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            self.settle(&mut batch, taken.flushes);
            if taken.closed {
                return;
            }
        }
    }

    /// Waits for the first line, then a little for others, and swaps `batch`, which is empty, for
    /// all that came.
    fn take(&self, batch: &mut Vec<u8>) -> Taken {
        let mut state = self.lock();
        if state.is_idle() {
            state.thread = Doing::Asleep;
            let waiting = |state: &mut State| state.is_idle();
            state = self.arrived.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        }
        state.thread = Doing::Lingering;
        let full = self.batch_bytes();
        let waiting = |state: &mut State| state.buf.len() < full && !state.is_urgent();
        let waited = self.arrived.wait_timeout_while(state, LINGER, waiting);
        (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.thread = Doing::Busy;
        mem::swap(&mut state.buf, batch);
        state.in_hand = batch.len();
        Taken {
            overflowed: mem::take(&mut state.overflowed),
            reopen: mem::take(&mut state.reopen),
            closed: state.closed,
            flushes: state.flushes_asked,
        }
    }

    fn settle(&self, batch: &mut Vec<u8>, flushes: u64) {
        batch.clear();
        // What a burst took is given back.
        batch.shrink_to(2 * BATCH_BYTES);
        let mut state = self.lock();
        state.in_hand = 0;
        if state.flushes_done < flushes {
            state.flushes_done = flushes;
            self.settled.notify_all();
        }
    }
}

/// What came with a batch.
struct Taken {
    overflowed: u64,
    reopen: bool,
    closed: bool,
    flushes: u64,
}
