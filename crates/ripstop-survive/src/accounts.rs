//! Accounts: from the names of a user and a group to the numbers that the kernel knows.
//!
//! Asks the C library, and so whatever the machine keeps its users in. Becoming one is in
//! `privileges.rs`.

#![expect(unsafe_code, reason = "the C library's user database")]

use libc::{c_char, c_int, gid_t, uid_t};
use std::{
    ffi::{CStr, CString},
    fmt, io,
    mem::MaybeUninit,
    ptr::null_mut,
};

/// Supplementary groups of an account, at most: as many as fit into what master and server share.
pub(crate) const GROUPS: usize = 256;

/// Bytes that an entry of the database may take, at most.
const ENTRY_MAX: usize = 1 << 20;

/// Whom a process is to run as. Never root, nor its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    user: uid_t,
    group: gid_t,
    groups: Vec<gid_t>,
}

/// Which supplementary groups an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Groups {
    /// Those that the database has its user in, as initgroups(3).
    #[default]
    OfUser,
    /// None.
    None,
}

/// Why there is no such account.
#[derive(Debug)]
#[non_exhaustive]
pub enum AccountError {
    /// No user of this name.
    UnknownUser(String),
    /// No group of this name.
    UnknownGroup(String),
    /// The database does not know the number of the user, so it does not know its group either.
    NoGroup(u32),
    /// It would be root.
    Root,
    /// It would be in the group of root.
    RootsGroup,
    /// The user is in more groups than 256.
    TooManyGroups(String),
    /// The database cannot be read.
    Io(io::Error),
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownUser(name) => {
                write!(f, "there is no user {name:?}: create it, or name another or its number")
            }
            Self::UnknownGroup(name) => {
                write!(f, "there is no group {name:?}: create it, or name another or its number")
            }
            Self::NoGroup(number) => {
                write!(f, "nothing is known of user {number}: its group must be said, too")
            }
            Self::Root => f.write_str("root is whom the server should not be: name another user"),
            Self::RootsGroup => f.write_str("the group is that of root: name another group"),
            Self::TooManyGroups(name) => {
                write!(f, "user {name:?} is in more than {GROUPS} groups: leave them out, or some")
            }
            Self::Io(_) => f.write_str("the user database cannot be read"),
        }
    }
}

impl std::error::Error for AccountError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io(err) = self { Some(err) } else { None }
    }
}

/// What the database says of a user.
struct User {
    name: CString,
    user: uid_t,
    group: gid_t,
}

impl Account {
    /// Looks a user and a group up, each by its name or its number; without a group it is the
    /// user's own.
    ///
    /// # Errors
    ///
    /// There is none, or it is root.
    pub fn find(user: &str, group: Option<&str>, groups: Groups) -> Result<Self, AccountError> {
        let known = known_user(user)?;
        let number = known.as_ref().map(|known| known.user).or_else(|| user.parse().ok());
        let number = number.ok_or_else(|| AccountError::UnknownUser(user.to_owned()))?;
        let group = match (group, &known) {
            (Some(group), _) => group_number(group)?,
            (None, Some(known)) => known.group,
            (None, None) => return Err(AccountError::NoGroup(number)),
        };
        let groups = match (groups, &known) {
            (Groups::OfUser, Some(known)) => groups_of(&known.name, group)?,
            (Groups::OfUser | Groups::None, _) => Vec::new(),
        };
        Self::of(number, group, groups).ok_or(match number {
            0 => AccountError::Root,
            _ => AccountError::RootsGroup,
        })
    }

    /// That of these numbers; `None` for root and its group.
    pub(crate) fn of(user: uid_t, group: gid_t, groups: Vec<gid_t>) -> Option<Self> {
        // The last number is no user: the calls take it for "as it is".
        let is_somebody = |number| number != 0 && number != u32::MAX;
        (is_somebody(user) && is_somebody(group)).then_some(Self { user, group, groups })
    }

    /// The number of the user.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// The number of the group.
    pub fn group(&self) -> u32 {
        self.group
    }

    /// The numbers of the supplementary groups.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}, group {}", self.user, self.group)
    }
}

