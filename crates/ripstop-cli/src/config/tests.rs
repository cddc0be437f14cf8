//! Tables of configurations: bad ones with their exact faults, good ones with
//! their values, and the texts derived from the keys.

use std::{collections::BTreeMap, path::Path, time::Duration};

use ripstop::MemoryCeiling;

use super::*;

/// Parses `text` as the file `f`.
fn parsed(text: &str) -> Result<Config, Vec<String>> {
    overridden(text, &Overrides::default())
}

#[track_caller]
fn faults(text: &str) -> Vec<String> {
    parsed(text).expect_err("the configuration has faults")
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(faults(text), expected, "{text}");
}

fn overridden(text: &str, overrides: &Overrides) -> Result<Config, Vec<String>> {
    let (config, faults) = parse("f", Some(text), Path::new(""), overrides);
    if faults.is_empty() { Ok(config) } else { Err(faults.lines()) }
}

fn variables_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// All of a configuration as text, without who said what, to compare two of them.
fn shown(config: &Config) -> String {
    let text = format!("{config:?}").replace("filter_said: true", "filter_said: false");
    let mut parts = text.split("place: ");
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(|part| part.split_once(')').unwrap().1).collect::<String>()
}

#[test]
fn an_empty_file_is_the_defaults() {
    let nothing = parse("", None, Path::new(""), &Overrides::default()).0;
    assert_eq!(shown(&parsed("").unwrap()), shown(&nothing));
    assert_eq!(nothing.listen[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(nothing.timeouts.http.idle, Some(Duration::from_secs(75)));
    assert_eq!(nothing.limits.http.body, Some(16 << 20));
    assert!(nothing.routes.is_empty());
}

#[test]
fn the_default_file_uncommented_is_the_defaults() {
    let uncommented: String = default_file()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(uncommented.contains("\nspares = 4\n"), "{uncommented}");
    assert!(uncommented.contains("\nidle = \"75s\"\n"), "{uncommented}");
    let defaults = parsed("").unwrap();
    let parsed = parsed(&uncommented).unwrap();
    assert_eq!(shown(&parsed), shown(&defaults));
}

#[test]
fn the_examples_of_the_default_file_pass_but_for_what_excludes_itself() {
    let examples: String = default_file()
        .lines()
        .map(|line| line.strip_prefix("#     ").unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut lines = faults(&examples);
    // Whether there is such a user, and whether one may be it, is the machine's affair.
    lines.retain(|line| !line.contains(": server.user: "));
    let choices = [
        "listen.mode is only for Unix sockets, and 127.0.0.1:8080 is none",
        "client_ca is never asked, client_auth must be \"optional\" or \"required\"",
        "route does more than one thing, it must have one of files, respond and redirect",
    ];
    assert_eq!(lines.len(), choices.len(), "{lines:#?}");
    for (line, choice) in lines.iter().zip(choices) {
        assert!(line.ends_with(choice), "{line}");
    }
}

#[test]
fn wrong_types_say_what_must_be_there() {
    check(
        "[server]\nworkers = \"two\"\nspares = -1\ndrain = 30\nplacement = \"best\"\n",
        &[
            "f:2:11: server.workers must be a whole number from 1 to 1024, not \"two\"",
            "f:3:10: server.spares must be a whole number from 0 to 64, not -1",
            "f:4:9: server.drain must be a duration from \"0ms\" to \"1h\" (units ms, s, m, h, \
             d), not 30",
            "f:5:13: server.placement must be \"least-loaded\", \"least-connections\", \
             \"round-robin\" or \"two-choices\", not \"best\"",
        ],
    );
    check("server = 3\n", &["f:1:10: server must be a table, not 3"]);
    check(
        "[listen]\n",
        &["f:1:1: listen must be an array of tables, written [[listen]], not a single table"],
    );
    check("route = [1]\n", &["f:1:10: route must be a table, not 1"]);
    check(
        "[admin]\nenabled = \"yes\"\n",
        &["f:2:11: admin.enabled must be true or false, not \"yes\""],
    );
}

#[test]
fn bad_units_and_bounds_say_what_is_right() {
    check(
        "[timeouts]\nheader = \"10 parsecs\"\nidle = \"0ms\"\nrequest = \"never\"\n",
        &[
            "f:2:10: timeouts.header must be a duration from \"1ms\" to \"1d\" (units ms, s, m, \
             h, d), or \"off\", not \"10 parsecs\"",
            "f:3:8: timeouts.idle must be a duration from \"1ms\" to \"1d\" (units ms, s, m, h, \
             d), or \"off\", not \"0ms\"",
            "f:4:11: timeouts.request must be a duration from \"1ms\" to \"1d\" (units ms, s, m, \
             h, d), or \"off\", not \"never\"",
        ],
    );
    check(
        "[limits]\nuri = \"1 MiB\"\nbody = true\n",
        &[
            "f:2:7: limits.uri must be a size from \"64 B\" to \"64 KiB\" (units B, KiB, MiB, GiB), \
         not \"1 MiB\"",
            "f:3:8: limits.body must be a size from \"0 B\" to \"1024 GiB\" (units B, KiB, MiB, \
         GiB), or \"off\", not true",
        ],
    );
}

#[test]
fn memory_is_a_share_a_size_or_off() {
    let ceilings = |memory: &str, buffered: &str| {
        let text = format!("[limits]\nmemory = \"{memory}\"\nbuffered = \"{buffered}\"\n");
        let limits = parsed(&text).unwrap().limits;
        (limits.memory, limits.buffered)
    };
    let (percent, bytes) = (MemoryCeiling::Percent, MemoryCeiling::Bytes);
    assert_eq!(ceilings("80%", "25 %"), (Some(percent(80)), Some(percent(25))));
    assert_eq!(ceilings("512 MiB", "off"), (Some(bytes(512 << 20)), None));
    check(
        "[limits]\nmemory = \"101%\"\nbuffered = \"1 KiB\"\n",
        &[
            "f:2:10: limits.memory must be a share from \"1%\" to \"100%\" or a size such as \
             \"512 MiB\", or \"off\", not \"101%\"",
            "f:3:12: limits.buffered must be a share from \"1%\" to \"100%\" or a size such as \
             \"512 MiB\", or \"off\", not \"1 KiB\"",
        ],
    );
}

#[test]
fn unknown_keys_name_the_one_that_was_meant() {
    check(
        "[server]\nworker = 2\n[serve]\n[log.access]\nzzz = 1\n",
        &[
            "f:2:1: unknown key \"worker\" in server, did you mean \"workers\"?",
            "f:3:2: unknown key \"serve\", did you mean \"server\"?",
            "f:5:1: unknown key \"zzz\" in log.access, known are format, to",
        ],
    );
}

#[test]
fn no_beginning_of_a_file_makes_the_reader_panic() {
    let text = default_file().replace("#     ", "").replace('#', "");
    for end in (0..text.len()).step_by(5) {
        let _ = overridden(&text[..end], &Overrides::default());
    }
}

#[test]
fn columns_count_characters() {
    check(
        "route = [{ path = \"/ä\", respond = {}, x = 1 }]\n",
        &["f:1:39: unknown key \"x\" in route, known are host, path, lane, rate, files, \
             respond, redirect"],
    );
}

#[test]
fn broken_toml_is_told_with_the_faults_around_it() {
    let lines = faults("[server]\nworkers = = 4\nspares = 99\n");
    assert!(lines[0].starts_with("f:2:"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("f:3:10: server.spares")), "{lines:?}");
}

#[test]
fn a_listener_needs_an_address_that_is_one() {
    check(
        "[[listen]]\nname = \"a\"\n",
        &["f:1:1: listen.address is missing, it must be an address such as \"127.0.0.1:8080\", \
         \":8080\", \"unix:/run/web.sock\" or \"fd:web\""],
    );
    let lines = faults("[[listen]]\naddress = \"8080\"\n");
    assert!(lines[0].starts_with("f:2:11: listen.address: "), "{lines:?}");
    assert!(lines[0].contains("`:8080`"), "{lines:?}");
}

#[test]
fn listeners_differ_in_address_and_name() {
    check(
        "[[listen]]\naddress = \":80\"\n[[listen]]\naddress = \"[::]:80\"\n\
         [[listen]]\naddress = \":81\"\nname = \"x\"\n[[listen]]\naddress = \":82\"\nname = \"x\"\n",
        &[
            "f:4:11: [::]:80 is already listened on (line 2), remove one",
            "f:9:11: listener name \"x\" is taken (line 6), names must differ",
        ],
    );
    let free = "[[listen]]\naddress = \"127.0.0.1:0\"\n".repeat(2);
    assert_eq!(parsed(&free).unwrap().listen.len(), 2);
}

#[test]
fn permissions_are_for_unix_sockets() {
    check(
        "[[listen]]\naddress = \":80\"\nmode = \"0660\"\n",
        &["f:3:8: listen.mode is only for Unix sockets, and [::]:80 is none"],
    );
    check(
        "[[listen]]\naddress = \"unix:/s\"\nmode = \"0999\"\n",
        &["f:3:8: listen.mode: \"0999\" are no permissions, such as \"0660\""],
    );
    let text = "[[listen]]\naddress = \"unix:/s\"\nmode = \"0660\"\n";
    assert_eq!(parsed(text).unwrap().listen[0].mode, Some(0o660));
}

#[test]
fn tls_needs_certificates_and_client_auth_needs_an_authority() {
    check(
        "[[listen]]\naddress = \":80\"\ntls = { client_auth = \"required\" }\n",
        &[
            "f:3:7: listen.tls.certificates is missing, it must be an array such as [{ chain = \
             \"cert.pem\", key = \"key.pem\" }]",
            "f:3:23: listen.tls.client_auth needs client_ca, a PEM file with the authorities \
             that sign clients' certificates",
        ],
    );
}

#[test]
fn a_route_does_exactly_one_thing() {
    check(
        "[[route]]\npath = \"/a\"\n[[route]]\npath = \"/b\"\nrespond = {}\n\
         redirect = { to = \"/\" }\n[[route]]\nrespond = {}\n",
        &[
            "f:1:1: route does nothing, it must have one of files, respond and redirect",
            "f:3:1: route does more than one thing, it must have one of files, respond and \
             redirect",
            "f:7:1: route.path is missing, it must be a path",
        ],
    );
}

#[test]
fn routes_for_the_same_host_and_path_clash() {
    let route = |host: &str, path: &str| {
        format!("[[route]]\nhost = \"{host}\"\npath = \"{path}\"\nrespond = {{}}\n")
    };
    let text = [route("*", "/a"), route("a.org", "/a"), route("A.org", "/a")].concat();
    check(
        &text,
        &["f:9:1: route for host \"a.org\" and path \"/a\" is already there (line 5), remove one"],
    );
}

#[test]
fn what_a_route_says_is_checked() {
    check(
        "[[route]]\nhost = \"http://a\"\npath = \"a\"\nredirect = { to = \"{rest}\", status = 200 }\n",
        &[
            "f:2:8: route.host: \"http://a\" is no host, such as \"example.org\", \
             \"*.example.org\" or \"*\" (without scheme and port)",
            "f:3:8: route.path: \"a\" must begin with a slash, such as \"/about\" or \
             \"/static/*\"",
            "f:4:19: route.redirect.to: \"{rest}\" must begin with a slash, or with http:// or \
             https:// and a host, such as \"https://{host}{path}{query}\" or \"/new/\"",
            "f:4:38: route.redirect.status must be one of 301, 302, 303, 307, 308, not 200",
        ],
    );
    check(
        "[[route]]\npath = \"/\"\n[route.respond]\nstatus = 204\nbody = \"x\"\n\
         headers = { \"a b\" = \"x\", date = \"x\", x-a = \"\\n\" }\n",
        &[
            "f:5:8: respond.body must be empty, a 204 has none",
            "f:6:13: route.respond.headers: \"a b\" is no header name, such as \
             \"x-frame-options\"",
            "f:6:26: route.respond.headers: \"date\" is said by the server itself, remove it",
            "f:6:44: route.respond.headers: \"\\n\" is no header value, it must be of visible \
             ASCII",
        ],
    );
}

#[test]
fn networks_are_read_and_bad_ones_told_each_at_its_place() {
    check(
        "[[listen]]\naddress = \":80\"\nallow = [\"10.1.2.3/8\", \"10.0.0.0/33\"]\n\
         [clients]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"::/0\", \"10.0.0.0/8\"]\n\
         trusted_proxies = [\"unix\", \"proxy\"]\nforwarded = \"via\"\n",
        &[
            "f:3:10: listen.allow: \"10.1.2.3/8\" has bits beyond its prefix, write 10.0.0.0/8",
            "f:3:24: listen.allow: \"10.0.0.0/33\" has a bad prefix, it must be a number from 0 to \
             32",
            "f:6:8: 10.0.0.0/8 is in clients.allow and clients.deny, remove one",
            "f:7:28: clients.trusted_proxies: \"proxy\" is no network, it must be like \
             \"192.0.2.0/24\" or \"2001:db8::/32\", or \"unix\"",
            "f:8:13: clients.forwarded must be \"x-forwarded-for\" or \"forwarded\", not \"via\"",
        ],
    );
    let config = parsed(
        "[clients]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.7\"]\n\
         trusted_proxies = [\"unix\", \"10.0.0.1\"]\n",
    );
    let clients = config.unwrap().clients;
    let admitted = |ip: &str| clients.networks.admit(ip.parse().unwrap());
    assert_eq!([admitted("10.0.0.1"), admitted("10.0.0.7"), admitted("::1")], [true, false, false]);
    assert!(clients.trusted_proxies.unix);
    assert!(clients.trusted_proxies.networks.contains("10.0.0.1".parse().unwrap()));
}

#[test]
fn networks_of_variables_are_parted_by_commas() {
    let variables = variables_of(&[("RIPSTOP_CLIENTS_DENY", "10.0.0.0/8, ::/0")]);
    let overrides = Overrides { variables, ..Overrides::default() };
    let networks = overridden("", &overrides).unwrap().clients.networks;
    assert!(!networks.admit("::1".parse().unwrap()));
    assert!(networks.admit("192.0.2.1".parse().unwrap()));
}

#[test]
fn rates_are_read_with_their_defaults_and_faults_are_told() {
    check(
        "[[rate]]\nwindow = \"10ms\"\nby = \"header:a b\"\nname = \"\\\"\"\nkeys = 1\n\
         [[route]]\npath = \"/\"\nrespond = {}\n[[route.rate]]\nrequests = 0\nburst = \"all\"\n",
        &[
            "f:1:1: rate.requests is missing, it must be a whole number from 1 to 1000000000",
            "f:2:10: rate.window must be a duration from \"1s\" to \"1d\" (units ms, s, m, h, d), \
             not \"10ms\"",
            "f:3:6: rate.by: \"header:a b\" is nothing to count by, it must be \"client\", \
             \"everyone\" or a header field such as \"header:x-api-key\"",
            "f:4:8: rate.name: \"\\\"\" is no name, it must have 1 to 64 characters of ASCII without \
             quotation marks",
            "f:5:8: rate.keys must be a whole number from 1000 to 10000000, not 1",
            "f:10:12: route.rate.requests must be a whole number from 1 to 1000000000, not 0",
            "f:11:9: route.rate.burst must be a whole number from 1 to 1000000000, not \"all\"",
        ],
    );
    let config = parsed(
        "[[rate]]\nrequests = 5\n[[rate]]\nrequests = 7\nwindow = \"1m\"\nburst = 2\n\
         by = \"header:X-Key\"\nkeys = 2000\n[[route]]\npath = \"/\"\nrespond = {}\n\
         [[route.rate]]\nrequests = 1\nby = \"everyone\"\nname = \"login\"\n",
    );
    let config = config.unwrap();
    let limits = config.rates.iter().chain(&config.routes[0].rates);
    let shown = limits.map(|limit| {
        let (rate, seconds) = (limit.rate, limit.rate.window.as_secs());
        format!("{} {}/{seconds} {} {}", limit.name, rate.requests, rate.burst, limit.keys_max)
    });
    let expected = ["client 5/1 5 65536", "x-key 7/60 2 2000", "login 1/1 1 65536"];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[test]
fn rates_that_nobody_could_tell_apart_clash() {
    let twice = "[[rate]]\nrequests = 5\n".repeat(2);
    check(&twice, &["f:3:1: rate name \"client\" is taken (line 1), names must differ"]);
    check(
        "[[rate]]\nrequests = 5\nname = \"a\"\n[[rate]]\nrequests = 6\nname = \"a\"\n",
        &["f:6:8: rate name \"a\" is taken (line 3), names must differ"],
    );
}

#[test]
fn a_bad_log_filter_is_a_fault() {
    let lines = faults("[log]\nfilter = \"loud=loud\"\n");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("f:2:10: log.filter: "), "{lines:?}");
}

#[test]
fn flags_go_before_variables_and_variables_before_the_file() {
    let file = "[server]\nworkers = 1\nspares = 1\ndrain = \"1s\"\n";
    let variables = variables_of(&[("RIPSTOP_WORKERS", "2"), ("RIPSTOP_SPARES", "2")]);
    let flags = [("server.workers", ("--workers", "3".to_owned()))].into();
    let overrides = Overrides { flags, variables, ..Overrides::default() };
    let server = overridden(file, &overrides).unwrap().server;
    assert_eq!((server.workers, server.spares), (Some(3), 2));
    assert_eq!(server.drain, Duration::from_secs(1));
}

#[test]
fn listen_flags_replace_the_listeners_of_variable_and_file() {
    let file = "[[listen]]\naddress = \":1\"\n";
    let variables = variables_of(&[("RIPSTOP_LISTEN", ":2, :3")]);
    let mut overrides = Overrides { variables, ..Overrides::default() };
    let addresses = |config: Config| -> Vec<_> {
        config.listen.iter().map(|listen| listen.address.to_string()).collect()
    };
    assert_eq!(addresses(overridden(file, &overrides).unwrap()), ["[::]:2", "[::]:3"]);
    overrides.listen = vec![":4".to_owned()];
    assert_eq!(addresses(overridden(file, &overrides).unwrap()), ["[::]:4"]);
}

#[test]
fn faults_of_variables_and_flags_name_them() {
    let variables = variables_of(&[
        ("RIPSTOP_LISTEN", ":2,x"),
        ("RIPSTOP_LOG_ACCESS_FORMAT", "xml"),
        ("RIPSTOP_LIMITS_FIELDS", "many"),
    ]);
    let flags = [("server.workers", ("--workers", "0".to_owned()))].into();
    let overrides = Overrides { flags, variables, ..Overrides::default() };
    let lines = overridden("[log]\nx = 1\n", &overrides).unwrap_err();
    assert_eq!(lines[0], "f:2:1: unknown key \"x\" in log, known are filter, format, to, access");
    assert!(lines.contains(
        &"--workers: server.workers must be a whole number from 1 to 1024, not \"0\"".to_owned()
    ));
    assert!(
        lines.contains(
            &"RIPSTOP_LIMITS_FIELDS: limits.fields must be a whole number from 1 to 10000, not \
          \"many\""
                .to_owned()
        )
    );
    assert!(lines.iter().any(|line| line.starts_with("RIPSTOP_LISTEN: `x`")), "{lines:?}");
    assert_eq!(lines.len(), 5, "{lines:?}");
}

#[test]
fn faults_in_flags_alone_are_faults_of_usage() {
    let flags: BTreeMap<_, _> = [("server.workers", ("--workers", "0".to_owned()))].into();
    let overrides = Overrides { flags, ..Overrides::default() };
    let faults = |text| parse("f", Some(text), Path::new(""), &overrides).1;
    assert!(faults("").is_usage());
    assert!(!faults("x = 1").is_usage());
}

#[test]
fn the_folder_of_the_command_line_is_a_route_like_any_other() {
    let folder = Some(std::env::temp_dir());
    let overrides = Overrides { folder, ..Overrides::default() };
    let config = overridden("", &overrides).unwrap();
    assert!(matches!(&config.routes[..], [Route { action: Action::Files(_), .. }]));
    let clash = "[[route]]\npath = \"/*\"\nrespond = {}\n";
    assert_eq!(
        overridden(clash, &overrides).unwrap_err(),
        ["DIR: route for host \"*\" and path \"/*\" is already there (line 1), remove one"]
    );
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let sources = Sources { file: Some("/nowhere/r.toml".into()), ..Sources::default() };
    let lines = load(&sources).unwrap_err().lines();
    let said = "/nowhere/r.toml: no such file, `ripstop config default` prints one to begin with";
    assert_eq!(lines, [said]);
}

#[test]
fn the_schema_knows_every_section() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    for section in
        ["server", "listen", "route", "clients", "rate", "timeouts", "limits", "log", "admin"]
    {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    let listen = &schema["properties"]["listen"]["items"];
    assert_eq!(listen["required"], serde_json::json!(["address"]));
    let tls = &listen["properties"]["tls"]["properties"];
    assert_eq!(tls["min_version"]["enum"], serde_json::json!(["1.2", "1.3"]));
    assert_eq!(schema["properties"]["timeouts"]["properties"]["idle"]["default"], "75s");
}
