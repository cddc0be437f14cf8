//! Tables of networks, good and bad, and of who may come.

use super::*;
use crate::random::random;

fn network(text: &str) -> Network {
    text.parse().unwrap_or_else(|err| panic!("{err}"))
}

fn networks(texts: &[&str]) -> Networks {
    texts.iter().map(|text| network(text)).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_network_is_read_and_printed() {
    let cases = [
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.128/25", "192.0.2.128/25"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
    ];
    for (text, printed) in cases {
        assert_eq!(network(text).to_string(), printed, "{text}");
        assert_eq!(network(printed), network(text), "{text}");
    }
}

#[test]
fn every_fault_says_what_would_be_right() {
    let no_network = |text| {
        format!("{text:?} is no network, it must be like \"192.0.2.0/24\" or \"2001:db8::/32\"")
    };
    let prefix =
        |text, bits| format!("{text:?} has a bad prefix, it must be a number from 0 to {bits}");
    let cases = [
        ("", no_network("")),
        ("localhost", no_network("localhost")),
        ("10.0.0/8", no_network("10.0.0/8")),
        ("/8", no_network("/8")),
        (" 10.0.0.0/8", no_network(" 10.0.0.0/8")),
        ("[::1]/128", no_network("[::1]/128")),
        ("10.0.0.0/33", prefix("10.0.0.0/33", 32)),
        ("10.0.0.0/", prefix("10.0.0.0/", 32)),
        ("10.0.0.0/+8", prefix("10.0.0.0/+8", 32)),
        ("10.0.0.0/255.0.0.0", prefix("10.0.0.0/255.0.0.0", 32)),
        ("::/129", prefix("::/129", 128)),
        ("10.1.2.3/8", "\"10.1.2.3/8\" has bits beyond its prefix, write 10.0.0.0/8".to_owned()),
        (
            "2001:db8::1/64",
            "\"2001:db8::1/64\" has bits beyond its prefix, write 2001:db8::/64".to_owned(),
        ),
    ];
    for (text, fault) in cases {
        assert_eq!(text.parse::<Network>().unwrap_err().to_string(), fault);
    }
}

#[track_caller]
fn check(texts: &[&str], address: &str, inside: bool) {
    assert_eq!(networks(texts).contains(ip(address)), inside, "{address} in {texts:?}");
}

#[test]
fn a_network_has_its_first_and_last_address_and_no_neighbour() {
    check(&["192.0.2.128/25"], "192.0.2.128", true);
    check(&["192.0.2.128/25"], "192.0.2.255", true);
    check(&["192.0.2.128/25"], "192.0.2.127", false);
    check(&["192.0.2.128/25"], "192.0.3.0", false);
    check(&["2001:db8:1::/48"], "2001:db8:1:ffff:ffff:ffff:ffff:ffff", true);
    check(&["2001:db8:1::/48"], "2001:db8:2::", false);
    check(&["192.0.2.1"], "192.0.2.1", true);
    check(&["192.0.2.1"], "192.0.2.0", false);
    check(&[], "192.0.2.1", false);
}

#[test]
fn the_families_are_apart() {
    check(&["0.0.0.0/0"], "255.255.255.255", true);
    check(&["0.0.0.0/0"], "::1", false);
    check(&["::/0"], "ffff::", true);
    check(&["::/0"], "192.0.2.1", false);
    check(&["192.0.2.0/24"], "::ffff:192.0.2.1", true);
    check(&["::/0"], "::ffff:192.0.2.1", false);
}

/// Whether `address` may come, by lists in both orders.
#[track_caller]
fn check_rules(allow: &[&str], deny: &[&str], address: &str, admitted: bool) {
    let reversed = |texts: &[&str]| texts.iter().rev().map(|text| network(text)).collect();
    let rules = NetworkRules { allow: networks(allow), deny: networks(deny) };
    assert_eq!(rules, NetworkRules { allow: reversed(allow), deny: reversed(deny) });
    assert_eq!(rules.admit(ip(address)), admitted, "{address} by {allow:?} and {deny:?}");
}

#[test]
fn without_lists_everybody_may_come() {
    check_rules(&[], &[], "192.0.2.1", true);
    check_rules(&[], &[], "2001:db8::1", true);
}

#[test]
fn a_deny_list_keeps_out_whom_it_has_and_an_allow_list_all_others() {
    check_rules(&[], &["192.0.2.0/24"], "192.0.2.1", false);
    check_rules(&[], &["192.0.2.0/24"], "192.0.3.1", true);
    check_rules(&["192.0.2.0/24"], &[], "192.0.2.1", true);
    check_rules(&["192.0.2.0/24"], &[], "192.0.3.1", false);
    check_rules(&["192.0.2.0/24"], &[], "2001:db8::1", false);
}

#[test]
fn the_longest_prefix_of_both_lists_decides() {
    let (allow, deny) = (["10.1.0.0/16", "10.1.2.3", "::/0"], ["10.0.0.0/8", "10.1.2.0/24"]);
    check_rules(&allow, &deny, "10.2.0.1", false);
    check_rules(&allow, &deny, "10.1.1.1", true);
    check_rules(&allow, &deny, "10.1.2.1", false);
    check_rules(&allow, &deny, "10.1.2.3", true);
    check_rules(&allow, &deny, "2001:db8::1", true);
    check_rules(&["10.0.0.0/8"], &["10.0.0.0/8"], "10.1.1.1", false);
}

#[test]
fn a_set_finds_what_a_look_at_each_network_finds() {
    for seed in 0..300 {
        let mut state = seed;
        let mut address = || Ipv4Addr::from_bits(random(&mut state) as u32 & 0xe000_00e0);
        let all: Vec<_> = (0..20)
            .map(|_| {
                let first = address();
                let prefix = (first.to_bits() % 31) as u8 + 2;
                Network { first: masked(first.into(), prefix), prefix }
            })
            .collect();
        let set: Networks = all.iter().copied().collect();
        for _ in 0..50 {
            let sought = IpAddr::from(address());
            let has = |one: &&Network| masked(sought, one.prefix) == one.first;
            let longest = all.iter().filter(has).map(|network| network.prefix).max();
            assert_eq!(set.longest(sought), longest, "{sought}, seed {seed}");
        }
    }
}
