//! Keep-alive connections of a load generator, all on one thread.
//!
//! epoll by hand rather than tokio, whose timers have a resolution of a millisecond: more than most
//! of the latencies measured here.

use crate::response::{Progress, progress};
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::Timespec;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Connections to one server, each with at most one request under way.
pub struct Pool {
    epoll: OwnedFd,
    addr: SocketAddr,
    connections: Vec<Connection>,
    /// Who is free, the longest free first: so all of them are used, and none idles so long that
    /// the server closes it.
    free: VecDeque<usize>,
    events: Vec<epoll::Event>,
    buf: Box<[u8]>,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    busy: bool,
}

/// The end of a request.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// On which connection it was: what [`Pool::send`] returned.
    pub connection: usize,
    /// Whether it was answered, and with the status 200.
    pub ok: bool,
}

impl Pool {
    /// Opens `count` connections to `addr`.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn connect(addr: SocketAddr, count: usize) -> io::Result<Self> {
        let mut pool = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            addr,
            connections: Vec::with_capacity(count),
            free: (0..count).collect(),
            events: Vec::with_capacity(256),
            buf: vec![0; 64 << 10].into(),
        };
        for index in 0..count {
            let connection = pool.open(index)?;
            pool.connections.push(connection);
        }
        Ok(pool)
    }

    fn open(&self, index: usize) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.addr)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        Ok(Connection { stream, received: Vec::new(), busy: false })
    }

    /// Sends `request` on a free connection and says on which; `None` if there is none.
    pub fn send(&mut self, request: &[u8]) -> Option<usize> {
        let index = self.free.pop_front()?;
        let connection = &mut self.connections[index];
        connection.busy = true;
        if !matches!(connection.stream.write(request), Ok(written) if written == request.len()) {
            // Its end is then seen, and told, like that of any other connection.
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        Some(index)
    }

    /// Waits until there is something to read, at most for `timeout`, and adds what has ended to
    /// `finished`. A connection that the server has closed is opened again.
    ///
    /// # Errors
    /// When a connection cannot be opened again: the server is gone.
    pub fn wait(&mut self, timeout: Duration, finished: &mut Vec<Finished>) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut events = std::mem::take(&mut self.events);
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, spare, Some(&timeout)) {
            Err(Errno::INTR) | Ok(_) => {}
            Err(err) => return Err(err.into()),
        }
        for event in events.drain(..) {
            finished.extend(self.read(event.data.u64() as usize)?);
        }
        self.events = events;
        Ok(())
    }

    fn read(&mut self, index: usize) -> io::Result<Option<Finished>> {
        let connection = &mut self.connections[index];
        let progress = match connection.stream.read(&mut self.buf) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Progress::Partial,
            Ok(0) | Err(_) => Progress::Broken,
            Ok(read) => {
                connection.received.extend_from_slice(&self.buf[..read]);
                progress(&connection.received)
            }
        };
        let was_busy = connection.busy;
        let ok = match progress {
            Progress::Partial if was_busy => return Ok(None),
            Progress::Whole { status } if was_busy => {
                connection.busy = false;
                connection.received.clear();
                status == 200
            }
            // An answer that nobody asked for, such as a 408, is the end of a connection too.
            _ => {
                self.connections[index] = self.open(index)?;
                false
            }
        };
        if !was_busy {
            return Ok(None);
        }
        self.free.push_back(index);
        Ok(Some(Finished { connection: index, ok }))
    }
}
