//! From samples to percentiles: exact ones, since a run has room for all its samples.

use crate::mix::{Class, MIX};
use serde::Serialize;
use std::time::Duration;

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its class: an index into [`MIX`].
    pub class: usize,
    /// From when it was due until its answer was there; `None` if it failed or was given up.
    pub latency: Option<Duration>,
}

/// The figures of a class, or of all of them.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The class's path, or `all`.
    pub class: &'static str,
    /// Requests, the failed ones included.
    pub count: usize,
    /// Requests that failed, or were answered otherwise than with 200.
    pub errors: usize,
    /// Latencies of those that did not fail; NaN (in JSON null) without any.
    pub p50_ms: f64,
    /// As `p50_ms`.
    pub p99_ms: f64,
    /// As `p50_ms`.
    pub p999_ms: f64,
    /// As `p50_ms`.
    pub max_ms: f64,
    /// The share of requests that failed or took more than ten times their cost.
    pub late: f64,
}

/// The figures of each class, in the mix's order, and of all together, last.
#[must_use]
pub fn figures(samples: &[Sample]) -> Vec<Figures> {
    let classes = MIX.iter().enumerate().map(|(class, Class { path, .. })| {
        let own: Vec<_> = samples.iter().filter(|sample| sample.class == class).copied().collect();
        of(path, &own)
    });
    classes.chain([of("all", samples)]).collect()
}

fn of(class: &'static str, samples: &[Sample]) -> Figures {
    let mut latencies: Vec<_> = samples.iter().filter_map(|sample| sample.latency).collect();
    latencies.sort_unstable();
    let late = |sample: &&Sample| sample.latency.is_none_or(|it| it > MIX[sample.class].limit());
    Figures {
        class,
        count: samples.len(),
        errors: samples.len() - latencies.len(),
        p50_ms: percentile_ms(&latencies, 0.5),
        p99_ms: percentile_ms(&latencies, 0.99),
        p999_ms: percentile_ms(&latencies, 0.999),
        max_ms: percentile_ms(&latencies, 1.0),
        late: samples.iter().filter(late).count() as f64 / samples.len() as f64,
    }
}

/// The smallest of `sorted` that the share `quantile` of them does not exceed, in milliseconds; NaN
/// if there are none.
#[must_use]
pub fn percentile_ms(sorted: &[Duration], quantile: f64) -> f64 {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(rank.max(1) - 1).map_or(f64::NAN, |found| found.as_secs_f64() * 1e3)
}

/// The middle one of `values`, or the mean of the two; NaN if there are none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        for (quantile, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            assert!((percentile_ms(&sorted, quantile) - expected).abs() < 1e-9, "{quantile}");
        }
        assert!((percentile_ms(&sorted[..1], 0.001) - 1.0).abs() < 1e-9);
        assert!(percentile_ms(&[], 0.5).is_nan());
    }

    #[test]
    fn a_failed_request_is_late_and_has_no_latency() {
        let sample = |class, ms| Sample { class, latency: Duration::from_millis(ms).into() };
        let failed = Sample { class: 0, latency: None };
        let all = figures(&[sample(0, 1), sample(0, 3), sample(1, 3), failed]);
        let (short, long, whole) = (&all[0], &all[1], &all[3]);
        assert_eq!((short.count, short.errors, short.max_ms as u32), (3, 1, 3));
        assert!((short.late - 2.0 / 3.0).abs() < 1e-9 && long.late == 0.0 && whole.late == 0.5);
        assert_eq!((whole.class, whole.count, whole.errors), ("all", 4, 1));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 9.0, 2.0]) - 3.0).abs() < 1e-9);
    }
}
