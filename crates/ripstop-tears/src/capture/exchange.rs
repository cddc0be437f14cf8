//! The one place where a question and its answer are, and the word that says whose turn it is.
//!
//! All of it is atomic, so that nothing that goes wrong in the protocol can be worse than a wrong
//! answer.

use super::futex;
use crate::{
    stack::DEPTH,
    walk::{Found, SUSPECTS},
};
use std::{
    ops::Range,
    sync::atomic::{
        AtomicI32, AtomicU32, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

pub(super) static EXCHANGE: Exchange = Exchange::new();

/// Mappings of code that are told to the handler.
const CODE: usize = 128;

/// Whose turn it is: the low bits of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The asking side's: nothing is asked.
    Idle = 0,
    /// The first handler's that comes, or the asking side's to withdraw.
    Asked = 1,
    /// The handler's alone.
    Answering = 2,
    /// The asking side's: the answer is there.
    Answered = 3,
}

/// A question and its answer.
pub(super) struct Exchange {
    /// The number of the question, and the [`Step`] in the two lowest bits.
    state: AtomicU32,
    tid: AtomicI32,
    stack: Bounds,
    own: Bounds,
    code: List<Bounds, CODE>,
    pc: AtomicUsize,
    suspects: List<AtomicUsize, SUSPECTS>,
    frames: List<AtomicUsize, DEPTH>,
}

struct Bounds {
    start: AtomicUsize,
    end: AtomicUsize,
}

struct List<T, const N: usize> {
    len: AtomicUsize,
    items: [T; N],
}

impl Exchange {
    const fn new() -> Self {
        Self {
            state: AtomicU32::new(0),
            tid: AtomicI32::new(0),
            stack: Bounds::new(),
            own: Bounds::new(),
            code: List { len: AtomicUsize::new(0), items: [const { Bounds::new() }; CODE] },
            pc: AtomicUsize::new(0),
            suspects: List::new(),
            frames: List::new(),
        }
    }

    /// Puts a question. Only where the step is neither `Asked` nor `Answering`.
    pub(super) fn put(
        &self,
        tid: i32,
        stack: &Range<usize>,
        own: &Range<usize>,
        code: &mut dyn Iterator<Item = Range<usize>>,
        turn: u32,
    ) {
        self.tid.store(tid, Relaxed);
        self.stack.set(stack);
        self.own.set(own);
        let count = self.code.items.iter().zip(code).map(|(to, range)| to.set(&range)).count();
        self.code.len.store(count, Relaxed);
        self.suspects.len.store(0, Relaxed);
        self.frames.len.store(0, Relaxed);
        self.state.store(state(turn, Step::Asked), Release);
    }

    /// Takes the question back. False if a handler has taken it.
    pub(super) fn withdraw(&self, turn: u32) -> bool {
        let (asked, idle) = (state(turn, Step::Asked), state(turn, Step::Idle));
        self.state.compare_exchange(asked, idle, AcqRel, Acquire).is_ok()
    }

    /// Takes the question, if there is one for the thread `tid`: what to give to
    /// [`Self::answered`]. For the handler.
    pub(super) fn take(&self, tid: i32) -> Option<u32> {
        let seen = self.state.load(Acquire);
        if step(seen) != Step::Asked || self.tid.load(Relaxed) != tid {
            return None;
        }
        let turn = seen >> 2;
        let taken = state(turn, Step::Answering);
        self.state.compare_exchange(seen, taken, AcqRel, Acquire).ok()?;
        Some(turn)
    }

    /// The answer is there. For the handler that took the question.
    pub(super) fn answered(&self, turn: u32) {
        self.state.store(state(turn, Step::Answered), Release);
        futex::wake(&self.state);
    }

    pub(super) fn is_answered(&self, turn: u32) -> bool {
        self.state.load(Acquire) == state(turn, Step::Answered)
    }

    pub(super) fn step(&self) -> Step {
        step(self.state.load(Acquire))
    }

    /// What to wait for a change of.
    pub(super) fn state(&self) -> u32 {
        self.state.load(Acquire)
    }

    pub(super) fn word(&self) -> &AtomicU32 {
        &self.state
    }

    /// Where the thread's stack is.
    pub(super) fn stack(&self) -> Range<usize> {
        self.stack.get()
    }

    /// Where the program's own code is.
    pub(super) fn own(&self) -> Range<usize> {
        self.own.get()
    }

    pub(super) fn is_code(&self, address: usize) -> bool {
        let len = self.code.len.load(Relaxed);
        self.code.items.iter().take(len).any(|range| range.get().contains(&address))
    }

    pub(super) fn set_pc(&self, pc: usize) {
        self.pc.store(pc, Relaxed);
    }

    pub(super) fn pc(&self) -> usize {
        self.pc.load(Relaxed)
    }

    pub(super) fn suspects(&self) -> Vec<usize> {
        self.suspects.to_vec()
    }

    pub(super) fn frames(&self) -> Vec<usize> {
        self.frames.to_vec()
    }
}

impl Found for &Exchange {
    fn frame(&mut self, address: usize) {
        self.frames.push(address);
    }

    fn suspect(&mut self, address: usize) {
        self.suspects.push(address);
    }
}

impl Bounds {
    const fn new() -> Self {
        Self { start: AtomicUsize::new(0), end: AtomicUsize::new(0) }
    }

    fn set(&self, range: &Range<usize>) {
        self.start.store(range.start, Relaxed);
        self.end.store(range.end, Relaxed);
    }

    fn get(&self) -> Range<usize> {
        self.start.load(Relaxed)..self.end.load(Relaxed)
    }
}

impl<const N: usize> List<AtomicUsize, N> {
    const fn new() -> Self {
        Self { len: AtomicUsize::new(0), items: [const { AtomicUsize::new(0) }; N] }
    }

    /// What does not fit is left out. There is only one writer at a time.
    fn push(&self, value: usize) {
        let len = self.len.load(Relaxed);
        if let Some(item) = self.items.get(len) {
            item.store(value, Relaxed);
            self.len.store(len + 1, Relaxed);
        }
    }

    fn to_vec(&self) -> Vec<usize> {
        let len = self.len.load(Relaxed);
        self.items.iter().take(len).map(|item| item.load(Relaxed)).collect()
    }
}

fn state(turn: u32, step: Step) -> u32 {
    turn << 2 | step as u32
}

fn step(state: u32) -> Step {
    match state & 3 {
        0 => Step::Idle,
        1 => Step::Asked,
        2 => Step::Answering,
        _ => Step::Answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(turn: u32) -> Exchange {
        let exchange = Exchange::new();
        exchange.put(7, &(1..2), &(3..4), &mut std::iter::once(5..6), turn);
        exchange
    }

    #[test]
    fn a_question_is_answered_once_and_by_whom_it_is_for() {
        let exchange = asked(9);
        assert!(exchange.is_code(5) && !exchange.is_code(6));
        assert_eq!(exchange.take(8), None);
        assert_eq!(exchange.take(7), Some(9));
        assert_eq!(exchange.take(7), None);
        (&mut &exchange).frame(40);
        exchange.answered(9);
        assert!(exchange.is_answered(9) && !exchange.is_answered(8));
        assert_eq!(exchange.frames(), [40]);
        assert_eq!(exchange.take(7), None);
    }

    #[test]
    fn a_question_that_was_withdrawn_is_not_answered() {
        let exchange = asked(9);
        assert!(exchange.withdraw(9));
        assert_eq!(exchange.take(7), None);
    }

    #[test]
    fn a_question_that_is_being_answered_cannot_be_withdrawn() {
        let exchange = asked(9);
        let turn = exchange.take(7);
        assert!(!exchange.withdraw(9));
        assert_eq!(exchange.step(), Step::Answering);
        exchange.answered(turn.unwrap());
        assert_eq!(exchange.step(), Step::Answered);
    }

    #[test]
    fn an_answer_holds_no_more_than_there_is_room_for() {
        let exchange = asked(1);
        for address in 0..2 * DEPTH {
            (&mut &exchange).frame(address);
            (&mut &exchange).suspect(address);
        }
        assert_eq!(exchange.frames().len(), DEPTH);
        assert_eq!(exchange.suspects().len(), SUSPECTS);
    }
}
