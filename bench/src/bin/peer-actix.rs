//! The peer for comparison: actix-web, which has a runtime of one thread for each worker.
//!
//! `peer-actix --listen ADDR --workers N` answers `GET /` and `GET /cpu?us=N`.

use actix_web::{App, HttpServer, rt, web};
use clap::Parser;
use ripstop_bench::peer::{Arguments, Burn, burn, hello};
use std::io;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    rt::System::new().block_on(serve(&arguments))
}

async fn serve(arguments: &Arguments) -> io::Result<()> {
    let server = HttpServer::new(|| {
        App::new()
            .route("/", web::get().to(|| async { hello() }))
            .route("/cpu", web::get().to(|query: web::Query<Burn>| async move { burn(&query) }))
    });
    server.workers(arguments.workers.get()).bind(&arguments.listen)?.run().await
}
