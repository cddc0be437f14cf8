//! Work that blocks a thread, kept off the workers.

use std::panic::resume_unwind;

/// Runs `work` on a thread that may block and returns what it returns.
///
/// # Panics
///
/// Goes on with the panic of `work`, and panics outside a worker.
///
/// # Cancel safety
///
/// When the future is dropped, `work` still runs to its end and its result is dropped.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(err) => match err.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            // The runtime is ending: nobody will poll this future again.
            Err(_) => std::future::pending().await,
        },
    }
}
