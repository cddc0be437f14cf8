//! What a thread has used of the processors, as the kernel counts it.

use std::{fs, time::Duration};

/// What a thread has used since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// On a processor.
    pub on_cpu: Duration,
    /// Ready to run, but waiting for a processor.
    pub waited: Duration,
    /// The state's letter as in `/proc`: `R` running or ready, `S` asleep, `D` in a wait that
    /// nothing interrupts.
    pub state: char,
}

impl Usage {
    /// Asks the kernel; `None` if there is no such thread or the kernel does not count.
    pub(crate) fn of(tid: i32) -> Option<Self> {
        let read = |name| fs::read_to_string(format!("/proc/self/task/{tid}/{name}")).ok();
        Self::parse(&read("schedstat")?, &read("stat")?)
    }

    fn parse(schedstat: &str, stat: &str) -> Option<Self> {
        let mut times =
            schedstat.split_ascii_whitespace().map(|text| text.parse().map(Duration::from_nanos));
        let on_cpu = times.next()?.ok()?;
        let waited = times.next()?.ok()?;
        // The name may hold anything, a parenthesis too.
        let (_, after) = stat.rsplit_once(") ")?;
        Some(Self { on_cpu, waited, state: after.chars().next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_hides_no_state() {
        let found = Usage::parse("1500 20 7\n", "42 (a) S b) D 1 2 3\n");
        let on_cpu = Duration::from_nanos(1500);
        let waited = Duration::from_nanos(20);
        assert_eq!(found, Some(Usage { on_cpu, waited, state: 'D' }));
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        assert_eq!(Usage::parse("1500", "42 (a) S 1"), None);
        assert_eq!(Usage::parse("1500 20 7", "42 (a"), None);
    }
}
