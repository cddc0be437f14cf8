//! ripstop-testkit.
