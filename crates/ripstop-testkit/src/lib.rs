//! What tests of a server need and no library offers: a client that sends exactly the bytes it is
//! told to, certificates made on the spot, started programs that are watched and always reaped,
//! and randomness that can be repeated.
//!
//! Every wait here has a deadline, and nothing waits for a fixed time. Depends on no other crate
//! of the workspace, so that each of them can use it in its tests. Errors are plain
//! [`std::io::Error`]s whose text says what was waited for: a test unwraps them.

mod busy;
mod certificates;
mod client;
mod family;
mod proc;
mod process;
mod root;
mod seed;
mod until;

pub use busy::Busy;
pub use certificates::{Certificates, Identity};
pub use client::{Client, Ending, Head, Response};
pub use family::{Family, send};
pub use proc::Proc;
pub use process::{Process, Signal, address, example};
pub use root::is_root;
pub use seed::{Random, Seed};
pub use until::until;
