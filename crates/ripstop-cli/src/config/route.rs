//! Routes: `[[route]]` with its host, its path and one of `files`, `respond`
//! and `redirect`.
//!
//! Owns what a route may say, and the fault of two routes for the same host
//! and path. Matching is in `pattern.rs`; answering in `site.rs`.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue, StatusCode, header};
use ripstop::{Lane, RateLimit, files::FilesOptions};
use serde_json::json;

use super::fault::{FOLDER, Place};
use super::kind::{FilePath, List, Names, OneOf, Parsed, Switch, Whole, text};
use super::rate;
use super::reader::Table;
use super::sections::LANES;
use crate::pattern::{HostPattern, PathPattern};
use crate::redirect::Template;

/// One route.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Where it begins.
    pub(crate) place: Place,
    /// Hosts it is for.
    pub(crate) host: HostPattern,
    /// Paths it is for.
    pub(crate) path: PathPattern,
    /// Where it is handled; `None` is as `server.lane` says.
    pub(crate) lane: Option<Lane>,
    /// How often clients may come to it.
    pub(crate) rates: Vec<RateLimit>,
    /// What it answers.
    pub(crate) action: Action,
}

/// What a route answers.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Files of a folder.
    Files(Files),
    /// The same response to everybody.
    Respond(Respond),
    /// Go there instead.
    Redirect(Redirect),
}

/// `files`: a folder.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// Where its root was said, to tell faults of opening it.
    pub(crate) place: Place,
    /// What was said; the prefix and the cache are left to whoever opens it.
    pub(crate) options: FilesOptions,
}

/// `respond`: the same response to everybody.
#[derive(Clone, Debug)]
pub(crate) struct Respond {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: String,
    /// `Content-Type`.
    pub(crate) content_type: HeaderValue,
    /// Further header fields.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// `redirect`: go there instead.
#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    /// Where to.
    pub(crate) to: Template,
    /// In which sense.
    pub(crate) status: StatusCode,
}

const HOST: Parsed<HostPattern> =
    Parsed { expected: "a host", parse: HostPattern::parse, show: ToString::to_string };

const PATH: Parsed<PathPattern> =
    Parsed { expected: "a path", parse: PathPattern::parse, show: ToString::to_string };

const TARGET: Parsed<Template> =
    Parsed { expected: "a URL or a path", parse: Template::parse, show: ToString::to_string };

const HEADER_VALUE: Parsed<HeaderValue> = Parsed {
    expected: "the value of a header field",
    parse: |text| {
        let fault = || format!("{text:?} is no header value, it must be of visible ASCII");
        HeaderValue::from_str(text).ok().filter(|v| v.to_str().is_ok()).ok_or_else(fault)
    },
    show: |value| String::from_utf8_lossy(value.as_bytes()).into_owned(),
};

const HEADERS: Names<HeaderName, Parsed<HeaderValue>> = Names {
    expected: "header fields",
    name: header_name,
    show: HeaderName::to_string,
    value: HEADER_VALUE,
};

const ERROR_PAGES: Names<StatusCode, Parsed<String>> = Names {
    expected: "status codes and files",
    name: |text| {
        let status = text.parse::<StatusCode>().ok();
        let error = status.filter(|status| status.is_client_error() || status.is_server_error());
        error.ok_or_else(|| format!("{text:?} is no error status, such as \"404\""))
    },
    show: |status| status.as_str().to_owned(),
    value: Parsed {
        expected: "a file below root",
        parse: |text| Ok(text.to_owned()),
        show: Clone::clone,
    },
};

fn header_name(text: &str) -> Result<HeaderName, String> {
    let name = text.parse::<HeaderName>();
    let name =
        name.map_err(|_| format!("{text:?} is no header name, such as \"x-frame-options\""))?;
    let ours =
        [header::CONNECTION, header::CONTENT_LENGTH, header::DATE, header::TRANSFER_ENCODING];
    match ours.contains(&name) {
        true => Err(format!("{text:?} is said by the server itself, remove it")),
        false if name == header::CONTENT_TYPE => {
            Err(format!("{text:?} has a key of its own, content_type"))
        }
        false => Ok(name),
    }
}

