//! The predicted cost of a job: a running mean of what others like it took.

use std::time::Duration;

/// An exponentially weighted mean: each value moves it by an eighth of the difference, the first
/// is taken as it is. Exact to 8 ns.
///
/// ```
/// use ripstop_balance::Mean;
/// use std::time::Duration;
///
/// let mut mean = Mean::default();
/// assert_eq!(mean.get(), None);
/// mean.update(Duration::from_micros(80));
/// mean.update(Duration::from_micros(160));
/// assert_eq!(mean.get(), Some(Duration::from_micros(90)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mean {
    /// Nanoseconds plus one; zero before the first value.
    bits: u64,
}

/// The part of a mean that is replaced by each value, inverted.
const WEIGHT: u64 = 8;

impl Mean {
    /// The mean that [`Mean::to_bits`] was called on; 0 is one without a value.
    pub fn from_bits(bits: u64) -> Self {
        Self { bits }
    }

    /// The mean as one word, for an `AtomicU64`.
    pub fn to_bits(self) -> u64 {
        self.bits
    }

    /// Takes a measured value in. Values beyond 584 years count as that.
    pub fn update(&mut self, value: Duration) {
        let value = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1);
        let mean = self.bits.checked_sub(1).unwrap_or(value);
        self.bits = mean - mean / WEIGHT + value / WEIGHT + 1;
    }

    /// The mean, `None` before the first value.
    pub fn get(self) -> Option<Duration> {
        self.bits.checked_sub(1).map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[u64], expected: Option<u64>) {
        let mut mean = Mean::default();
        for &value in values {
            mean = Mean::from_bits(mean.to_bits());
            mean.update(Duration::from_nanos(value));
        }
        assert_eq!(mean.get(), expected.map(Duration::from_nanos), "{values:?}");
    }

    #[test]
    fn the_first_value_is_taken_and_each_other_moves_it_by_an_eighth() {
        check(&[], None);
        check(&[0], Some(0));
        check(&[7], Some(7));
        check(&[800, 1600], Some(900));
        check(&[800, 0], Some(700));
        check(&[0, 800, 800], Some(187 + 1));
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        check(&[u64::MAX, u64::MAX, u64::MAX], Some(u64::MAX - 1));
        check(&[0, u64::MAX], Some(u64::MAX / 8));
        let mut mean = Mean::default();
        mean.update(Duration::MAX);
        assert_eq!(mean.get(), Some(Duration::from_nanos(u64::MAX - 1)));
    }

    #[test]
    fn it_comes_to_what_is_measured() {
        let mut values = vec![1_000_000];
        values.extend([5_000; 100]);
        let mut mean = Mean::default();
        values.iter().for_each(|&value| mean.update(Duration::from_nanos(value)));
        let got = mean.get().expect("values were given");
        assert!(got.abs_diff(Duration::from_nanos(5_000)) < Duration::from_nanos(8), "{got:?}");
    }
}
