//! ripstop-files.
