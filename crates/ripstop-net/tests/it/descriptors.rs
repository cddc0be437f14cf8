//! The limit of descriptors, which is the process's own.

use std::process::Command;

use ripstop_net::{connections_by_descriptors, raise_descriptors};
use rustix::process::{Resource, getrlimit};

use crate::support::{alone, passes};

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let test = alone("descriptors::in_a_process_with_a_lower_soft_limit");
    let script = format!("ulimit -S -n 100; ulimit -H -n 1000; {test}");
    passes(Command::new("sh").arg("-c").arg(script));
}

#[test]
#[ignore = "raises a limit of its process: run by the test above"]
fn in_a_process_with_a_lower_soft_limit() {
    assert_eq!(getrlimit(Resource::Nofile).current, Some(100));
    let before = connections_by_descriptors();
    raise_descriptors().unwrap();
    assert_eq!(getrlimit(Resource::Nofile).current, Some(1000));
    let after = connections_by_descriptors();
    assert!(before < 90 && (800..900).contains(&after), "{before} {after}");
}
