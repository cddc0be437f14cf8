//! A socket joins tokio's reactor only when it has to wait, and loses nothing on the way.

use std::io::{IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use ripstop_net::{Socket, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{accept, bind, options, pair, wait_readable};

#[tokio::test]
async fn a_request_that_is_there_is_answered_without_registering() {
    let (mut client, mut socket) = pair();
    client.write_all(b"ping").unwrap();
    wait_readable(socket.fd().unwrap());
    let mut buf = [0; 16];
    assert_eq!(socket.read(&mut buf).await.unwrap(), 4);
    socket.write_all(b"po").await.unwrap();
    let rest = [IoSlice::new(b"n"), IoSlice::new(b"g")];
    assert_eq!(socket.write_vectored(&rest).await.unwrap(), 2);
    socket.shutdown().await.unwrap();
    assert!(!socket.is_registered());
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "pong");
}

/// Reads `first`, which is there, then `second`, for which the socket has to wait.
async fn check_split(mut client: impl Write, mut socket: Socket) {
    client.write_all(b"first").unwrap();
    wait_readable(socket.fd().unwrap());
    let mut buf = [0; 16];
    let len = socket.read(&mut buf).await.unwrap();
    assert_eq!(&buf[..len], b"first");
    assert!(!socket.is_registered());
    let later = async {
        tokio::task::yield_now().await;
        client.write_all(b"second").unwrap();
    };
    let (len, ()) = tokio::join!(socket.read(&mut buf), later);
    assert_eq!(&buf[..len.unwrap()], b"second");
    assert!(socket.is_registered());
    drop(client);
    assert_eq!(socket.read(&mut buf).await.unwrap(), 0);
}

#[tokio::test]
async fn a_tcp_request_in_two_parts_is_read_whole() {
    let (client, socket) = pair();
    check_split(client, socket).await;
}

#[tokio::test]
async fn a_unix_request_in_two_parts_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let listener = bind(&options(&format!("unix:{}", path.display())));
    let client = UnixStream::connect(&path).unwrap();
    check_split(client, accept(&listener)).await;
}

/// More than any socket buffer takes, so that writing has to wait too.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_larger_than_the_buffers_arrives_whole() {
    let (mut client, socket) = pair();
    let body: Vec<u8> = (0_u32..4 << 20).flat_map(u32::to_le_bytes).collect();
    let reader = tokio::task::spawn_blocking(move || {
        let mut got = Vec::new();
        client.read_to_end(&mut got).map(|_| got)
    });
    let mut stream = Stream::from(socket);
    stream.write_all(&body).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(matches!(&stream, Stream::Plain(socket) if socket.is_registered()));
    assert!(reader.await.unwrap().unwrap() == body, "the body was changed on its way");
}

#[tokio::test]
async fn the_descriptor_leaves_the_reactor_and_goes_on() {
    let (mut client, mut socket) = pair();
    let mut buf = [0; 4];
    tokio::select! {
        biased;
        _ = socket.read(&mut buf) => panic!("nothing was sent"),
        () = tokio::task::yield_now() => {}
    }
    assert!(socket.is_registered());
    let (fd, prefix) = socket.into_fd().unwrap();
    assert!(prefix.is_empty());
    let mut plain = TcpStream::from(fd);
    plain.set_nonblocking(false).unwrap();
    plain.write_all(b"bye").unwrap();
    plain.shutdown(Shutdown::Both).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert_eq!(said, "bye");
}

/// A peer that always has more must not keep the thread from other tasks.
#[tokio::test]
async fn direct_reads_give_way_to_other_tasks() {
    let (mut client, mut socket) = pair();
    client.write_all(&[7; 4096]).unwrap();
    wait_readable(socket.fd().unwrap());
    let mut others_ran = false;
    let reading = async {
        for _ in 0..4096 {
            assert_eq!(socket.read_u8().await.unwrap(), 7);
        }
    };
    tokio::select! {
        biased;
        () = reading => {}
        () = async { others_ran = true; std::future::pending().await } => {}
    }
    assert!(others_ran);
}
