//! When a connection does not stay with the worker that accepted it.

use crate::Load;

/// How many connections more than the emptiest worker an accepting worker may own before it
/// gives connections away. Small enough that ten lasting connections spread over two workers,
/// large enough that short connections stay where they were accepted.
const SLACK: usize = 2;

/// The worker that should get the connection which `own` has just accepted, `None` if it stays.
///
/// Handing a single connection over costs a wake-up and a cold cache, so it is done only when
/// the balance is off: `own` is stuck, or owns more connections than the emptiest worker by
/// more than a small slack.
pub fn spill(own: usize, loads: &[Load]) -> Option<usize> {
    let mine = loads.get(own)?;
    let free = loads.iter().enumerate().filter(|(_, load)| !load.stuck);
    let (emptiest, least) = free.min_by_key(|(_, load)| load.connections)?;
    (mine.stuck || mine.connections > least.connections + SLACK).then_some(emptiest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(connections: &[usize], stuck: Option<usize>, expected: Option<usize>) {
        let loads: Vec<_> = connections
            .iter()
            .enumerate()
            .map(|(i, &connections)| Load {
                connections,
                stuck: stuck == Some(i),
                ..Load::default()
            })
            .collect();
        assert_eq!(spill(0, &loads), expected, "{connections:?}");
    }

    #[test]
    fn a_connection_stays_while_the_balance_holds() {
        check(&[1, 0], None, None);
        check(&[2, 0], None, None);
        check(&[92, 90], None, None);
        check(&[7], None, None);
    }

    #[test]
    fn it_goes_to_the_emptiest_when_the_balance_is_off() {
        check(&[3, 0], None, Some(1));
        check(&[9, 4, 3], None, Some(2));
        check(&[93, 90], None, Some(1));
    }

    #[test]
    fn a_stuck_worker_gives_everything_away_and_gets_nothing() {
        check(&[0, 5], Some(0), Some(1));
        check(&[9, 0], Some(1), None);
    }
}
