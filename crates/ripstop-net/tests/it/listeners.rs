//! Binding, what can keep it from working, and what is accepted.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use ripstop_net::{AcceptStep, BindError, Inherited, Listener, ListenerOptions};
use rustix::fs::fcntl_getfl;
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::net::sockopt::tcp_nodelay;

use crate::support::{accept, bind, options, port_of, wait_readable};

#[test]
fn an_accepted_socket_is_ready_for_use_without_further_calls() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = bind(&options(address));
        let client = TcpStream::connect(port_of(&listener)).unwrap();
        wait_readable(&listener);
        let (socket, peer) = listener.accept().unwrap();
        assert_eq!(peer, Some(client.local_addr().unwrap()));
        assert_eq!(socket.peer_addr(), peer);
        let fd = socket.fd().unwrap();
        assert!(tcp_nodelay(fd).unwrap(), "TCP_NODELAY is inherited from the listener");
        assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
        assert!(fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
        assert_eq!(listener.accept().unwrap_err().next_step(), AcceptStep::WouldBlock);
    }
}

#[test]
fn all_addresses_take_ipv4_and_show_it_as_such() {
    let listener = bind(&options(":0"));
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port_of(&listener).port())).unwrap();
    let socket = accept(&listener);
    assert_eq!(socket.peer_addr(), Some(client.local_addr().unwrap()));
}

#[track_caller]
fn refused(options: &ListenerOptions) -> BindError {
    Listener::bind(options, &Inherited::default()).unwrap_err()
}

#[test]
fn an_address_that_can_not_be_bound_says_why() {
    let live = bind(&options("127.0.0.1:0"));
    let err = refused(&options(&live.local_address().to_string()));
    assert!(matches!(err, BindError::InUse(_)), "{err}");
    // TEST-NET-1 (RFC 5737) belongs to no machine.
    let err = refused(&options("192.0.2.1:0"));
    assert!(matches!(err, BindError::NotAvailable(_)), "{err}");
    let err = refused(&options("fd:web"));
    assert!(matches!(err, BindError::NotInherited { .. }), "{err}");
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let options = options(&format!("unix:{}", path.display()));
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std leaves the file behind");
    let listener = bind(&options);
    let err = refused(&options);
    assert!(matches!(err, BindError::InUse(_)), "{err}");
    let mut client = UnixStream::connect(&path).unwrap();
    // The attempt above connected too, to see whether somebody listens.
    drop(accept(&listener));
    let socket = accept(&listener);
    assert_eq!(socket.peer_addr(), None);
    drop(socket);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(listener);
    assert!(!path.exists(), "the file goes with its listener");
}

#[test]
fn a_socket_file_that_is_somebody_elses_by_now_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let listener = bind(&options(&format!("unix:{}", path.display())));
    // Both files exist at once, so that the second one can't have the inode of the first.
    let successor = dir.path().join("new");
    let _successor = UnixListener::bind(&successor).unwrap();
    fs::rename(&successor, &path).unwrap();
    drop(listener);
    assert!(path.exists());
}

#[test]
fn what_is_no_socket_is_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    fs::write(&path, "data").unwrap();
    let err = refused(&options(&format!("unix:{}", path.display())));
    assert!(matches!(err, BindError::NotASocket(_)), "{err}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    let err = refused(&options(&format!("unix:{}/nowhere/sock", dir.path().display())));
    assert!(matches!(err, BindError::NoFolder(_)), "{err}");
}

#[test]
fn a_unix_listener_gets_the_mode_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let address = options(&format!("unix:{}", path.display()));
    let _listener = bind(&ListenerOptions { unix_mode: Some(0o640), ..address });
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_connection_waits_in_the_kernel_until_it_says_something() {
    let listener = bind(&ListenerOptions {
        defer_accept: ListenerOptions::default().defer_accept,
        ..options("127.0.0.1:0")
    });
    let mut client = TcpStream::connect(port_of(&listener)).unwrap();
    assert_eq!(listener.accept().unwrap_err().next_step(), AcceptStep::WouldBlock);
    client.write_all(b"GET").unwrap();
    drop(accept(&listener));
}
