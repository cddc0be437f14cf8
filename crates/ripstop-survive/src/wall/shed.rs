//! Shedding: gives back the memory that a clone has of its parent and does not need.
//!
//! A clone has copies of all pages; each that the parent writes anew is the clone's alone from then
//! on. So a keeper drops all anonymous memory but its stack, what it was prepared, and the thread's
//! own (the kernel and the C library write there). Mappings of files are left: their pages are the
//! page cache's, or were written once, at the start, and stay shared. Async-signal-safe.

#![expect(unsafe_code, reason = "memory is unmapped")]

use rustix::{
    fs::{Mode, OFlags, open},
    io::read,
    mm::munmap,
};
use std::ops::Range;

/// Ranges that are kept.
const KEPT: usize = 4;

/// Bytes of a line that are looked at: the addresses, what kind of memory, and the path's first.
const LINE: usize = 128;

/// A page, at the smallest.
const PAGE: usize = 4096;

/// What is not shed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shed {
    kept: [(usize, usize); KEPT],
    /// Where the arguments begin, on the first thread's stack; the environment is above them.
    arguments: usize,
}

impl Shed {
    /// Keeps these, and what `/proc` shows of the process.
    pub(super) fn all_but(ranges: &[Range<usize>]) -> Self {
        let mut kept = [(0, 0); KEPT];
        for (place, range) in kept.iter_mut().zip(ranges) {
            *place = (range.start, range.end);
        }
        Self { kept, arguments: arguments().unwrap_or(0) }
    }

    /// Keeps what the C library has of the calling thread, too.
    pub(super) fn and_thread(mut self) -> Self {
        // SAFETY: it only asks for an address.
        let thread = unsafe { libc::pthread_self() } as usize;
        self.kept[KEPT - 1] = (thread, thread + 1);
        self
    }

    /// Unmaps all other anonymous memory of the process.
    pub(super) fn shed(&self) {
        let Ok(maps) = open("/proc/self/maps", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        else {
            return;
        };
        let (mut line, mut length, mut end_of_file) = ([0; LINE], 0, 0);
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = read(&maps, &mut bytes[..]) {
            for byte in bytes.iter().take(count) {
                if *byte == b'\n' {
                    self.look(line.get(..length).unwrap_or(&[]), &mut end_of_file);
                    length = 0;
                } else if let Some(place) = line.get_mut(length) {
                    *place = *byte;
                    length += 1;
                }
            }
        }
    }

    /// Looks at one mapping. Those that follow the mapping of a file are its variables.
    fn look(&self, line: &[u8], end_of_file: &mut usize) {
        let Some(mapping) = Mapping::parse(line) else { return };
        let Mapping { start, end, kind } = mapping;
        match kind {
            Kind::File => *end_of_file = end,
            Kind::Anonymous if start == *end_of_file => {}
            Kind::Anonymous if !self.keeps(start, end) => unmap(start, end),
            Kind::Stack => self.shed_stack(start, end),
            Kind::Anonymous | Kind::Other => {}
        }
    }

    fn keeps(&self, start: usize, end: usize) -> bool {
        self.kept.iter().any(|(from, to)| *from < end && start < *to)
    }

    /// The stack of the first thread, below the arguments.
    fn shed_stack(&self, start: usize, end: usize) {
        let below = self.arguments & !(PAGE - 1);
        if (start + 1..end).contains(&below) && !self.keeps(start, below) {
            unmap(start, below);
        }
    }
}

/// A line of `/proc/PID/maps`.
struct Mapping {
    start: usize,
    end: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Pages of a file, private or shared.
    File,
    /// Private memory of no file.
    Anonymous,
    Stack,
    /// What the kernel put there, and what is shared.
    Other,
}

impl Mapping {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
        let (mut addresses, access) = (fields.next()?.split(|byte| *byte == b'-'), fields.next()?);
        let (start, end) = (hexadecimal(addresses.next()?)?, hexadecimal(addresses.next()?)?);
        let (inode, path) = (fields.nth(2)?, fields.next().unwrap_or(b""));
        let kind = match path {
            _ if inode != b"0" => Kind::File,
            _ if access.get(3) != Some(&b'p') => Kind::Other,
            b"" | b"[heap]" => Kind::Anonymous,
            b"[stack]" => Kind::Stack,
            path if path.starts_with(b"[anon") => Kind::Anonymous,
            _ => Kind::Other,
        };
        Some(Self { start, end, kind })
    }
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | digit as usize)
    })
}

fn unmap(start: usize, end: usize) {
    // SAFETY: the process uses nothing of it any more: what it does was kept.
    let _ = unsafe { munmap(start as *mut _, end - start) };
}

/// Where the arguments of the process begin: field 48 of `/proc/self/stat`.
fn arguments() -> Option<usize> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(45)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(usize, usize, Kind)>) {
        let found = Mapping::parse(line.as_bytes());
        assert_eq!(found.map(|mapping| (mapping.start, mapping.end, mapping.kind)), expected);
    }

    #[test]
    fn mappings_are_told_apart() {
        let at = |kind| Some((0x7f00_1000, 0x7f00_3000, kind));
        check("7f001000-7f003000 r-xp 00001000 fe:00 4711   /usr/bin/x", at(Kind::File));
        check("7f001000-7f003000 rw-p 00000000 00:00 0 ", at(Kind::Anonymous));
        check("7f001000-7f003000 rw-p 00000000 00:00 0      [heap]", at(Kind::Anonymous));
        check("7f001000-7f003000 rw-p 00000000 00:00 0      [anon:x]", at(Kind::Anonymous));
        check("7f001000-7f003000 rw-p 00000000 00:00 0      [stack]", at(Kind::Stack));
        check("7f001000-7f003000 r-xp 00000000 00:00 0      [vdso]", at(Kind::Other));
        check("7f001000-7f003000 rw-s 00000000 00:01 12     /memfd:x (deleted)", at(Kind::File));
        check("7f001000-7f003000 rw-s 00000000 00:00 0 ", at(Kind::Other));
        check("", None);
        check("xyz", None);
    }

    #[test]
    fn the_arguments_are_found_on_the_stack() {
        let arguments = arguments().expect("there is /proc");
        assert!(arguments > PAGE);
    }
}
