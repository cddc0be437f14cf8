//! The welcome page: what is served when nobody said what to serve.
//!
//! One page without anything from elsewhere. Its text is in `welcome.html`; this
//! fills in what runs.

use crate::{config::Config, options};

/// The page for a configuration: `listeners` and `admin` are what the server listens on,
/// as one can open it in a browser.
pub(crate) fn page(config: &Config, listeners: &[String], admin: &[String]) -> String {
    let listeners: String = listeners.iter().map(|url| format!("<li>{}</li>", link(url))).collect();
    let health = admin.first().map_or_else(
        || "off".to_owned(),
        |url| {
            let [live, ready] = ["live", "ready"].map(|name| link(&format!("{url}/health/{name}")));
            format!("{live}<br>{ready}")
        },
    );
    let workers = options::workers(config);
    include_str!("welcome.html")
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{listeners}", &listeners)
        .replace("{workers}", &workers.workers.to_string())
        .replace("{spares}", &workers.spares.to_string())
        .replace("{health}", &health)
}

fn link(url: &str) -> String {
    let url = escape(url);
    match url.starts_with("http") {
        true => format!("<a href=\"{url}\">{url}</a>"),
        false => format!("<code>{url}</code>"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
