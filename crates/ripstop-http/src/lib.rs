//! HTTP/1.1 and HTTP/2 on any byte stream, over hyper.
//!
//! What hyper leaves open is closed here: strict framing and admission, deadlines on every wait,
//! bounds on everything a peer sends, and the wall that holds a handler's panic. The way of a
//! request: [`serve`] → `h1` or `h2`, the driver of its connection → `guard` and `admit`, which
//! may refuse it → `dispatch`, which judges it by the `rules` of rates and of the
//! `quarantine` → `handling` → the application's service → `outgoing` → hyper.

pub mod access;
mod admit;
mod asked;
mod body;
mod buffers;
mod conn;
mod dispatch;
mod exchange;
mod facts;
mod forwarded;
mod guard;
mod h1;
mod h2;
mod handler;
mod handling;
mod lane;
mod ledger;
mod options;
mod outgoing;
mod pace;
mod progress;
mod quarantine;
mod rate;
mod refusal;
mod rules;
mod seam;
mod serve;
mod walled;
mod wire;

pub use access::{AccessEvent, AccessLog};
pub use body::{Body, BodyError};
pub use buffers::Buffers;
pub use facts::{Connection, Facts, RequestId, Tls, X_REQUEST_ID};
pub use forwarded::{ForwardedField, TrustedProxies};
pub use handler::{BoxError, Handler, HandlerBody, ResponseBody};
pub use lane::{LaneLayer, Laned, LanedFuture};
pub use options::{Disconnect, Limits, Options, Timeouts};
pub use quarantine::{Fingerprint, Quarantine, Quarantined};
pub use rate::{
    Exceeded, RateCounts, RateKey, RateLayer, RateLimit, RateLimiter, Rated, RatedFuture, Standing,
};
pub use refusal::Refusal;
pub use rules::Rules;
pub use serve::{Begin, Earlier, Protocol, Rested, Served, Shared, serve};
pub use wire::Wire;
