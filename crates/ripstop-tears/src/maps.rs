//! `/proc/self/maps`: where code is in memory, and which files it came from.

use std::{fs, ops::Range};

/// A part of the memory that a file is mapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) range: Range<usize>,
    /// Where in the file it begins, in bytes.
    pub(crate) offset: usize,
    /// Empty for memory without a file.
    pub(crate) path: String,
}

/// What can be executed now. Empty if `/proc` cannot be read.
pub(crate) fn executable() -> Vec<Mapping> {
    let text = fs::read("/proc/self/maps").unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(parse).collect()
}

/// A line, if it is about what can be read and executed.
fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let rights = fields.next()?;
    if !(rights.starts_with('r') && rights[1..].contains('x')) {
        return None;
    }
    let hex = |text| usize::from_str_radix(text, 16).ok();
    let offset = hex(fields.next()?)?;
    let path = fields.nth(2).unwrap_or_default().trim_start();
    Some(Mapping { range: hex(start)?..hex(end)?, offset, path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_and_data_is_not() {
        let line = "7f10-7f30 r-xp 00028000 fe:00 25  /usr/lib/a b.so (deleted)";
        let path = "/usr/lib/a b.so (deleted)".into();
        assert_eq!(parse(line), Some(Mapping { range: 0x7f10..0x7f30, offset: 0x28000, path }));
        let anonymous = Mapping { range: 0x10..0x20, offset: 0, path: String::new() };
        assert_eq!(parse("10-20 rwxp 00000000 00:00 0 "), Some(anonymous));
        assert_eq!(parse("10-20 rw-p 00000000 00:00 0 [stack]"), None);
        assert_eq!(parse("10-20 --xp 00000000 00:00 0 [vsyscall]"), None);
    }

    #[test]
    fn this_function_is_in_memory_that_can_be_executed() {
        let here = this_function_is_in_memory_that_can_be_executed as fn() as usize;
        assert!(executable().iter().any(|mapping| mapping.range.contains(&here)));
    }
}
