//! Tears: faults of the application, and what is said of them.
//!
//! Whoever sees a fault files a [`Sighting`] with the [`Tears`]. A thread of their own resolves its
//! [`Stack`], numbers it, keeps it, logs it and streams it as a [`Tear`]. A [`Thread`] is asked for
//! its stack by a signal, while it is stuck. Knows nothing of workers, requests and servers.

mod capture;
mod culprit;
mod elf;
mod hub;
mod kind;
mod limit;
mod maps;
mod paths;
mod record;
mod reporter;
mod stack;
mod symbols;
mod tear;
mod thread;
mod usage;
mod walk;

pub use hub::{TearStream, Tears};
pub use kind::{Activity, Kind};
pub use stack::Stack;
pub use tear::{Frame, Sighting, Tear};
pub use thread::Thread;
pub use usage::Usage;
