//! Waiting for what tells nobody that it happened.
//!
//! Owns the only sleep of the test code. Where an event can be waited for (a byte, an end of file,
//! the end of a process), the other modules wait for that.

use std::thread;
use std::time::{Duration, Instant};

/// How often the condition is looked at.
const STEP: Duration = Duration::from_millis(2);

/// Asks `condition` again and again until it holds, at most for `deadline`, and tells whether it
/// did. It is asked at least once.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a condition that sends no event can only be polled")]
pub fn until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_asked_until_it_holds() {
        let mut asked = 0;
        assert!(until(Duration::from_secs(10), || {
            asked += 1;
            asked == 3
        }));
    }

    #[test]
    fn a_condition_that_never_holds_is_given_up_at_the_deadline() {
        let begin = Instant::now();
        assert!(!until(Duration::from_millis(5), || false));
        assert!(begin.elapsed() >= Duration::from_millis(5));
    }
}
