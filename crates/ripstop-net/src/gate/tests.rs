//! A lease that comes back to a worker before its last holder there has left.

use super::*;
use crate::{Address, Inherited, ListenerOptions};
use ripstop_tears::Tears;
use ripstop_testkit::until;
use std::{net::TcpStream, sync::atomic::AtomicUsize};

/// Counts who comes.
struct Counts(Arc<AtomicUsize>);

impl Reception for Counts {
    fn let_in(&self, _: Socket, _: &Worker) -> Option<Socket> {
        self.0.fetch_add(1, Relaxed);
        None
    }

    fn out_of_descriptors(&self) {}

    fn receive(&self, _: Socket, _: &Arc<Worker>) -> impl Future<Output = ()> + Send + 'static {
        std::future::ready(())
    }
}

#[test]
fn a_holder_waits_until_the_one_before_has_left_the_reactor() {
    let one = std::num::NonZeroUsize::MIN;
    let options = ripstop_work::Options { workers: one, ..ripstop_work::Options::default() };
    let workers = Arc::new(Workers::start(&options, Tears::new()).unwrap());
    let options = ListenerOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        defer_accept: None,
        ..ListenerOptions::default()
    };
    let listener = Listener::bind(&options, &Inherited::default()).unwrap();
    let Address::Tcp(address) = *listener.local_address() else { panic!("{listener:?}") };
    let seen = Arc::<AtomicUsize>::default();
    let gate = Gate::open(listener, Counts(seen.clone()), workers, Placement::default(), true);
    let gate = gate.unwrap();
    for count in 1..10 {
        let _client = TcpStream::connect(address).unwrap();
        assert!(until(Duration::from_secs(10), || seen.load(Relaxed) == count), "{count}");
        if count % 2 == 1 {
            // The holder waits for a client, and takes the next one before it leaves.
            assert!(gate.give(|_| true));
        }
    }
}
