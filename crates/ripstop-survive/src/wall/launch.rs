//! Launching: a program with its arguments and environment, prepared so that it can be executed
//! where nothing may be allocated.

#![expect(unsafe_code, reason = "execve takes pointers to pointers")]

use libc::{c_char, execve};
use rustix::{
    fs::{Mode, OFlags, open},
    mm::{MapFlags, ProtFlags, mmap_anonymous, munmap},
    process::getpid,
};
use std::{
    env,
    ffi::{OsStr, OsString, c_void},
    fs, io,
    ops::Range,
    os::{
        fd::{IntoRawFd, RawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::PathBuf,
    ptr::{null, null_mut},
    sync::OnceLock,
};

/// The variable by which a process finds its place in the wall.
pub(super) const VARIABLE: &str = "RIPSTOP_WALL";

/// The variable of a service manager's protocol that names the process which is meant.
const LISTEN_PID: &str = "LISTEN_PID";

/// Room for the digits of a process id.
const DIGITS: usize = 10;

/// A program to be executed. Its memory is not given back by itself: a keeper may have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    /// Where the new process's id is to be written, if the environment names it.
    pid: *mut u8,
    /// The program itself, for when its path leads nowhere any more.
    program: RawFd,
    block: (usize, usize),
    /// That of another path than the one of the start.
    path_block: (usize, usize),
}

// SAFETY: what it points to is never written but by `Launch::execute`, in a process without other
// threads, and never unmapped.
unsafe impl Send for Launch {}
// SAFETY: as above.
unsafe impl Sync for Launch {}

impl Launch {
    /// This process's own program, as it was started, with its place in the wall.
    pub(super) fn again(place: &str) -> io::Result<Self> {
        Self::again_with(place, &[])
    }

    /// The same, with these variables where the environment does not have them.
    pub(super) fn again_with(place: &str, defaults: &[(&str, &str)]) -> io::Result<Self> {
        let path = env::current_exe()?;
        let program = open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let mut environment = environment(place)?;
        add_defaults(&mut environment, defaults);
        Ok(Self::new(path, &arguments()?, &environment, program.into_raw_fd())?)
    }

    /// The same arguments and environment, with the program at this path, or at the one of the start.
    /// The program itself is no way out: what is wanted is what is there now.
    pub(super) fn of(self, path: Option<&OsStr>) -> io::Result<Self> {
        drop(super::descriptor::own(self.program));
        let Some(path) = path else { return Ok(Self { program: -1, ..self }) };
        let mut block = Block::new(0, path.len() + 1)?;
        let path_block = (block.start, block.len);
        Ok(Self { path: block.text(path), program: -1, path_block, ..self })
    }

    /// Gives the memory back, and closes the program.
    ///
    /// # Safety
    ///
    /// Nobody executes it any more: there is no copy of it in this process, and no keeper has one.
    pub(super) unsafe fn release(self) {
        drop(super::descriptor::own(self.program));
        for (start, len) in [self.block, self.path_block] {
            // SAFETY: each was mapped with this length, or is empty; the rest is the caller's word.
            let _ = unsafe { munmap(start as *mut c_void, len) };
        }
    }

    fn new(
        path: PathBuf,
        arguments: &[OsString],
        environment: &[OsString],
        program: RawFd,
    ) -> rustix::io::Result<Self> {
        let path = path.into_os_string();
        let texts: Vec<_> = arguments.iter().chain(environment).chain([&path]).collect();
        let (pointers, bytes) = (texts.len() + 2, texts.iter().map(|text| text.len() + 1).sum());
        let mut block = Block::new(pointers, bytes)?;
        let path = block.text(&path);
        let list = |block: &mut Block, texts: &[OsString]| {
            let start = block.pointer;
            texts.iter().for_each(|text| block.point_to(text));
            block.end();
            start.cast_const()
        };
        let arguments = list(&mut block, arguments);
        let first = block.pointer;
        let named = environment.iter().position(|text| is_named(text, LISTEN_PID));
        let environment = list(&mut block, environment);
        // SAFETY: the pointer of that variable was just written, and its text is as long.
        let pid = named.map_or(null_mut(), |index| unsafe {
            (*first.add(index)).cast_mut().cast::<u8>().add(LISTEN_PID.len() + 1)
        });
        let block = (block.start, block.len);
        let path_block = (0, 0);
        Ok(Self { path, arguments, environment, pid, program, block, path_block })
    }

    /// The memory that [`Launch::execute`] reads.
    pub(super) fn memory(&self) -> Range<usize> {
        self.block.0..self.block.0 + self.block.1
    }

    /// Becomes the program. Returns only if that fails. Async-signal-safe, for a process without
    /// other threads.
    pub(super) fn execute(&self) {
        self.name_process();
        // SAFETY: both lists end with a null pointer, and all texts with a zero.
        unsafe {
            execve(self.path, self.arguments, self.environment);
            if self.program < 0 {
                return;
            }
            let (empty, whole) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
            let (call, program) = (libc::SYS_execveat, self.program);
            libc::syscall(call, program, empty, self.arguments, self.environment, whole);
        }
    }

    /// Writes this process's id where the environment has one.
    fn name_process(&self) {
        if self.pid.is_null() {
            return;
        }
        let mut rest = getpid().as_raw_pid().unsigned_abs();
        let digits = 1 + rest.checked_ilog10().unwrap_or(0) as usize;
        for place in (0..digits).rev() {
            // SAFETY: there is room for so many digits.
            unsafe { self.pid.add(place).write(b'0' + (rest % 10) as u8) };
            rest /= 10;
        }
        // SAFETY: as above, and there is a zero after all of them.
        unsafe { self.pid.add(digits).write(0) };
    }
}

/// Memory of its own for pointers and texts, so that a keeper can drop all other.
struct Block {
    start: usize,
    len: usize,
    pointer: *mut *const c_char,
    text: *mut u8,
}

impl Block {
    fn new(pointers: usize, bytes: usize) -> rustix::io::Result<Self> {
        let table = pointers * size_of::<*const c_char>();
        let len = table + bytes;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(null_mut(), len, access, MapFlags::PRIVATE)? };
        // SAFETY: the mapping is longer than the table.
        let text = unsafe { start.cast::<u8>().add(table) };
        Ok(Self { start: start as usize, len, pointer: start.cast(), text })
    }

    /// Writes a text, which has no zeros, and a zero after it.
    fn text(&mut self, text: &OsStr) -> *const c_char {
        let (bytes, start) = (text.as_bytes(), self.text);
        // SAFETY: the block was made for all texts, each with its zero, which is there already.
        unsafe {
            start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.text = start.add(bytes.len() + 1);
        }
        start.cast_const().cast()
    }

    fn point_to(&mut self, text: &OsStr) {
        let text = self.text(text);
        self.point(text);
    }

    fn end(&mut self) {
        self.point(null());
    }

    fn point(&mut self, to: *const c_char) {
        // SAFETY: the block was made for all pointers, the ends of both lists included.
        unsafe {
            self.pointer.write(to);
            self.pointer = self.pointer.add(1);
        }
    }
}

