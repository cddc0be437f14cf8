//! The file behind a sink: writing it, noticing that it was moved, and what a failed write loses.
//!
//! Used by the sink's thread alone, so everything here may block.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use log::warn;

use super::{Note, Target};

/// How often the path is compared with the open file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a non-blocking descriptor that takes no more bytes is left alone.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Output {
    target: Target,
    pub(super) file: File,
    /// When the path was last compared with the open file.
    pub(super) checked: Instant,
    note: Note,
    /// Lines that were dropped and that no note has told of yet.
    unsaid: u64,
    /// A failed write left a line without its end.
    torn: bool,
    /// The path could not be opened anew, which was logged.
    astray: bool,
}

impl Output {
    pub(super) fn open(target: Target, note: Note) -> io::Result<Self> {
        let file = open(&target)?;
        let checked = Instant::now();
        Ok(Self { target, file, checked, note, unsaid: 0, torn: false, astray: false })
    }

    /// Opens the file anew; the open one is kept where that fails, and tried again a little later.
    pub(super) fn reopen(&mut self) {
        self.checked = Instant::now();
        let Target::File(path) = &self.target else { return };
        match open_file(path) {
            Ok(file) => {
                self.file = file;
                self.torn = false;
                self.astray = false;
            }
            Err(err) if !self.astray => {
                self.astray = true;
                let path = path.display();
                warn!(path:%, err:%; "log file cannot be opened anew, the old one is kept");
            }
            Err(_) => {}
        }
    }

    /// Writes `batch`, which is whole lines, then says that `overflowed` lines are missing after
    /// it. Returns how many lines of `batch` were lost.
    pub(super) fn write(&mut self, batch: &[u8], overflowed: u64) -> u64 {
        if self.checked.elapsed() >= CHECK_INTERVAL {
            self.follow();
        }
        self.confess();
        let lost = self.write_lines(batch);
        self.unsaid += lost + overflowed;
        if lost == 0 {
            self.confess();
        }
        lost
    }

    /// Opens the file anew if another one, or none, is at its path now.
    fn follow(&mut self) {
        self.checked = Instant::now();
        let Target::File(path) = &self.target else { return };
        let same = path.metadata().is_ok_and(|there| {
            self.file
                .metadata()
                .is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
        });
        if !same {
            self.reopen();
        }
    }

    /// Writes the note on what was dropped, as soon as there is room for it.
    fn confess(&mut self) {
        if self.unsaid > 0 {
            let line = format!("{}\n", (self.note)(self.unsaid));
            if self.write_lines(line.as_bytes()) == 0 {
                self.unsaid = 0;
            }
        }
    }

    /// Returns how many of `lines` were not written to their end.
    fn write_lines(&mut self, lines: &[u8]) -> u64 {
        if lines.is_empty() {
            return 0;
        }
        if self.torn && write_all(&mut self.file, b"\n") == 0 {
            return count_lines(lines);
        }
        self.torn = false;
        let written = write_all(&mut self.file, lines);
        self.torn = lines[..written].last().is_some_and(|&byte| byte != b'\n');
        count_lines(&lines[written..])
    }
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.split_inclusive(|&byte| byte == b'\n').count() as u64
}

/// Returns how many bytes were written before an error.
fn write_all(file: &mut File, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(n) => written += n,
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            // Standard streams may be inherited non-blocking. Only this thread waits.
            Err(err) if err.kind() == ErrorKind::WouldBlock => thread::park_timeout(RETRY_INTERVAL),
            Err(_) => break,
        }
    }
    written
}

fn open(target: &Target) -> io::Result<File> {
    match target {
        Target::Stdout => duplicate(&io::stdout()),
        Target::Stderr => duplicate(&io::stderr()),
        Target::File(path) => open_file(path),
    }
}

/// A descriptor of our own: the locks and buffers of std's streams stay out of the way.
fn duplicate(stream: &impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// A FIFO is opened for reading too, which on Linux neither waits for a reader nor breaks when
/// the reader goes away.
fn open_file(path: &Path) -> io::Result<File> {
    let fifo = path.metadata().is_ok_and(|found| found.file_type().is_fifo());
    let mut options = OpenOptions::new();
    if fifo {
        options.read(true).write(true);
    } else {
        options.append(true).create(true);
    }
    options.open(path)
}
