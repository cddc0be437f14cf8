//! What identifies one state of a file, and the validators made from it.
//!
//! Owns the entity tag and the date of last modification (RFC 9110, section 8.8).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use rustix::fs::Stat;

use crate::coding::Coding;

/// The last second that an HTTP date can say: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// One state of one file. Two equal stamps mean that nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    modified: (i64, u64),
    /// The time of the last change of the inode: it moves even where a tool has set the
    /// modification time back.
    changed: (i64, u64),
}

impl Stamp {
    pub(crate) fn new(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// A strong entity tag. Each coding has its own, since its bytes differ.
    pub(crate) fn etag(&self, coding: Coding) -> HeaderValue {
        let (seconds, nanos) = self.modified;
        let tag = match coding.token() {
            None => format!("\"{:x}-{seconds:x}.{nanos:x}-{:x}\"", self.size, self.inode),
            Some(token) => {
                format!("\"{:x}-{seconds:x}.{nanos:x}-{:x}-{token}\"", self.size, self.inode)
            }
        };
        HeaderValue::try_from(tag).expect("hex digits, letters and dashes are a header value")
    }

    /// Seconds since 1970, of what an HTTP date can say.
    pub(crate) fn modified_seconds(&self) -> u64 {
        u64::try_from(self.modified.0.clamp(0, LAST_SECOND)).unwrap_or_default()
    }
}

/// A date as HTTP writes it.
pub(crate) fn http_date(seconds: u64) -> HeaderValue {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    HeaderValue::try_from(date).expect("an HTTP date is a header value")
}

/// Reads any of the three forms of an HTTP date, as seconds since 1970.
pub(crate) fn parse_http_date(value: &HeaderValue) -> Option<u64> {
    let date = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Seconds since 1970 by the clock on the wall.
pub(crate) fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
