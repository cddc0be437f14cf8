//! Tests of the server as a whole, in one binary.

mod http;
mod serve;
mod tears;
mod wall;
