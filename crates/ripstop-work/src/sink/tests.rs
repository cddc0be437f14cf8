//! The sink against what happens to logs: full disks, readers that stopped, files that move.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::output::Output;
use super::{BATCH_BYTES, Doing, Shared, Sink, Target};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn lines_arrive_in_order_and_end_once() {
    let dir = Dir::new();
    let sink = open(&dir.file("log"), 4096);
    sink.write_line(b"one");
    sink.write_line(b"two\n");
    sink.clone().write_all(b"three\n").unwrap();
    assert!(sink.flush(SOON));
    assert_eq!(dir.read("log"), "one\ntwo\nthree\n");
    assert_eq!(sink.dropped(), 0);
}

#[test]
fn every_line_of_every_thread_is_whole_and_in_its_order() {
    const THREADS: usize = 4;
    const LINES: usize = 5_000;
    let dir = Dir::new();
    let sink = open(&dir.file("log"), THREADS * LINES * 10);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let sink = &sink;
            scope.spawn(move || {
                for line in 0..LINES {
                    sink.write_line(format!("{thread} {line}").as_bytes());
                }
            });
        }
    });
    assert!(sink.flush(SOON));
    let text = dir.read("log");
    for thread in 0..THREADS {
        let prefix = format!("{thread} ");
        let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
        assert!(
            lines.iter().map(|line| line.parse::<usize>().unwrap()).eq(0..LINES),
            "thread {thread}"
        );
    }
}

#[test]
fn the_last_clone_writes_what_is_left() {
    let (mut reader, path, pipe) = fifo();
    let sink = open(&path, 4096);
    drop(pipe);
    sink.write_line(b"last words");
    drop(sink);
    // The thread closed the pipe's last writing end: it is gone, too.
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words\n");
}

#[test]
fn an_unread_pipe_costs_lines_which_are_counted_and_confessed() {
    let (reader, path, _pipe) = fifo();
    let sink = open(&path, 1000);
    let line = [b'x'; 99];
    // Far more than the pipe and the buffer hold; none of these calls may wait.
    let written = 10_000;
    for _ in 0..written {
        sink.write_line(&line);
    }
    assert!(sink.dropped() > 0);
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let (mut whole, mut confessed) = (0, 0);
    while whole + confessed < written {
        let line = lines.next().unwrap();
        match line.strip_prefix("ripstop: log lines dropped here: ") {
            Some(dropped) => confessed += dropped.parse::<u64>().unwrap(),
            None => whole += u64::from(line.len() == 99),
        }
    }
    assert_eq!(confessed, sink.dropped());
    // What is read takes its room until the thread knows that it is written.
    assert!(sink.flush(SOON));
    sink.write_line(b"after");
    assert_eq!(lines.next().unwrap(), "after");
}

#[test]
fn a_flush_of_a_blocked_pipe_gives_up_at_its_deadline() {
    let (_reader, path, _pipe) = fifo();
    let sink = open(&path, 1 << 20);
    for _ in 0..10_000 {
        sink.write_line(&[b'x'; 99]);
    }
    assert!(!sink.flush(Duration::from_millis(1)));
}

#[test]
fn a_full_disk_costs_lines_and_one_note_when_it_is_back() {
    let dir = Dir::new();
    symlink("/dev/full", dir.file("log")).unwrap();
    let sink = open(&dir.file("log"), 4096);
    for batch in 1..=3 {
        sink.write_line(b"lost");
        sink.write_line(b"lost");
        assert!(sink.flush(SOON));
        assert_eq!(sink.dropped(), 2 * batch);
    }
    fs::remove_file(dir.file("log")).unwrap();
    sink.reopen();
    for line in ["back", "again"] {
        sink.write_line(line.as_bytes());
        assert!(sink.flush(SOON));
    }
    assert_eq!(dir.read("log"), "ripstop: log lines dropped here: 6\nback\nagain\n");
    assert_eq!(sink.dropped(), 6);
}

#[test]
fn a_line_longer_than_the_buffer_is_dropped_alone() {
    let dir = Dir::new();
    let sink = open(&dir.file("log"), 64);
    sink.write_line(b"before");
    sink.write_line(&[b'x'; 64]);
    sink.write_line(b"after");
    assert!(sink.flush(SOON));
    assert_eq!(dir.read("log"), "before\nafter\nripstop: log lines dropped here: 1\n");
}

#[test]
fn what_is_being_written_takes_its_room() {
    let shared = Shared::new(100);
    let mut batch = Vec::new();
    let dropped_after = |line: &[u8]| {
        shared.push(line);
        shared.dropped.load(Ordering::Relaxed)
    };
    assert_eq!(dropped_after(&[b'x'; 59]), 0);
    assert_eq!(shared.take(&mut batch).overflowed, 0);
    assert_eq!(dropped_after(&[b'x'; 59]), 1);
    assert_eq!(dropped_after(&[b'x'; 39]), 1);
    shared.settle(&mut batch, 0);
    assert_eq!(dropped_after(&[b'x'; 59]), 1);
}

