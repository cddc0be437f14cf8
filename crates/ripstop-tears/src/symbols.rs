//! Turns addresses into functions, files and lines.
//!
//! Debug information is loaded for the first stack that needs it, and its owner drops it when no
//! more come, so that it takes no memory in between; a bounded memory of addresses makes repeated
//! reports cheap.

use crate::{
    Frame, Stack,
    elf::Segments,
    maps::{self, Mapping},
    paths::shorten,
};
use addr2line::Loader;
use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    path::Path,
};

/// Addresses that are remembered.
const REMEMBERED: usize = 2048;

/// Frames of one stack with all that was inlined.
const FRAMES: usize = 256;

/// The program, also after its file was replaced.
const PROGRAM: &str = "/proc/self/exe";

/// What addresses turned out to be.
#[derive(Default)]
pub(crate) struct Symbols {
    /// Innermost first; more than one where functions were inlined.
    known: HashMap<usize, Vec<Frame>>,
    /// By their paths.
    modules: HashMap<String, Module>,
}

impl fmt::Debug for Symbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Symbols").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Symbols {
    /// The frames of a stack, innermost first.
    pub(crate) fn resolve(&mut self, stack: &Stack) -> Vec<Frame> {
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        let unknown = |address: &&usize| !self.known.contains_key(*address);
        let unknown: Vec<_> = stack.addresses().iter().filter(unknown).copied().collect();
        if !unknown.is_empty() {
            self.learn(&unknown);
        }
        let known = |address| self.known.get(address).into_iter().flatten().cloned();
        stack.addresses().iter().flat_map(known).take(FRAMES).collect()
    }

    fn learn(&mut self, addresses: &[usize]) {
        let mappings = maps::executable();
        for &address in addresses {
            let frames = match mappings.iter().find(|mapping| mapping.range.contains(&address)) {
                Some(mapping) => self
                    .modules
                    .entry(mapping.path.clone())
                    .or_insert_with_key(|path| Module::load(path))
                    .frames(address, mapping),
                None => vec![nameless(address)],
            };
            self.known.insert(address, frames);
        }
    }
}

/// An executable or a shared object.
struct Module {
    name: String,
    segments: Option<Segments>,
    symbols: Option<Loader>,
}

impl Module {
    fn load(path: &str) -> Self {
        let program = fs::read_link(PROGRAM).is_ok_and(|program| program == Path::new(path));
        let file = if program { PROGRAM } else { path };
        let segments = File::open(file).and_then(|file| Segments::read(&file)).ok();
        let symbols = segments.is_some().then(|| Loader::new(file).ok()).flatten();
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        Self { name, segments, symbols }
    }

    fn frames(&self, address: usize, mapping: &Mapping) -> Vec<Frame> {
        let offset = address - mapping.range.start + mapping.offset;
        let linked = self.segments.as_ref().and_then(|segments| segments.address(offset as u64));
        let named = linked.zip(self.symbols.as_ref());
        let frames = named.map(|(linked, symbols)| look_up(symbols, address, linked));
        match frames {
            Some(frames) if !frames.is_empty() => frames,
            _ if self.name.is_empty() => vec![nameless(address)],
            _ => {
                let within = linked.unwrap_or(offset as u64);
                let function = Some(format!("{}+{within:#x}", self.name));
                vec![Frame { function, ..nameless(address) }]
            }
        }
    }
}

fn nameless(address: usize) -> Frame {
    Frame { address, function: None, file: None, line: None }
}

/// The functions at an address: those that were inlined there, and last the one they are in.
fn look_up(symbols: &Loader, address: usize, linked: u64) -> Vec<Frame> {
    let mut frames = inlined(symbols, address, linked).unwrap_or_default();
    if let Some(symbol) = symbols.find_symbol(linked) {
        if frames.is_empty() {
            frames.push(nameless(address));
        }
        // Of the outermost function, the symbol has the full path; line tables may have its name
        // alone.
        let outermost = frames.last_mut().expect("there is one");
        outermost.function = Some(demangle(symbol));
    }
    frames
}

fn inlined(symbols: &Loader, address: usize, linked: u64) -> Option<Vec<Frame>> {
    let mut found = symbols.find_frames(linked).ok()?;
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = found.next() {
        let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
        let location = frame.location.as_ref();
        frames.push(Frame {
            address,
            function: name.map(|name| demangle(&name)),
            file: location.and_then(|location| location.file).map(|file| shorten(file).into()),
            line: location.and_then(|location| location.line),
        });
    }
    Some(frames)
}

/// The name without what makes it unique.
fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
