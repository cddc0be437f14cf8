//! The one thing that is needed of an ELF header: which address of a file's own a part of it has.
//!
//! 64 bits and little endian alone, like the processors whose stacks are walked.

use std::{fs::File, io, os::unix::fs::FileExt};

/// A loaded segment: where it is in the file, and which address it is linked for.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    len: u64,
    address: u64,
}

/// What tells the addresses of a file.
#[derive(Debug)]
pub(crate) struct Segments(Vec<Segment>);

/// Headers of segments, and the type of those that are loaded.
const HEADER_LEN: usize = 56;
const LOAD: u64 = 1;

impl Segments {
    /// Reads the headers of `file`.
    pub(crate) fn read(file: &File) -> io::Result<Self> {
        let mut head = [0; 64];
        file.read_exact_at(&mut head, 0)?;
        if head[..6] != *b"\x7fELF\x02\x01" || number(&head, 54, 2) != HEADER_LEN as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut headers = vec![0; HEADER_LEN * number(&head, 56, 2) as usize];
        file.read_exact_at(&mut headers, number(&head, 32, 8))?;
        Ok(Self(headers.chunks_exact(HEADER_LEN).filter_map(Segment::parse).collect()))
    }

    /// The address, as the file was linked, of what is at `offset` in it.
    pub(crate) fn address(&self, offset: u64) -> Option<u64> {
        let holds = |segment: &&Segment| {
            offset.checked_sub(segment.offset).is_some_and(|within| within < segment.len)
        };
        let segment = self.0.iter().find(holds)?;
        segment.address.checked_add(offset - segment.offset)
    }
}

impl Segment {
    fn parse(header: &[u8]) -> Option<Self> {
        let [offset, address, len] = [8, 16, 32].map(|at| number(header, at, 8));
        (number(header, 0, 4) == LOAD).then_some(Self { offset, len, address })
    }
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_told_by_the_segment_that_holds_it() {
        let text = Segment { offset: 0x1000, len: 0x500, address: 0x3000 };
        let segments = Segments(vec![Segment { offset: 0, len: 0x800, address: 0 }, text]);
        assert_eq!(segments.address(0x10), Some(0x10));
        assert_eq!(segments.address(0x1010), Some(0x3010));
        assert_eq!(segments.address(0x900), None);
        assert_eq!(segments.address(0x1500), None);
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/src/elf.rs")).unwrap();
        assert_eq!(Segments::read(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
