//! Listeners: `[[listen]]` and its `[listen.tls]`.
//!
//! Owns what one listener may say and the faults that only show between
//! listeners: the same address or the same name twice. Whether certificates
//! fit their keys is found by loading them, which `ripstop-net` does.

use std::path::PathBuf;
use std::time::Duration;

use ripstop::{CertifiedFiles, ClientAuth, ListenerOptions, NetworkRules, TlsOptions, TlsVersion};
use serde_json::json;

use super::clients::read_networks;
use super::fault::Place;
use super::kind::{Choice, FilePath, OrOff, Parsed, Span, Switch, Whole, text};
use super::reader::Table;

pub(crate) use ripstop::Address;

/// The bounds of `defer_accept`: the kernel counts in seconds.
const DEFER: Span = Span(Duration::from_secs(1), Duration::from_secs(60));

/// One listener.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    /// Where its address was said, to tell a fault of binding.
    pub(crate) place: Place,
    /// Its name in logs and in requests' extensions.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: Address,
    /// Connections the kernel may hold for us.
    pub(crate) backlog: u32,
    /// Connections that may be open; `None` leaves that to the limit of all.
    pub(crate) connections: Option<usize>,
    /// Whose connections it takes, of those that the server takes.
    pub(crate) networks: NetworkRules,
    /// How long the kernel may hold back a silent TCP connection.
    pub(crate) defer_accept: Option<Duration>,
    /// Permissions of a Unix socket; `None` is what the umask leaves.
    pub(crate) mode: Option<u32>,
    /// Whether each connection begins with a PROXY protocol header.
    pub(crate) proxy_protocol: bool,
    /// TLS; `None` is clear text.
    pub(crate) tls: Option<Tls>,
}

/// TLS of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// Where it was said.
    pub(crate) place: Place,
    /// Where each file was said, to tell faults of loading it.
    pub(crate) files: Vec<(PathBuf, Place)>,
    /// What was said; the number of handshakes is left to whoever loads it.
    pub(crate) options: TlsOptions,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Off,
    Optional,
    Required,
}

/// The kind of an address.
pub(crate) fn address() -> Parsed<Address> {
    Parsed {
        expected: "an address such as \"127.0.0.1:8080\", \":8080\", \"unix:/run/web.sock\" or \
                   \"fd:web\"",
        parse: |text| text.parse::<Address>().map_err(|err| err.to_string()),
        show: ToString::to_string,
    }
}

const MODE: Parsed<u32> = Parsed {
    expected: "permissions such as \"0660\"",
    parse: |text| {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.ok_or_else(|| format!("{text:?} are no permissions, such as \"0660\""))
    },
    show: |mode| format!("{mode:04o}"),
};

impl Listen {
    /// A listener of which only the address was said.
    fn plain(address: Address, place: Place) -> Self {
        Self {
            place,
            name: address.to_string(),
            address,
            backlog: BACKLOG_DEFAULT,
            connections: None,
            networks: NetworkRules::default(),
            defer_accept: ListenerOptions::default().defer_accept,
            mode: None,
            proxy_protocol: false,
            tls: None,
        }
    }

    fn read(table: &mut Table<'_, '_>) -> Option<Self> {
        let address = table.required(
            "address",
            &address(),
            json!("127.0.0.1:8080"),
            "Where to listen: \"127.0.0.1:8080\", \"[::1]:8080\", \":8080\" for every address, \
             \"unix:/run/ripstop.sock\", or \"fd:NAME\" for a socket that the service manager \
             opened.",
        );
        let name = table.optional(
            "name",
            &text("a name"),
            json!("web"),
            "What it is called in logs. Left out: its address.",
        );
        let backlog = table.field(
            "backlog",
            &Whole(1, 65_535),
            BACKLOG_DEFAULT,
            "Connections that the kernel may hold until they are accepted.",
        );
        let connections = table.field(
            "connections",
            &OrOff(Whole(1, CONNECTIONS_MAX)),
            None,
            "Most connections of the listener that are open at a time; more are refused as by \
             limits.connections.",
        );
        let networks = read_networks(
            table,
            "listen",
            "Networks whose connections the listener takes, as in clients.allow, which counts \
             too: only those that both take are served.",
            "Networks whose connections it closes, as in clients.deny.",
        );
        let defer_accept = table.field(
            "defer_accept",
            &OrOff(DEFER),
            ListenerOptions::default().defer_accept,
            "How long the kernel may hold back a TCP connection on which nothing was sent yet, in \
             whole seconds. Accepting later costs less; \"off\" accepts at once.",
        );
        let mode = table.optional(
            "mode",
            &MODE,
            json!("0660"),
            "Permissions of a Unix socket. Left out: what the umask leaves.",
        );
        let proxy_protocol = table.field(
            "proxy_protocol",
            &Switch,
            false,
            "Whether every connection begins with a PROXY protocol header (version 1 or 2). Only \
             for listeners that nobody but a load balancer can reach.",
        );
        let tls = table.optional_table("tls", "TLS. Left out: clear text.", Tls::read);
        let (place, mode_place) = (table.place_of("address"), table.place_of("mode"));
        let address = address?;
        if mode.is_some() && !matches!(address, Address::Unix(_)) {
            let message = format!("listen.mode is only for Unix sockets, and {address} is none");
            table.fault(mode_place, message);
        }
        let name = name.unwrap_or_else(|| address.to_string());
        let connections = connections.map(|connections| connections as usize);
        Some(Self {
            place,
            name,
            address,
            backlog,
            connections,
            networks,
            defer_accept,
            mode,
            proxy_protocol,
            tls,
        })
    }
}

