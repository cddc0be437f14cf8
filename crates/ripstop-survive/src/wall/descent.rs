//! The descent: what the server has its master give up, by the control memory.
//!
//! A master goes from root to somebody else, once, and nowhere else, whatever is written here. The
//! keeper needs no such word: it is cloned anew by a server that has given up already.

use crate::{
    Account, NewPrivileges,
    accounts::GROUPS,
    privileges::{give_up_alone, is_present},
};
use rustix::process::{getegid, geteuid};
use std::{
    io,
    sync::atomic::{
        AtomicI32, AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Stages; 0 is none.
const ASKED: u32 = 1;
const OVER: u32 = 2;

/// What is asked for, and what became of it.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Descent {
    stage: AtomicU32,
    /// Why it could not be done: the number of an error, or 0.
    error: AtomicI32,
    user: AtomicU32,
    group: AtomicU32,
    /// Not 0: no new privileges either.
    bound: AtomicU32,
    count: AtomicU32,
    groups: [AtomicU32; GROUPS],
}

impl Descent {
    /// Has the master be this account; without one it stays who it is.
    pub(super) fn ask(&self, account: Option<&Account>, new: NewPrivileges) {
        let present = || (geteuid().as_raw(), getegid().as_raw());
        let (user, group) = account.map_or_else(present, |it| (it.user(), it.group()));
        let groups = account.map_or(&[][..], Account::groups);
        self.user.store(user, Relaxed);
        self.group.store(group, Relaxed);
        self.groups.iter().zip(groups).for_each(|(place, group)| place.store(*group, Relaxed));
        self.count.store(u32::try_from(groups.len()).unwrap_or(0), Relaxed);
        self.bound.store(u32::from(new == NewPrivileges::None), Relaxed);
        self.stage.store(ASKED, Release);
    }

    /// What the master has made of it, once it has.
    pub(super) fn outcome(&self) -> Option<io::Result<()>> {
        (self.stage.load(Acquire) == OVER).then(|| match self.error.load(Relaxed) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        })
    }

    /// In the master: does what is asked for, if anything is.
    pub(super) fn obey(&self) {
        if self.stage.load(Acquire) != ASKED {
            return;
        }
        let error = self.descend().err();
        let error = error.map_or(0, |err| err.raw_os_error().unwrap_or(libc::EPERM));
        self.error.store(error, Relaxed);
        self.stage.store(OVER, Release);
    }

    fn descend(&self) -> io::Result<()> {
        let count = (self.count.load(Relaxed) as usize).min(GROUPS);
        let groups = self.groups[..count].iter().map(|group| group.load(Relaxed)).collect();
        let (user, group) = (self.user.load(Relaxed), self.group.load(Relaxed));
        let new = match self.bound.load(Relaxed) {
            0 => NewPrivileges::Allowed,
            _ => NewPrivileges::None,
        };
        let account = Account::of(user, group, groups);
        let stays = (user, group) == (geteuid().as_raw(), getegid().as_raw());
        let account = account.filter(|account| !is_present(account));
        if account.is_none() && !stays {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        give_up_alone(account.as_ref(), new)
    }
}
