//! No framework: a tower service of one's own.

use http::{Request, Response};
use ripstop::{Body, Facts};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};
use tower::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone)]
struct Greeter;

impl Service<Request<Body>> for Greeter {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _ctx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let text = match request.uri().path() {
            "/" => "Hello, World!".to_owned(),
            "/facts" => facts(&request),
            path => format!("nothing at {path}\n"),
        };
        ready(Ok(Response::new(text)))
    }
}

/// What the server knows of a request beside the message.
fn facts(request: &Request<Body>) -> String {
    let facts = request.extensions().get::<Facts>().expect("every request has its facts");
    let Facts { connection, request_id, .. } = facts;
    format!("{request_id} from {:?} by {}\n", connection.peer, connection.listener)
}

fn main() -> Result<(), ripstop::Error> {
    env_logger::init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    ripstop::Server::new(Greeter).listen(&address).run()?;
    Ok(())
}
