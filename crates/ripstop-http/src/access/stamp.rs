//! The time of an event as text, made anew once a second by each thread.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Appends `2026-11-23T03:29:30.123Z` (RFC 3339).
pub(super) fn append_rfc3339(time: SystemTime, line: &mut Vec<u8>) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    with_stamp(since.as_secs(), |stamp| line.extend_from_slice(&stamp.rfc3339));
    let millis = since.subsec_millis();
    let digit = |value: u32| b'0' + (value % 10) as u8;
    line.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
}

/// Appends `23/Nov/2026:03:29:30 +0000` (the common log format's time).
pub(super) fn append_clf(time: SystemTime, line: &mut Vec<u8>) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    with_stamp(since.as_secs(), |stamp| line.extend_from_slice(&stamp.clf));
}

/// The last second that a thread wrote.
struct Stamp {
    second: u64,
    rfc3339: Vec<u8>,
    clf: Vec<u8>,
}

fn with_stamp(second: u64, append: impl FnOnce(&Stamp)) {
    thread_local! {
        static LAST: RefCell<Option<Stamp>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some(stamp) if stamp.second == second => append(stamp),
        other => append(other.insert(Stamp::new(second))),
    });
}

impl Stamp {
    fn new(second: u64) -> Self {
        let (year, month, day) = civil_from_days(second / 86_400);
        let (hour, minute, sec) = (second / 3_600 % 24, second / 60 % 60, second % 60);
        let name = MONTHS[month as usize - 1];
        let rfc3339 = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{sec:02}");
        let clf = format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{sec:02} +0000");
        Self { second, rfc3339: rfc3339.into_bytes(), clf: clf.into_bytes() }
    }
}

/// Year, month and day of a day counted from 1970-01-01, by the calculation in Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the leap day is
/// the last of its year.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}
