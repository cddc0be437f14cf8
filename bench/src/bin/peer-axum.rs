//! The peer for comparison: axum on tokio's work-stealing runtime, as `#[tokio::main]` has it.
//!
//! `peer-axum --listen ADDR --workers N` answers `GET /` and `GET /cpu?us=N`.

use clap::Parser;
use ripstop_bench::peer::{self, Arguments};
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
    axum::serve(TcpListener::bind(listen).await?, peer::app()).await
}
