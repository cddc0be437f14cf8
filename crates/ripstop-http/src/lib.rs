//! HTTP/1.1 and HTTP/2 on any byte stream, over hyper.
//!
//! What hyper leaves open is closed here: strict framing and admission, deadlines on every wait,
//! bounds on everything a peer sends, and the wall that holds a handler's panic. The way of a
//! request: [`serve`] → `h1` or `h2`, the driver of its connection → `guard` and `admit`, which
//! may refuse it → `dispatch` → `handling` → the application's service → `outgoing` → hyper.

pub mod access;
mod admit;
mod asked;
mod body;
mod conn;
mod dispatch;
mod exchange;
mod facts;
mod guard;
mod h1;
mod h2;
mod handler;
mod handling;
mod lane;
mod options;
mod outgoing;
mod pace;
mod progress;
mod refusal;
mod seam;
mod serve;
mod walled;
mod wire;

pub use access::{AccessEvent, AccessLog};
pub use body::{Body, BodyError};
pub use facts::{Connection, Facts, RequestId, Tls, X_REQUEST_ID};
pub use handler::{BoxError, Handler, HandlerBody, ResponseBody};
pub use lane::{LaneLayer, Laned, LanedFuture};
pub use options::{Disconnect, Limits, Options, Timeouts};
pub use refusal::Refusal;
pub use serve::{Protocol, Shared, serve};
pub use wire::Wire;
