//! Finding and reading a file: everything that may wait for the disk.
//!
//! Owns the way from a path to what is sent for it. It blocks, so it runs in
//! `ripstop_work::blocking`; a request whose file is in memory never gets here.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Advice, fadvise, fstat};
use rustix::io::Errno;

use crate::coding::{Coding, Supply};
use crate::compress;
use crate::entry::{Entry, Sources, Variants, Wish};
use crate::failure::Failure;
use crate::listing;
use crate::media;
use crate::path::Key;
use crate::reader::read_at;
use crate::representation::{Content, Description, Representation};
use crate::root::{Directory, Kind};
use crate::site::Site;
use crate::stamp::Stamp;

/// What a path was found to stand for.
pub(crate) enum Found {
    /// A file, or what is sent for it.
    File(Arc<Representation>),
    /// A directory whose path lacks the slash at its end.
    Directory,
    /// A directory, as a page.
    Listing(String),
}

/// Finds what a path stands for, and remembers it if it is small.
///
/// # Errors
/// Where there is nothing to send.
pub(crate) fn load(site: &Site, key: &Key, wish: Wish) -> Result<Found, Failure> {
    let directory = site.root.current();
    let now_ms = site.cache.now_ms();
    let found = locate(site, &directory, key);
    if !matches!(found, Ok(Located::File(_))) {
        site.cache.forget(&site.index, key.as_str());
    }
    match found? {
        Located::File(sources) => load_file(site, &directory, key, wish, *sources, now_ms),
        Located::Directory => Ok(Found::Directory),
        Located::Listing => {
            let fd = directory.open_directory(key.relative())?;
            Ok(Found::Listing(listing::page(&directory, fd, key, site.dotfiles)?))
        }
    }
}

enum Located {
    File(Box<Sources>),
    Directory,
    Listing,
}

