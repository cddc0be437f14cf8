//! Places among the connections: taken, refused, given back, and counted meanwhile.

use super::*;
use ripstop_testkit::Seed;
use std::thread;

const TOTAL: usize = 20;
const LISTENER: usize = 8;
const NONE: ConnectionLimits = ConnectionLimits { total: usize::MAX, per_client: None };

fn client(ticket: &mut Ticket, last: u8) -> Result<(), Full> {
    ticket.admit_client(IpAddr::from([192, 0, 2, last]))
}

#[test]
fn as_many_as_may_be_in_all_have_a_place_and_the_next_when_one_has_gone() {
    let all = Connections::new(ConnectionLimits { total: 2, ..NONE });
    let (one, two) = (all.listener("one".into(), None), all.listener("two".into(), None));
    let held = (one.ticket().unwrap(), two.ticket().unwrap());
    assert_eq!(one.ticket().unwrap_err(), Full::Total);
    assert_eq!(two.ticket().unwrap_err(), Full::Total);
    drop(held.0);
    let held = (two.ticket().unwrap(), held.1);
    let counts = all.counts();
    assert_eq!((counts.open, counts.limit, counts.accepted, counts.refused.total), (2, 2, 5, 2));
    let listeners: Vec<_> = counts.listeners.iter().map(|it| (it.open, it.accepted)).collect();
    assert_eq!(listeners, [(0, 2), (2, 3)]);
    drop(held);
    assert_eq!(all.counts().open, 0);
}

#[test]
fn no_more_than_there_is_room_for_while_memory_is_short() {
    let all = Connections::new(NONE);
    let listener = all.listener("main".into(), None);
    let held = [(); 3].map(|()| listener.ticket().unwrap());
    all.leave_room(Some(3));
    assert_eq!(listener.ticket().unwrap_err(), Full::Memory);
    all.leave_room(Some(4));
    let held = (held, listener.ticket().unwrap());
    assert_eq!(listener.ticket().unwrap_err(), Full::Memory);
    all.leave_room(None);
    drop((held, listener.ticket().unwrap()));
    let counts = all.counts();
    assert_eq!((counts.open, counts.refused.memory, counts.refused.sum()), (0, 2, 2));
}

#[test]
fn a_full_listener_takes_no_place_from_others() {
    let all = Connections::new(ConnectionLimits { total: 2, ..NONE });
    let (one, two) = (all.listener("one".into(), Some(1)), all.listener("two".into(), None));
    let _held = one.ticket().unwrap();
    for _ in 0..10 {
        assert_eq!(one.ticket().unwrap_err(), Full::Listener);
    }
    let _held = two.ticket().unwrap();
    assert_eq!((all.counts().open, all.counts().refused.listener), (2, 10));
}

#[test]
fn a_client_has_its_own_limit_and_is_forgotten_when_it_has_gone() {
    let all = Connections::new(ConnectionLimits { per_client: Some(1), ..NONE });
    let listener = all.listener("main".into(), None);
    let [mut one, mut two, mut other] = [(); 3].map(|()| listener.ticket().unwrap());
    client(&mut one, 1).unwrap();
    assert_eq!(client(&mut two, 1), Err(Full::Client));
    client(&mut other, 2).unwrap();
    assert_eq!((all.counts().clients, all.counts().refused.client), (2, 1));
    drop(two);
    assert_eq!(all.counts().clients, 2);
    drop((one, other));
    assert_eq!((all.counts().clients, all.counts().open), (0, 0));
}

#[test]
fn clients_are_counted_from_when_that_is_on_and_leave_when_it_is_off() {
    let all = Connections::new(NONE);
    let listener = all.listener("main".into(), None);
    let mut before = listener.ticket().unwrap();
    client(&mut before, 1).unwrap();
    assert_eq!(all.counts().clients, 0);
    all.limit(ConnectionLimits { per_client: Some(1), ..NONE });
    let [mut first, mut second] = [(); 2].map(|()| listener.ticket().unwrap());
    client(&mut first, 1).unwrap();
    assert_eq!(client(&mut second, 1), Err(Full::Client));
    all.limit(NONE);
    client(&mut second, 1).unwrap();
    drop((before, first, second));
    assert_eq!(all.counts().clients, 0);
}

#[test]
fn a_closed_listener_is_told_of_as_long_as_it_has_connections() {
    let all = Connections::new(NONE);
    let listener = all.listener("gone".into(), None);
    let ticket = listener.ticket().unwrap();
    drop(listener);
    assert_eq!(&*all.counts().listeners[0].name, "gone");
    drop(ticket);
    assert_eq!(all.counts().listeners, []);
}

#[test]
fn threads_that_come_and_go_never_pass_a_limit_and_leave_nothing() {
    let limits = ConnectionLimits { total: TOTAL, per_client: Some(3) };
    let all = Connections::new(limits);
    let listeners = [Some(LISTENER), None].map(|max| all.listener("main".into(), max));
    // What the threads know to hold, of the first listener and in all: at no time more than what
    // is counted.
    let holds: [AtomicUsize; 2] = Default::default();
    let seed = Seed::from_env_or_clock();
    thread::scope(|scope| {
        for thread in 0..8 {
            let (listeners, holds) = (&listeners, &holds);
            scope.spawn(move || come_and_go(Seed(seed.0 ^ thread), listeners, holds));
        }
    });
    let counts = all.counts();
    assert_eq!((counts.open, counts.clients), (0, 0));
    assert!(counts.listeners.iter().all(|listener| listener.open == 0), "{counts:?}");
    let RefusedCounts { total, listener, client, .. } = counts.refused;
    assert!(total > 0 && listener > 0 && client > 0, "{counts:?}");
}

fn come_and_go(seed: Seed, listeners: &[Arc<ListenerConnections>; 2], holds: &[AtomicUsize; 2]) {
    let mut random = seed.random();
    let mut mine = Vec::<(Ticket, usize)>::new();
    for _ in 0..20_000 {
        if mine.len() < 10 && random.chance(60) {
            let which = random.below(2);
            let Ok(mut ticket) = listeners[which].ticket() else { continue };
            let listener = holds[0].fetch_add(1 - which, AcqRel) + (1 - which);
            let total = holds[1].fetch_add(1, AcqRel) + 1;
            assert!(listener <= LISTENER && total <= TOTAL, "{listener} {total}");
            // A client that has too many is refused at once, or keeps its place uncounted.
            let _ = ticket.admit_client(IpAddr::from([192, 0, 2, random.below(4) as u8]));
            mine.push((ticket, which));
        } else if !mine.is_empty() {
            let (ticket, which) = mine.swap_remove(random.below(mine.len()));
            leave(ticket, which, holds);
        }
    }
    for (ticket, which) in mine {
        leave(ticket, which, holds);
    }
}

fn leave(ticket: Ticket, which: usize, holds: &[AtomicUsize; 2]) {
    holds[0].fetch_sub(1 - which, AcqRel);
    holds[1].fetch_sub(1, AcqRel);
    drop(ticket);
}
