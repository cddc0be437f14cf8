//! Where a stream of a busy connection runs.

use crate::Load;

/// The worker that should run one more stream of a connection of `own`; `None` if that stays where
/// the connection is.
///
/// A stream elsewhere costs a wake-up each way, so it goes only where there is room: to a worker
/// with less in flight than `own` would have left, while `own` has other streams at work.
pub fn spread(own: usize, loads: &[Load]) -> Option<usize> {
    let mine = loads.get(own)?;
    let others = loads.iter().enumerate().filter(|(index, load)| *index != own && !load.stuck);
    let (other, least) = others.min_by_key(|(_, load)| (load.in_flight, load.busy_percent))?;
    // The stream that is placed is among those of `own` already.
    (mine.stuck || mine.in_flight > least.in_flight + 1).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(in_flight: &[usize], expected: Option<usize>) {
        let loads: Vec<_> =
            in_flight.iter().map(|&in_flight| Load { in_flight, ..Load::default() }).collect();
        assert_eq!(spread(0, &loads), expected, "{in_flight:?}");
    }

    #[test]
    fn a_single_stream_stays() {
        check(&[1, 0], None);
        check(&[1], None);
        check(&[3, 2], None);
    }

    #[test]
    fn further_ones_go_where_there_is_room() {
        check(&[2, 0], Some(1));
        check(&[9, 4, 3], Some(2));
        check(&[9, 9], None);
    }
}
