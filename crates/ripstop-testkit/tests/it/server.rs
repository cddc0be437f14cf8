//! A server that follows a script for one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{Builder, JoinHandle};

/// Runs `script` with the first connection to a new listener.
pub(crate) fn serve<T: Send + 'static>(
    script: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let run = move || script(listener.accept().unwrap().0);
    (addr, Builder::new().spawn(run).unwrap())
}

/// Answers the first bytes of a request with `answer`, then closes.
pub(crate) fn answer(answer: &'static str) -> SocketAddr {
    let script = move |mut stream: TcpStream| {
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    };
    serve(script).0
}