fn locate(site: &Site, directory: &Directory, key: &Key) -> Result<Located, Failure> {
    let path = key.relative();
    if !key.is_directory() {
        return match directory.probe(path)? {
            Kind::File(stamp) => Ok(Located::File(Box::new(sources(site, directory, path, stamp)))),
            Kind::Directory => Ok(Located::Directory),
            Kind::Other => Err(Failure::NotFound),
        };
    }
    for name in &site.index_names {
        let path = join(path, name);
        match directory.probe(&path) {
            Ok(Kind::File(stamp)) => {
                return Ok(Located::File(Box::new(sources(site, directory, &path, stamp))));
            }
            Ok(Kind::Directory | Kind::Other) => {}
            Err(errno) => match Failure::from(errno) {
                Failure::NotFound => {}
                failure => return Err(failure),
            },
        }
    }
    match directory.probe(path)? {
        Kind::Directory if site.listing => Ok(Located::Listing),
        _ => Err(Failure::NotFound),
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

fn sources(site: &Site, directory: &Directory, path: &str, plain: Stamp) -> Sources {
    let mut stamps = [None; Coding::COUNT];
    stamps[Coding::Identity as usize] = Some(plain);
    if site.precompressed {
        for coding in Coding::ENCODED {
            let sibling = directory.probe(&format!("{path}{}", coding.extension()));
            if let Ok(Kind::File(stamp)) = sibling {
                stamps[coding as usize] = Some(stamp);
            }
        }
    }
    let text = media::is_text(path, &media::content_type(path));
    Sources { path: path.to_owned(), stamps, compressible: site.compress && text }
}

fn load_file(
    site: &Site,
    directory: &Directory,
    key: &Key,
    wish: Wish,
    sources: Sources,
    now_ms: u64,
) -> Result<Found, Failure> {
    let known = site.index.get(key.as_str()).filter(|entry| entry.sources == sources);
    if let Some(entry) = &known {
        entry.confirm(now_ms);
        if let Some(variant) = entry.pick(wish) {
            return Ok(Found::File(Arc::clone(variant)));
        }
    }
    let coding = sources.choose(wish).ok_or(Failure::NotAcceptable)?;
    let opened = Opened::new(directory, &sources, coding, wish)?;
    let Some(content) = opened.read_whole(site.cache.file_bytes_max())? else {
        return opened.stream(site, &sources, wish).map(|file| Found::File(Arc::new(file)));
    };
    let variant = Arc::new(opened.represent(site, &sources, opened.coding, content));
    let mut variants = known.map_or_else(Variants::default, |entry| entry.variants.clone());
    variants[coding as usize] = Some(Arc::clone(&variant));
    let entry = Entry::new(key.as_str(), sources, variants, now_ms);
    site.cache.admit(&site.index, Arc::new(entry));
    Ok(Found::File(variant))
}

/// The file that the bytes come from, and what is to be made of them.
struct Opened {
    file: Arc<File>,
    stamp: Stamp,
    /// Whether it is still what it was when it was found.
    same: bool,
    coding: Coding,
    supply: Supply,
}

impl Opened {
    fn new(
        directory: &Directory,
        sources: &Sources,
        coding: Coding,
        wish: Wish,
    ) -> Result<Self, Failure> {
        let supply = sources.supply(coding, wish.range);
        let stored = if supply == Supply::Stored { coding } else { Coding::Identity };
        let path = format!("{}{}", sources.path, stored.extension());
        let (file, stamp) = directory.open_file(&path)?;
        let same = sources.stamps[stored as usize] == Some(stamp);
        Ok(Self { file: Arc::new(file), stamp, same, coding, supply })
    }

    /// The content, compressed if need be; none where the file is too large or changes just now.
    fn read_whole(&self, max: u64) -> Result<Option<Content>, Failure> {
        if !self.same || self.stamp.size > max {
            return Ok(None);
        }
        let size = usize::try_from(self.stamp.size).map_err(|_| Failure::Disk(Errno::FBIG))?;
        let Some(plain) = read_exactly(&self.file, size)? else { return Ok(None) };
        if Kind::of(&fstat(&*self.file)?) != Kind::File(self.stamp) {
            return Ok(None);
        }
        let bytes = match self.supply {
            Supply::Compressed => compress::whole(self.coding, &plain)?,
            Supply::Stored | Supply::Missing => plain,
        };
        // A boxed slice has no room to spare, which would not be counted.
        Ok(Some(Content::Memory(Bytes::from(bytes.into_boxed_slice()))))
    }

    /// Sends it as it is read.
    fn stream(
        mut self,
        site: &Site,
        sources: &Sources,
        wish: Wish,
    ) -> Result<Representation, Failure> {
        // More read-ahead, where it helps; where the file system has no such thing, nothing is lost.
        let _ = fadvise(&*self.file, 0, None, Advice::Sequential);
        let size = self.stamp.size;
        if self.supply == Supply::Compressed {
            if let Ok(permit) = Arc::clone(&site.compressions).try_acquire_owned() {
                let file = Arc::clone(&self.file);
                let permit = Arc::new(permit);
                let content = Content::Compress { file, size, coding: self.coding, permit };
                return Ok(self.represent(site, sources, self.coding, content));
            }
            let unwilling = Wish { range: true, ..wish };
            if sources.choose(unwilling) != Some(Coding::Identity) {
                return Err(Failure::NotAcceptable);
            }
            self.supply = Supply::Stored;
            self.coding = Coding::Identity;
        }
        let file = Arc::clone(&self.file);
        Ok(self.represent(site, sources, self.coding, Content::File(file, size)))
    }

    fn represent(
        &self,
        site: &Site,
        sources: &Sources,
        coding: Coding,
        content: Content,
    ) -> Representation {
        let about = Description {
            content_type: media::content_type(&sources.path),
            coding,
            stamp: &self.stamp,
            varies: sources.vary(),
            ranges: self.supply == Supply::Stored,
            cache_control: site.cache_control.as_ref(),
        };
        Representation::new(about, content)
    }
}

/// Reads so many bytes; none if the file has fewer.
fn read_exactly(file: &File, size: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match read_at(file, &mut bytes[filled..], filled as u64)? {
            0 => return Ok(None),
            count => filled += count,
        }
    }
    Ok(Some(bytes))
}
