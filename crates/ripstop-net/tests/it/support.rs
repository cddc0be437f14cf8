//! What these tests share: a listener on a free port, and waiting for what a socket tells.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::time::Duration;

use ripstop_net::{Address, Inherited, Listener, ListenerOptions, Socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

/// How long anything here may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A moment that comes only if something hangs.
pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// Options for a listener that gives connections as soon as they are there.
pub(crate) fn options(address: &str) -> ListenerOptions {
    let address = address.parse().unwrap();
    ListenerOptions { address, defer_accept: None, ..ListenerOptions::default() }
}

pub(crate) fn bind(options: &ListenerOptions) -> Listener {
    Listener::bind(options, &Inherited::default()).unwrap()
}

/// The address under which a TCP listener is reached.
pub(crate) fn port_of(listener: &Listener) -> SocketAddr {
    match listener.local_address() {
        Address::Tcp(addr) => *addr,
        other => panic!("{other} is not TCP"),
    }
}

/// Waits until there is something to read, or to accept.
pub(crate) fn wait_readable(fd: impl AsFd) {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut fds, Some(&patience)).unwrap(), 1, "nothing came");
}

/// Accepts the next connection, for which it waits.
pub(crate) fn accept(listener: &Listener) -> Socket {
    wait_readable(listener);
    listener.accept().unwrap().0
}

/// Both ends of a TCP connection.
pub(crate) fn pair() -> (TcpStream, Socket) {
    let listener = bind(&options("127.0.0.1:0"));
    let client = TcpStream::connect(port_of(&listener)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    (client, accept(&listener))
}

/// A command that runs one ignored test of this program alone, in a process of its own.
pub(crate) fn alone(test: &str) -> String {
    let program = std::env::current_exe().unwrap();
    format!("exec '{}' --exact {test} --ignored --nocapture", program.display())
}

/// Runs a shell command that ends in [`alone`], and checks that the test ran and passed.
#[track_caller]
pub(crate) fn passes(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success() && said.contains("1 passed"), "{said}");
}
