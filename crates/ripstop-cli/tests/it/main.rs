//! The program from outside: its commands, exit codes, what it prints and serves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clients;
mod commands;
mod drain;
mod faults;
mod limits;
mod logs;
mod privileges;
mod program;
mod reload;
mod service_manager;
mod serving;
mod tears;
mod wall;
