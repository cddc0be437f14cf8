//! `[clients]`: whose connections are taken, and who a client is behind proxies.
//!
//! Owns the two lists of networks, which a listener may have too, and the fault of a network that
//! is in both. What they mean is up to the library.

use ripstop::{ForwardedField, Network, NetworkRules, TrustedProxies};
use serde_json::json;

use super::kind::{Choice, List, Parsed};
use super::reader::Table;

/// `[clients]`.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    /// Whose connections are taken.
    pub(crate) networks: NetworkRules,
    /// Who is believed when it says who the client is.
    pub(crate) trusted_proxies: TrustedProxies,
}

const NETWORK: Parsed<Network> = Parsed {
    expected: "a network such as \"192.0.2.0/24\", \"2001:db8::/32\" or \"192.0.2.7\"",
    parse: |text| text.parse::<Network>().map_err(|err| err.to_string()),
    show: ToString::to_string,
};

/// Where a proxy is.
#[derive(Clone, Copy, Debug)]
enum Proxy {
    Unix,
    In(Network),
}

const PROXY: Parsed<Proxy> = Parsed {
    expected: "a network such as \"10.0.0.0/8\", or \"unix\"",
    parse: |text| match text {
        "unix" => Ok(Proxy::Unix),
        _ => text.parse().map(Proxy::In).map_err(|err| format!("{err}, or \"unix\"")),
    },
    show: |proxy| match proxy {
        Proxy::Unix => "unix".to_owned(),
        Proxy::In(network) => network.to_string(),
    },
};

impl Clients {
    /// Reads the section.
    pub(crate) fn read(table: &mut Table<'_, '_>) -> Self {
        let networks = read_networks(
            table,
            "clients",
            "Networks whose connections are taken. If there are any, all others are closed, in \
             clear text with 403. Of the networks in allow and deny that have an address the \
             smallest decides, in whatever order they are written. With the PROXY protocol the \
             address is the one in its header; Unix sockets and the admin listener are for \
             everybody who reaches them.",
            "Networks whose connections are closed, but for smaller ones within them in allow.",
        );
        let proxies = table.field(
            "trusted_proxies",
            &List(PROXY),
            Vec::new(),
            "Networks of proxies that are believed when they say who the client of a request is; \
             \"unix\" for those on Unix sockets. From the right of the field, the first address \
             that is in none of them is the client, and where one cannot be understood, the proxy \
             before it. Rate limits and the access log go by it.",
        );
        let field = table.field(
            "forwarded",
            &Choice(&[
                ("x-forwarded-for", ForwardedField::XForwardedFor),
                ("forwarded", ForwardedField::Forwarded),
            ]),
            ForwardedField::XForwardedFor,
            "The field in which they say so. The other one is not looked at, since a proxy passes \
             it on as the client sent it.",
        );
        Self { networks, trusted_proxies: trusted(&proxies, field) }
    }
}

fn trusted(proxies: &[Proxy], field: ForwardedField) -> TrustedProxies {
    let network = |proxy: &Proxy| match proxy {
        Proxy::Unix => None,
        Proxy::In(network) => Some(*network),
    };
    TrustedProxies {
        networks: proxies.iter().filter_map(network).collect(),
        unix: proxies.iter().any(|proxy| matches!(proxy, Proxy::Unix)),
        field,
    }
}

/// Reads the keys `allow` and `deny` of the table called `within`.
pub(crate) fn read_networks(
    table: &mut Table<'_, '_>,
    within: &str,
    allow_doc: &'static str,
    deny_doc: &'static str,
) -> NetworkRules {
    let (list, example) = (List(NETWORK), json!(["192.0.2.0/24", "2001:db8::/32"]));
    let allow = table.optional("allow", &list, example, allow_doc).unwrap_or_default();
    let deny = table.optional("deny", &list, json!(["198.51.100.0/24"]), deny_doc);
    let deny = deny.unwrap_or_default();
    for both in deny.iter().filter(|network| allow.contains(network)) {
        let place = table.place_of("deny");
        let message = format!("{both} is in {within}.allow and {within}.deny, remove one");
        table.fault(place, message);
    }
    NetworkRules { allow: allow.into_iter().collect(), deny: deny.into_iter().collect() }
}
