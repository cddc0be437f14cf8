//! Connections and streams that go to the worker that has less to do.

use axum::{Router, extract::State, routing::get};
use ripstop::Running;
use ripstop_testkit::{Client, until};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use super::setup::{SOON, connect, options, start};

/// How long a handler burns its thread.
const BURN: Duration = Duration::from_millis(2);

/// Counts its requests, burns its thread, and says which worker that is of.
async fn burn(State(count): State<Arc<AtomicUsize>>) -> String {
    count.fetch_add(1, SeqCst);
    let end = Instant::now() + BURN;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    worker()
}

fn worker() -> String {
    let name = thread::current().name().unwrap_or_default().to_owned();
    name.split('-').take(2).collect::<Vec<_>>().join("-")
}

fn app(count: &Arc<AtomicUsize>) -> Router {
    Router::new().route("/", get(burn)).with_state(count.clone())
}

/// Clients of one worker.
fn all_of_one(running: &Running, wanted: usize) -> Vec<Client> {
    let clients = (0..4 * wanted).map(|_| connect(running));
    let named = clients.map(|mut client| (client.get("/").unwrap().text(), client));
    let (on_first, _others): (Vec<_>, Vec<_>) = named.partition(|(name, _)| name == "rip-w0");
    assert!(on_first.len() >= wanted, "{}", on_first.len());
    on_first.into_iter().take(wanted).map(|(_, client)| client).collect()
}

#[test]
fn connections_leave_a_worker_that_is_behind_and_no_request_is_lost_or_doubled() {
    let count = Arc::new(AtomicUsize::new(0));
    let mut options = options(2, 2);
    // They stay in use.
    options.timeouts.park = None;
    let running = start(app(&count), &options);
    let clients = all_of_one(&running, 6);
    let (before, answered) = (count.load(SeqCst), AtomicUsize::new(0));
    let (stop, moved) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for mut client in clients {
            let (stop, moved, answered) = (&stop, &moved, &answered);
            scope.spawn(move || {
                let mut has_moved = false;
                while !stop.load(SeqCst) {
                    let is_elsewhere = client.get("/").unwrap().text() != "rip-w0";
                    answered.fetch_add(1, SeqCst);
                    if is_elsewhere && !std::mem::replace(&mut has_moved, true) {
                        moved.fetch_add(1, SeqCst);
                    }
                }
                assert!(client.is_quiet_for(Duration::ZERO).unwrap(), "an answer too many");
            });
        }
        let some = until(SOON, || moved.load(SeqCst) >= 2);
        stop.store(true, SeqCst);
        assert!(some, "{} of 6 have moved", moved.load(SeqCst));
    });
    assert_eq!(count.load(SeqCst) - before, answered.load(SeqCst));
    assert!(until(SOON, || running.handle().connections().open == 0));
}

#[test]
fn streams_of_one_busy_connection_run_on_all_workers() {
    let count = Arc::new(AtomicUsize::new(0));
    let running = start(app(&count), &options(2, 2));
    let address = super::setup::tcp(&running, "main");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let names: BTreeSet<String> = runtime.block_on(async {
        let io = tokio::net::TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(io).await.unwrap();
        let drives = connection;
        let asks = async {
            let mut send = send.ready().await.unwrap();
            let mut responses = Vec::new();
            for _ in 0..40 {
                let request = http::Request::get(format!("http://{address}/")).body(()).unwrap();
                responses.push(send.send_request(request, true).unwrap().0);
                send = send.ready().await.unwrap();
            }
            let mut names = BTreeSet::new();
            for response in responses {
                let mut body = response.await.unwrap().into_body();
                let piece = body.data().await.unwrap().unwrap();
                names.insert(String::from_utf8(piece.to_vec()).unwrap());
            }
            names
        };
        tokio::select! {
            names = asks => names,
            end = drives => panic!("the connection ended: {end:?}"),
        }
    });
    assert_eq!(names, BTreeSet::from(["rip-w0".to_owned(), "rip-w1".to_owned()]));
    assert_eq!(count.load(SeqCst), 40);
    assert!(until(SOON, || running.handle().connections().open == 0));
}
