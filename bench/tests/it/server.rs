//! A server with a thread for each connection, which does as a test says with each request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A server; it runs until the test's process ends.
pub(crate) struct Server {
    addr: SocketAddr,
    plan: Arc<Plan>,
}

struct Plan {
    pause: fn(usize) -> Duration,
    /// Held during a pause, so that it stops everybody.
    processor: Mutex<()>,
    status: &'static [u8],
    requests: AtomicUsize,
    /// After how many requests a connection is closed, the last of them unanswered.
    close_after: usize,
}

impl Server {
    /// Pauses before request `number` as long as `pause(number)`, then answers it with `status`.
    pub(crate) fn start(pause: fn(usize) -> Duration, status: &'static [u8]) -> Self {
        Self::run(pause, status, usize::MAX)
    }

    /// Closes each connection upon its `close_after`th request.
    pub(crate) fn start_closing_after(close_after: usize) -> Self {
        Self::run(|_| Duration::ZERO, b"200 OK", close_after)
    }

    #[expect(clippy::disallowed_methods, reason = "no runtime is tested here")]
    fn run(pause: fn(usize) -> Duration, status: &'static [u8], close_after: usize) -> Self {
        let (processor, requests) = (Mutex::new(()), AtomicUsize::new(0));
        let plan = Arc::new(Plan { pause, processor, status, requests, close_after });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let (addr, own) = (listener.local_addr().expect("it is bound"), plan.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, plan) = (stream.expect("a connection"), own.clone());
                thread::spawn(move || plan.serve(stream));
            }
        });
        Self { addr, plan }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.plan.requests.load(Ordering::Relaxed)
    }
}

impl Plan {
    /// A request comes in one piece, since the generator writes it in one.
    fn serve(&self, mut stream: TcpStream) {
        let mut buf = [0; 1024];
        for served in 1.. {
            if !matches!(stream.read(&mut buf), Ok(1..)) || served == self.close_after {
                return;
            }
            self.work(self.requests.fetch_add(1, Ordering::Relaxed));
            let answer = [b"HTTP/1.1 ", self.status, b"\r\ncontent-length: 2\r\n\r\nok"].concat();
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the stall that is measured")]
    fn work(&self, number: usize) {
        let _processor = self.processor.lock().expect("nobody panics here");
        thread::sleep((self.pause)(number));
    }
}
