//! Options and addresses of servers in this process.

use ripstop::{Address, Handler, Listen, ListenerOptions, Options, Running, Server, workers};
use ripstop_testkit::Client;
use std::{error::Error, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

/// Nothing here takes longer than this, on whatever machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A listener in clear text.
pub(crate) fn listen(name: &str, address: &str) -> Listen {
    let address = address.parse().expect("the test's own address");
    let mut listener = ListenerOptions { name: name.into(), address, ..Default::default() };
    // Silent clients are not to be held back by the kernel.
    listener.defer_accept = None;
    Listen { listener, ..Listen::default() }
}

/// So many workers with so many spares, which listen at `main`, a port that the kernel chooses.
pub(crate) fn options(workers: usize, spares: usize) -> Options {
    let workers = NonZeroUsize::new(workers).expect("a test has workers");
    Options {
        listen: vec![listen("main", "127.0.0.1:0")],
        workers: workers::Options { workers, spares, ..workers::Options::default() },
        ..Options::default()
    }
}

/// Starts a server that must start.
#[track_caller]
pub(crate) fn start<S: Handler + Sync>(service: S, options: &Options) -> Running {
    Server::with_options(service, options.clone())
        .start()
        .unwrap_or_else(|err| panic!("{}", chain(&err)))
}

/// What is wrong with the listeners, a line for each fault with its causes.
#[track_caller]
pub(crate) fn refused(outcome: Result<impl Sized, ripstop::Error>) -> Vec<String> {
    match outcome {
        Err(ripstop::Error::Listen(faults)) => faults.iter().map(|fault| chain(fault)).collect(),
        Err(err) => panic!("{}", chain(&err)),
        Ok(_) => panic!("it was not refused"),
    }
}

/// An error with its causes.
pub(crate) fn chain(err: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(err), |&err| err.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The TCP address of the listener `name`.
#[track_caller]
pub(crate) fn tcp(running: &Running, name: &str) -> SocketAddr {
    match address(running, name) {
        Address::Tcp(addr) => addr,
        other => panic!("{name} is at {other}"),
    }
}

/// The path of the listener `name`.
#[track_caller]
pub(crate) fn path(running: &Running, name: &str) -> PathBuf {
    match address(running, name) {
        Address::Unix(path) => path,
        other => panic!("{name} is at {other}"),
    }
}

#[track_caller]
fn address(running: &Running, name: &str) -> Address {
    let addresses = running.addresses();
    let found = addresses.iter().find(|(found, _)| &**found == name);
    found.unwrap_or_else(|| panic!("no {name} in {addresses:?}")).1.clone()
}

/// A new connection to the listener `main`.
#[track_caller]
pub(crate) fn connect(running: &Running) -> Client {
    Client::tcp(tcp(running, "main")).expect("the server accepts connections")
}
