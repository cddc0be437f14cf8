//! Who gets the next connection, which job runs next and where, and what is restarted: pure
//! policies.
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

mod class;
mod lane;
mod line;
mod load;
mod mean;
mod moving;
mod placement;
mod restarts;
mod spill;
mod spread;

pub use class::{Class, ParseClassError};
pub use lane::{Change, Conduct, Lane, ParseLaneError, Run};
pub use line::{Bound, Bounds, Full, Line, Next, Offer, Ticket};
pub use load::Load;
pub use mean::Mean;
pub use moving::{Mover, Order};
pub use placement::{ParsePlacementError, Placement, Placer};
pub use restarts::{Backoff, Intensity, Restarts, Verdict};
pub use spill::spill;
pub use spread::spread;
