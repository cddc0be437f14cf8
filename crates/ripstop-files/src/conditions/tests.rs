//! The table of section 13.2.2, line by line.

use super::*;

const ETAG: HeaderValue = HeaderValue::from_static("\"a,b\"");
/// Mon, 23 Nov 2026 03:29:20 GMT.
const MODIFIED: u64 = 1_795_404_560;
const AT: &str = "Mon, 23 Nov 2026 03:29:20 GMT";
const BEFORE: &str = "Mon, 23 Nov 2026 03:29:19 GMT";
const AFTER: &str = "Mon, 23 Nov 2026 03:29:21 GMT";

fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    fields.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

fn now() -> Validators<'static> {
    static STORED: HeaderValue = ETAG;
    Validators { etag: &STORED, modified: MODIFIED }
}

#[track_caller]
fn check(fields: &[(HeaderName, &str)], expected: Verdict) {
    assert_eq!(evaluate(&headers(fields), now()), expected, "{fields:?}");
}

#[test]
fn if_match_compares_strongly() {
    check(&[(IF_MATCH, "\"a,b\"")], Verdict::Proceed);
    check(&[(IF_MATCH, "\"x\", \"a,b\"")], Verdict::Proceed);
    check(&[(IF_MATCH, "*")], Verdict::Proceed);
    check(&[(IF_MATCH, "W/\"a,b\"")], Verdict::Failed);
    check(&[(IF_MATCH, "\"a\", \"b\"")], Verdict::Failed);
    check(&[(IF_MATCH, "a,b")], Verdict::Failed);
    check(&[(IF_MATCH, "\"a,b")], Verdict::Failed);
}

#[test]
fn if_none_match_compares_weakly() {
    check(&[(IF_NONE_MATCH, "\"a,b\"")], Verdict::NotModified);
    check(&[(IF_NONE_MATCH, "W/\"x\",W/\"a,b\"")], Verdict::NotModified);
    check(&[(IF_NONE_MATCH, "*")], Verdict::NotModified);
    check(&[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")], Verdict::NotModified);
    check(&[(IF_NONE_MATCH, "\"a\",\"b\"")], Verdict::Proceed);
    check(&[(IF_NONE_MATCH, "")], Verdict::Proceed);
}

#[test]
fn dates_compare_by_the_second() {
    check(&[(IF_MODIFIED_SINCE, AT)], Verdict::NotModified);
    check(&[(IF_MODIFIED_SINCE, AFTER)], Verdict::NotModified);
    check(&[(IF_MODIFIED_SINCE, BEFORE)], Verdict::Proceed);
    check(&[(IF_UNMODIFIED_SINCE, AT)], Verdict::Proceed);
    check(&[(IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Failed);
    check(&[(IF_MODIFIED_SINCE, "yesterday")], Verdict::Proceed);
    check(&[(IF_UNMODIFIED_SINCE, "yesterday")], Verdict::Proceed);
    check(&[(IF_MODIFIED_SINCE, "Monday, 23-Nov-26 03:29:20 GMT")], Verdict::NotModified);
    check(&[(IF_MODIFIED_SINCE, "Mon Nov 23 03:29:20 2026")], Verdict::NotModified);
}

#[test]
fn tags_go_before_dates_and_failure_before_not_modified() {
    check(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)], Verdict::Proceed);
    check(&[(IF_NONE_MATCH, "\"a,b\""), (IF_MODIFIED_SINCE, BEFORE)], Verdict::NotModified);
    check(&[(IF_MATCH, "\"a,b\""), (IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Proceed);
    check(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")], Verdict::Failed);
    check(&[(IF_UNMODIFIED_SINCE, BEFORE), (IF_NONE_MATCH, "\"a,b\"")], Verdict::Failed);
    check(&[(IF_MATCH, "\"a,b\""), (IF_NONE_MATCH, "\"a,b\"")], Verdict::NotModified);
}

#[track_caller]
fn check_range(fields: &[(HeaderName, &str)], clock: u64, expected: Option<&str>) {
    let headers = headers(fields);
    assert_eq!(range(&headers, now(), || clock), expected, "{fields:?}");
}

#[test]
fn a_range_counts_if_its_condition_holds() {
    let field = (RANGE, "bytes=0-1");
    let later = MODIFIED + 60;
    check_range(std::slice::from_ref(&field), later, Some("bytes=0-1"));
    check_range(&[field.clone(), (IF_RANGE, "\"a,b\"")], later, Some("bytes=0-1"));
    check_range(&[field.clone(), (IF_RANGE, AT)], later, Some("bytes=0-1"));
    check_range(&[field.clone(), (IF_RANGE, AT)], MODIFIED, None);
    check_range(&[field.clone(), (IF_RANGE, AFTER)], later, None);
    check_range(&[field.clone(), (IF_RANGE, BEFORE)], later, None);
    check_range(&[field.clone(), (IF_RANGE, "W/\"a,b\"")], later, None);
    check_range(&[field.clone(), (IF_RANGE, "\"x\"")], later, None);
    check_range(&[field.clone(), (IF_RANGE, "nonsense")], later, None);
    check_range(&[field.clone(), field], later, None);
    check_range(&[], later, None);
}
