//! The commands that speak to a running server: `reload` and `stop`.

use std::{path::Path, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Signal, pidfd_send_signal},
};

use crate::{
    config::Sources,
    error::Error,
    open,
    pid_file::{self, Server},
};

/// Has the server read its configuration again, if it has no fault.
///
/// # Errors
///
/// Every fault of the configuration; or no server runs.
pub(crate) fn reload(pid_file: &Path) -> Result<String, Error> {
    let server = pid_file::find(pid_file)?;
    let pid = server.pid.as_raw_pid();
    let Some(file) = server.config.clone() else {
        signal(&server, Signal::HUP)?;
        return Ok(format!("pid {pid} has no configuration file; it opens its logs anew\n"));
    };
    let said = format!("pid {pid} was told to read {} again\n", file.display());
    open::open(&Sources { file: Some(file), ..Sources::default() }).map_err(Error::Config)?;
    signal(&server, Signal::HUP)?;
    Ok(said)
}

/// Has the server drain and end, and waits for it.
///
/// # Errors
///
/// No server runs, or it has not ended after `timeout`.
pub(crate) fn stop(pid_file: &Path, timeout: Duration) -> Result<String, Error> {
    let server = pid_file::find(pid_file)?;
    signal(&server, Signal::TERM)?;
    let pid = server.pid.as_raw_pid();
    match wait(&server, timeout)? {
        true => Ok(format!("pid {pid} has ended\n")),
        false => Err(Error::StillRunning { pid }),
    }
}

pub(crate) fn signal(server: &Server, signal: Signal) -> Result<(), Error> {
    let what = || format!("cannot signal pid {}", server.pid.as_raw_pid());
    pidfd_send_signal(&server.process, signal).map_err(|err| Error::io(what(), err))
}

/// Waits until the server has ended; false after `timeout`.
pub(crate) fn wait(server: &Server, timeout: Duration) -> Result<bool, Error> {
    let what = || format!("cannot wait for pid {}", server.pid.as_raw_pid());
    let timeout = Timespec::try_from(timeout).map_err(|_| Error::io(what(), Errno::INVAL))?;
    let mut process = [PollFd::new(&server.process, PollFlags::IN)];
    let ready = poll(&mut process, Some(&timeout)).map_err(|err| Error::io(what(), err))?;
    Ok(ready > 0)
}
