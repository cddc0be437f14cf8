//! The access log: one line for each request, written when its response has ended.
//!
//! Owns the two formats and their escaping: what a peer sent can neither end a line, nor a field,
//! nor reach a terminal as a control sequence, and a JSON line is JSON whatever was sent. Writing
//! the lines, and losing them when the disk is full, is the sink's business; when an event is
//! made, the connection's.

mod escape;
mod stamp;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode, Uri, Version};
use ripstop_work::{Sink, Target};

/// No field of a line has more bytes of the peer's than this; the rest of it is cut off.
const FIELD_BYTES_MAX: usize = 8 * 1024;

/// What a thread keeps of its line buffer after a long line.
const LINE_BYTES_KEPT: usize = 16 * 1024;

/// The status that stands, in formats that need one, for a client that went away before there was
/// one (nginx's).
const CLIENT_GONE: u16 = 499;

/// A request and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct AccessEvent<'a> {
    /// When the request's head had been read.
    pub time: SystemTime,
    /// Who sent it; none over a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Who the client is, where a trusted proxy named another one than the peer.
    pub client: Option<IpAddr>,
    /// The request's method.
    pub method: &'a Method,
    /// The request's target. Only its path and query are logged; for `CONNECT` its authority.
    pub uri: &'a Uri,
    /// The request's version of HTTP.
    pub version: Version,
    /// The response's status; none if the client went away before there was one.
    pub status: Option<StatusCode>,
    /// The bytes of the response's body that were handed to the connection.
    pub response_bytes: u64,
    /// From the request's head to the end of the response.
    pub duration: Duration,
    /// The request's id.
    pub request_id: &'a str,
    /// The `Host` header, or HTTP/2's `:authority`.
    pub host: Option<&'a [u8]>,
    /// The `Referer` header.
    pub referer: Option<&'a [u8]>,
    /// The `User-Agent` header.
    pub user_agent: Option<&'a [u8]>,
    /// Whether the response came to its end; false if it was cut by the client, a deadline, a
    /// panic or a stop.
    pub completed: bool,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, with all of the event: `time` (RFC 3339, UTC, milliseconds), `peer`,
    /// `client`, `method`, `host`, `uri`, `version`, `status`, `bytes`, `duration_us`, `request_id`,
    /// `referer`, `user_agent`, `completed`. What the event does not have is left out. Bytes that
    /// are not UTF-8 become U+FFFD.
    Json,
    /// The combined log format of Apache and nginx, in UTC; its host is the client. Quotes, backslashes, control
    /// characters and bytes beyond ASCII are written as `\xHH`, as nginx does.
    Combined,
}

/// An open access log. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: Format,
    sink: Sink,
}

impl AccessLog {
    /// Opens the log. `capacity_bytes` of lines may wait to be written; see [`Sink::open`].
    ///
    /// # Errors
    ///
    /// As [`Sink::open`].
    pub fn open(format: Format, target: Target, capacity_bytes: usize) -> io::Result<Self> {
        let note = match format {
            Format::Json => |dropped| format!(r#"{{"dropped":{dropped}}}"#),
            Format::Combined => |dropped| format!("# lines dropped here: {dropped}"),
        };
        Ok(Self { format, sink: Sink::open_noting(target, capacity_bytes, note)? })
    }

    /// Writes the line of `event`. Never blocks; a line for which there is no room is dropped and
    /// counted.
    pub fn record(&self, event: &AccessEvent<'_>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            self.format.append(event, line);
            self.sink.write_line(line);
            line.shrink_to(LINE_BYTES_KEPT);
        });
    }

    /// Where the lines go: to open the file anew, to flush it, or to ask for the dropped ones.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }
}

impl Format {
    /// Appends the line of `event` to `line`, without an end of line. Allocates nothing beside it.
    pub fn append(self, event: &AccessEvent<'_>, line: &mut Vec<u8>) {
        match self {
            Self::Json => append_json(event, line),
            Self::Combined => append_combined(event, line),
        }
    }
}

