//! The raw client: responses, endings, deadlines.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread::Builder;
use std::time::Duration;

use ripstop_testkit::{Client, Ending};

use crate::server::{answer, serve};

/// For what must not happen.
const A_MOMENT: Duration = Duration::from_millis(50);

#[test]
fn responses_are_read_to_their_end() {
    for (text, status, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("HTTP/1.1 100 Continue\r\n\r\n", 100, ""),
        ("HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\na: b\r\n\r\n",
            200,
            "hello",
        ),
    ] {
        let response = Client::tcp(answer(text)).unwrap().get("/").unwrap();
        assert_eq!((response.status(), response.text().as_str()), (status, body), "{text:?}");
    }
}

#[test]
fn one_response_does_not_eat_the_next() {
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: y\r\n\r\naHTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n";
    let mut client = Client::tcp(answer(both)).unwrap();
    let first = client.get("/").unwrap();
    assert_eq!((first.header("x"), first.header("y")), (Some("y"), None));
    assert_eq!(client.head().unwrap().status, 404);
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
}

#[test]
fn responses_that_are_not_valid_are_errors() {
    use ErrorKind::{InvalidData, UnexpectedEof};
    for (text, kind) in [
        ("HTTP/1.1 200\r\n\r\n", InvalidData),
        ("HTTP/2 200 OK\r\n\r\n", InvalidData),
        ("HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n", InvalidData),
        ("HTTP/1.1 200 OK\r\nx: a\nb: c\r\n\r\n", InvalidData),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na", InvalidData),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", InvalidData),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabcd", InvalidData),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", UnexpectedEof),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", UnexpectedEof),
        ("HTTP/1.1 200 OK\r\n", UnexpectedEof),
    ] {
        let err = Client::tcp(answer(text)).unwrap().get("/").unwrap_err();
        assert_eq!(err.kind(), kind, "{text:?}: {err}");
    }
}

#[test]
fn a_reset_is_told_from_an_end() {
    // A socket that closes with unread bytes sends a reset.
    let (addr, server) = serve(|stream| stream.peek(&mut [0]).map(drop).unwrap());
    let mut client = Client::tcp(addr).unwrap();
    client.send("unread").unwrap();
    server.join().unwrap();
    assert_eq!(client.ending().unwrap().1, Ending::Cut);
}

#[test]
fn the_server_sees_a_reset_of_the_client() {
    let (addr, server) = serve(|mut stream| stream.read(&mut [0]).unwrap_err().kind());
    Client::tcp(addr).unwrap().reset().unwrap();
    assert_eq!(server.join().unwrap(), ErrorKind::ConnectionReset);
}

#[test]
fn a_client_that_finished_sending_still_reads() {
    let (addr, _server) = serve(|mut stream: TcpStream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
    });
    let mut client = Client::tcp(addr).unwrap();
    client.send("echo").unwrap();
    client.finish_sending().unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"echo");
}

#[test]
fn slow_sending_ends_when_the_server_answers() {
    let (addr, _server) = serve(|mut stream: TcpStream| {
        stream.read_exact(&mut [0; 3]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let mut client = Client::tcp(addr).unwrap();
    let sent = client.send_slowly([b'x'; 1000], 1, A_MOMENT).unwrap();
    assert!((3..1000).contains(&sent), "{sent}");
}

#[test]
fn a_silent_server_is_waited_for_until_the_deadline() {
    let (addr, server) = serve(|mut stream| stream.read_to_end(&mut Vec::new()).unwrap());
    let mut client = Client::tcp(addr).unwrap();
    client.set_deadline(A_MOMENT);
    assert!(client.is_quiet_for(Duration::ZERO).unwrap());
    assert_eq!(client.response().unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(client.ending().unwrap_err().kind(), ErrorKind::TimedOut);
    drop(client);
    assert_eq!(server.join().unwrap(), 0);
}

#[test]
fn a_server_that_does_not_read_is_waited_for_until_the_deadline() {
    // Connected by the kernel, accepted by nobody.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::tcp(listener.local_addr().unwrap()).unwrap();
    client.set_deadline(A_MOMENT);
    assert_eq!(client.send(vec![0; 64 << 20]).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn unix_sockets_are_spoken_to_alike() {
    let dir = ripstop_testkit::Certificates::new().unwrap();
    let path = dir.dir().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = Builder::new().spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").unwrap();
    });
    let mut client = Client::unix(&path).unwrap();
    assert_eq!(client.response().unwrap().text(), "x");
    assert_eq!(client.ending().unwrap().1, Ending::Closed);
    server.unwrap().join().unwrap();
}
