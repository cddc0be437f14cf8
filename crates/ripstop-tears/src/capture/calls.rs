//! Whether a call is before an address: only then it can be a return address.
//!
//! Memory is read through the kernel, which answers with an error where a fault would be.

use std::{fs::File, os::unix::fs::FileExt};

/// The code of this process.
pub(super) struct Calls {
    memory: Option<File>,
}

impl Calls {
    pub(super) fn open() -> Self {
        Self { memory: File::open("/proc/self/mem").ok() }
    }

    /// Whether the instruction before `address` is a call; not where that cannot be read.
    pub(super) fn precede(&self, address: usize) -> bool {
        let mut code = [0; 8];
        let Some(start) = address.checked_sub(code.len()) else { return false };
        let read = self.memory.as_ref().map(|memory| memory.read_exact_at(&mut code, start as u64));
        read.is_some_and(|read| read.is_ok()) && ends_with_call(code)
    }
}

/// `call rel32`, or `call r/m64` in any length.
#[cfg(target_arch = "x86_64")]
fn ends_with_call(code: [u8; 8]) -> bool {
    let indirect = |len: usize| code[8 - len] == 0xff && code[9 - len] >> 3 & 7 == 2;
    code[3] == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(indirect)
}

/// `bl`, or `blr` of any register.
#[cfg(target_arch = "aarch64")]
fn ends_with_call(code: [u8; 8]) -> bool {
    let last = u32::from_le_bytes([code[4], code[5], code[6], code[7]]);
    last & 0xfc00_0000 == 0x9400_0000 || last & 0xffff_fc1f == 0xd63f_0000
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_other_code() {
        for (code, call) in [
            ([0x90, 0x90, 0x90, 0xe8, 1, 2, 3, 4], true),
            ([0x90, 0x90, 0xff, 0x15, 1, 2, 3, 4], true),
            ([0x90, 0x90, 0x90, 0x90, 0x90, 0x41, 0xff, 0xd4], true),
            ([0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x50, 0x18], true),
            ([0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0], false),
            ([0x90, 0x90, 0x90, 0xe9, 1, 2, 3, 4], false),
            ([0; 8], false),
        ] {
            assert_eq!(ends_with_call(code), call, "{code:x?}");
        }
    }
}
