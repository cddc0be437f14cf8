//! Takes the stack of another thread, stuck as it may be.
//!
//! The asking side fills one static [`Exchange`](exchange::Exchange) with what the handler needs to
//! know, sends the signal and waits. The handler answers into the same place. Who may touch it is
//! settled by one word, compared and swapped: a handler that comes too late finds another number
//! there and goes away, and one that takes its time keeps the place from the next question.

mod calls;
mod exchange;
mod futex;
mod handler;
mod registers;

use crate::{maps, stack::DEPTH};
use calls::Calls;
use exchange::{EXCHANGE, Step};
use std::{
    fs,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The number of the last question; locked by who asks.
static TURN: Mutex<u32> = Mutex::new(0);

/// The stack of the thread `tid`, innermost address first: `None` if it does not answer in time.
///
/// The thread must live until this returns, and its stack must be at `stack`. Without `send` an
/// earlier signal is hoped for.
pub(crate) fn ask(
    tid: i32,
    stack: &Range<usize>,
    patience: Duration,
    send: bool,
) -> Option<Vec<usize>> {
    let mut turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let signal = handler::signal()?;
    if EXCHANGE.step() == Step::Answering {
        // A handler that had no processor for long still writes its answer to an earlier question.
        return None;
    }
    *turn = turn.wrapping_add(1);
    let own = put_question(tid, stack, *turn);
    let sent = !send || handler::send(signal, tid);
    let answered = sent && wait(*turn, patience);
    if answered || !EXCHANGE.withdraw(*turn) && wait(*turn, patience) {
        return Some(answer(&own));
    }
    None
}

/// Whether a signal to the thread has not arrived yet.
pub(crate) fn is_pending(tid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/self/task/{tid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigPnd:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.zip(handler::signal()).is_some_and(|(mask, signal)| mask >> (signal - 1) & 1 == 1)
}

/// Lets the thread answer; tells where the program's own code is.
fn put_question(tid: i32, stack: &Range<usize>, turn: u32) -> Range<usize> {
    let code = maps::executable();
    let mut ranges = code.into_iter().map(|mapping| mapping.range);
    let handler = handler::address();
    let own = ranges.clone().find(|range| range.contains(&handler)).unwrap_or(0..0);
    EXCHANGE.put(tid, stack, &own, &mut ranges, turn);
    own
}

/// Waits for the answer; false if there is none in time.
fn wait(turn: u32, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let seen = EXCHANGE.state();
        if EXCHANGE.is_answered(turn) {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        futex::wait(EXCHANGE.word(), seen, left);
    }
}

/// Puts the answer together, of addresses that are inside their instructions.
fn answer(own: &Range<usize>) -> Vec<usize> {
    let frames = EXCHANGE.frames();
    let mut addresses = vec![EXCHANGE.pc()];
    addresses.extend(callers(&EXCHANGE.suspects(), &frames, own).iter().map(|address| address - 1));
    addresses.extend(frames.iter().map(|address| address - 1));
    addresses.truncate(DEPTH);
    addresses
}

/// Of what may be return addresses, those behind a call, up to the program's own: the frames of
/// that one are known from there on.
fn callers(suspects: &[usize], frames: &[usize], own: &Range<usize>) -> Vec<usize> {
    let calls = Calls::open();
    let known = frames.first();
    let mut callers = Vec::new();
    for address in suspects {
        if Some(address) != known && calls.precede(*address) {
            callers.push(*address);
            if own.contains(address) {
                break;
            }
        }
    }
    callers
}