#[test]
fn a_file_that_is_there_is_appended_to() {
    let dir = Dir::new();
    fs::write(dir.file("log"), "before\n").unwrap();
    let sink = open(&dir.file("log"), 4096);
    sink.write_line(b"after");
    assert!(sink.flush(SOON));
    assert_eq!(dir.read("log"), "before\nafter\n");
}

#[test]
fn a_fifo_without_a_reader_is_not_waited_for() {
    let dir = Dir::new();
    let path = dir.file("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let sink = open(&path, 4096);
    sink.write_line(b"line");
    assert!(sink.flush(SOON));
    let mut line = String::new();
    BufReader::new(fs::File::open(&path).unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "line\n");
}

#[test]
fn a_moved_or_removed_file_is_opened_anew() {
    let dir = Dir::new();
    let log = dir.file("log");
    let mut output = Output::open(Target::File(log.clone()), |_| String::new()).unwrap();
    output.write(b"1\n", 0);
    fs::rename(&log, dir.file("moved")).unwrap();
    output.write(b"2\n", 0);
    assert!(!log.exists(), "the path is looked at once a second, not for every batch");
    make_check_due(&mut output);
    output.write(b"3\n", 0);
    fs::remove_file(&log).unwrap();
    make_check_due(&mut output);
    output.write(b"4\n", 0);
    make_check_due(&mut output);
    output.write(b"5\n", 0);
    assert_eq!((dir.read("moved").as_str(), dir.read("log").as_str()), ("1\n2\n", "4\n5\n"));
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_kept() {
    let dir = Dir::new();
    fs::create_dir(dir.file("sub")).unwrap();
    let log = dir.file("sub/log");
    let mut output = Output::open(Target::File(log), |_| String::new()).unwrap();
    fs::rename(dir.file("sub"), dir.file("moved")).unwrap();
    make_check_due(&mut output);
    assert_eq!(output.write(b"kept\n", 0), 0);
    assert_eq!(dir.read("moved/log"), "kept\n");
}

#[test]
fn a_line_that_was_torn_is_ended_before_the_next() {
    let dir = Dir::new();
    let mut output = Output::open(Target::File(dir.file("log")), |n| format!("lost {n}")).unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    let log = mem::replace(&mut output.file, OwnedFd::from(writer).into());
    let lines = b"line\n".repeat(100_000);
    // The pipe takes some lines and breaks in the midst of another.
    let reading = thread::Builder::new().spawn(move || reader.read_exact(&mut [0; 3]).unwrap());
    let lost = output.write(&lines, 0);
    reading.unwrap().join().unwrap();
    assert!((1..100_000).contains(&lost), "{lost}");
    output.file = log;
    assert_eq!(output.write(b"next\n", 0), 0);
    assert_eq!(dir.read("log"), format!("\nlost {lost}\nnext\n"));
}

#[test]
fn a_non_blocking_descriptor_is_waited_for() {
    let dir = Dir::new();
    let mut output = Output::open(Target::File(dir.file("log")), |_| String::new()).unwrap();
    let (mut reader, writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    output.file = OwnedFd::from(writer).into();
    let lines = b"line\n".repeat(200_000);
    let mut found = vec![0; lines.len()];
    thread::scope(|scope| {
        scope.spawn(|| reader.read_exact(&mut found).unwrap());
        assert_eq!(output.write(&lines, 0), 0);
    });
    assert!(found == lines);
}

#[test]
fn reopening_on_request_needs_no_line() {
    let dir = Dir::new();
    let sink = open(&dir.file("log"), 4096);
    fs::rename(dir.file("log"), dir.file("moved")).unwrap();
    sink.reopen();
    assert!(sink.flush(SOON));
    assert_eq!(dir.read("log"), "");
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let dir = Dir::new();
    let found = Sink::open(Target::File(dir.file("missing/log")), 4096).err().unwrap();
    assert_eq!(found.kind(), io::ErrorKind::NotFound);
}

#[test]
fn the_thread_is_woken_once_for_a_batch() {
    let shared = Shared::new(10 * BATCH_BYTES);
    let half = vec![b'x'; BATCH_BYTES / 2];
    let doing = |shared: &Shared, now| {
        shared.lock().thread = now;
        shared.push(&half);
        shared.lock().thread
    };
    assert!(doing(&shared, Doing::Asleep) == Doing::Busy, "the first line wakes it");
    assert!(doing(&shared, Doing::Busy) == Doing::Busy);
    let shared = Shared::new(10 * BATCH_BYTES);
    assert!(doing(&shared, Doing::Lingering) == Doing::Lingering, "there is room for more");
    assert!(doing(&shared, Doing::Lingering) == Doing::Busy, "the batch is full");
}

#[track_caller]
fn open(path: &Path, capacity_bytes: usize) -> Sink {
    Sink::open(Target::File(path.to_owned()), capacity_bytes).unwrap()
}

fn make_check_due(output: &mut Output) {
    output.checked = output.checked.checked_sub(Duration::from_secs(2)).unwrap();
}

/// A pipe's reading end, a path that opens it for writing, and its own writing end.
fn fifo() -> (io::PipeReader, PathBuf, io::PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    (reader, path.into(), writer)
}

/// A directory of the test's own, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ripstop-sink-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    #[track_caller]
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
