//! Sockets that a service manager passes, in a process of their own as it starts one.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use ripstop_net::{BindError, InheritError, Inherited, Listener};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};

use crate::support::{accept, alone, options, passes, port_of};

/// Runs `test` alone, with `third` and `fourth` as its descriptors of these numbers.
#[track_caller]
fn passes_with(third: impl Into<OwnedFd>, fourth: impl Into<OwnedFd>, names: &str, test: &str) {
    let variables = format!(
        "export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names}; exec 3<&0 4>&1 1>&2 0</dev/null"
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{variables}; {}", alone(test)));
    passes(command.stdin(Stdio::from(third.into())).stdout(Stdio::from(fourth.into())));
}

#[test]
fn sockets_are_inherited_by_name_and_number() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(dir.path().join("sock")).unwrap();
    passes_with(tcp, unix, "web:local", "inherited::as_web_and_local");
    assert!(dir.path().join("sock").exists(), "the file is the service manager's");
}

#[test]
#[ignore = "needs descriptors 3 and 4: run by the test above"]
fn as_web_and_local() {
    let inherited = Inherited::from_env().unwrap();
    assert_eq!(inherited.names(), ["web", "local"]);
    let [web, by_number, local] =
        ["fd:web", "fd:3", "fd:local"].map(|at| Listener::bind(&options(at), &inherited).unwrap());
    assert_eq!(web.local_address(), by_number.local_address());
    assert!(local.local_address().to_string().starts_with("unix:/"));
    assert!(fcntl_getfl(&web).unwrap().contains(OFlags::NONBLOCK));
    assert!(fcntl_getfd(web.as_fd()).unwrap().contains(FdFlags::CLOEXEC));
    let client = TcpStream::connect(port_of(&web)).unwrap();
    assert_eq!(accept(&web).peer_addr(), Some(client.local_addr().unwrap()));
    let err = Listener::bind(&options("fd:other"), &inherited).unwrap_err();
    assert!(matches!(&err, BindError::NotInherited { .. }), "{err}");
    assert_eq!(err.to_string(), "fd:other was not inherited: there are web, local");
    assert!(Inherited::from_env().unwrap().names().is_empty(), "they are taken once");
}

#[test]
fn a_connection_is_no_listener() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    passes_with(tcp, connection, "web:conn", "inherited::with_a_connection");
}

#[test]
#[ignore = "needs descriptors 3 and 4: run by the test above"]
fn with_a_connection() {
    let err = Inherited::from_env().unwrap_err();
    assert!(matches!(err, InheritError::NotListening(4)), "{err}");
}

#[test]
fn a_file_is_no_listener() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = tempfile::tempfile().unwrap();
    passes_with(tcp, file, "web:file", "inherited::with_a_file");
}

#[test]
#[ignore = "needs descriptors 3 and 4: run by the test above"]
fn with_a_file() {
    let err = Inherited::from_env().unwrap_err();
    assert!(matches!(err, InheritError::NotAStream { descriptor: 4, .. }), "{err}");
}

#[test]
fn what_is_meant_for_another_process_is_left_alone() {
    let command = format!("export LISTEN_PID=1 LISTEN_FDS=1; {}", alone("inherited::as_nobody"));
    passes(Command::new("sh").arg("-c").arg(command));
}

#[test]
#[ignore = "needs an environment of its own: run by the test above"]
fn as_nobody() {
    assert!(Inherited::from_env().unwrap().names().is_empty());
}