impl Route {
    /// Every path of every host, from a folder.
    fn folder(root: PathBuf, place: Place) -> Self {
        let path = PathPattern::parse("/*").expect("every path is a pattern");
        let action = Action::Files(Files::new(root, place));
        Self { place, host: HostPattern::Any, path, lane: None, rates: Vec::new(), action }
    }

    fn read(table: &mut Table<'_, '_>) -> Option<Self> {
        let host = table.field(
            "host",
            &HOST,
            HostPattern::Any,
            "Hosts it is for: \"example.org\", \"*.example.org\" for all below it, \"*\" for \
             every host. An exact host goes before a wildcard, a wildcard before \"*\".",
        );
        let path = table.required(
            "path",
            &PATH,
            json!("/static/*"),
            "Paths it is for; each * stands for any text. An exact path goes before a pattern, \
             and of two patterns the one with more text before its first *, then the one with \
             more text in all.",
        );
        let lane = table.optional(
            "lane",
            &LANES,
            json!("queued"),
            "Where its requests are handled, as server.lane says it. Left out: by server.lane.",
        );
        let rates = rate::read_all(
            table,
            "How often clients may come to this route, beside what [[rate]] says of all requests.",
        );
        let files = table.optional_table(
            "files",
            "Files of a folder. The path up to the last slash before the first * is taken off: \
             with path = \"/static/*\" the file for /static/a.css is a.css.",
            Files::read,
        );
        let respond = table.optional_table(
            "respond",
            "The same response to every request, whatever its method.",
            Respond::read,
        );
        let redirect = table.optional_table("redirect", "Go there instead.", Redirect::read);
        let place = table.place();
        let action = only_one(
            table,
            [
                files.map(|files| files.map(Action::Files)),
                respond.map(|respond| Some(Action::Respond(respond))),
                redirect.map(|redirect| redirect.map(Action::Redirect)),
            ],
        );
        Some(Self { place, host, path: path?, lane, rates, action: action? })
    }
}

/// The one action that was said; a fault if there is none or more.
fn only_one(table: &mut Table<'_, '_>, said: [Option<Option<Action>>; 3]) -> Option<Action> {
    let mut said = said.into_iter().flatten();
    let (first, second) = (said.next(), said.next());
    if first.is_none() || second.is_some() {
        let number = if first.is_none() { "nothing" } else { "more than one thing" };
        let message =
            format!("route does {number}, it must have one of files, respond and redirect");
        table.fault(table.place(), message);
    }
    first.flatten()
}

impl Files {
    /// A folder of which only the root was said.
    fn new(root: PathBuf, place: Place) -> Self {
        Self { place, options: FilesOptions { root, ..FilesOptions::default() } }
    }

    fn read(table: &mut Table<'_, '_>) -> Option<Self> {
        let root = table.required(
            "root",
            &FilePath,
            json!("public"),
            "The folder. Nothing outside it is served.",
        );
        let default = FilesOptions::default();
        let mut switch = |name, default, doc| table.field(name, &Switch, default, doc);
        let options = FilesOptions {
            listing: switch(
                "listing",
                default.listing,
                "Whether a folder without an index file is listed.",
            ),
            dotfiles: switch(
                "dotfiles",
                default.dotfiles,
                "Whether names that begin with a dot are served. /.well-known/ always is.",
            ),
            follow_links: switch(
                "follow_links",
                default.follow_links,
                "Whether symbolic links are followed, where they stay inside the folder.",
            ),
            precompressed: switch(
                "precompressed",
                default.precompressed,
                "Whether NAME.br, NAME.zst and NAME.gz beside a file are sent in its place to \
                 clients that take them.",
            ),
            compress: switch(
                "compress",
                default.compress,
                "Whether text above 1 KiB is compressed for clients that take it.",
            ),
            ..Self::read_names(table, default)
        };
        let place = table.place_of("root");
        root.map(|root| Self { place, options: FilesOptions { root, ..options } })
    }

