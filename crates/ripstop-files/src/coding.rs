//! Which content coding a client gets (RFC 9110, section 12.5.3).
//!
//! Owns the reading of `Accept-Encoding` and the choice among what is at hand. Compresses
//! nothing; `compress.rs` does.

use http::HeaderValue;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    pub(crate) const COUNT: usize = 4;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Identity, Self::Brotli, Self::Zstd, Self::Gzip];
    /// The codings that have siblings on disk.
    pub(crate) const ENCODED: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`, which the plain file has none of.
    pub(crate) fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Brotli => Some("br"),
            Self::Zstd => Some("zstd"),
            Self::Gzip => Some("gzip"),
        }
    }

    /// What a sibling's name ends in.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn from_token(token: &str) -> Option<Self> {
        const NAMES: [(&str, Coding); 5] = [
            ("gzip", Coding::Gzip),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
            ("identity", Coding::Identity),
            ("x-gzip", Coding::Gzip),
        ];
        let known = NAMES.iter().find(|(name, _)| token.eq_ignore_ascii_case(name));
        known.map(|(_, coding)| *coding)
    }
}

/// How a file can be had in one coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    /// Not at all.
    Missing,
    /// It has to be compressed.
    Compressed,
    /// It is on disk.
    Stored,
}

/// How much a client wants each coding: zero is a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted([u16; Coding::COUNT]);

/// Below any quality that a client can write: the plain file is acceptable to those who do not
/// speak of it, but only for want of anything better.
const LAST_RESORT: u16 = 1;

impl Accepted {
    /// What a client gets that says nothing. It would have to take any coding, but those who say
    /// nothing are the ones who know none.
    pub(crate) const PLAIN: Self = Self([LAST_RESORT, 0, 0, 0]);

    /// Reads all lines of `Accept-Encoding`. Elements that are not valid are passed over.
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut said: [Option<u16>; Coding::COUNT] = [None; Coding::COUNT];
        let mut any = None;
        let elements = lines.into_iter().filter_map(|line| line.to_str().ok());
        for element in elements.flat_map(|line| line.split(',')) {
            let Some((token, weight)) = parse_element(element) else { continue };
            if token == "*" {
                any = Some(weight);
            } else if let Some(coding) = Coding::from_token(token) {
                said[coding as usize] = Some(weight);
            }
        }
        Self(std::array::from_fn(|i| {
            let unsaid = if i == Coding::Identity as usize { LAST_RESORT } else { 0 };
            said[i].or(any).unwrap_or(unsaid)
        }))
    }

    /// The coding to send, or none if the client refuses all there are. Among those it likes
    /// equally, what is stored goes before what must be compressed, then the smaller or, where
    /// it must be compressed, the faster.
    pub(crate) fn choose(self, supply: impl Fn(Coding) -> Supply) -> Option<Coding> {
        Coding::ALL
            .into_iter()
            .filter_map(|coding| {
                Some((self.weight(coding)?, rank(coding, supply(coding))?, coding))
            })
            .max_by_key(|(weight, rank, _)| (*weight, *rank))
            .map(|(_, _, coding)| coding)
    }

    fn weight(self, coding: Coding) -> Option<u16> {
        Some(self.0[coding as usize]).filter(|weight| *weight > 0)
    }
}

fn rank(coding: Coding, supply: Supply) -> Option<u8> {
    match (coding, supply) {
        (_, Supply::Missing) => None,
        (Coding::Identity, _) => Some(0),
        (Coding::Gzip, Supply::Compressed) => Some(1),
        (Coding::Brotli, Supply::Compressed) => Some(2),
        (Coding::Zstd, Supply::Compressed) => Some(3),
        (Coding::Gzip, Supply::Stored) => Some(4),
        (Coding::Zstd, Supply::Stored) => Some(5),
        (Coding::Brotli, Supply::Stored) => Some(6),
    }
}

fn parse_element(element: &str) -> Option<(&str, u16)> {
    let (token, parameters) = element.split_once(';').unwrap_or((element, ""));
    let (token, parameters) = (token.trim(), parameters.trim());
    if token.is_empty() {
        return None;
    }
    if parameters.is_empty() {
        return Some((token, weight_of(1000)));
    }
    let (name, value) = parameters.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    Some((token, weight_of(parse_quality(value.trim())?)))
}

/// Leaves room below the least quality for [`LAST_RESORT`].
fn weight_of(thousandths: u16) -> u16 {
    thousandths * 2
}

/// `qvalue` in thousandths.
fn parse_quality(value: &str) -> Option<u16> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, stored: &[Coding], compressible: bool, expected: Option<Coding>) {
        let accepted = Accepted::parse([&HeaderValue::from_str(accept).unwrap()]);
        let chosen = accepted.choose(|coding| {
            if coding == Identity || stored.contains(&coding) {
                Supply::Stored
            } else if compressible {
                Supply::Compressed
            } else {
                Supply::Missing
            }
        });
        assert_eq!(chosen, expected, "{accept}");
    }

    use Coding::{Brotli, Gzip, Identity, Zstd};

    #[test]
    fn stored_codings_go_by_quality_then_by_size() {
        let all = [Brotli, Zstd, Gzip];
        check("gzip, deflate, br, zstd", &all, false, Some(Brotli));
        check("gzip, zstd", &all, false, Some(Zstd));
        check("GZIP;Q=1.0, br;q=0.9", &all, false, Some(Gzip));
        check("gzip;q=0.001", &all, false, Some(Gzip));
        check("x-gzip", &all, false, Some(Gzip));
        check("*", &all, false, Some(Brotli));
        check("*;q=0.5, br;q=0", &all, false, Some(Zstd));
        check("br", &[Gzip], false, Some(Identity));
        check("", &all, false, Some(Identity));
        check("deflate", &all, false, Some(Identity));
    }

    #[test]
    fn compressed_codings_go_by_quality_then_by_speed() {
        check("gzip, deflate, br, zstd", &[], true, Some(Zstd));
        check("gzip, br", &[], true, Some(Brotli));
        check("gzip, br", &[Gzip], true, Some(Gzip));
        check("gzip;q=0.5, identity", &[], true, Some(Identity));
    }

    #[test]
    fn identity_is_the_last_resort_unless_refused() {
        check("gzip;q=0", &[Gzip], true, Some(Identity));
        check("identity;q=0", &[], false, None);
        check("*;q=0", &[Gzip], true, None);
        check("*;q=0, identity", &[Gzip], true, Some(Identity));
        check("gzip, *;q=0", &[], false, None);
        check("identity;q=0, gzip;q=0.1", &[], true, Some(Gzip));
    }

    #[test]
    fn invalid_elements_are_passed_over() {
        for accept in
            ["gzip;q=2", "gzip;q=0.1234", "gzip;q=-1", "gzip;q=", "gzip;x=1", ";q=1", ",,"]
        {
            check(accept, &[Gzip], true, Some(Identity));
        }
    }

    #[test]
    fn silence_gets_the_plain_file() {
        assert_eq!(Accepted::PLAIN.choose(|_| Supply::Stored), Some(Identity));
    }
}