/// The user of this name, else of this number.
fn known_user(text: &str) -> Result<Option<User>, AccountError> {
    let Ok(name) = CString::new(text) else { return Ok(None) };
    let by_name = look_up(
        |entry: *mut libc::passwd, buffer, len, found| {
            // SAFETY: all of them are valid for the call, the buffer for `len` bytes.
            unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, len, found) }
        },
        user_of,
    )?;
    let Some(number) = text.parse().ok().filter(|_| by_name.is_none()) else { return Ok(by_name) };
    look_up(
        |entry: *mut libc::passwd, buffer, len, found| {
            // SAFETY: as above.
            unsafe { libc::getpwuid_r(number, entry, buffer, len, found) }
        },
        user_of,
    )
}

fn user_of(entry: &libc::passwd) -> User {
    // SAFETY: the entry was found, and its name ends with a zero.
    let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_owned();
    User { name, user: entry.pw_uid, group: entry.pw_gid }
}

/// The number of the group of this name, else the number itself.
fn group_number(text: &str) -> Result<gid_t, AccountError> {
    let unknown = || AccountError::UnknownGroup(text.to_owned());
    let name = CString::new(text).map_err(|_| unknown())?;
    let by_name = look_up(
        |entry: *mut libc::group, buffer, len, found| {
            // SAFETY: all of them are valid for the call, the buffer for `len` bytes.
            unsafe { libc::getgrnam_r(name.as_ptr(), entry, buffer, len, found) }
        },
        |entry| entry.gr_gid,
    )?;
    by_name.or_else(|| text.parse().ok()).ok_or_else(unknown)
}

/// Asks for one entry, with as much room as it takes.
fn look_up<E, T>(
    ask: impl Fn(*mut E, *mut c_char, usize, *mut *mut E) -> c_int,
    read: impl Fn(&E) -> T,
) -> Result<Option<T>, AccountError> {
    let mut buffer = vec![0; 1024];
    loop {
        let (mut entry, mut found) = (MaybeUninit::uninit(), null_mut::<E>());
        match ask(entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found) {
            libc::ERANGE if buffer.len() < ENTRY_MAX => buffer = vec![0; buffer.len() * 2],
            libc::EINTR => {}
            // Some say so where there is no such entry.
            0 | libc::ENOENT | libc::ESRCH if found.is_null() => return Ok(None),
            // SAFETY: it was found, and is valid as long as the entry and the buffer.
            0 => return Ok(Some(read(unsafe { &*found }))),
            error => return Err(AccountError::Io(io::Error::from_raw_os_error(error))),
        }
    }
}

/// The groups that the database has a user in, `group` among them.
fn groups_of(name: &CStr, group: gid_t) -> Result<Vec<gid_t>, AccountError> {
    let mut groups = vec![0; GROUPS];
    let mut count = c_int::try_from(GROUPS).unwrap_or(c_int::MAX);
    // SAFETY: there is room for so many.
    let fit =
        unsafe { libc::getgrouplist(name.as_ptr(), group, groups.as_mut_ptr(), &raw mut count) };
    if fit < 0 {
        return Err(AccountError::TooManyGroups(name.to_string_lossy().into_owned()));
    }
    groups.truncate(usize::try_from(count).unwrap_or(0));
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fault(user: &str, group: Option<&str>) -> String {
        Account::find(user, group, Groups::OfUser).unwrap_err().to_string()
    }

    #[test]
    fn accounts_are_found_by_names_and_by_numbers() {
        let daemon = Account::find("daemon", None, Groups::OfUser).unwrap();
        assert!(daemon.user() != 0 && daemon.groups().contains(&daemon.group()), "{daemon:?}");
        let number = daemon.user().to_string();
        assert_eq!(Account::find(&number, None, Groups::OfUser).unwrap(), daemon);
        let alone = Account::find("daemon", Some("4711"), Groups::None).unwrap();
        assert_eq!((alone.group(), alone.groups()), (4711, &[][..]));
        let unknown = Account::find("4000000000", Some("daemon"), Groups::OfUser).unwrap();
        assert_eq!((unknown.user(), unknown.group()), (4_000_000_000, daemon.group()));
    }

    #[test]
    fn nobody_is_found_who_is_not_there_or_is_root() {
        for (user, group, said) in [
            ("no-such-user", None, "no user \"no-such-user\""),
            ("", None, "no user \"\""),
            ("4294967296", None, "no user"),
            ("daemon", Some("no-such-group"), "no group \"no-such-group\""),
            ("4000000000", None, "group must be said"),
            ("root", None, "root is whom"),
            ("0", Some("daemon"), "root is whom"),
            ("daemon", Some("0"), "that of root"),
        ] {
            let fault = fault(user, group);
            assert!(fault.contains(said), "{user} {group:?}: {fault}");
        }
    }
}
