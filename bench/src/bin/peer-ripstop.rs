//! Ripstop with its defaults and the application of `peer-axum`, for comparison with it.
//!
//! `peer-ripstop --listen ADDR --workers N` answers `GET /` and `GET /cpu?us=N`.

use clap::Parser;
use ripstop::{Options, Server, workers};
use ripstop_bench::peer::{self, Arguments};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), ripstop::Error> {
    let arguments = Arguments::parse();
    let workers = workers::Options { workers: arguments.workers, ..workers::Options::default() };
    let options = Options { workers, ..Options::default() };
    Server::with_options(peer::app(), options).listen(&arguments.listen).run()?;
    Ok(())
}
