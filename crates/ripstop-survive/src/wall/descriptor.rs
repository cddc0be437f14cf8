//! Descriptors that are known by their numbers alone, since they come from another process's life.

use rustix::io::{FdFlags, fcntl_setfd};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Does something with the descriptor of this number. A number that is not open gives an error of
/// the system call, no more.
pub(super) fn borrow<T>(number: RawFd, with: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
    debug_assert!(number >= 0, "a descriptor's number");
    // SAFETY: the system calls that are made with it check the number themselves, and nothing here
    // closes it meanwhile.
    #[expect(unsafe_code, reason = "the number comes from shared memory")]
    with(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Whether it stays open when the process executes another program.
pub(super) fn stay_open(number: RawFd, stays: bool) -> bool {
    let flags = if stays { FdFlags::empty() } else { FdFlags::CLOEXEC };
    borrow(number, |fd| fcntl_setfd(fd, flags)).is_ok()
}

/// Owns an inherited descriptor; it closes itself on exec from now on. `None` if it is not open.
///
/// To be called once for each number: the caller has seen that nothing else owns it.
pub(super) fn own(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 || !stay_open(number, false) {
        return None;
    }
    // SAFETY: it is open, and it was inherited from another process's life: nothing in this one has
    // opened it, and each number is asked for once.
    #[expect(unsafe_code, reason = "the number comes from shared memory")]
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
