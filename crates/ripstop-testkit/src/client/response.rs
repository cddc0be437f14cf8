//! Responses of HTTP/1, read strictly: what is not valid is an error, never a guess.

use std::io::{self, ErrorKind};

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values without the blanks around them, in the order they came.
    pub headers: Vec<(String, String)>,
}

/// A response, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// All before the body.
    pub head: Head,
    /// The body without its chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The value of the header `name`, which is given in lower case.
    ///
    /// # Panics
    ///
    /// As [`Head::header`].
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Head {
    /// The value of the header `name`, which is given in lower case.
    ///
    /// # Panics
    ///
    /// It came more than once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(found, _)| found == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "more than one {name} in {:?}", self.headers);
        value
    }

    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| invalid("head", bytes))?;
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let (version, status) = parse_status(status_line).ok_or_else(|| invalid("head", bytes))?;
        let headers = lines.map(parse_header).collect::<Option<_>>();
        let headers = headers.ok_or_else(|| invalid("header", bytes))?;
        Ok(Self { version, status, headers })
    }

    pub(super) fn has_no_body(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    /// A response with a coding other than `chunked`, or with a length beside it, is refused.
    pub(super) fn is_chunked(&self) -> io::Result<bool> {
        match self.only("transfer-encoding")? {
            None => Ok(false),
            Some("chunked") if self.only("content-length")?.is_none() => Ok(true),
            Some(coding) => Err(invalid("transfer-encoding", coding.as_bytes())),
        }
    }

    pub(super) fn content_length(&self) -> io::Result<Option<usize>> {
        let parse = |text: &str| text.parse().map_err(|_| invalid("length", text.as_bytes()));
        self.only("content-length")?.map(parse).transpose()
    }

    fn only(&self, name: &str) -> io::Result<Option<&str>> {
        match self.headers.iter().filter(|(found, _)| found == name).count() {
            0 | 1 => Ok(self.header(name)),
            _ => Err(invalid("doubled header", name.as_bytes())),
        }
    }
}

fn parse_status(line: &str) -> Option<(String, u16)> {
    let (version, rest) = line.split_once(' ')?;
    let (status, _reason) = rest.split_once(' ')?;
    let known = matches!(version, "HTTP/1.1" | "HTTP/1.0") && status.len() == 3;
    known.then(|| Some((version.to_owned(), status.parse().ok()?)))?
}

fn parse_header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let valid = !name.is_empty() && !name.contains([' ', '\t']) && !line.contains(['\r', '\n']);
    valid.then(|| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

/// The length in a chunk's first line; extensions are passed over.
pub(super) fn chunk_len(line: &[u8]) -> io::Result<usize> {
    let text = std::str::from_utf8(line).map_err(|_| invalid("chunk", line))?;
    let digits = text.trim_end().split(';').next().unwrap_or_default().trim_end();
    usize::from_str_radix(digits, 16).map_err(|_| invalid("chunk", line))
}

pub(super) fn expect_line_end(bytes: &[u8]) -> io::Result<()> {
    if bytes == b"\r\n" { Ok(()) } else { Err(invalid("end of a chunk", bytes)) }
}

/// The first bytes, as they can be shown.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(200)];
    format!("{} bytes: \"{}\"", bytes.len(), shown.escape_ascii())
}

fn invalid(what: &str, bytes: &[u8]) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no valid {what} in {}", excerpt(bytes)))
}
