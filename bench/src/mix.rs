//! The mixed load: many short requests, some long ones, a few that are very long.

use std::time::Duration;

/// A kind of request.
#[derive(Debug)]
pub struct Class {
    /// What is asked for; the class's name in reports too.
    pub path: &'static str,
    /// How many of a hundred requests are of this class.
    pub percent: u8,
    /// What the handler burns, which is nearly the whole service time.
    pub cost: Duration,
}

impl Class {
    /// From when on an answer is late: ten times the cost.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.cost * 10
    }
}

/// The mix.
pub const MIX: [Class; 3] = [
    Class { path: "/cpu?us=200", percent: 95, cost: Duration::from_micros(200) },
    Class { path: "/cpu?us=4000", percent: 4, cost: Duration::from_micros(4000) },
    Class { path: "/cpu?us=50000", percent: 1, cost: Duration::from_micros(50000) },
];

/// The class of a request that has drawn `percent`, which is in `0.0..100.0`.
#[must_use]
pub fn class(percent: f64) -> usize {
    let mut up_to = 0.0;
    let drawn = MIX.iter().position(|class| {
        up_to += f64::from(class.percent);
        percent < up_to
    });
    drawn.unwrap_or(MIX.len() - 1)
}

/// The requests a second that keep `cores` processors busy for the share `busy` of the time, if
/// nothing but the handlers had a cost.
#[must_use]
pub fn rate(busy: f64, cores: f64) -> f64 {
    let weigh = |class: &Class| f64::from(class.percent) / 100.0 * class.cost.as_secs_f64();
    busy * cores / MIX.iter().map(weigh).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_mix_are_a_whole() {
        assert_eq!(MIX.iter().map(|class| class.percent).sum::<u8>(), 100);
        let drawn = [0.0, 94.9, 95.0, 98.9, 99.0, 99.9].map(class);
        assert_eq!(drawn, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_mean_of_850_us_and_two_cores_take_2000_a_second_at_85_percent() {
        assert!((rate(0.85, 2.0) - 2000.0).abs() < 1e-6);
    }
}
