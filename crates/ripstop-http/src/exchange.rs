//! One request and its response, from the request's head to the response's last byte.
//!
//! Owns the counting and the access log's line. Dropping it ends the exchange, however far it
//! came.

use crate::{
    AccessEvent, Facts, RequestId,
    asked::Asked,
    conn::{Conn, Link},
    progress::{Progress, Wait},
    rules::Judged,
};
use http::{HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body::SizeHint;
use ripstop_tears::{Kind, Sighting};
use ripstop_work::{Ending, Routes};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

/// An exchange, as long as it lives.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) link: Link,
    pub(crate) asked: Asked,
    pub(crate) judged: Judged,
    /// The handler has come to its end.
    pub(crate) handled: bool,
    /// It waits, and the next server would know of it.
    waits: Option<u8>,
    record: Option<Box<Record>>,
}

impl Exchange {
    /// Begins the exchange of `request`, which has sent this id and was judged like this.
    pub(crate) fn begin<B>(
        link: Link,
        request: &Request<B>,
        request_id: Option<&HeaderValue>,
        judged: Judged,
    ) -> Self {
        link.conn.exchange_begins();
        let request_id = RequestId::of(request_id, || link.conn.numbers.next());
        let record = link.conn.access.is_some().then(|| Box::new(Record::of(request)));
        let asked = Asked::of(request, request_id, link.conn.facts.clone());
        Self { link, asked, judged, handled: false, waits: None, record }
    }

    /// What the handler may know.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            connection: self.asked.connection.clone(),
            request_id: self.asked.request_id.clone(),
            client: self.judged.client,
            conn: self.link.conn.clone(),
        }
    }

    pub(crate) fn conn(&self) -> &Arc<Conn> {
        &self.link.conn
    }

    pub(crate) fn progress(&self) -> &Progress {
        self.link.progress()
    }

    /// The handler has nothing to do at the moment.
    pub(crate) fn waits(&mut self) {
        if self.waits.is_none() {
            self.waits = self.asked.waits(&self.link.conn.worker);
        }
    }

    fn waits_no_more(&mut self) {
        if let Some(row) = self.waits.take() {
            self.link.conn.worker.waits_no_more(row);
        }
    }

    /// The response's head is known.
    pub(crate) fn responds(&mut self, status: StatusCode, body: impl FnOnce() -> SizeHint) {
        self.waits_no_more();
        self.progress().responds();
        if let Some(record) = &mut self.record {
            record.responds(status, body().exact());
        }
    }

    /// Whether anybody will be told how the exchange went.
    pub(crate) fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Bytes of the response's body were handed on.
    pub(crate) fn sends(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes += bytes as u64;
        }
    }

    /// The response came to its end.
    pub(crate) fn completes(&mut self) {
        if let Some(record) = &mut self.record {
            record.ended = true;
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.waits_no_more();
        let conn = &self.link.conn;
        if conn.exchange_ended() && self.link.stream.is_some() {
            // HTTP/1 sees to it when it is at rest.
            conn.progress.set(Wait::Peer, conn.options.timeouts.idle);
        }
        if conn.worker.ending() == Ending::AtOnce {
            self.list_as_cut();
        }
        if let Some(suspected) = self.judged.suspected.as_ref().filter(|_| self.handled) {
            suspected.completed();
        }
        if let (Some(record), Some(access)) = (&self.record, &conn.access) {
            let request_id = self.asked.request_id.to_string();
            access.record(&record.event(conn.facts.peer, self.judged.client, &request_id));
        }
    }
}

impl Exchange {
    /// Reports that there was no response by the deadline.
    pub(crate) fn reports_deadline(&self, whereabouts: &str) {
        let worker = &self.conn().worker;
        let message = format!("no response by the deadline: {whereabouts}");
        worker.tears().file(Sighting {
            worker: Some(worker.index()),
            route: Some(Routes::key(self.asked.route())),
            request_id: Some(self.asked.request_id.to_string()),
            peer: self.asked.connection.peer,
            lasted: self.conn().options.timeouts.request,
            message,
            ..Sighting::new(Kind::Deadline, "")
        });
    }

    /// The server could not wait for it any longer.
    fn list_as_cut(&self) {
        let Asked { request_id, connection, .. } = &self.asked;
        log::warn!(
            method:% = self.asked.method(),
            path = self.asked.path(),
            request_id:%,
            peer:? = connection.peer,
            listener:% = connection.listener;
            "request cut off by the end of the server"
        );
    }
}

/// What the access log says of an exchange.
#[derive(Debug)]
struct Record {
    time: SystemTime,
    begin: Instant,
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    status: Option<StatusCode>,
    bytes: u64,
    /// The bytes that the response's body has, where that is known.
    length: Option<u64>,
    /// The body said that it has ended. hyper does not ask a body of known length whether it has.
    ended: bool,
}

impl Record {
    fn responds(&mut self, status: StatusCode, length: Option<u64>) {
        let no_body = self.method == Method::HEAD
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        self.status = Some(status);
        self.length = if no_body { Some(0) } else { length };
    }

    fn of<B>(request: &Request<B>) -> Self {
        let field = |name| request.headers().get(name).cloned();
        Self {
            time: SystemTime::now(),
            begin: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            host: field(header::HOST),
            referer: field(header::REFERER),
            user_agent: field(header::USER_AGENT),
            status: None,
            bytes: 0,
            length: None,
            ended: false,
        }
    }

    fn event<'a>(
        &'a self,
        peer: Option<SocketAddr>,
        client: Option<IpAddr>,
        request_id: &'a str,
    ) -> AccessEvent<'a> {
        let authority = self.uri.authority().map(|authority| authority.as_str().as_bytes());
        AccessEvent {
            time: self.time,
            peer,
            client: client.filter(|client| peer.is_none_or(|peer| peer.ip() != *client)),
            method: &self.method,
            uri: &self.uri,
            version: self.version,
            status: self.status,
            response_bytes: self.bytes,
            duration: self.begin.elapsed(),
            request_id,
            host: self.host.as_ref().map(HeaderValue::as_bytes).or(authority),
            referer: self.referer.as_ref().map(HeaderValue::as_bytes),
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            completed: self.ended || self.length == Some(self.bytes),
        }
    }
}
