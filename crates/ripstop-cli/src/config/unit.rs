//! Durations and sizes as people write them: `"10s"`, `"16 MiB"`.
//!
//! Owns both directions, text to value and value to the shortest exact text.
//! Knows nothing of ranges or configuration files.

use std::time::Duration;

/// Units of time in milliseconds, smallest first.
const TIMES: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of size in bytes that are written, smallest first.
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Units of size that are also understood.
const DECIMAL_SIZES: [(&str, u64); 3] = [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

/// `"250ms"`, `"10s"`, `"5m"`, `"2h"`, `"1d"`: a whole number and a unit.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &TIMES, None).map(Duration::from_millis)
}

/// `"16 MiB"`, `"64KiB"`, `"10 MB"`, `"512 B"` or `"512"`: bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZES, Some(1)).or_else(|| parse(text, &DECIMAL_SIZES, None))
}

/// The duration in the largest unit that holds it exactly.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (number, unit) = largest(millis, &TIMES);
    format!("{number}{unit}")
}

/// The size in the largest unit that holds it exactly.
pub(crate) fn show_size(bytes: u64) -> String {
    let (number, unit) = largest(bytes, &SIZES);
    format!("{number} {unit}")
}

fn parse(text: &str, units: &[(&str, u64)], without_unit: Option<u64>) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let factor = match units.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => Some(*factor),
        None if unit.is_empty() => without_unit,
        None => None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor?)
}

fn largest(value: u64, units: &[(&'static str, u64)]) -> (u64, &'static str) {
    let fits = |(_, factor): &&(&str, u64)| value != 0 && value.is_multiple_of(*factor);
    let (unit, factor) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    (value / factor, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let cases = [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            (" 5 m ", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("10", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("10S", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        let cases = [
            ("512", Some(512)),
            ("512 B", Some(512)),
            ("64KiB", Some(65_536)),
            ("16 MiB", Some(16_777_216)),
            ("1 GiB", Some(1_073_741_824)),
            ("10 MB", Some(10_000_000)),
            ("1kB", Some(1_000)),
            ("1 kib", None),
            ("1K", None),
            ("-1", None),
            ("99999999999 GiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_parses_to_the_same_value() {
        for millis in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
        for bytes in [0, 1, 1_023, 1_024, 1_536, 8_192, 16 << 20, 3 << 30] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
        assert_eq!(show_duration(Duration::from_secs(75)), "75s");
        assert_eq!(show_size(64 << 20), "64 MiB");
    }
}
