//! ripstop-http.
