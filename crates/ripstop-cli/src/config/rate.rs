//! Rate limits: `[[rate]]` for all requests, and `[[route.rate]]` for those of a route.
//!
//! Owns what a limit may say, and the fault of two limits that would be told apart by nobody.

use std::{num::NonZeroU32, time::Duration};

use ripstop::{Rate, RateKey, RateLimit};
use serde_json::json;

use super::fault::Place;
use super::kind::{Parsed, Span, Whole};
use super::reader::Table;

/// More than anybody asks for.
const REQUESTS: Whole = Whole(1, 1_000_000_000);

/// From what the fields can tell to a day.
const WINDOW: Span = Span(Duration::from_secs(1), Duration::from_secs(86_400));

const BY: Parsed<RateKey> = Parsed {
    expected: "\"client\", \"everyone\" or \"header:NAME\"",
    parse: |text| match text {
        "client" => Ok(RateKey::Client),
        "everyone" => Ok(RateKey::Everyone),
        _ => text
            .strip_prefix("header:")
            .and_then(|name| name.parse().ok().map(RateKey::Header))
            .ok_or_else(|| {
                format!(
                    "{text:?} is nothing to count by, it must be \"client\", \"everyone\" or a \
                     header field such as \"header:x-api-key\""
                )
            }),
    },
    show: |by| match by {
        RateKey::Client => "client".to_owned(),
        RateKey::Everyone => "everyone".to_owned(),
        RateKey::Header(name) => format!("header:{name}"),
    },
};

const NAME: Parsed<String> = Parsed {
    expected: "a name",
    parse: |text| {
        let plain = |byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte);
        let name = (1..=64).contains(&text.len()) && text.bytes().all(plain);
        let fault = "it must have 1 to 64 characters of ASCII without quotation marks";
        name.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is no name, {fault}"))
    },
    show: Clone::clone,
};

/// Reads the tables `rate` of a table.
pub(crate) fn read_all(table: &mut Table<'_, '_>, doc: &'static str) -> Vec<RateLimit> {
    let limits: Vec<_> = table.tables("rate", doc, read).into_iter().flatten().collect();
    for (index, (place, limit)) in limits.iter().enumerate() {
        let twin = limits[..index].iter().find(|(_, other)| other.name == limit.name);
        if let Some((first, _)) = twin {
            let first = table.faults().whereabouts(*first);
            let message =
                format!("rate name {:?} is taken ({first}), names must differ", limit.name);
            table.fault(*place, message);
        }
    }
    limits.into_iter().map(|(_, limit)| limit).collect()
}

/// A limit, and where it was named.
fn read(table: &mut Table<'_, '_>) -> Option<(Place, RateLimit)> {
    let requests = table.required(
        "requests",
        &REQUESTS,
        json!(100),
        "How many requests may come in each window, spread evenly. Those that come sooner get \
         429 with Retry-After, RateLimit and RateLimit-Policy, and count nothing.",
    );
    let window = table.field("window", &WINDOW, Duration::from_secs(1), "The window.");
    let burst = table.optional(
        "burst",
        &REQUESTS,
        json!(20),
        "How many may come at once, after a pause. Left out: as many as in a window.",
    );
    let by = table.field(
        "by",
        &BY,
        RateKey::Client,
        "Whose requests are counted together: those of a \"client\", which is an IPv4 address or \
         an IPv6 network (/64), as [clients] has it; those of \"everyone\"; or those with the same \
         value of a header field, \"header:x-api-key\", and without the field of the same client. \
         Clients without an address, on Unix sockets, are not counted.",
    );
    let name = table.optional(
        "name",
        &NAME,
        json!("api"),
        "What it is called in RateLimit and RateLimit-Policy. Left out: as in by.",
    );
    let keys_max = table.field(
        "keys",
        &Whole(1000, 10_000_000),
        u32::try_from(RateLimit::default().keys_max).expect("the default of keys is small"),
        "How many clients or values are remembered, at most 70 bytes each. One that could do its \
         whole burst again is forgotten; if there is no room, those who come new share a few \
         places until there is.",
    ) as usize;
    let number = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let requests = number(requests?);
    let rate = Rate { requests, window, burst: burst.map_or(requests, number) };
    let name = name.unwrap_or_else(|| (BY.show)(&by).replace("header:", ""));
    let place = if table.has("name") { table.place_of("name") } else { table.place() };
    Some((place, RateLimit { name: name.into(), rate, by, keys_max }))
}
