//! Failpoints: places at which a process that is tested dies, if it is asked to by
//! `RIPSTOP_FAIL_AT`. Nothing of them is in a build without debug assertions.

use crate::wall::control::Control;
use rustix::process::{Signal, getpid, kill_process};
use std::{
    env,
    sync::{LazyLock, OnceLock},
};

/// The memory of the family, which remembers that it has happened.
static FAMILY: OnceLock<&'static Control> = OnceLock::new();

/// Has the points know of the family.
pub(crate) fn arm(control: &'static Control) {
    if cfg!(debug_assertions) {
        // A process has one.
        let _ = FAMILY.set(control);
    }
}

/// Dies by SIGKILL, if it is here that a server should die and none of the family has.
pub fn failpoint(name: &str) {
    static AT: LazyLock<Option<String>> = LazyLock::new(|| env::var("RIPSTOP_FAIL_AT").ok());
    if cfg!(debug_assertions)
        && AT.as_deref() == Some(name)
        && FAMILY.get().is_some_and(|family| family.fails())
    {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
