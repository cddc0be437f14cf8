//! The peer for comparison: axum on tokio's work-stealing runtime, as `#[tokio::main]` has it.
//!
//! `peer-axum --listen ADDR --workers N` answers `GET /` and `GET /cpu?us=N`.

use axum::{Router, extract::Query, routing::get};
use clap::Parser;
use ripstop_bench::peer::{Arguments, hello, spin};
use std::io;
use tokio::{net::TcpListener, runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut runtime = runtime::Builder::new_multi_thread();
    runtime.worker_threads(arguments.workers.get()).enable_all();
    runtime.build()?.block_on(serve(&arguments.listen))
}

async fn serve(listen: &str) -> io::Result<()> {
    let app = Router::new()
        .route("/", get(|| async { hello() }))
        .route("/cpu", get(|Query(burn)| async move { spin(&burn) }));
    axum::serve(TcpListener::bind(listen).await?, app).await
}
