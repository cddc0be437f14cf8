//! What outlives a process, and system calls that no library wraps safely: the home of unsafe code.
//!
//! Each function is small, says why it is sound, and leaves everything else to the crates above.

mod accounts;
mod claims;
mod clock;
mod defer_accept;
mod fail;
mod hold;
mod manager;
mod privileges;
mod sealed;
mod sync;
mod wall;

pub use accounts::{Account, AccountError, Groups};
pub use claims::{Claim, Claims, Facts, Resting, State, Tick, claims};
pub use clock::now as uptime;
pub use defer_accept::set_defer_accept;
pub use fail::failpoint;
pub use hold::holding_signals;
pub use manager::Manager;
pub use privileges::{NewPrivileges, give_up};
pub use wall::{
    CarryError, Connections, Crash, Death, Farewells, Kept, LeftThread, Outside, Predecessor,
    Resumed, Role, SUSPECT_WORDS, ServerSeen, Successor, Suspect, Suspects, THREAD_WORDS,
    ThreadWords, Threads, Upgraded, Wall, Wanted, enter, enter_with, wall,
};