    /// Reads the keys that name files or header fields.
    fn read_names(table: &mut Table<'_, '_>, default: FilesOptions) -> FilesOptions {
        FilesOptions {
            index: table.field(
                "index",
                &List(text("the name of a file")),
                default.index,
                "Files that stand for their folder; the first that is there.",
            ),
            spa_fallback: table.optional(
                "spa",
                &text("a file below root"),
                json!("index.html"),
                "The file for every page that is not there, for single-page applications.",
            ),
            cache_control: table.optional(
                "cache_control",
                &HEADER_VALUE,
                json!("public, max-age=3600"),
                "The Cache-Control header field of each file.",
            ),
            error_pages: table
                .optional(
                    "error_pages",
                    &ERROR_PAGES,
                    json!({ "404": "404.html" }),
                    "Files below root that are the bodies of error responses.",
                )
                .unwrap_or_default(),
            ..default
        }
    }
}

impl Respond {
    fn read(table: &mut Table<'_, '_>) -> Self {
        let status = table.field("status", &Whole(200, 599), 200, "Its status.");
        let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok());
        let respond = Self {
            status: status.expect("the bounds of status are those of a status code"),
            body: table.field("body", &text("text"), String::new(), "Its body."),
            content_type: table.field(
                "content_type",
                &HEADER_VALUE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
                "What the body is.",
            ),
            headers: table
                .optional(
                    "headers",
                    &HEADERS,
                    json!({ "x-frame-options": "DENY" }),
                    "Further header fields.",
                )
                .unwrap_or_default(),
        };
        let bodyless = matches!(respond.status.as_u16(), 204 | 205 | 304);
        if bodyless && !respond.body.is_empty() {
            let place = table.place_of("body");
            let status = respond.status.as_u16();
            table.fault(place, format!("respond.body must be empty, a {status} has none"));
        }
        respond
    }
}

impl Redirect {
    fn read(table: &mut Table<'_, '_>) -> Option<Self> {
        let to = table.required(
            "to",
            &TARGET,
            json!("https://{host}{path}{query}"),
            "Where to. {host} and {path} are the request's, {query} is its query with the \
             question mark, {rest} is what the first * of the route's path stands for.",
        );
        let status = table.field(
            "status",
            &OneOf(&[301, 302, 303, 307, 308]),
            307,
            "In which sense: 307 and 302 for now, 308 and 301 for ever (browsers keep it), 303 \
             after a form. 307 and 308 keep the method.",
        );
        let status = StatusCode::from_u16(status).expect("every choice is a status code");
        Some(Self { to: to?, status })
    }
}

/// Reads all routes, and puts the folder of `serve DIR` before them.
pub(crate) fn read_all(document: &mut Table<'_, '_>) -> Vec<Route> {
    let said = document.tables(
        "route",
        "What is answered: a host and a path, then one of files, respond and redirect. Without \
         any route a welcome page is served.",
        Route::read,
    );
    let mut routes: Vec<_> = said.into_iter().flatten().collect();
    if let Some(folder) = &document.overrides().folder {
        let place = document.faults().named(FOLDER);
        routes.push(Route::folder(folder.clone(), place));
    }
    refuse_clashes(document, &routes);
    routes
}

fn refuse_clashes(document: &mut Table<'_, '_>, routes: &[Route]) {
    for (index, route) in routes.iter().enumerate() {
        let same = |other: &&Route| other.host == route.host && other.path == route.path;
        if let Some(twin) = routes[..index].iter().find(same) {
            let first = document.faults().whereabouts(twin.place);
            let (host, path) = (&route.host, &route.path);
            let message = format!(
                "route for host \"{host}\" and path \"{path}\" is already there ({first}), \
                 remove one"
            );
            document.fault(route.place, message);
        }
    }
}