fn append_json(event: &AccessEvent<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"time\":\"");
    stamp::append_rfc3339(event.time, line);
    line.push(b'"');
    if let Some(peer) = event.peer {
        line.extend_from_slice(b",\"peer\":\"");
        append_peer(peer, line);
        line.push(b'"');
    }
    if let Some(client) = event.client {
        line.extend_from_slice(b",\"client\":\"");
        append_ip(client, line);
        line.push(b'"');
    }
    append_text("method", Some(event.method.as_str().as_bytes()), line);
    append_text("host", event.host, line);
    append_text("uri", Some(target(event.uri)), line);
    append_text("version", Some(version(event.version).as_bytes()), line);
    if let Some(status) = event.status {
        append_number("status", status.as_u16().into(), line);
    }
    append_number("bytes", event.response_bytes, line);
    append_number("duration_us", event.duration.as_micros().try_into().unwrap_or(u64::MAX), line);
    append_text("request_id", Some(event.request_id.as_bytes()), line);
    append_text("referer", event.referer, line);
    append_text("user_agent", event.user_agent, line);
    line.extend_from_slice(if event.completed {
        b",\"completed\":true}"
    } else {
        b",\"completed\":false}"
    });
}

fn append_combined(event: &AccessEvent<'_>, line: &mut Vec<u8>) {
    match event.client.or(event.peer.map(|peer| peer.ip())) {
        Some(client) => append_ip(client, line),
        None => line.extend_from_slice(b"unix:"),
    }
    line.extend_from_slice(b" - - [");
    stamp::append_clf(event.time, line);
    line.extend_from_slice(b"] \"");
    escape::append_hex(bounded(event.method.as_str().as_bytes()), line);
    line.push(b' ');
    escape::append_hex(bounded(target(event.uri)), line);
    line.push(b' ');
    line.extend_from_slice(version(event.version).as_bytes());
    line.extend_from_slice(b"\" ");
    append_decimal(event.status.map_or(CLIENT_GONE, |status| status.as_u16()).into(), line);
    line.push(b' ');
    append_decimal(event.response_bytes, line);
    for header in [event.referer, event.user_agent] {
        line.extend_from_slice(b" \"");
        escape::append_hex(bounded(header.unwrap_or(b"-")), line);
        line.push(b'"');
    }
}

fn append_text(name: &str, value: Option<&[u8]>, line: &mut Vec<u8>) {
    if let Some(value) = value {
        append_name(name, line);
        line.push(b'"');
        escape::append_json(bounded(value), line);
        line.push(b'"');
    }
}

fn append_number(name: &str, value: u64, line: &mut Vec<u8>) {
    append_name(name, line);
    append_decimal(value, line);
}

fn append_name(name: &str, line: &mut Vec<u8>) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

fn bounded(value: &[u8]) -> &[u8] {
    &value[..value.len().min(FIELD_BYTES_MAX)]
}

fn target(uri: &Uri) -> &[u8] {
    match (uri.path_and_query(), uri.authority()) {
        (Some(path_and_query), _) => path_and_query.as_str().as_bytes(),
        (None, Some(authority)) => authority.as_str().as_bytes(),
        (None, None) => b"",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/?",
    }
}

fn append_peer(peer: SocketAddr, line: &mut Vec<u8>) {
    let ip = peer.ip().to_canonical();
    if ip.is_ipv6() {
        line.push(b'[');
    }
    append_ip(ip, line);
    if ip.is_ipv6() {
        line.push(b']');
    }
    line.push(b':');
    append_decimal(peer.port().into(), line);
}

/// An IPv4 address that came to an IPv6 socket is written as what it is.
fn append_ip(ip: IpAddr, line: &mut Vec<u8>) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            append_decimal(a.into(), line);
            for octet in [b, c, d] {
                line.push(b'.');
                append_decimal(octet.into(), line);
            }
        }
        // A vector takes all that is written to it.
        IpAddr::V6(ip) => write!(line, "{ip}").unwrap_or_default(),
    }
}

fn append_decimal(mut number: u64, line: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}
