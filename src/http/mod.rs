//! The edge: everything between a TCP connection and a GraphQL execution.
//!
//! GraphQL over HTTP, graphql-transport-ws, server-sent events, authentication, the guard that measures documents before they are
//! validated, health, metrics and the console. It knows nothing of billing: what it runs is an [`Engine`], and what a
//! request may see is decided by the hook that prepares it. No business rule, no store and no schema type is ever here.

mod accept;
mod auth;
mod config;
mod confirm;
mod console;
mod counts;
mod edge;
mod further;
mod graphql;
mod guard;
mod health;
mod held;
mod mend;
mod observe;
mod params;
mod reply;
mod run;
mod sse;
mod ws;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};

pub use auth::{AuthError, Authenticator, Principal, WeakSecret};
pub use config::{Console, EdgeConfig, GuardLimits, Introspection, SocketLimits};
pub use edge::{
    Caller, Edge, Engine, IdSource, MachineClock, MetricsText, Page, Pages, ReadyCheck, SchemaEngine, Step, Transport,
};
pub use further::{Refusal, refuse};
pub use guard::{Measured, Refused};
pub use mend::Shape;
pub use observe::{RequestId, describe_metrics};

/// The gateway's routes: `/graphql` (HTTP, event streams and WebSocket), `/healthz`, `/readyz`, and as configured `/metrics`,
/// `/recipients/confirm` (links of e-mail) and `/graphiql`.
pub fn router(edge: Arc<Edge>) -> Router {
    router_with(edge, Router::new())
}

/// Like [`router`], with further routes (webhooks, exports) that get the same request id, security headers, metrics,
/// panic mask and cross-origin rules.
pub fn router_with(edge: Arc<Edge>, further: Router) -> Router {
    let mut routes = Router::new()
        .route("/graphql", any(graphql::serve))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready));
    if edge.metrics.is_some() {
        routes = routes.route("/metrics", get(health::metrics));
    }
    if edge.pages.is_some() {
        routes = routes.route("/recipients/confirm", get(confirm::look).post(confirm::confirm));
    }
    if edge.config.console.enabled {
        routes = routes
            .route("/graphiql", get(console::page))
            .route("/graphiql/{asset}", get(console::asset));
    }
    let routes = routes
        .fallback(observe::not_found)
        .with_state(Arc::clone(&edge))
        .merge(further);
    observe::dress(edge, routes)
}
