//! What the binaries of `bench/` share: load generators, servers as child processes, figures.
//!
//! Each binary says at its top what it measures and how it is run.

pub mod arrivals;
pub mod closed;
pub mod figures;
pub mod mix;
pub mod open;
pub mod peer;
pub mod pool;
pub mod process;
pub mod response;
pub mod servers;
pub mod table;
