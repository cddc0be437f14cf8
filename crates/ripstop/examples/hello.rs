//! axum on Ripstop: the line that serves is the only one that differs.

use axum::{Router, routing::get};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), ripstop::Error> {
    env_logger::init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let app = Router::new().route("/", get(|| async { "Hello, World!" }));
    ripstop::Server::new(app).listen(&address).run()?;
    Ok(())
}
