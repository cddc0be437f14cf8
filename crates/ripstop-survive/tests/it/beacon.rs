//! The example, started.

use ripstop_testkit::{Client, Family, Proc, Signal, example, send, until};
use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

/// Nothing here takes longer, on whatever machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A beacon with master and keeper.
pub(crate) struct Beacon {
    pub(crate) family: Family,
    pub(crate) address: SocketAddr,
}

impl Beacon {
    /// Starts one, on a port that the kernel chooses.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_by(&mut Self::command())
    }

    /// Starts one that aborts at its start while there is this file.
    #[track_caller]
    pub(crate) fn crashing(file: &Path) -> Self {
        Self::start_by(&mut Self::command_crashing(file))
    }

    /// The command for that.
    pub(crate) fn command_crashing(file: &Path) -> Command {
        let mut command = Self::command();
        command.env("BEACON_CRASH", file);
        command
    }

    fn command() -> Command {
        let mut command = Command::new(example("beacon").unwrap());
        command.arg("127.0.0.1:0");
        command
    }

    #[track_caller]
    fn start_by(command: &mut Command) -> Self {
        let family = Family::start(command).unwrap();
        let address = family.announced(SOON, ripstop_testkit::address).unwrap();
        Self { family, address }
    }

    /// A new connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.address).unwrap()
    }

    /// A new connection that has had an answer, and its claim is at rest: another one had its own
    /// after it.
    #[track_caller]
    pub(crate) fn idle(&self) -> Client {
        let mut client = self.connect();
        assert_eq!(client.get("/").unwrap().text(), "Hello, World!");
        self.settle();
        client
    }

    /// Waits until the server, which has one thread, has done all that it was asked until now.
    #[track_caller]
    pub(crate) fn settle(&self) {
        let _ = self.connect().get("/").unwrap();
    }

    /// Kills the server, and gives the next one.
    #[track_caller]
    pub(crate) fn kill_server(&self) -> Proc {
        let server = self.family.server();
        send(server, Signal::KILL).unwrap();
        self.successor(server)
    }

    /// The server after this one, with a keeper of its own.
    #[track_caller]
    pub(crate) fn successor(&self, dead: Proc) -> Proc {
        let mut next = dead;
        let replaced = until(SOON, || {
            next = self.family.server();
            next.id() != dead.id()
        });
        assert!(replaced, "the server was not replaced:\n{}", self.family.log());
        self.family.keeper();
        next
    }

    /// Waits for the line of this generation.
    #[track_caller]
    pub(crate) fn generation(&self, number: u32) -> String {
        let generation = format!(" generation={number} ");
        self.family
            .announced(SOON, |line| line.contains(&generation).then(|| line.to_owned()))
            .unwrap_or_else(|err| panic!("no generation {number}: {err}"))
    }
}
