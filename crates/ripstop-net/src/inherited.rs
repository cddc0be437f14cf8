//! Inherited listeners: sockets that a service manager opened for this process, and those that it
//! has bound itself while it still could.
//!
//! Owns the descriptors of the `LISTEN_FDS` protocol (`sd_listen_fds(3)`). A listener gets a
//! duplicate, so that one which a reload took away can be bound again later. What was bound ahead
//! is given out once.
//!
//! Turning a descriptor's number into something owned is unsafe; the `listenfd` crate does it for
//! us. `pidfd_getfd` on oneself would need no unsafe code, but leaves the original open in every
//! child process, and container runtimes forbid it by default.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use crate::address::{DESCRIPTOR_MIN, Descriptor};
use crate::error::{BindError, InheritError};
use crate::listener::{Listener, ListenerOptions};

/// The sockets that this process inherited. The default has none.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Slot>,
    /// Bound by [`Inherited::bind`], until somebody asks for them.
    bound: Mutex<Vec<(ListenerOptions, Listener)>>,
}

#[derive(Debug)]
struct Slot {
    /// Its name in `LISTEN_FDNAMES`, if there were any names.
    name: Option<Arc<str>>,
    fd: OwnedFd,
}

impl Inherited {
    /// Takes over what the environment says was passed (`LISTEN_PID`, `LISTEN_FDS`,
    /// `LISTEN_FDNAMES`): each must be a stream socket that listens; it becomes non-blocking and
    /// closes itself on exec. There are none if `LISTEN_PID` is another process.
    ///
    /// To be called once, before the process has other threads: a second call finds none, and the
    /// variables `LISTEN_PID` and `LISTEN_FDS` are gone afterwards.
    ///
    /// # Errors
    /// Names the variable or descriptor that is not as it must be.
    pub fn from_env() -> Result<Self, InheritError> {
        let pid = env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok());
        if pid != Some(std::process::id()) {
            return Ok(Self::default());
        }
        let count = count(env::var("LISTEN_FDS").ok().as_deref())?;
        let names = names(env::var("LISTEN_FDNAMES").ok().as_deref(), count)?;
        let mut passed = ListenFd::from_env();
        let take = |(index, name)| Ok(Slot { name, fd: take(&mut passed, index)? });
        let sockets = names.into_iter().enumerate().map(take).collect::<Result<_, _>>()?;
        Ok(Self { sockets, bound: Mutex::default() })
    }

    /// Binds listeners ahead of [`Listener::bind`] with the same options, which then gets them: what
    /// a process that gives its privileges up could not bind later. The files of Unix ones are given
    /// to `owner`, a user and a group.
    ///
    /// # Errors
    /// All that cannot be bound; then none is.
    pub fn bind(
        &self,
        all: &[ListenerOptions],
        owner: Option<(u32, u32)>,
    ) -> Result<(), Vec<BindError>> {
        let (mut bound, mut faults) = (Vec::new(), Vec::new());
        for options in all {
            let listener = Listener::bind(options, self).and_then(|listener| {
                let given = owner.map_or(Ok(()), |(user, group)| listener.give_to(user, group));
                given.map_err(|err| BindError::new(&options.address, err))?;
                Ok(listener)
            });
            match listener {
                Ok(listener) => bound.push((options.clone(), listener)),
                Err(err) => faults.push(err),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).extend(bound);
        Ok(())
    }

    /// What was bound ahead with these options.
    pub(crate) fn take_bound(&self, options: &ListenerOptions) -> Option<Listener> {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(other, _): &(ListenerOptions, Listener)| other == options;
        let index = bound.iter().position(is_it)?;
        Some(bound.swap_remove(index).1)
    }

    /// A duplicate of the socket that goes by this name or number, if there is one.
    pub(crate) fn duplicate(&self, descriptor: &Descriptor) -> Option<io::Result<OwnedFd>> {
        let slot = match descriptor {
            Descriptor::Number(number) => self.sockets.get(number.checked_sub(DESCRIPTOR_MIN)?),
            Descriptor::Name(name) => {
                self.sockets.iter().find(|slot| slot.name.as_ref() == Some(name))
            }
        };
        slot.map(|slot| slot.fd.try_clone())
    }

    /// What one can write after `fd:`, in the order of the descriptors.
    pub fn names(&self) -> Vec<String> {
        let name = |(index, slot): (usize, &Slot)| match &slot.name {
            Some(name) => name.to_string(),
            None => (index + DESCRIPTOR_MIN).to_string(),
        };
        self.sockets.iter().enumerate().map(name).collect()
    }
}

/// How many descriptors were passed.
fn count(text: Option<&str>) -> Result<usize, InheritError> {
    let text = text.unwrap_or("0");
    text.parse::<u16>().map(usize::from).map_err(|_| InheritError::BadCount(text.into()))
}

/// The name of each descriptor; all without one if the variable is not set.
fn names(text: Option<&str>, count: usize) -> Result<Vec<Option<Arc<str>>>, InheritError> {
    let Some(text) = text.filter(|_| count > 0) else {
        return Ok(vec![None; count]);
    };
    let names: Vec<_> = text.split(':').map(|name| Some(Arc::from(name))).collect();
    if names.len() == count {
        Ok(names)
    } else {
        Err(InheritError::NameCount { names: names.len(), descriptors: count })
    }
}

fn take(passed: &mut ListenFd, index: usize) -> Result<OwnedFd, InheritError> {
    let descriptor = index + DESCRIPTOR_MIN;
    // A socket of the wrong family stays where it is, so the second attempt finds it.
    let socket = passed.take_tcp_listener(index).map(|tcp| tcp.map(OwnedFd::from));
    let socket = socket.or_else(|_| passed.take_unix_listener(index).map(|s| s.map(OwnedFd::from)));
    let fd = socket
        .and_then(|socket| socket.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|source| InheritError::NotAStream { descriptor, source })?;
    let io = |err: rustix::io::Errno| InheritError::Io { descriptor, source: err.into() };
    if !socket_acceptconn(&fd).map_err(io)? {
        return Err(InheritError::NotListening(descriptor));
    }
    rustix::io::ioctl_fionbio(&fd, true).map_err(io)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_are_read_strictly() {
        assert_eq!(count(None).unwrap(), 0);
        assert_eq!(count(Some("2")).unwrap(), 2);
        for bad in ["", "-1", "two", "70000"] {
            assert!(matches!(count(Some(bad)), Err(InheritError::BadCount(text)) if text == bad));
        }
        assert_eq!(names(None, 2).unwrap(), [None, None]);
        assert_eq!(names(Some("a:b"), 2).unwrap(), [Some("a".into()), Some("b".into())]);
        assert_eq!(names(Some(""), 0).unwrap(), []);
        assert!(matches!(
            names(Some("a"), 2),
            Err(InheritError::NameCount { names: 1, descriptors: 2 })
        ));
    }
}
