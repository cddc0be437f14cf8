//! The service manager that has started a process, and what it is told: the protocol of systemd
//! (`sd_notify(3)`), lines of text in a datagram each.

use crate::clock::{Clock, uptime};
use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process,
    time::Duration,
};

/// By how much a stop is extended each time.
const EXTENSION: Duration = Duration::from_secs(10);

/// A service manager that wants to be told.
#[derive(Debug)]
pub struct Manager {
    address: SocketAddr,
    /// How long it waits for a sign of life, if it does.
    watchdog: Option<Duration>,
}

impl Manager {
    /// That of this process, by `NOTIFY_SOCKET` and `WATCHDOG_USEC`. `None` where there is none.
    pub fn of_this_process() -> Option<Self> {
        let socket = env::var("NOTIFY_SOCKET").ok()?;
        let address = address(&socket);
        let refused = |err: &io::Error| log::warn!(err:%, socket; "no service manager is told");
        let address = address.inspect_err(refused).ok()?;
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_meant).map(Duration::from_micros);
        Some(Self { address, watchdog })
    }

    /// How often it wants to be told [`Manager::lives`], if it does.
    pub fn period(&self) -> Option<Duration> {
        self.watchdog.map(|patience| patience / 2)
    }

    /// The service serves: at first, after a reload, and as often as its status changes.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}\n"));
    }

    /// The configuration is being read again, until [`Manager::ready`].
    pub fn reloading(&self) {
        let now = uptime(Clock::Exact).as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n"));
    }

    /// The service is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining\n");
    }

    /// Requests that run still keep it from its end.
    pub fn drains(&self) {
        self.tell(&format!("EXTEND_TIMEOUT_USEC={}\n", EXTENSION.as_micros()));
    }

    /// It goes on.
    pub fn lives(&self) {
        self.tell("WATCHDOG=1\n");
    }

    fn tell(&self, lines: &str) {
        let told = UnixDatagram::unbound().and_then(|socket| {
            // Nobody waits for a manager that does not read.
            socket.set_nonblocking(true)?;
            socket.send_to_addr(lines.as_bytes(), &self.address)
        });
        // One that does not listen any more is not told; there is nobody else to tell it.
        if let Err(err) = told {
            log::debug!(err:%; "the service manager cannot be told");
        }
    }
}

/// A path, or a name in the abstract namespace after `@`.
fn address(socket: &str) -> io::Result<SocketAddr> {
    match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}
