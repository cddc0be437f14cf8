//! The descent: what the server has its master give up, by the control memory.
//!
//! A master goes from root to somebody else, once, and nowhere else, whatever is written here. The
//! keeper needs no such word: it is cloned anew by a server that has given up already.

use crate::{Account, NewPrivileges, accounts::GROUPS, privileges::give_up_alone};
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

/// How far the master follows a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// To another user, too.
    Anywhere,
    /// Not to another user.
    Not,
}

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

    /// In the master: does what is asked for, if anything is. `Follow::Not` to be another user: it stays
    /// that of the server that serves, for one that may never do.
    pub(super) fn obey(&self, follow: Follow) {
        if self.stage.load(Acquire) != ASKED {
            return;
        }
        let error = self.descend(follow).err();
        let error = error.map_or(0, |err| err.raw_os_error().unwrap_or(libc::EPERM));
        self.error.store(error, Relaxed);
        self.stage.store(OVER, Release);
    }

    fn descend(&self, follow: Follow) -> io::Result<()> {
        let count = (self.count.load(Relaxed) as usize).min(GROUPS);
        let groups = self.groups[..count].iter().map(|group| group.load(Relaxed)).collect();
        let asked = (self.user.load(Relaxed), self.group.load(Relaxed));
        let new = match self.bound.load(Relaxed) {
            0 => NewPrivileges::Allowed,
            _ => NewPrivileges::None,
        };
        let account = goal((geteuid().as_raw(), getegid().as_raw()), asked, groups);
        let account = account.filter(|account| account.is_none() || follow == Follow::Anywhere);
        let account = account.ok_or_else(|| io::Error::from_raw_os_error(libc::EPERM))?;
        give_up_alone(account.as_ref(), new)
    }
}

/// Who one has to become that is `present` and is asked to be `asked`: nobody, if it is so. `None`
/// where it must not: it is root no more, or would stay it.
fn goal(present: (u32, u32), asked: (u32, u32), groups: Vec<u32>) -> Option<Option<Account>> {
    match present {
        _ if present == asked => Some(None),
        (0, _) => Account::of(asked.0, asked.1, groups).map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_goes_from_root_to_somebody_else_and_nowhere_else() {
        let somebody = |user, group| Some(Account::of(user, group, vec![7]));
        for (present, asked, expected) in [
            ((0, 0), (33, 34), somebody(33, 34)),
            ((0, 5), (33, 5), somebody(33, 5)),
            ((0, 0), (0, 0), Some(None)),
            ((33, 33), (33, 33), Some(None)),
            ((0, 0), (33, 0), None),
            ((0, 5), (0, 33), None),
            ((0, 0), (u32::MAX, 33), None),
            ((0, 0), (33, u32::MAX), None),
            ((33, 33), (0, 0), None),
            ((33, 33), (33, 0), None),
            ((33, 33), (33, 34), None),
            ((33, 33), (34, 33), None),
        ] {
            assert_eq!(goal(present, asked, vec![7]), expected, "{present:?} {asked:?}");
        }
    }

    #[test]
    fn what_is_asked_for_without_an_account_is_done_where_one_is() {
        let memory = crate::wall::control::Control::create().unwrap();
        let descent = &memory.1.descent;
        descent.obey(Follow::Anywhere);
        assert!(descent.outcome().is_none(), "nobody has asked");
        descent.ask(None, NewPrivileges::Allowed);
        assert!(descent.outcome().is_none(), "nobody has looked");
        descent.obey(Follow::Not);
        descent.outcome().expect("it was looked at").expect("nothing was wanted");
        // Beside one that serves it stays who it is, whoever that is.
        let somebody = Account::of(geteuid().as_raw() + 1, 1, Vec::new()).expect("it is not root");
        descent.ask(Some(&somebody), NewPrivileges::Allowed);
        descent.obey(Follow::Not);
        assert!(descent.outcome().expect("it was looked at").is_err());
    }
}
