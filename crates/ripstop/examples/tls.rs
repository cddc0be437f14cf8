//! TLS from certificate files: an axum application that tells what it knows of its connection.
//!
//! `tls --listen 127.0.0.1:8443 --certificate CHAIN.pem KEY.pem`, with one `--certificate` for each
//! name or kind of key; `--clients AUTHORITY.pem` asks clients for certificates, too. A socket that
//! a service manager passes is taken by `--listen fd:NAME`.

use axum::{Extension, Router, routing::get};
use clap::Parser;
use ripstop::{
    CertifiedFiles, ClientAuth, Facts, Inherited, Listen, ListenerOptions, Options, Server,
    TlsOptions,
};
use std::{error::Error, path::PathBuf};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves over TLS.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: String,
    /// A certificate chain and its key, PEM files; repeated for several certificates.
    #[arg(long, num_args = 2, value_names = ["CHAIN", "KEY"], required = true)]
    certificate: Vec<PathBuf>,
    /// The authorities of client certificates, which are then asked for and may be left out.
    #[arg(long)]
    clients: Option<PathBuf>,
}

impl Arguments {
    fn tls(&self) -> TlsOptions {
        let files =
            |pair: &[PathBuf]| CertifiedFiles { chain: pair[0].clone(), key: pair[1].clone() };
        TlsOptions {
            certificates: self.certificate.chunks_exact(2).map(files).collect(),
            client_auth: self.clients.clone().map_or(ClientAuth::None, ClientAuth::Optional),
            ..TlsOptions::default()
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // First of all, while the process has no other threads.
    let inherited = Inherited::from_env()?;
    env_logger::init();
    let arguments = Arguments::parse();
    let listener =
        ListenerOptions { address: arguments.listen.parse()?, ..ListenerOptions::default() };
    let listen = vec![Listen { listener, tls: Some(arguments.tls()), ..Listen::default() }];
    let app = Router::new().route("/", get(tell));
    Server::with_options(app, Options { listen, ..Options::default() }).inherit(inherited).run()?;
    Ok(())
}

async fn tell(Extension(facts): Extension<Facts>) -> String {
    let Facts { connection, request_id, .. } = facts;
    let Some(tls) = &connection.tls else { return "no TLS\n".to_owned() };
    let server = tls.server_name.as_deref().unwrap_or("a server without a name");
    let client = tls.client_subject.as_deref().unwrap_or("a client without a certificate");
    format!("{client} to {server} by {} {}, request {request_id}\n", tls.version, tls.cipher)
}
