//! What was asked for: enough to name a request while it is worked on, in reports and in the list
//! of what was cut.

use crate::{Connection, RequestId};
use http::{Method, Request, uri::PathAndQuery};
use ripstop_work::{AtWork, RouteName, Subject, Worker};
use std::sync::Arc;

/// A request by its names. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    method: Method,
    target: Option<PathAndQuery>,
    pub(crate) request_id: RequestId,
    pub(crate) connection: Arc<Connection>,
}

impl Asked {
    pub(crate) fn of<B>(
        request: &Request<B>,
        request_id: RequestId,
        connection: Arc<Connection>,
    ) -> Self {
        let (method, target) = (request.method().clone(), request.uri().path_and_query().cloned());
        Self { method, target, request_id, connection }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn path(&self) -> &str {
        self.target.as_ref().map_or("*", PathAndQuery::path)
    }

    /// The path and the query.
    pub(crate) fn target(&self) -> &str {
        self.target.as_ref().map_or("*", PathAndQuery::as_str)
    }

    /// The route that it came by, as far as the server can tell.
    pub(crate) fn route(&self) -> RouteName<'_> {
        RouteName::Target { method: self.method.as_str(), path: self.path() }
    }

    /// Tells the watchdog that the calling thread works on it, as long as the guard lives.
    pub(crate) fn at_work(&self) -> AtWork {
        AtWork::on(self.request_id.as_subject(), || self.subject())
    }

    /// Has the next server know of it, if this one dies while it waits.
    pub(crate) fn waits(&self, worker: &Worker) -> Option<u8> {
        worker.waits(self.request_id.as_subject(), || self.subject())
    }

    fn subject(&self) -> Subject<'_> {
        let (method, target) = (self.method.as_str(), self.target());
        Subject { method, target, peer: self.connection.peer }
    }
}
