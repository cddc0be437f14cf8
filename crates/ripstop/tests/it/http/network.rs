//! Packet loss and a partition, in a network namespace of the test's own, where the kernel drops
//! what nftables tell it to.

use super::site::{LARGE, PATIENCE, PIECE, SHORT, Site, options};
use ripstop::Options;
use ripstop_testkit::{Client, Ending, Seed};
use std::{env, process::Command, thread, time::Duration};

/// Set in the process that has the namespace.
const INSIDE: &str = "RIPSTOP_TEST_NETWORK";

/// What is lost at worst is sent again within this time.
const RETRANSMITTED: Duration = Duration::from_secs(30);

/// A network that nobody else is in.
struct Network(());

impl Network {
    /// Runs `test` in a process with a network of its own: this test once more, by its `name`.
    #[track_caller]
    fn within(name: &str, test: impl FnOnce(&Self)) {
        if env::var_os(INSIDE).is_some() {
            run("ip", &["link", "set", "lo", "up"]);
            return test(&Self(()));
        }
        let own = env::current_exe().unwrap();
        let mut inside = Command::new("unshare");
        inside.args(["--user", "--map-root-user", "--net"]).arg(own);
        inside.args(["--exact", &format!("http::network::{name}"), "--nocapture"]);
        let output = inside.env(INSIDE, "1").output().expect("unshare is there");
        let printed = String::from_utf8_lossy(&output.stdout);
        let all = format!("{printed}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && printed.contains("1 passed"), "{all}");
    }

    /// From now on nothing comes through.
    fn is_cut(&self) {
        self.has_rule("drop");
    }

    /// From now on every tenth packet is lost.
    fn loses_a_tenth(&self) {
        self.has_rule("numgen random mod 10 < 1 drop");
    }

    fn has_rule(&self, rule: &str) {
        let rules = format!(
            "add table inet test; \
             add chain inet test lost {{ type filter hook input priority 0; policy accept; }}; \
             add rule inet test lost {rule}"
        );
        run("nft", &[&rules]);
    }

    fn is_whole_again(&self) {
        run("nft", &["flush chain inet test lost"]);
    }
}

/// Options of a server whose worker is never replaced, which would end its connections, too.
fn lasting() -> Options {
    let mut options = options();
    options.workers.spares = 32;
    options
}

#[track_caller]
fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    assert!(
        status.unwrap_or_else(|err| panic!("{program}: {err}")).success(),
        "{program} {args:?}"
    );
}

#[test]
fn a_partition_costs_what_was_under_way_its_deadline_and_nothing_else() {
    Network::within(
        "a_partition_costs_what_was_under_way_its_deadline_and_nothing_else",
        |network| {
            let mut options = lasting();
            options.timeouts.header = Some(SHORT);
            options.timeouts.body = Some(SHORT);
            options.timeouts.write = Some(SHORT);
            let site = Site::start(options);
            let client = |text: &str| {
                let mut client = site.client();
                client.set_deadline(RETRANSMITTED);
                client.send(text).unwrap();
                client
            };
            let mut idle = client("");
            assert_eq!(idle.get("/").unwrap().text(), "hello");
            let mut waits = client("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
            let mut reads = client("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n");
            reads.read_exact(PIECE).unwrap();
            let post = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n";
            let mut sends = client(&format!("{post}hello"));
            site.probe.await_begun(5);
            let mut begins = client("GET / HT");
            network.is_cut();
            // The body that cannot be sent, and the handler that waits for the rest of one.
            site.probe.await_dropped(2);
            site.probe.release();
            site.probe.await_finished(3);
            network.is_whole_again();
            assert_eq!(begins.response().unwrap().status(), 408);
            assert_eq!(sends.response().unwrap().status(), 408);
            assert_eq!(waits.response().unwrap().text(), "waited");
            assert_eq!(idle.get("/").unwrap().text(), "hello");
            // Its reset was lost: it hears of it when it says something.
            let _ = reads.send("x");
            assert_eq!(reads.ending().unwrap().1, Ending::Cut);
            site.assert_serves();
            drop((idle, waits));
            site.running.stop();
            let Site { running, .. } = site;
            assert_eq!(running.wait(), ripstop::Outcome::Drained);
        },
    );
}

#[test]
fn packet_loss_costs_time_and_nothing_else() {
    Network::within("packet_loss_costs_time_and_nothing_else", |network| {
        let site = Site::start(lasting());
        network.loses_a_tenth();
        let body = Seed::from_env_or_clock().random().bytes(100_000);
        let talk = |mut client: Client| {
            client.set_deadline(RETRANSMITTED);
            for _ in 0..5 {
                let head = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n";
                client.send([head.as_bytes(), &body].concat()).unwrap();
                assert!(client.response().unwrap().body == body, "something else came back");
            }
            client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
            assert_eq!(client.response().unwrap().body.len(), LARGE);
        };
        thread::scope(|scope| {
            for _ in 0..5 {
                thread::Builder::new().spawn_scoped(scope, || talk(site.client())).unwrap();
            }
        });
        network.is_whole_again();
        assert!(ripstop_testkit::until(PATIENCE, || site.probe.finished() == 30));
        site.assert_serves();
    });
}
