//! ripstop-work.
