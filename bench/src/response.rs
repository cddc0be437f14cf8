//! Whether a whole response is there: as much of HTTP/1.1 as the servers measured here send.

/// What there is of a response.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More has to be read.
    Partial,
    /// All of it, and nothing else.
    Whole {
        /// The status code.
        status: u16,
    },
    /// No response with a `Content-Length`, or more than one response.
    Broken,
}

/// Judges what was received since the request was sent.
#[must_use]
pub fn progress(received: &[u8]) -> Progress {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(received) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Progress::Partial,
        Err(_) => return Progress::Broken,
    };
    let (Some(status), Some(length)) = (response.code, content_length(response.headers)) else {
        return Progress::Broken;
    };
    match received.len() - head {
        body if body < length => Progress::Partial,
        body if body == length => Progress::Whole { status },
        _ => Progress::Broken,
    }
}

fn content_length(headers: &[httparse::Header]) -> Option<usize> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    str::from_utf8(found.value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_when_its_body_is() {
        for (received, judged) in [
            ("", Progress::Partial),
            ("HTTP/1.1 200 OK\r\ncontent-", Progress::Partial),
            ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndon", Progress::Partial),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone", Progress::Whole { status: 200 }),
            ("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", Progress::Whole { status: 503 }),
            ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndoneH", Progress::Broken),
            ("HTTP/1.1 200 OK\r\n\r\n", Progress::Broken),
            ("SSH-2.0", Progress::Broken),
        ] {
            assert_eq!(progress(received.as_bytes()), judged, "{received}");
        }
    }
}
