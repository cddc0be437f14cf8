//! Clients that send one request after the other until they are told to stop, and count.

use ripstop_testkit::{Client, until};
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::Scope,
    time::{Duration, Instant},
};

/// How long a client rests between two requests.
const REST: Duration = Duration::from_millis(20);

/// What a client does with its connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It keeps it, and rests before the next request.
    KeepAlive,
    /// It keeps it, and sends the next request at once.
    Restless,
    /// It asks the server to close it, rests, and makes another one.
    Fresh,
}

/// What clients saw until now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answers: usize,
    /// What went wrong with requests; a server that closes an idle connection does no wrong.
    pub(crate) failures: Vec<String>,
    /// The worst latency of each client.
    pub(crate) worst: Vec<Duration>,
}

impl Seen {
    /// The worst latency of all clients.
    pub(crate) fn worst(&self) -> Duration {
        self.worst.iter().copied().max().unwrap_or_default()
    }
}

/// Clients of one server.
pub(crate) struct Load {
    addr: SocketAddr,
    stop: AtomicBool,
    /// Connections that end, and new ones that are refused, are no failures any more.
    server_ends: AtomicBool,
    seen: Mutex<Seen>,
}

struct Guard<'a>(&'a Load);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What came of a request.
enum Outcome {
    /// It was answered; the connection, if it can be used again.
    Answered(Option<Client>),
    /// The connection had ended before.
    Unheard,
    /// There is no server any more.
    Gone,
}

impl Load {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let (stop, server_ends) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { addr, stop, server_ends, seen: Mutex::default() }
    }

    /// Begins with so many clients more.
    pub(crate) fn run<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        clients: usize,
        habit: Habit,
    ) {
        for _ in 0..clients {
            scope.spawn(move || self.client(habit));
        }
    }

    /// Stops the clients when it is dropped, so that a failed test ends.
    pub(crate) fn guard(&self) -> impl Drop {
        Guard(self)
    }

    /// What was seen until now.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Tells the clients to stop after the request they are at.
    pub(crate) fn stop(&self) {
        self.stop.store(true, SeqCst);
    }

    /// Tells the clients that the server is going to end.
    pub(crate) fn server_ends(&self) {
        self.server_ends.store(true, SeqCst);
    }

    fn client(&self, habit: Habit) {
        let (mut kept, mut worst) = (None, Duration::ZERO);
        while !self.stop.load(SeqCst) {
            let begin = Instant::now();
            match self.request(kept.take(), habit) {
                Ok(Outcome::Answered(client)) => {
                    worst = worst.max(begin.elapsed());
                    self.lock().answers += 1;
                    kept = self.rest(client, habit);
                }
                Ok(Outcome::Unheard) => {}
                Ok(Outcome::Gone) => break,
                Err(err) => self.lock().failures.push(format!("{habit:?}: {err}")),
            }
        }
        self.lock().worst.push(worst);
    }

    /// Sends one request, on the connection that is kept or on a new one.
    fn request(&self, kept: Option<Client>, habit: Habit) -> io::Result<Outcome> {
        let idle = kept.is_some();
        let client = match kept {
            Some(client) => client,
            None => match Client::tcp(self.addr) {
                Ok(client) => client,
                Err(_) if self.server_ends.load(SeqCst) => return Ok(Outcome::Gone),
                Err(err) => return Err(err),
            },
        };
        match exchange(client, habit) {
            Ok(client) => Ok(Outcome::Answered(client)),
            // A connection may end just when a request is sent on it; nothing of an answer came.
            Err(err) if is_end(&err) && (idle || self.server_ends.load(SeqCst)) => {
                Ok(Outcome::Unheard)
            }
            Err(err) => Err(err),
        }
    }

    /// Rests, if that is the habit; the connection that can be used again.
    fn rest(&self, client: Option<Client>, habit: Habit) -> Option<Client> {
        match (habit, client) {
            (Habit::Restless, client) => client,
            // Something that comes unasked can only be the end.
            (Habit::KeepAlive, Some(mut client)) => {
                client.is_quiet_for(REST).is_ok_and(|quiet| quiet).then_some(client)
            }
            (Habit::KeepAlive | Habit::Fresh, _) => {
                let _ = until(REST, || self.stop.load(SeqCst));
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a request and reads the response; the connection, unless one of the two sides ends it.
fn exchange(mut client: Client, habit: Habit) -> io::Result<Option<Client>> {
    let field = if habit == Habit::Fresh { "Connection: close\r\n" } else { "" };
    client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n"))?;
    let response = client.response()?;
    if response.status() != 200 {
        return Err(io::Error::other(format!("{response:?}")));
    }
    Ok(Some(client).filter(|_| response.header("connection") != Some("close")))
}

/// Whether a connection ended before any byte of a response. (After a reset that cannot be told;
/// then the test compares what was begun with what was answered.)
fn is_end(err: &io::Error) -> bool {
    match err.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => true,
        ErrorKind::UnexpectedEof => err.to_string().contains("closed after 0 bytes"),
        _ => false,
    }
}
