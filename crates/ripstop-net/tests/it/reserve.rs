//! Out of descriptors, somebody who waits still gets an answer.

use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;

use ripstop_net::{AcceptStep, Refusal, Reserve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{PATIENCE, accept, alone, bind, options, passes, port_of, wait_readable};

const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";

#[test]
fn out_of_descriptors_one_client_is_answered_from_the_reserve() {
    passes(Command::new("sh").arg("-c").arg(alone("reserve::in_a_process_with_few_descriptors")));
}

#[test]
#[ignore = "lowers a limit of its process: run by the test above"]
fn in_a_process_with_few_descriptors() {
    let listener = bind(&options("127.0.0.1:0"));
    let mut reserve = Reserve::new().unwrap();
    assert_eq!(reserve.refuse(&listener, ANSWER), Refusal::NobodyWaited);
    let mut clients = [(); 2].map(|()| TcpStream::connect(port_of(&listener)).unwrap());
    wait_readable(&listener);

    let limit = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut hoard: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let err = listener.accept().unwrap_err();
    assert_eq!(err.next_step(), AcceptStep::OutOfDescriptors);

    assert_eq!(reserve.refuse(&listener, ANSWER), Refusal::Answered);
    clients[0].set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    clients[0].read_to_end(&mut answer).unwrap();
    assert_eq!(answer, ANSWER);

    let err = listener.accept().unwrap_err();
    assert_eq!(err.next_step(), AcceptStep::OutOfDescriptors, "the spare was taken back");
    hoard.pop();
    let socket = accept(&listener);
    assert_eq!(socket.peer_addr(), Some(clients[1].local_addr().unwrap()));
}
