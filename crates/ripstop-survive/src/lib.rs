//! System calls that no library wraps safely: the home of unsafe code.
//!
//! Each function is small, says why it is sound, and leaves everything else to the crates above.

mod defer_accept;

pub use defer_accept::set_defer_accept;
