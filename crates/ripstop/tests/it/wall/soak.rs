//! A soak: whatever can happen to a server happens to it, in no order, under load. Its length is
//! `SOAK_SECONDS`; `cargo xtask soak` has it run for half an hour.

use super::family::{Walled, all_answered};
use crate::serve::setup::SOON;
use ripstop::wall::{Connections, Outside, Role, Upgraded};
use ripstop_testkit::{Busy, Client, Proc, Random, Seed, Signal, send, until};
use std::{
    env,
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

/// How long it takes if nobody says otherwise, in seconds.
const SECONDS: u64 = 5;

/// Clients that are never idle.
const BUSY: usize = 4;

/// Connections that are used after each event.
const IDLE: usize = 100;

/// How the names of executors begin.
const EXECUTOR: &str = "rip-e";

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    KillServer,
    KillKeeper,
    Upgrade,
    FailedUpgrade,
    Reload,
    Wedge,
    Panic,
    Nothing,
}

const EVENTS: [Event; 8] = [
    Event::KillServer,
    Event::KillKeeper,
    Event::Upgrade,
    Event::FailedUpgrade,
    Event::Reload,
    Event::Wedge,
    Event::Panic,
    Event::Nothing,
];

/// What a family takes when it is at rest.
#[derive(Debug)]
struct Baseline {
    descriptors: usize,
    masters_descriptors: usize,
    threads: Vec<String>,
    server_bytes: u64,
    master_bytes: u64,
}

impl Baseline {
    /// Waits until no connection is left, and the numbers are what they are.
    #[track_caller]
    fn of(walled: &Walled) -> Self {
        let none = Some(Connections::default());
        let seen = || outside(walled).servers().unwrap_or_default();
        let at_rest = || {
            let seen = seen();
            walled.members().len() == 3 && seen.len() == 1 && seen[0].connections == none
        };
        assert!(until(SOON, at_rest), "{:?} {:?}\n{}", walled.members(), seen(), walled.log());
        walled.settle();
        let (server, master) = (walled.server(), walled.family.proc());
        let mut last = (0, Vec::new());
        let threads = || {
            let mut threads = server.threads().unwrap_or_default();
            // The one that resolves the names in stacks ends by itself.
            threads.retain(|name| name != "rip-tears");
            // Which of the executors are left is nobody's concern.
            threads.iter_mut().filter(|name| name.starts_with(EXECUTOR)).for_each(|name| {
                name.truncate(EXECUTOR.len());
            });
            threads
        };
        // The surplus of them lingers for a while.
        let executors = |threads: &[String]| {
            let count = threads.iter().filter(|name| *name == EXECUTOR).count();
            count == thread::available_parallelism().unwrap().get()
        };
        let seen = || (server.fds().unwrap_or(0), threads());
        let settled = until(SOON, || {
            let before = std::mem::replace(&mut last, seen());
            before == last && executors(&last.1)
        });
        assert!(settled, "{last:?}");
        Self {
            descriptors: last.0,
            masters_descriptors: master.fds().unwrap(),
            threads: last.1,
            server_bytes: server.rss_bytes().unwrap(),
            master_bytes: master.private_bytes().unwrap(),
        }
    }
}

struct Soak {
    walled: Walled,
    idle: Vec<Client>,
    random: Random,
}

fn outside(walled: &Walled) -> Outside {
    Outside::of(walled.family.id().cast_signed()).unwrap_or_else(|err| panic!("{err}"))
}

impl Soak {
    /// Waits until one server is there and answers.
    #[track_caller]
    fn is_one(&self) -> Proc {
        let one = || {
            let seen = outside(&self.walled).servers().unwrap_or_default();
            self.walled.members().len() == 3 && seen.len() == 1 && seen[0].role == Role::Serves
        };
        assert!(until(SOON, one), "{:?}\n{}", self.walled.members(), self.walled.log());
        self.walled.server()
    }

