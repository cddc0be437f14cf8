//! When requests are due, and of which class they are: a Poisson process, the same for each seed.

use crate::mix;
use std::time::Duration;

/// A request, before it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When it is due, counted from the begin of the run.
    pub due: Duration,
    /// Its class: an index into [`mix::MIX`].
    pub class: usize,
}

/// All requests of a run, in order.
pub struct Arrivals {
    random: Random,
    rate: f64,
    next: f64,
    end: Duration,
}

impl Arrivals {
    /// Requests for as long as `length`, `rate` of them a second in the mean.
    #[must_use]
    pub fn new(seed: u64, rate: f64, length: Duration) -> Self {
        Self { random: Random(seed), rate, next: 0.0, end: length }
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        // From (0, 1], whose logarithm is finite.
        self.next -= (1.0 - self.random.unit()).ln() / self.rate;
        let due = Duration::from_secs_f64(self.next);
        let class = mix::class(self.random.unit() * 100.0);
        (due < self.end).then_some(Arrival { due, class })
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    /// A number in `0.0..1.0`.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The 53 bits that a number below 1 has.
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn minute(seed: u64) -> Vec<Arrival> {
        Arrivals::new(seed, 1000.0, MINUTE).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_load() {
        assert_eq!(minute(7), minute(7));
        assert_ne!(minute(7), minute(8));
    }

    #[test]
    fn the_rate_and_the_mix_are_kept_in_the_mean() {
        let all = minute(7);
        let count = all.len() as f64;
        // Five times the deviation of such a draw.
        assert!((count - 60_000.0).abs() < 5.0 * 60_000f64.sqrt(), "{count} arrivals");
        for (class, kind) in mix::MIX.iter().enumerate() {
            let found = all.iter().filter(|arrival| arrival.class == class).count() as f64;
            let wanted = count * f64::from(kind.percent) / 100.0;
            assert!((found - wanted).abs() < 5.0 * wanted.sqrt(), "{found} of {kind:?}");
        }
    }

    #[test]
    fn gaps_are_exponential() {
        let all = minute(7);
        let gaps = all.windows(2).map(|pair| pair[1].due - pair[0].due);
        let long = gaps.filter(|gap| *gap > Duration::from_millis(1)).count() as f64;
        let share = long / all.len() as f64;
        assert!((share - (-1f64).exp()).abs() < 0.01, "{share} are longer than the mean");
        assert!(all.is_sorted_by_key(|arrival| arrival.due));
        assert!(all.iter().all(|arrival| arrival.due < MINUTE));
    }
}
