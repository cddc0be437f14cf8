//! Randomness that a failed test can be given again.
//!
//! Not for secrets: the generator is `SplitMix64`, chosen because it is nine lines.

use std::env;
use std::time::SystemTime;

/// The variable that repeats a run.
const VARIABLE: &str = "RIPSTOP_SEED";

/// Where a test's randomness begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// Takes the seed from `RIPSTOP_SEED` or else from the clock, and prints it in the form in
    /// which it can be given again. (The test harness shows what is printed when the test fails.)
    ///
    /// # Panics
    ///
    /// `RIPSTOP_SEED` is set and is not a whole number.
    pub fn from_env_or_clock() -> Self {
        let seed = match env::var(VARIABLE) {
            Ok(text) => Self::parse(&text),
            Err(_) => Self::from_clock(),
        };
        println!("{VARIABLE}={}", seed.0);
        seed
    }

    fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(seed) => Self(seed),
            Err(err) => panic!("{VARIABLE}={text}: {err}; a whole number below 2^64 is wanted"),
        }
    }

    fn from_clock() -> Self {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(u64::from(since.subsec_nanos()) ^ (since.as_secs() << 30))
    }

    /// The generator that begins here.
    pub fn random(self) -> Random {
        Random { state: self.0 }
    }
}

/// A generator of numbers which are the same for the same [`Seed`].
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, each with almost the same chance.
    ///
    /// # Panics
    ///
    /// `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "no number is below 0");
        (self.number() % end as u64) as usize
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    ///
    /// # Panics
    ///
    /// There are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// `len` bytes, each of any value.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.number() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut random = Seed(1_234_567).random();
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([random.number(), random.number()], expected);
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut random = Seed::from_env_or_clock().random();
        let mut seen = [false; 7];
        for _ in 0..1_000 {
            seen[random.below(7)] = true;
        }
        assert_eq!(seen, [true; 7]);
    }

    #[test]
    #[should_panic(expected = "RIPSTOP_SEED=x: ")]
    fn a_seed_that_is_no_number_is_refused() {
        Seed::parse("x");
    }
}
