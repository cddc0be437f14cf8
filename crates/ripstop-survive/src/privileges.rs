//! Privileges: what a process gives up before it reads anything that a stranger has sent.
//!
//! The libraries' calls for user and groups reach all threads of the process; that no program
//! gives privileges back (`no_new_privs`) holds for the calling thread and those that it starts.

#![expect(unsafe_code, reason = "the C library's calls, which reach all threads")]

use crate::{Account, wall::wall};
use rustix::{
    process::{DumpableBehavior, geteuid, set_dumpable_behavior},
    thread::{no_new_privs, set_no_new_privs},
};
use std::io;

/// What the calls take for "as it is".
const AS_IT_IS: u32 = u32::MAX;

/// Whether programs that are executed from now on can have more privileges than this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPrivileges {
    /// As the system says, by setuid programs and file capabilities.
    Allowed,
    /// Never.
    None,
}

/// Has the process, and where there is a process wall the whole family, be this account from now on,
/// and never again have more. What is so already is left as it is. Where there is a wall this is for
/// its first thread, before the server serves.
///
/// # Errors
///
/// The process is neither root nor of this account; or a part of it cannot be done. Then the process
/// must end: what was given up is not given back.
pub fn give_up(account: Option<&Account>, new: NewPrivileges) -> io::Result<()> {
    let is_account = account.is_none_or(is_present);
    let is_bound = new == NewPrivileges::Allowed || no_new_privs()?;
    match wall() {
        _ if is_account && is_bound => Ok(()),
        Some(wall) => wall.give_up(account, new),
        None => give_up_alone(account, new).and_then(|()| be_seen()),
    }
}

impl Account {
    /// Whether the process can be of this account: it is root, or it is so already.
    pub fn is_possible(&self) -> bool {
        geteuid().is_root() || is_present(self)
    }
}

/// As [`give_up`], for this process alone, which stays hidden from others of the account.
pub(crate) fn give_up_alone(account: Option<&Account>, new: NewPrivileges) -> io::Result<()> {
    if let Some(account) = account.filter(|account| !is_present(account)) {
        become_account(account)?;
    }
    if new == NewPrivileges::None {
        set_no_new_privs(true)?;
    }
    Ok(())
}

/// Has the process look after itself by `/proc` again, which the kernel forbids whoever has changed
/// the user. That begins anew with the next exec in any case.
pub(crate) fn be_seen() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}

/// Whether all that the kernel knows this process by is the account. Its supplementary groups are
/// those that it was started with.
fn is_present(account: &Account) -> bool {
    let (mut users, mut groups) = ([AS_IT_IS; 3], [AS_IT_IS; 3]);
    let ([real, effective, saved], [real_group, effective_group, saved_group]) =
        (&mut users, &mut groups);
    // SAFETY: each of them is valid for the call.
    let asked = unsafe {
        libc::getresuid(real, effective, saved) == 0
            && libc::getresgid(real_group, effective_group, saved_group) == 0
    };
    asked && users == [account.user(); 3] && groups == [account.group(); 3]
}

fn become_account(account: &Account) -> io::Result<()> {
    if !geteuid().is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (user, group, groups) = (account.user(), account.group(), account.groups());
    // SAFETY: the list is as long as said. The user last, since the others need root.
    unsafe {
        done(libc::setgroups(groups.len(), groups.as_ptr()))?;
        done(libc::setresgid(group, group, group))?;
        done(libc::setresuid(user, user, user))?;
    }
    match is_present(account) && !is_root_again() {
        true => Ok(()),
        false => Err(io::Error::other("the process could be root again")),
    }
}

/// Tries what must not succeed.
fn is_root_again() -> bool {
    // SAFETY: calls that take numbers alone.
    unsafe {
        libc::setresuid(AS_IT_IS, 0, AS_IT_IS) == 0 || libc::setresgid(AS_IT_IS, 0, AS_IT_IS) == 0
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
