//! The command `poison`: what a running server refuses, since it crashed servers.
//!
//! What is known of such requests is in memory that the processes of the server share. It is looked
//! at directly, so that this works whatever the server is at.

use std::fmt::Write as _;

use ripstop::{Fingerprint, Quarantine, Quarantined, wall};

use crate::error::Error;

/// What the server of this process refuses, one line each.
///
/// # Errors
///
/// Its memory cannot be read, or there is none.
pub(crate) fn list(pid: i32) -> Result<String, Error> {
    let mut text = String::new();
    for Quarantined { fingerprint, route, left, refused } in quarantine(pid)?.list() {
        let seconds = left.as_secs();
        // A string takes all that is written to it.
        let _ = writeln!(text, "{fingerprint}  {route}  {seconds} s left, {refused} refused");
    }
    Ok(if text.is_empty() { "nothing is in quarantine\n".to_owned() } else { text })
}

/// Has the server handle such requests again: those of one fingerprint, or all.
///
/// # Errors
///
/// As [`list`]; or nothing is known of that fingerprint.
pub(crate) fn lift(pid: i32, fingerprint: Option<Fingerprint>) -> Result<String, Error> {
    let quarantine = quarantine(pid)?;
    match fingerprint {
        Some(one) if quarantine.lift(one) => Ok(format!("{one} is handled again\n")),
        Some(one) => Err(Error::NotQuarantined(one)),
        None => {
            let all = quarantine.list().into_iter();
            let lifted = all.filter(|one| quarantine.lift(one.fingerprint)).count();
            Ok(format!("{lifted} handled again\n"))
        }
    }
}

fn quarantine(pid: i32) -> Result<Quarantine, Error> {
    wall::quarantine_of(pid).map_err(|source| Error::NoMaster { pid, source })
}
