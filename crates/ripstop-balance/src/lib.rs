//! Who may come and how often, who gets the next connection, which job runs next and where, and
//! what is restarted: pure policies.
//!
//! Nothing here awaits, locks, reads a clock or draws randomness of its own: a policy sees
//! numbers and answers with a choice. Times are handed in, as durations since some fixed start.
//! Whoever asks owns the numbers (`ripstop-work` keeps them) and carries the answer out
//! (`ripstop-net` accepts, `ripstop-work` spawns).
//!
//! ```
//! use ripstop_balance::{Load, Placement, Placer};
//!
//! let mut placer = Placer::new(Placement::LeastConnections, 1);
//! let busy = Load { connections: 9, ..Load::default() };
//! assert_eq!(placer.place(&[busy, Load::default()]), Some(1));
//! ```

mod ceiling;
mod class;
mod client;
mod lane;
mod line;
mod load;
mod mean;
mod moving;
mod network;
mod placement;
mod poison;
#[cfg(test)]
mod random;
mod rate;
mod restarts;
mod spill;
mod spread;

pub use ceiling::{Ceiling, Measures, MemoryStep};
pub use class::{Class, ParseClassError};
pub use client::Client;
pub use lane::{Change, Conduct, Lane, ParseLaneError, Run};
pub use line::{Bound, Bounds, Full, Line, Next, Offer, Ticket};
pub use load::Load;
pub use mean::Mean;
pub use moving::{Mover, Order};
pub use network::{Network, NetworkRules, Networks, ParseNetworkError};
pub use placement::{ParsePlacementError, Placement, Placer};
pub use poison::Suspicion;
pub use rate::{Left, Rate, RateTable};
pub use restarts::{Backoff, Intensity, Restarts, Verdict};
pub use spill::spill;
pub use spread::spread;
