//! What the connections of all workers are asked to do to save memory.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How connections save memory. By default they do not.
#[derive(Debug)]
pub struct Thrift {
    parks: AtomicBool,
    /// Milliseconds; the largest number where idle connections may stay.
    idle_max: AtomicU64,
    closed: AtomicU64,
    hurries: AtomicBool,
    cut: AtomicU64,
}

impl Default for Thrift {
    fn default() -> Self {
        let idle_max = AtomicU64::new(u64::MAX);
        Self {
            parks: AtomicBool::new(false),
            idle_max,
            closed: AtomicU64::new(0),
            hurries: AtomicBool::new(false),
            cut: AtomicU64::new(0),
        }
    }
}

impl Thrift {
    /// Whether idle connections are to be parked at once.
    pub fn parks(&self) -> bool {
        self.parks.load(Relaxed)
    }

    /// For how long a connection may have been idle that is to stay; `None` for any time.
    pub fn idle_max(&self) -> Option<Duration> {
        let ms = self.idle_max.load(Relaxed);
        (ms < u64::MAX).then(|| Duration::from_millis(ms))
    }

    /// Counts a connection that is closed since it has been idle for longer.
    pub fn closes(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// How many were closed for that.
    pub fn closed(&self) -> u64 {
        self.closed.load(Relaxed)
    }

    /// Whether clients that take nothing of what they are sent are to be given up soon.
    pub fn hurries(&self) -> bool {
        self.hurries.load(Relaxed)
    }

    /// Counts a client that is given up for that.
    pub fn cuts(&self) {
        self.cut.fetch_add(1, Relaxed);
    }

    /// How many were given up for that.
    pub fn cut(&self) -> u64 {
        self.cut.load(Relaxed)
    }

    pub(crate) fn hurry(&self, hurries: bool) {
        self.hurries.store(hurries, Relaxed);
    }

    /// Asks for this from now on. Returns whether idle connections have to look at it.
    pub(crate) fn set(&self, parks: bool, idle_max: Option<Duration>) -> bool {
        let ms =
            idle_max.map_or(u64::MAX, |max| u64::try_from(max.as_millis()).unwrap_or(u64::MAX));
        self.idle_max.store(ms, Relaxed);
        let began = !self.parks.swap(parks, Relaxed) && parks;
        began || ms < u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_look_when_something_is_asked_of_them() {
        let thrift = Thrift::default();
        let second = Some(Duration::from_secs(1));
        assert!(!thrift.set(false, None));
        assert!(thrift.set(true, None));
        assert!(!thrift.set(true, None));
        assert!(thrift.set(true, second) && thrift.set(true, second));
        assert_eq!((thrift.parks(), thrift.idle_max()), (true, second));
        assert!(!thrift.set(false, None));
        assert_eq!((thrift.parks(), thrift.idle_max()), (false, None));
    }
}
