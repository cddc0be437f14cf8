//! Reports of panics, from the hook that runs where one begins: only there the stack still stands.

use crate::{slot::Slot, watchdog::sight};
use ripstop_tears::{Kind, Sighting, Stack};
use std::{
    panic::{PanicHookInfo, set_hook, take_hook},
    sync::Once,
};

/// Sets a hook, once in a process, that reports panics of our threads and then calls the hook that
/// was there before.
pub(crate) fn report() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            file(info);
            // The next hook may take its time: the default one resolves the stack right here if it
            // is asked for backtraces. That is not the request's doing.
            let subject = Slot::of_this_thread(Slot::turn_away);
            previous(info);
            Slot::of_this_thread(|slot| subject.map(|subject| slot.turn_back(subject)));
        }));
    });
}

fn file(info: &PanicHookInfo<'_>) {
    Slot::of_this_thread(|slot| {
        let payload = info.payload_as_str().unwrap_or("a panic without a text");
        let place = info.location().map(|at| format!(" at {at}")).unwrap_or_default();
        let message = format!("{payload}{place}");
        slot.tears.file(Sighting { message, stack: Stack::here(), ..sight(Kind::Panic, slot) });
    });
}