const BACKLOG_DEFAULT: u32 = 4096;

/// More than any kernel lets a process have descriptors for.
pub(crate) const CONNECTIONS_MAX: u32 = 1_000_000_000;

impl Tls {
    fn read(table: &mut Table<'_, '_>) -> Self {
        let certificates = table.tables(
            "certificates",
            "Certificates with their keys, chosen by the name the client asks for; the first \
             for all others. The files are read again when they change.",
            read_certificate,
        );
        if certificates.is_empty() {
            let message = "listen.tls.certificates is missing, it must be an array such as \
                           [{ chain = \"cert.pem\", key = \"key.pem\" }]";
            table.fault(table.place(), message);
        }
        let mut files = Vec::new();
        let options = TlsOptions {
            certificates: certificates
                .into_iter()
                .flatten()
                .map(|(certified, places)| {
                    let paths = [certified.chain.clone(), certified.key.clone()];
                    files.extend(paths.into_iter().zip(places));
                    certified
                })
                .collect(),
            client_auth: read_client_auth(table),
            min_version: table.field(
                "min_version",
                &Choice(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)]),
                TlsVersion::V1_2,
                "The oldest version of TLS that is spoken.",
            ),
            ..TlsOptions::default()
        };
        if let ClientAuth::Optional(path) | ClientAuth::Required(path) = &options.client_auth {
            files.push((path.clone(), table.place_of("client_ca")));
        }
        Self { place: table.place(), files, options }
    }
}

fn read_client_auth(table: &mut Table<'_, '_>) -> ClientAuth {
    let asked = table.field(
        "client_auth",
        &Choice(&[
            ("off", Asked::Off),
            ("optional", Asked::Optional),
            ("required", Asked::Required),
        ]),
        Asked::Off,
        "Whether clients must show a certificate that client_ca signed.",
    );
    let authority = table.optional(
        "client_ca",
        &FilePath,
        json!("clients.pem"),
        "PEM file with the authorities that sign clients' certificates.",
    );
    match (asked, authority) {
        (Asked::Optional, Some(authority)) => ClientAuth::Optional(authority),
        (Asked::Required, Some(authority)) => ClientAuth::Required(authority),
        (Asked::Off, None) => ClientAuth::None,
        (_, authority) => {
            refuse_half_client_auth(table, authority.is_some());
            ClientAuth::None
        }
    }
}

/// Client certificates need an authority, and an authority is there to be asked.
fn refuse_half_client_auth(table: &mut Table<'_, '_>, authority: bool) {
    if authority {
        let place = table.place_of("client_ca");
        let right = "client_auth must be \"optional\" or \"required\"";
        table.fault(place, format!("listen.tls.client_ca is never asked, {right}"));
    } else if !table.has("client_ca") {
        let place = table.place_of("client_auth");
        let right = "a PEM file with the authorities that sign clients' certificates";
        table.fault(place, format!("listen.tls.client_auth needs client_ca, {right}"));
    }
}

/// A certificate, and where its two files were said.
fn read_certificate(table: &mut Table<'_, '_>) -> Option<(CertifiedFiles, [Place; 2])> {
    let chain = table.required(
        "chain",
        &FilePath,
        json!("cert.pem"),
        "PEM file: the certificate, then those that sign it.",
    );
    let key = table.required("key", &FilePath, json!("key.pem"), "PEM file: the private key.");
    let places = [table.place_of("chain"), table.place_of("key")];
    Some((CertifiedFiles { chain: chain?, key: key? }, places))
}

/// Reads all listeners: flags, then variables, then the file, then the default.
pub(crate) fn read_all(document: &mut Table<'_, '_>) -> Vec<Listen> {
    let said = document.tables(
        "listen",
        "Where to listen, as often as needed. Left out: 127.0.0.1:8080.",
        Listen::read,
    );
    let listeners = match overridden(document) {
        Some(listeners) => listeners,
        None if said.is_empty() => vec![default_listener(document.place_of("listen"))],
        None => said.into_iter().flatten().collect(),
    };
    refuse_twins(document, &listeners);
    listeners
}

fn default_listener(place: Place) -> Listen {
    let address = "127.0.0.1:8080".parse().expect("the default listener is an address");
    Listen::plain(address, place)
}

/// The listeners that a flag or variable says instead of the file.
fn overridden(document: &mut Table<'_, '_>) -> Option<Vec<Listen>> {
    let (said_by, addresses) = document.overrides().listen()?;
    let place = document.faults().named(said_by);
    let mut listeners = Vec::new();
    for text in addresses {
        match text.parse() {
            Ok(address) => listeners.push(Listen::plain(address, place)),
            Err(err) => document.fault(place, format!("{err}")),
        }
    }
    Some(listeners)
}

/// Tells listeners that have an address or a name that another one has.
fn refuse_twins(document: &mut Table<'_, '_>, listeners: &[Listen]) {
    for (index, listener) in listeners.iter().enumerate() {
        let earlier = &listeners[..index];
        let fixed = !matches!(listener.address, Address::Tcp(addr) if addr.port() == 0);
        let twin = earlier.iter().find(|other| other.address == listener.address && fixed);
        if let Some(twin) = twin {
            let first = document.faults().whereabouts(twin.place);
            let address = &listener.address;
            let message = format!("{address} is already listened on ({first}), remove one");
            document.fault(listener.place, message);
        } else if let Some(twin) = earlier.iter().find(|other| other.name == listener.name && fixed)
        {
            let first = document.faults().whereabouts(twin.place);
            let message = format!("listener name {:?} is taken ({first})", listener.name);
            document.fault(listener.place, format!("{message}, names must differ"));
        }
    }
}
