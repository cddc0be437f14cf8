//! What `/proc` tells about a process: the baselines to which it must return after a fault.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A process as the kernel sees it. Each method reads anew, and fails once the process is gone.
#[derive(Clone, Copy, Debug)]
pub struct Proc {
    pid: u32,
}

impl Proc {
    /// The process with this id.
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// The test's own process.
    pub fn own() -> Self {
        Self::new(std::process::id())
    }

    /// The names of its threads, sorted. (The kernel cuts them to 15 bytes.)
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn threads(self) -> io::Result<Vec<String>> {
        let mut names: Vec<_> = self.each_task("comm")?.iter().map(|s| s.trim().into()).collect();
        names.sort();
        Ok(names)
    }

    /// How many descriptors it has open, but for files of `/proc`, which are open for a moment now and
    /// then.
    ///
    /// # Errors
    ///
    /// The process is gone or belongs to somebody else.
    pub fn fds(self) -> io::Result<usize> {
        let files = self.open_files()?;
        Ok(files.iter().filter(|(_, target)| !target.starts_with("/proc/")).count())
    }

    /// Its resident memory in bytes.
    ///
    /// # Errors
    ///
    /// The process is gone, or a zombie, which has no memory.
    pub fn rss_bytes(self) -> io::Result<u64> {
        self.status("VmRSS:")
    }

    /// The part of its resident memory, in bytes, that no file is behind.
    ///
    /// # Errors
    ///
    /// As [`Proc::rss_bytes`].
    pub fn anonymous_bytes(self) -> io::Result<u64> {
        self.status("RssAnon:")
    }

    /// The CPU time that its living threads took, exact to the nanosecond.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn cpu_time(self) -> io::Result<Duration> {
        let nanos = |text: &String| text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        let total = self.each_task("schedstat")?.iter().filter_map(nanos).sum();
        Ok(Duration::from_nanos(total))
    }

    /// Its process id.
    pub fn id(self) -> u32 {
        self.pid
    }

    /// Its name, as the kernel cut it.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn name(self) -> io::Result<String> {
        Ok(fs::read_to_string(self.path("comm"))?.trim().to_owned())
    }

    /// Whether all of its threads sleep.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn is_at_rest(self) -> io::Result<bool> {
        self.all_are('S')
    }

    /// Whether all of its threads have stopped, which is a moment after the signal for it.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn has_stopped(self) -> io::Result<bool> {
        self.all_are('T')
    }

    /// Whether all of its threads are in this state.
    fn all_are(self, state: char) -> io::Result<bool> {
        // It follows the name, which is in brackets.
        let is_so = |stat: &String| {
            stat.rsplit_once(')').is_some_and(|(_, after)| after.trim_start().starts_with(state))
        };
        Ok(self.each_task("stat")?.iter().all(is_so))
    }

    /// What its descriptors lead to, with their numbers, sorted. One that was closed meanwhile is
    /// left out.
    ///
    /// # Errors
    ///
    /// The process is gone or belongs to somebody else.
    pub fn open_files(self) -> io::Result<Vec<(u32, String)>> {
        let number = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let target = |entry: &fs::DirEntry| fs::read_link(entry.path()).ok();
        let file = |entry: fs::DirEntry| {
            Some((number(&entry)?, target(&entry)?.to_string_lossy().into_owned()))
        };
        let mut files: Vec<_> =
            fs::read_dir(self.path("fd"))?.filter_map(|entry| file(entry.ok()?)).collect();
        files.sort();
        Ok(files)
    }

    /// The memory that it shares with nobody, in bytes.
    ///
    /// # Errors
    ///
    /// The process is gone, or its memory is nobody's business.
    pub fn private_bytes(self) -> io::Result<u64> {
        let text = fs::read_to_string(self.path("smaps_rollup"))?;
        let private = text.lines().filter(|line| line.starts_with("Private_"));
        let kilobytes =
            private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Ok(kilobytes.sum::<u64>() * 1024)
    }

    fn path(self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid).into()
    }

    /// Reads a file of each thread; one that ended meanwhile is left out.
    fn each_task(self, name: &str) -> io::Result<Vec<String>> {
        let tasks = fs::read_dir(self.path("task"))?.filter_map(Result::ok);
        Ok(tasks.filter_map(|task| fs::read_to_string(task.path().join(name)).ok()).collect())
    }

    /// What stands behind this word in its status, as `Uid:`: fields with one space between them.
    ///
    /// # Errors
    ///
    /// The process is gone, or there is no such line.
    pub fn status_line(self, key: &str) -> io::Result<String> {
        field(&fs::read_to_string(self.path("status"))?, key)
    }

    /// The same, of each of its threads.
    ///
    /// # Errors
    ///
    /// As [`Proc::status_line`].
    pub fn status_lines(self, key: &str) -> io::Result<Vec<String>> {
        self.each_task("status")?.iter().map(|text| field(text, key)).collect()
    }

    fn status(self, key: &str) -> io::Result<u64> {
        let value = self.status_line(key)?;
        let kilobytes = value.strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
        kilobytes
            .map(|number| number * 1024)
            .ok_or_else(|| io::Error::other(format!("no {key} of process {}", self.pid)))
    }
}

/// What stands behind a word at the begin of a line.
fn field(status: &str, key: &str) -> io::Result<String> {
    let value = status.lines().find_map(|line| line.strip_prefix(key));
    let value = value.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
    value.ok_or_else(|| io::Error::other(format!("no {key} in the status of a process")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::thread;

    #[test]
    fn the_test_sees_itself() {
        let own = Proc::own();
        assert!(own.rss_bytes().unwrap() >= own.anonymous_bytes().unwrap());
        // Other tests of this process open and close descriptors, but never as many.
        let files: Vec<_> = (0..100).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let with = own.fds().unwrap();
        drop(files);
        assert!((1..with).contains(&own.fds().unwrap()));
    }

    #[test]
    fn threads_have_names_and_take_time() {
        let begin = Proc::own().cpu_time().unwrap();
        thread::scope(|scope| {
            let named = thread::Builder::new().name("rip-test".into());
            let handle = named.spawn_scoped(scope, || {
                assert!(Proc::own().threads().unwrap().contains(&"rip-test".to_owned()));
                while Proc::own().cpu_time().unwrap() <= begin {
                    black_box(());
                }
            });
            handle.unwrap().join().unwrap();
        });
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Proc::new(u32::MAX).threads().is_err());
        assert!(Proc::new(u32::MAX).rss_bytes().is_err());
    }
}
