//! ripstop-admin.
