//! Walks a stack by frame pointers, and finds its way where they are lost.
//!
//! A pure function of what memory says, for it runs in a signal handler: it takes no lock,
//! allocates nothing, and its work is bounded.

use crate::stack::DEPTH;
use std::ops::Range;

const WORD: usize = size_of::<usize>();

/// Words that are looked at to find a lost frame again.
const SEARCHED: usize = 1024;

/// Times that frames may be lost in one stack.
const SEARCHES: usize = 4;

/// Words that may be return addresses of functions without frame pointers.
pub(crate) const SUSPECTS: usize = 16;

/// Where a thread is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) fp: usize,
    /// Where the function that calls no other returns to, on processors that have it in a register.
    pub(crate) link: Option<usize>,
}

/// What the walk may know of memory.
pub(crate) struct Memory<W, C> {
    /// What of the stack may be read.
    pub(crate) stack: Range<usize>,
    /// The program's own code, which keeps frame pointers. The C library's does not.
    pub(crate) own: Range<usize>,
    pub(crate) word: W,
    pub(crate) is_code: C,
}

/// What a walk found, told as it goes.
pub(crate) trait Found {
    /// A return address for certain.
    fn frame(&mut self, address: usize);
    /// What may be one, between the innermost frame and the next that is certain.
    fn suspect(&mut self, address: usize);
}

/// Tells `found` all return addresses, innermost first. The program counter is not among them.
pub(crate) fn walk<W, C>(registers: Registers, memory: &Memory<W, C>, found: &mut impl Found)
where
    W: Fn(usize) -> Option<usize>,
    C: Fn(usize) -> bool,
{
    if !memory.stack.contains(&registers.sp) {
        return;
    }
    let mut from = registers.sp;
    let mut frame = memory.frame_at(registers.fp, from).or_else(|| memory.search(from));
    if !memory.own.contains(&registers.pc) {
        let until = frame.as_ref().map_or(usize::MAX, |frame| frame.at);
        memory.suspect(registers, until, found);
    }
    let mut searches = 1;
    for _ in 0..DEPTH {
        let Some(Frame { at, caller, returns }) = frame else { return };
        found.frame(returns);
        from = at + 2 * WORD;
        frame = memory.frame_at(caller, from);
        if frame.is_none() && searches < SEARCHES {
            searches += 1;
            frame = memory.search(from);
        }
    }
}

/// What a function with a frame pointer leaves on the stack.
struct Frame {
    at: usize,
    /// The frame of the function that called it.
    caller: usize,
    returns: usize,
}

impl<W, C> Memory<W, C>
where
    W: Fn(usize) -> Option<usize>,
    C: Fn(usize) -> bool,
{
    /// The frame at `at`, if there can be one: not below `floor`, so that no walk goes in circles.
    fn frame_at(&self, at: usize, floor: usize) -> Option<Frame> {
        if at < floor || !at.is_multiple_of(WORD) {
            return None;
        }
        let (caller, returns) = (self.read(at)?, self.read(at.checked_add(WORD)?)?);
        (self.is_code)(returns).then_some(Frame { at, caller, returns })
    }

    /// The first frame from `from` on that is the frame of a caller's callee: what it calls its
    /// caller's frame is one, too.
    fn search(&self, from: usize) -> Option<Frame> {
        self.words(from).find_map(|at| {
            let frame = self.frame_at(at, from)?;
            self.frame_at(frame.caller, at + 2 * WORD).map(|_| frame)
        })
    }

    /// Tells what may be return addresses of functions that keep no frame pointers.
    fn suspect(&self, registers: Registers, until: usize, found: &mut impl Found) {
        let on_stack = self.words(registers.sp).take_while(|at| *at < until);
        let words = registers.link.into_iter().chain(on_stack.filter_map(|at| self.read(at)));
        for address in words.filter(|word| (self.is_code)(*word)).take(SUSPECTS) {
            found.suspect(address);
        }
    }

    /// Where words are, from `from` on.
    fn words(&self, from: usize) -> impl Iterator<Item = usize> + use<W, C> {
        let from = from.next_multiple_of(WORD);
        (0..SEARCHED).map(move |index| from.saturating_add(index * WORD))
    }

    fn read(&self, at: usize) -> Option<usize> {
        let end = at.checked_add(WORD)?;
        if at < self.stack.start || end > self.stack.end { None } else { (self.word)(at) }
    }
}

#[cfg(test)]
mod tests;
