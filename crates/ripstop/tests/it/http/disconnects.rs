//! What becomes of a handler whose client has gone.

use super::site::{PATIENCE, QUIET, Site, options};
use ripstop::Disconnect;
use ripstop_testkit::{Client, Ending, until};

const WAIT: &str = "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n";

fn site(disconnect: Disconnect) -> Site {
    let mut options = options();
    options.disconnect = disconnect;
    Site::start(options)
}

/// A client with a handler at work.
fn waiting(site: &Site, request: &str) -> Client {
    let mut client = site.client();
    client.send(request).unwrap();
    site.probe.await_begun(1);
    client
}

#[test]
fn a_handler_is_dropped_when_its_client_closes() {
    let site = site(Disconnect::CancelHandler);
    drop(waiting(&site, WAIT));
    site.probe.await_dropped(1);
    assert_eq!(site.probe.finished(), 0);
}

#[test]
fn a_handler_is_dropped_when_its_client_resets() {
    let site = site(Disconnect::CancelHandler);
    waiting(&site, WAIT).reset().unwrap();
    site.probe.await_dropped(1);
    assert_eq!(site.probe.finished(), 0);
}

#[test]
fn a_handler_that_may_upgrade_is_dropped_when_its_client_goes() {
    let site = site(Disconnect::CancelHandler);
    let upgrade = "GET /wait HTTP/1.1\r\nHost: test\r\nUpgrade: h2c\r\n";
    drop(waiting(&site, &format!("{upgrade}Connection: Upgrade\r\n\r\n")));
    site.probe.await_dropped(1);
    assert_eq!(site.probe.finished(), 0);
}

#[test]
fn a_handler_that_reads_is_dropped_when_its_client_goes_amid_the_body() {
    let site = site(Disconnect::CancelHandler);
    let post = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello";
    drop(waiting(&site, post));
    site.probe.await_dropped(1);
    assert_eq!(site.probe.finished(), 0);
}

#[test]
fn a_body_is_dropped_when_its_client_goes() {
    let site = site(Disconnect::CancelHandler);
    let mut client = site.client();
    client.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    client.read_exact(1 << 20).unwrap();
    drop(client);
    site.probe.await_dropped(1);
}

#[test]
fn a_handler_that_is_told_to_runs_to_its_end_without_its_client() {
    for reset in [false, true] {
        let site = site(Disconnect::RunToEnd);
        let client = waiting(&site, WAIT);
        if reset {
            client.reset().unwrap();
        } else {
            drop(client);
        }
        // Were it dropped, that would show here; the release after it shows that it was not.
        assert!(!until(QUIET, || site.probe.dropped() > 0));
        site.probe.release();
        site.probe.await_finished(1);
        assert_eq!(site.probe.dropped(), 0);
        site.assert_serves();
    }
}

#[test]
fn a_handler_that_runs_to_its_end_answers_as_any_other() {
    let site = site(Disconnect::RunToEnd);
    let mut client = site.client();
    let post = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    for _ in 0..3 {
        client.send(post).unwrap();
        assert_eq!(client.response().unwrap().text(), "hello");
    }
}

#[test]
fn no_worker_keeps_anything_of_clients_that_have_gone() {
    let site = site(Disconnect::CancelHandler);
    let mut clients: Vec<_> = (0..20).map(|_| site.client()).collect();
    for client in &mut clients {
        client.send(WAIT).unwrap();
    }
    site.probe.await_begun(20);
    drop(clients);
    site.probe.await_dropped(20);
    site.running.stop();
    let Site { running, .. } = site;
    assert_eq!(running.wait(), ripstop::Outcome::Drained);
}

/// What a client sends before it goes, at every byte of which it may do so.
const CUT: [&str; 4] = [
    "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "POST /ignore HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: test\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
];

#[test]
fn clients_that_reset_at_any_byte_leave_nothing() {
    let site = site(Disconnect::CancelHandler);
    for text in CUT {
        for end in 0..=text.len() {
            let mut client = site.client();
            client.send(&text[..end]).unwrap();
            client.reset().unwrap();
        }
    }
    leaves_nothing(site);
}

#[test]
fn clients_that_finish_sending_at_any_byte_are_answered_or_closed() {
    let site = site(Disconnect::CancelHandler);
    for text in CUT {
        for end in 0..=text.len() {
            let mut client = site.client();
            client.send(&text[..end]).unwrap();
            client.finish_sending().unwrap();
            client.ending().unwrap_or_else(|err| panic!("{text:?} cut at {end}: {err}"));
        }
    }
    leaves_nothing(site);
}

/// That all handlers and connections come to an end, and the server with them.
#[track_caller]
fn leaves_nothing(site: Site) {
    site.assert_serves();
    let probe = &site.probe;
    let over = || probe.begun() == probe.finished() + probe.dropped();
    assert!(
        until(PATIENCE, over),
        "{} of {} begun",
        probe.finished() + probe.dropped(),
        probe.begun()
    );
    site.running.stop();
    let Site { running, .. } = site;
    assert_eq!(running.wait(), ripstop::Outcome::Drained);
}

/// A FIN does not tell whether the client still reads. To answer it, a handler would have to run
/// on for a client that may have gone; `RunToEnd` is no different, as its response goes nowhere.
#[test]
fn a_client_that_finishes_sending_before_it_is_answered_counts_as_gone() {
    let site = site(Disconnect::CancelHandler);
    let mut client = waiting(&site, WAIT);
    client.finish_sending().unwrap();
    assert_eq!(client.ending().unwrap(), (vec![], Ending::Cut));
    site.probe.await_dropped(1);
}
