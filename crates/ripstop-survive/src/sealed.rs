//! Shared memory of a size that nobody can change: so what was mapped once stays there.

use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create,
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

/// Fresh memory, full of zeros, by the name that `/proc` shows. It closes itself on exec.
pub(crate) fn create(name: &str, size: usize) -> io::Result<OwnedFd> {
    let memory = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&memory, size as u64)?;
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memory)
}

/// The size of such memory; `None` for one whose size can change.
pub(crate) fn size(memory: impl AsFd) -> io::Result<Option<usize>> {
    let is_sealed = fcntl_get_seals(&memory)?.contains(SealFlags::SHRINK | SealFlags::GROW);
    let size = usize::try_from(fstat(&memory)?.st_size).ok();
    Ok(size.filter(|_| is_sealed))
}