/// The arguments of the start. The kernel's copy, since the standard library may not know them
/// before `main`.
fn arguments() -> io::Result<Vec<OsString>> {
    Ok(texts(&fs::read("/proc/self/cmdline")?))
}

/// A variable of the environment of the start, whatever was changed since.
pub(super) fn variable_at_start(name: &str) -> Option<String> {
    let all = texts(environment_at_start().ok()?);
    let text = all.into_iter().find(|text| is_named(text, name))?.into_string().ok()?;
    Some(text.split_once('=')?.1.to_owned())
}

/// The environment of the start. Read once: a process that has changed its user may not any more.
fn environment_at_start() -> io::Result<&'static [u8]> {
    static ENVIRONMENT: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(known) = ENVIRONMENT.get() {
        return Ok(known);
    }
    let read = fs::read("/proc/self/environ")?;
    Ok(ENVIRONMENT.get_or_init(|| read))
}

/// The environment of the start, with this process's place.
fn environment(place: &str) -> io::Result<Vec<OsString>> {
    let mut all = texts(environment_at_start()?);
    all.retain(|text| !is_named(text, VARIABLE));
    for text in all.iter_mut().filter(|text| is_named(text, LISTEN_PID)) {
        *text = format!("{LISTEN_PID}={:0DIGITS$}", 0).into();
    }
    all.push(format!("{VARIABLE}={place}").into());
    Ok(all)
}

fn add_defaults(environment: &mut Vec<OsString>, defaults: &[(&str, &str)]) {
    for (name, value) in defaults {
        if !environment.iter().any(|text| is_named(text, name)) {
            environment.push(format!("{name}={value}").into());
        }
    }
}

fn is_named(text: &OsStr, name: &str) -> bool {
    text.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
}

/// Texts that end with a zero each.
fn texts(bytes: &[u8]) -> Vec<OsString> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    bytes.split(|byte| *byte == 0).map(|text| OsString::from_vec(text.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    /// The texts behind a list of pointers.
    fn listed(list: *const *const c_char) -> Vec<String> {
        let mut texts = Vec::new();
        // SAFETY: the list ends with a null pointer.
        unsafe {
            let mut at = list;
            while !(*at).is_null() {
                texts.push(CStr::from_ptr(*at).to_str().unwrap().to_owned());
                at = at.add(1);
            }
        }
        texts
    }

    #[test]
    fn defaults_are_for_what_the_environment_does_not_have() {
        let mut environment: Vec<OsString> = vec!["A=1".into(), "AB=".into()];
        add_defaults(&mut environment, &[("A", "2"), ("B", "3")]);
        assert_eq!(environment, ["A=1", "AB=", "B=3"]);
    }

    #[test]
    fn what_is_launched_is_laid_out_in_memory_of_its_own() {
        let texts = |texts: &[&str]| texts.iter().map(OsString::from).collect::<Vec<_>>();
        let (arguments, pid) = (texts(&["a", "", "c d"]), getpid().as_raw_pid());
        let environment = texts(&["X=1", "LISTEN_PID=0000000000", "Y="]);
        let launch = Launch::new("/bin/x".into(), &arguments, &environment, -1).unwrap();
        launch.name_process();
        assert_eq!(listed(launch.arguments), ["a", "", "c d"]);
        assert_eq!(listed(launch.environment), ["X=1", &format!("LISTEN_PID={pid}"), "Y="],);
        assert!(launch.memory().contains(&(launch.path as usize)));
    }
}
