//! A pull frees exactly one thread, whenever it comes.

use crate::plugs::Plugs;
use loom::thread;
use std::sync::Arc;

/// A thread that is held.
fn spare(plugs: &Arc<Plugs>) -> thread::JoinHandle<()> {
    let plugs = plugs.clone();
    thread::spawn(move || plugs.hold())
}

/// A model fails by itself where a thread is held for ever.
#[test]
fn each_pull_frees_one_thread() {
    loom::model(|| {
        let plugs = Arc::new(Plugs::default());
        let spares = [spare(&plugs), spare(&plugs)];
        assert_eq!(plugs.let_out(1), 0);
        assert_eq!(plugs.let_out(2), 0);
        for spare in spares {
            spare.join().expect("it is freed");
        }
        assert_eq!(plugs.held(), 0);
    });
}

#[test]
fn a_plug_that_is_put_back_holds_again_until_it_is_pulled_again() {
    loom::model(|| {
        let plugs = Arc::new(Plugs::default());
        let first = spare(&plugs);
        plugs.let_out(1);
        assert_eq!(plugs.let_out(0), 1, "one has to be put back");
        // Whichever of the two comes late may take the first pull, the other is held then.
        let again = spare(&plugs);
        assert_eq!(plugs.let_out(1), 0);
        for spare in [first, again] {
            spare.join().expect("it is freed");
        }
    });
}

#[test]
fn opened_plugs_hold_nobody() {
    loom::model(|| {
        let plugs = Arc::new(Plugs::default());
        let spare = spare(&plugs);
        plugs.open();
        spare.join().expect("it is freed");
    });
}
