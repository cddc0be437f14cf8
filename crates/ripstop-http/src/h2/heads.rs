//! The heads of HTTP/2 frames (RFC 9113, section 4.1) in a stream of bytes that is cut anywhere.
//!
//! Sees nine bytes of each frame and counts its payload off. Neither keeps nor judges anything.

/// Bytes of a frame's head.
const LEN: usize = 9;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of payload.
    pub(super) len: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    fn parse(bytes: [u8; LEN]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Self { len: u32::from_be_bytes([0, a, b, c]), kind, flags, stream }
    }
}

/// Follows the frames of one direction.
#[derive(Debug)]
pub(super) struct Heads {
    head: [u8; LEN],
    /// How much of the head is there.
    filled: usize,
    /// Bytes to pass over before the next head.
    left: usize,
}

impl Heads {
    /// Follows a stream that begins with `preface` bytes of something else.
    pub(super) fn after(preface: usize) -> Self {
        Self { head: [0; LEN], filled: 0, left: preface }
    }

    /// Whether a frame has ended and of the next one nothing has come.
    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && self.filled == 0
    }

    /// Reads on to the end of the next head or of the bytes: how many were read, and the head.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Option<Head>) {
        let passed = self.pass(bytes);
        let wanted = (LEN - self.filled).min(bytes.len() - passed);
        let end = passed + wanted;
        self.head[self.filled..self.filled + wanted].copy_from_slice(&bytes[passed..end]);
        self.filled += wanted;
        if self.filled < LEN {
            return (end, None);
        }
        self.filled = 0;
        let head = Head::parse(self.head);
        self.left = head.len as usize;
        (end, Some(head))
    }

    /// Reads on to the end of the payload or of the bytes: how many were read.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let passed = self.left.min(bytes.len());
        self.left -= passed;
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads_of(pieces: &[&[u8]], preface: usize) -> Vec<Head> {
        let mut heads = Heads::after(preface);
        let mut seen = Vec::new();
        for mut piece in pieces.iter().copied() {
            while !piece.is_empty() {
                let (read, head) = heads.next(piece);
                piece = &piece[read..];
                seen.extend(head);
            }
        }
        assert!(heads.is_between(), "all was whole");
        seen
    }

    #[test]
    fn heads_are_found_wherever_the_stream_is_cut() {
        let ping = [&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &[7; 8]].concat();
        let bytes = [b"PRI", &[0, 0, 0, 4, 0, 0, 0, 0, 0][..], &ping, &[0, 1, 1, 0, 9], &[0x80]];
        let bytes = [&bytes.concat()[..], &[0, 0, 3], &[0; 257]].concat();
        let expected = [
            Head { len: 0, kind: 4, flags: 0, stream: 0 },
            Head { len: 8, kind: 6, flags: 1, stream: 0 },
            // The reserved bit is not looked at.
            Head { len: 257, kind: 0, flags: 9, stream: 3 },
        ];
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(heads_of(&[first, second], 3), expected, "cut at {cut}");
        }
        let each: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(heads_of(&each, 3), expected, "byte by byte");
    }
}
