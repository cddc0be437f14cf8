//! Work that blocks a thread, kept off the workers.

use crate::slot::Carried;
use std::panic::resume_unwind;

/// Runs `work` on a thread that may block and returns what it returns. What goes wrong there is told
/// as a fault of the request that this is called for.
///
/// # Panics
///
/// Goes on with the panic of `work`, and panics outside a worker.
///
/// # Cancel safety
///
/// When the future is dropped, `work` still runs to its end and its result is dropped.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let request = Carried::from_this_thread();
    let work = move || {
        let _at_work = request.as_ref().map(Carried::at_work);
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(err) => match err.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            // The runtime is ending: nobody will poll this future again.
            Err(_) => std::future::pending().await,
        },
    }
}
