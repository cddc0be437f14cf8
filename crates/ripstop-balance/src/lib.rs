//! ripstop-balance.
