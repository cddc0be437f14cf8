//! Who gets the next connection: pure policies.
//!
//! Nothing here awaits, locks, reads a clock or draws randomness of its own: a policy sees
//! numbers and answers with an index. Whoever asks owns the numbers (`ripstop-work` keeps
//! them) and carries the answer out (`ripstop-net` accepts, `ripstop-work` spawns).
//!
//! ```
//! use ripstop_balance::{Load, Placement, Placer};
//!
//! let mut placer = Placer::new(Placement::LeastConnections, 1);
//! let busy = Load { connections: 9, ..Load::default() };
//! assert_eq!(placer.place(&[busy, Load::default()]), Some(1));
//! ```

mod load;
mod placement;
mod spill;

pub use load::Load;
pub use placement::{ParsePlacementError, Placement, Placer};
pub use spill::spill;