    #[track_caller]
    fn happens(&mut self, event: Event) {
        match event {
            Event::KillServer => {
                let server = self.is_one();
                send(server, Signal::KILL).unwrap();
                self.walled.successor(server);
            }
            Event::KillKeeper => {
                let keeper = self.walled.keeper();
                send(keeper, Signal::KILL).unwrap();
                assert!(until(SOON, || self.walled.keeper().id() != keeper.id()));
            }
            Event::Upgrade => {
                assert_eq!(self.upgrade(None), Upgraded::Done, "{}", self.walled.log());
            }
            Event::FailedUpgrade => {
                assert!(matches!(self.upgrade(Some("/bin/false")), Upgraded::Failed(_)));
            }
            Event::Reload => self.walled.family.master().signal(Signal::HUP).unwrap(),
            Event::Wedge => {
                let mut clients = self.walled.idle(1 + self.random.below(3));
                for client in &mut clients {
                    client.send("GET /wedge?ms=150 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
                }
                for client in &mut clients {
                    assert_eq!(client.response().unwrap().text(), "unwedged");
                }
            }
            Event::Panic => {
                let mut client = self.walled.connect();
                assert_eq!(client.get("/panic").unwrap().status(), 500);
                assert_eq!(client.get("/").unwrap().status(), 200);
            }
            Event::Nothing => {}
        }
    }

    #[track_caller]
    fn upgrade(&mut self, program: Option<&str>) -> Upgraded {
        self.is_one();
        let outside = outside(&self.walled);
        assert!(outside.ask(program.map(AsRef::as_ref), SOON));
        self.walled.family.master().signal(Signal::USR2).unwrap();
        let over = until(2 * SOON, || outside.upgraded() != Upgraded::NotYet);
        assert!(over, "{:?} {:?}\n{}", outside.servers(), self.walled.members(), self.walled.log());
        let outcome = outside.upgraded();
        self.is_one();
        outcome
    }
}

#[test]
fn whatever_happens_under_load_costs_no_idle_connection_and_leaves_nothing_behind() {
    let seconds = env::var("SOAK_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let random = Seed::from_env_or_clock().random();
    let walled = Walled::start(&["--workers", "2", "--park", "100"]);
    drop(walled.idle(IDLE));
    let mut soak = Soak { walled, idle: Vec::new(), random };
    // What the first report of a stall takes, for the names in its stack, is kept for the next one.
    soak.happens(Event::Wedge);
    let before = Baseline::of(&soak.walled);
    soak.idle = soak.walled.idle(IDLE);
    soak.walled.settle();
    let (busy, end) = (Busy::default(), Instant::now() + Duration::from_secs(seconds));
    let (mut events, mut kills) = (0, 0);
    thread::scope(|scope| {
        let _guard = busy.guard();
        busy.run(scope, soak.walled.address, BUSY);
        while Instant::now() < end {
            let event = EVENTS[soak.random.below(EVENTS.len())];
            soak.happens(event);
            events += 1;
            kills += usize::from(matches!(event, Event::KillServer));
            println!("{events} {event:?}");
            all_answered(&mut soak.idle);
            soak.walled.settle_between(&busy);
        }
    });
    println!("{events} events in {seconds} s, {kills} kills, {busy:?}");
    assert_eq!((busy.refused.load(Relaxed), busy.wrong.load(Relaxed)), (0, 0), "{busy:?}");
    // A kill hits at most one request of each of them, and nothing else hits any.
    let hit = busy.told.load(Relaxed) + busy.cut.load(Relaxed);
    assert!(hit <= kills * BUSY, "{busy:?}");
    soak.idle.clear();
    let after = Baseline::of(&soak.walled);
    println!("{before:?} {after:?}");
    assert!(after.descriptors <= before.descriptors, "{before:?} {after:?}");
    assert!(after.masters_descriptors <= before.masters_descriptors, "{before:?} {after:?}");
    assert_eq!(after.threads, before.threads);
    assert!(after.server_bytes <= before.server_bytes * 3 / 2, "{before:?} {after:?}");
    assert!(after.master_bytes <= before.master_bytes + (512 << 10), "{before:?} {after:?}");
    soak.walled.family.master().signal(Signal::TERM).unwrap();
    assert_eq!(soak.walled.family.master().exit(SOON).unwrap().code(), Some(0));
    assert!(soak.walled.ends());
}
