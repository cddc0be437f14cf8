//! What the kernel knows of processes: their processor time, where they run, when they wake.

use rustix::param::clock_ticks_per_second;
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};
use rustix::time::{ClockId, clock_gettime};
use std::num::NonZeroU64;
use std::{fs, io};

/// Processor time of the process `pid` and its children since they began, in seconds; a hundredth of
/// one is the resolution.
///
/// # Errors
/// When there is no such process.
pub fn cpu_s(pid: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks =
        ticks(&stat).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat: {stat}")))?;
    let own = ticks as f64 / clock_ticks_per_second() as f64;
    // A child may end between the look for it and the look at it.
    let others = children(pid)?.into_iter().filter_map(|child| cpu_s(child).ok());
    Ok(own + others.sum::<f64>())
}

/// User and system time. They are counted from the end of the name, which may hold blanks.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let list = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        children
            .extend(list.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(children)
}

/// Processor time of this process since it began, in seconds.
#[must_use]
pub fn own_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Keeps the calling thread, and what it starts from now on, on one processor.
///
/// # Errors
/// When there is no such processor.
pub fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// Asks the kernel to end waits of this thread when they are over, instead of 50 us later.
///
/// # Errors
/// When the kernel does not know of it.
pub fn wake_in_time() -> io::Result<()> {
    Ok(set_current_timer_slack(NonZeroU64::new(1))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 0 0 0 123 45 6 7 20 0 1 0 99";
        assert_eq!(ticks(stat), Some(168));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn the_own_process_has_spent_what_it_says() {
        while own_cpu_s() < 0.1 {
            std::hint::spin_loop();
        }
        let spent = cpu_s(std::process::id()).unwrap();
        assert!((0.08..=own_cpu_s() + 0.02).contains(&spent), "{spent}");
    }
}
