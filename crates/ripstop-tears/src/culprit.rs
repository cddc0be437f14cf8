//! Tells the application's frames from those of what it runs on.

use crate::Frame;

/// Crates that the application runs on, each with those whose name it begins (`tokio_util`).
const RUNTIME: &[&str] = &[
    "__rustc",
    "addr2line",
    "alloc",
    "axum",
    "core",
    "futures",
    "h2",
    "http",
    "hyper",
    "mio",
    "panic_unwind",
    "ripstop",
    "std",
    "test",
    "tokio",
    "tower",
];

/// Whether a frame is none of the application's: of the standard library, the C library, tokio,
/// hyper, tower, axum or Ripstop.
pub(crate) fn is_runtime(frame: &Frame) -> bool {
    let file = frame.file.as_deref();
    if file.and_then(crate_of_file).is_some_and(is_in_runtime) {
        return true;
    }
    match frame.function.as_deref().map(|name| (name, crate_of_function(name))) {
        Some((_, Some(own))) => is_in_runtime(own),
        // Only C has names without a path, and such that rustc makes up, like `main`.
        Some(_) => !file.is_some_and(|file| file.ends_with(".rs")),
        None => true,
    }
}

/// Takes out the frames that a panic adds between itself and whoever looks at its stack.
pub(crate) fn leave_out_machinery(stack: &mut Vec<Frame>) {
    let enters = |frame: &Frame| {
        let name = frame.function.as_deref().unwrap_or_default();
        name.contains("rust_begin_unwind") || name.starts_with("std::panicking::begin_panic")
    };
    if let Some(entry) = stack.iter().position(enters) {
        stack.drain(..=entry);
    }
}

fn is_in_runtime(name: &str) -> bool {
    RUNTIME.iter().any(|family| {
        name.strip_prefix(family)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '-']))
    })
}

/// The crate of a path that was shortened (`axum-0.8.9/src/…`, `std/src/…`), or of a checkout of
/// this library.
fn crate_of_file(path: &str) -> Option<&str> {
    if let Some((_, own)) = path.rsplit_once("crates/ripstop") {
        return own
            .split_once('/')
            .and_then(|(_, rest)| rest.starts_with("src/").then_some("ripstop"));
    }
    let (folder, rest) = path.split_once('/')?;
    match folder.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => Some(name),
        _ => rest.starts_with("src/").then_some(folder),
    }
}

/// The crate of a demangled name; of `<T as a::B>::c` that of the trait, if `T` has none.
fn crate_of_function(name: &str) -> Option<&str> {
    let Some(inner) = name.strip_prefix('<') else { return crate_of_path(name) };
    crate_of_path(inner).or_else(|| inner.split_once(" as ").and_then(|(_, of)| crate_of_path(of)))
}

fn crate_of_path(path: &str) -> Option<&str> {
    let sigils: &[_] = &['<', '&', '*', '(', '['];
    let path = path.trim_start_matches(sigils);
    let path = ["mut ", "const ", "dyn "].iter().fold(path, |path, word| {
        path.strip_prefix(word).unwrap_or(path).trim_start_matches(sigils)
    });
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    // With v0 names a crate may be followed by what makes it unique: `tear[1f3a]::wedge`.
    let after = match path[end..].strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.1,
        None => &path[end..],
    };
    after.starts_with("::").then_some(&path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: &str, file: &str, runtime: bool) {
        let file = (!file.is_empty()).then(|| file.to_owned());
        let frame = Frame { address: 0, function: Some(function.into()), file, line: None };
        assert_eq!(is_runtime(&frame), runtime);
    }

    #[test]
    fn a_panic_begins_where_it_was_called() {
        let frame = |name: &str| {
            let function = Some(name.to_owned());
            Frame { address: 0, function, file: None, line: None }
        };
        let names = ["a::hook", "__rustc::rust_begin_unwind", "core::panicking::panic_fmt", "a::b"];
        let mut stack: Vec<_> = names.into_iter().map(frame).collect();
        leave_out_machinery(&mut stack);
        assert_eq!(stack, [frame("core::panicking::panic_fmt"), frame("a::b")]);
        leave_out_machinery(&mut stack);
        assert_eq!(stack.len(), 2, "there is nothing more to leave out");
    }

    #[test]
    fn the_application_is_told_from_what_it_runs_on() {
        check("tear::wedge::{{closure}}", "crates/ripstop/examples/tear.rs", false);
        check("tear::wedge::{{closure}}", "", false);
        check("<tear::Slow as tower_service::Service<R>>::call", "", false);
        check("<&mut dyn tear::Slow>::call", "", false);
        check("tear[f00d]::wedge", "", false);
        check("tokiology::wedge", "", false);
        check("wedge", "/home/a/shop/src/main.rs", false);
        check("sqlx_core::query", "sqlx-core-0.8.1/src/query.rs", false);
        check("<F as axum::handler::Handler<T>>::call", "axum-0.8.9/src/handler/mod.rs", true);
        check("<F as axum::handler::Handler<T>>::call", "", true);
        check("<core::pin::Pin<P> as core::future::future::Future>::poll", "", true);
        check("sleep", "std/src/thread/mod.rs", true);
        check("call_once<shop::main, ()>", "core/src/ops/function.rs", true);
        check("tokio_util::task::spawn", "", true);
        check(
            "ripstop_work::worker::run",
            "/home/a/ripstop/crates/ripstop-work/src/worker.rs",
            true,
        );
        check("{closure#0}<u8>", "/home/a/ripstop/crates/ripstop-http/src/lane.rs", true);
        check("{async_fn#0}", "/home/a/ripstop/crates/ripstop/examples/tear.rs", false);
        check("clock_nanosleep", "", true);
        check("__rustc::rust_begin_unwind", "", true);
        check("main", "", true);
        check("libc.so.6+0x1234", "", true);
    }
}
