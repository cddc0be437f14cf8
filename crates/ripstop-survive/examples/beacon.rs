//! The smallest server behind the process wall: one thread, blocking, and just enough of HTTP to be
//! killed in every state a connection can be in. The tests of this crate run it.
//!
//! `beacon ADDRESS`; it aborts at its start while there is the file that `BEACON_CRASH` names.

use ripstop_survive::{Claim, Claims, Facts, Kept, Tick, Wall, Wanted, claims, enter};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io::{self, Read, Write},
    mem::ManuallyDrop,
    net::{TcpListener, TcpStream},
    os::fd::{FromRawFd, OwnedFd},
    path::Path,
    process::ExitCode,
};

/// A connection.
struct Client {
    stream: TcpStream,
    claim: Claim,
    /// What of a request was read.
    head: Vec<u8>,
    /// Nothing more is done for it.
    left_hanging: bool,
}

fn main() -> io::Result<ExitCode> {
    let wall = enter(Wanted::Yes);
    if std::env::var_os("BEACON_CRASH").is_some_and(|file| Path::new(&file).exists()) {
        println!("aborting");
        std::process::abort();
    }
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let (listener, _kept) = listen(wall, &address)?;
    let mut clients = rested()?;
    let resumed = wall.and_then(Wall::resumed);
    println!(
        "listening addr={} pid={} generation={} death={:?} resumed={resumed:?}",
        listener.local_addr()?,
        std::process::id(),
        wall.map_or(0, Wall::generation),
        wall.and_then(Wall::death),
    );
    wall.inspect(|wall| wall.ready());
    let mut farewells = resumed.map(|mut resumed| resumed.farewells()).unwrap_or_default();
    loop {
        let mut watched = vec![PollFd::new(&listener, PollFlags::IN)];
        watched.extend(clients.iter().map(|client| PollFd::new(&client.stream, PollFlags::IN)));
        poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }))?;
        let ready: Vec<_> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
        wall.inspect(|wall| wall.beat());
        farewells.look();
        let mut readable = ready[1..].iter();
        let serve = |client: &mut Client| {
            !readable.next().is_some_and(|ready| *ready) || client.serve().is_some()
        };
        clients.retain_mut(serve);
        if ready[0] {
            clients.extend(accept(&listener)?);
        }
    }
}

/// The listener of the server before, or a new one.
fn listen(wall: Option<&'static Wall>, address: &str) -> io::Result<(TcpListener, Option<Kept>)> {
    if let Some((listener, kept)) = wall.and_then(|wall| wall.listener(address)) {
        return Ok((listener.into(), Some(kept)));
    }
    let listener = TcpListener::bind(address)?;
    let kept = wall.and_then(|wall| wall.keep(&listener, address));
    Ok((listener, kept))
}

/// The connections that were left at rest.
fn rested() -> io::Result<Vec<Client>> {
    let claims = claims().ok_or(io::ErrorKind::OutOfMemory)?;
    let resting: Vec<_> = claims.at_rest().collect();
    let unpark = |resting: ripstop_survive::Resting| {
        let (fd, claim) = claims.unpark(resting.number, resting.generation)?;
        claim.rest();
        Some(Client::new(fd.into(), claim))
    };
    Ok(resting.into_iter().filter_map(unpark).collect())
}

fn accept(listener: &TcpListener) -> io::Result<Option<Client>> {
    let (stream, peer) = listener.accept()?;
    let born = Tick::now();
    let facts = Facts {
        peer: Some(peer),
        server: 0,
        listener: 0,
        unix: false,
        named: false,
        counted: false,
        born,
        requests: 0,
    };
    let claim = claims().and_then(|claims| claims.begin(&stream, &facts));
    Ok(claim.map(|claim| Client::new(stream, claim)))
}

impl Client {
    fn new(stream: TcpStream, claim: Claim) -> Self {
        Self { stream, claim, head: Vec::new(), left_hanging: false }
    }

    /// Reads once, and answers a whole request. `None` when the connection is done with.
    fn serve(&mut self) -> Option<()> {
        // Idle or busy already: only one of both needs it.
        let _ = self.claim.resume();
        let mut piece = [0; 1024];
        let count = self.stream.read(&mut piece).unwrap_or(0);
        if count == 0 {
            self.claim.free();
            return None;
        }
        self.head.extend_from_slice(&piece[..count]);
        if self.head.ends_with(b"\r\n\r\n") && !self.left_hanging {
            let head = String::from_utf8_lossy(&std::mem::take(&mut self.head)).into_owned();
            self.answer(head.split(' ').nth(1).unwrap_or("/"));
        }
        Some(())
    }

    fn answer(&mut self, path: &str) {
        let body = match path {
            "/pid" => format!("pid {}", std::process::id()),
            "/abort" => std::process::abort(),
            "/exit" => std::process::exit(3),
            "/stop" => {
                ripstop_survive::wall().inspect(|wall| wall.plan());
                std::process::exit(5)
            }
            "/busy" => return self.left_hanging = true,
            "/started" => {
                self.claim.start();
                // Whoever has gone needs no answer.
                let _ = self.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
                return self.left_hanging = true;
            }
            "/leak" => leak(&self.stream),
            "/forge" => forge(&self.stream, self.claim),
            "/parked" => "parked".to_owned(),
            _ => "Hello, World!".to_owned(),
        };
        self.claim.start();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let _ = self.stream.write_all(answer.as_bytes());
        self.claim.rest();
    }
}

/// Has another claim's number lead to this connection.
fn forge(stream: &TcpStream, own: Claim) -> String {
    let other = claims().into_iter().flat_map(Claims::at_rest);
    let Some(other) = other.map(|at| at.number).find(|number| *number != own.number()) else {
        return "there is no other".to_owned();
    };
    // SAFETY: the number is open, and stays open: what it led to is closed, which is what a library
    // would do that closes a descriptor of others.
    #[expect(unsafe_code, reason = "a descriptor that is not what its claim says")]
    let mut other = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(other) });
    match rustix::io::dup2(stream, &mut other) {
        Ok(()) => "forged".to_owned(),
        Err(err) => err.to_string(),
    }
}

/// Opens a descriptor that an exec leaves open, as a careless library does.
fn leak(stream: &TcpStream) -> String {
    match rustix::io::dup(stream) {
        Ok(fd) => std::mem::forget::<OwnedFd>(fd),
        Err(err) => return err.to_string(),
    }
    "leaked".to_owned()
}
