//! The program from outside: its commands, exit codes and what it prints.

mod commands;
mod faults;
mod program;
