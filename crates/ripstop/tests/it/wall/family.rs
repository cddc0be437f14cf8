//! The example `tear` with master and keeper.

use crate::serve::{program::command, setup::SOON};
use ripstop_testkit::{Busy, Client, Family, Proc, Signal, send, until};
use std::{net::SocketAddr, ops::Deref, process::Command};

/// What is logged by a server that has taken over.
pub(crate) const TOOK_OVER: &str = "the server before has died";

/// A server with its whole family.
pub(crate) struct Walled {
    pub(crate) family: Family,
    pub(crate) address: SocketAddr,
}

impl Walled {
    /// Starts `tear` with these arguments, on a port that the kernel chooses.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_as(command("tear").args(arguments))
    }

    /// The same, by a command that names no listener yet.
    #[track_caller]
    pub(crate) fn start_as(command: &mut Command) -> Self {
        let family = Family::start(command.args(["--listen", "127.0.0.1:0"])).unwrap();
        let listening = |line: &str| line.split_once(" address=")?.1.trim().parse().ok();
        let address = family.announced(SOON, listening).unwrap();
        Self { family, address }
    }

    /// A new connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.address).unwrap()
    }

    /// So many connections that have had an answer.
    #[track_caller]
    pub(crate) fn idle(&self, count: usize) -> Vec<Client> {
        let answered = || {
            let mut client = self.connect();
            assert_eq!(client.get("/").unwrap().text(), "Hello, World!");
            client
        };
        (0..count).map(|_| answered()).collect()
    }

    /// Waits until all that was answered is at rest: until its threads sleep. A response is out a
    /// moment before its claim says that nothing is owed.
    #[track_caller]
    pub(crate) fn settle(&self) {
        assert!(comes_to_rest(self.server()), "it is never at rest:\n{}", self.family.log());
    }

    /// The same under load: between two requests of the busy clients.
    #[track_caller]
    pub(crate) fn settle_between(&self, busy: &Busy) {
        let _pause = busy.pause();
        self.settle();
    }

    /// Kills the server, and waits for the next one.
    #[track_caller]
    pub(crate) fn kill_server(&self) -> Proc {
        let server = self.server();
        send(server, Signal::KILL).unwrap();
        self.successor(server)
    }

    /// The server after this one.
    #[track_caller]
    pub(crate) fn successor(&self, dead: Proc) -> Proc {
        let mut next = dead;
        let replaced = until(SOON, || {
            next = self.server();
            next.id() != dead.id()
        });
        assert!(replaced, "the server was not replaced:\n{}", self.family.log());
        next
    }

    /// Waits for the line of the `nth` server, which tells of the death of the one before.
    #[track_caller]
    pub(crate) fn took_over(&self, nth: usize) -> String {
        let number = format!("servers={nth}");
        let is_meant = |line: &str| line.contains(TOOK_OVER) && line.contains(&number);
        let line = self.family.announced(SOON, |line| is_meant(line).then(|| line.to_owned()));
        line.unwrap_or_else(|err| panic!("no server took over as number {nth}: {err}"))
    }
}

impl Deref for Walled {
    type Target = Family;

    fn deref(&self) -> &Family {
        &self.family
    }
}

/// Waits until a server has nothing to do, and tells whether that came about.
#[must_use]
pub(crate) fn comes_to_rest(server: Proc) -> bool {
    until(SOON, || server.is_at_rest().unwrap_or(false))
}

/// Has each of the clients get an answer on the connection that it has.
#[track_caller]
pub(crate) fn all_answered(clients: &mut [Client]) {
    for (number, client) in clients.iter_mut().enumerate() {
        let response = client.get("/").unwrap_or_else(|err| panic!("client {number}: {err}"));
        assert_eq!(response.text(), "Hello, World!", "client {number}");
    }
}
