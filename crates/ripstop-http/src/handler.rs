//! What an application has to be: any tower service of HTTP requests that can be cloned.

use crate::Body;
use http::{Request, Response};
use http_body::Body as HttpBody;
use std::error::Error as StdError;
use tower_service::Service;

/// What handles requests: any tower service that can be cloned, such as a router.
pub trait Handler:
    Service<
        Request<Body>,
        Response = Response<ResponseBody<Self>>,
        Error: Into<BoxError>,
        Future: Send,
    > + HandlerBody
    + Clone
    + Send
    + 'static
{
}

/// Any error of an application.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of a handler's responses.
pub type ResponseBody<S> = <S as HandlerBody>::ResponseBody;

/// Names the body of a handler's responses.
pub trait HandlerBody {
    /// Any body whose data can be sent to another thread.
    type ResponseBody: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HandlerBody for S
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type ResponseBody = B;
}

impl<S, B> Handler for S
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
}
