//! A PROXY header is read off a connection, and not one byte more.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};

use ripstop_net::{ProxyError, proxy};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::support::{deadline, pair};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb";

#[tokio::test]
async fn the_client_is_who_the_header_says_and_the_request_is_whole() {
    for header in [V1, V2] {
        let (mut client, mut socket) = pair();
        client.write_all(&[header, b"GET /"].concat()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let addresses = proxy::read(&mut socket, deadline()).await.unwrap().unwrap();
        let source: SocketAddr = "192.0.2.1:56324".parse().unwrap();
        assert_eq!(addresses.source, source);
        assert_eq!(addresses.destination, "198.51.100.2:443".parse().unwrap());
        assert_eq!(socket.peer_addr(), Some(source));
        let mut request = String::new();
        socket.read_to_string(&mut request).await.unwrap();
        assert_eq!(request, "GET /");
    }
}

#[tokio::test]
async fn a_header_that_comes_byte_by_byte_is_read() {
    let (mut client, mut socket) = pair();
    let sending = async {
        for byte in V2.iter().chain(b"GET /") {
            client.write_all(&[*byte]).unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown(Shutdown::Write).unwrap();
    };
    let (addresses, ()) = tokio::join!(proxy::read(&mut socket, deadline()), sending);
    assert!(addresses.unwrap().is_some());
    let mut request = String::new();
    socket.read_to_string(&mut request).await.unwrap();
    assert_eq!(request, "GET /");
}

#[tokio::test]
async fn what_was_read_ahead_goes_with_the_descriptor() {
    let (mut client, mut socket) = pair();
    client.write_all(b"PROXY UNKNOWN\r\nGET /").unwrap();
    let peer = socket.peer_addr();
    assert_eq!(proxy::read(&mut socket, deadline()).await.unwrap(), None);
    assert_eq!(socket.peer_addr(), peer, "nobody else was named");
    assert_eq!(socket.into_fd().unwrap().1, &b"GET /"[..]);
}

#[tokio::test]
async fn no_header_an_unfinished_one_and_silence_are_told_apart() {
    let (mut client, mut socket) = pair();
    client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let err = proxy::read(&mut socket, deadline()).await.unwrap_err();
    assert!(matches!(err, ProxyError::NoHeader), "{err}");

    let (mut client, mut socket) = pair();
    client.write_all(&V2[..20]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let err = proxy::read(&mut socket, deadline()).await.unwrap_err();
    assert!(matches!(err, ProxyError::Closed), "{err}");

    let (_client, mut socket) = pair();
    let err = proxy::read(&mut socket, Instant::now()).await.unwrap_err();
    assert!(matches!(err, ProxyError::Deadline), "{err}");
}
