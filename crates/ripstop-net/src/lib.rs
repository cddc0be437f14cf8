//! ripstop-net.
