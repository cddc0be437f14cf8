//! Threads whose stacks can be taken.
//!
//! A thread makes its own [`Thread`]; whoever has that asks. The thread's end waits for a question
//! that is being asked, and no question reaches it after: so nobody has to know that it still runs.

#![expect(unsafe_code, reason = "only the C library knows where a stack ends")]

use crate::{Stack, Usage, capture};
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// A thread whose stack can be taken, made by the thread itself; cheap to clone.
#[derive(Clone, Debug)]
pub struct Thread {
    name: Arc<str>,
    life: Arc<Life>,
}

/// What is known of a thread as long as it lives.
#[derive(Debug)]
struct Life {
    tid: i32,
    stack: Range<usize>,
    /// Held while the thread is asked, and by its end.
    inquiry: Mutex<Inquiry>,
}

#[derive(Debug, Default)]
struct Inquiry {
    ended: bool,
    /// A signal was sent that may still be on its way.
    unanswered: bool,
}

/// Says that the thread has ended.
struct Guard(Arc<Life>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.inquiry.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    }
}

thread_local! {
    static OWN: Guard = Guard(Arc::new(Life::of_this_thread()));
}

impl Thread {
    /// The calling thread.
    ///
    /// Where the signal is blocked (`pthread_sigmask`), or in a thread that is already ending, its
    /// stack will be empty.
    pub fn current() -> Self {
        let name = thread::current().name().unwrap_or("unnamed").into();
        let life = OWN
            .try_with(|own| own.0.clone())
            .unwrap_or_else(|_| Guard(Arc::new(Life::of_this_thread())).0.clone());
        Self { name, life }
    }

    /// The name it was started with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks the thread for its stack by a signal and waits for the answer, at most for `patience`.
    ///
    /// Empty if the thread has ended or does not answer: it may be in a system call that nothing
    /// interrupts, block the signal, or get no processor. A call of the C library that it is in may
    /// end early with `EINTR`, if it is one that the kernel does not take up again by itself, like
    /// `epoll_wait`. One thread is asked at a time; others wait for their turn.
    pub fn stack(&self, patience: Duration) -> Stack {
        let mut inquiry = self.life.inquiry.lock().unwrap_or_else(PoisonError::into_inner);
        if inquiry.ended {
            return Stack::empty();
        }
        // A thread that never answers must not fill the kernel's queue of signals.
        let send = !(inquiry.unanswered && capture::is_pending(self.life.tid));
        let answer = capture::ask(self.life.tid, &self.life.stack, patience, send);
        inquiry.unanswered = answer.is_none();
        answer.map_or_else(Stack::empty, Stack::new)
    }

    /// What it has used of the processors; `None` if it has ended.
    pub fn usage(&self) -> Option<Usage> {
        let inquiry = self.life.inquiry.lock().unwrap_or_else(PoisonError::into_inner);
        if inquiry.ended { None } else { Usage::of(self.life.tid) }
    }
}

impl Life {
    fn of_this_thread() -> Self {
        // SAFETY: it has no arguments and cannot fail.
        let tid = unsafe { libc::gettid() };
        Self { tid, stack: stack_of_this_thread(), inquiry: Mutex::default() }
    }
}

/// Where the stack of the calling thread is; empty if the C library does not know.
fn stack_of_this_thread() -> Range<usize> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: it writes to where it is told and asks for the calling thread, which lives.
    let found = unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) };
    if found != 0 {
        return 0..0;
    }
    let (mut start, mut len) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes were initialised by the call above, which succeeded, and are destroyed
    // once.
    let known = unsafe {
        let known = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut len);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        known
    };
    if known == 0 { start.addr()..start.addr().saturating_add(len) } else { 0..0 }
}
