//! What a running server tells about itself, to be served over a listener of its own.
//!
//! For now that is its health, as orchestrators and load balancers ask for it:
//!
//! - `/health/live`: 200 as long as the process answers at all;
//! - `/health/ready`: 200 when it takes requests, 503 with the reason while it starts or drains.
//!
//! [`Admin`] is the service, [`Health`] the handle by which the server says how it is.
//!
//! ```
//! use http::Method;
//! use ripstop_admin::{Admin, Health};
//!
//! let health = Health::new();
//! let admin = Admin::new(health.clone());
//! assert_eq!(admin.answer(&Method::GET, "/health/ready").status(), 503);
//! health.ready();
//! assert_eq!(admin.answer(&Method::GET, "/health/ready").status(), 200);
//! ```

mod health;
mod service;

pub use health::{Health, State};
pub use service::Admin;
