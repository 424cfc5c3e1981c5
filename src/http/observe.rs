//! What every answer carries and every request leaves behind: id, security headers, metrics, a log line; and the last
//! net under a panic.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use futures_util::FutureExt;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;
use uuid::Uuid;

use super::accept::Media;
use super::edge::{Caller, Edge, Transport};
use super::reply::{Rejection, code, internal};
use crate::clock;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of an HTTP request, in its extensions for every handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(
    /// The same text as in `x-request-id`.
    pub Uuid,
);

/// Names and describes what the edge counts. Called once, after a recorder is installed.
pub fn describe_metrics() {
    metrics::describe_counter!(
        "http_requests_total",
        "HTTP requests answered, by route, method and status."
    );
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        metrics::Unit::Seconds,
        "Time to the head of the answer, by route."
    );
    metrics::describe_counter!("graphql_operations_total", "Operations, by type and outcome.");
    metrics::describe_counter!(
        "graphql_internal_errors_total",
        "Errors that were logged whole and shown masked."
    );
    metrics::describe_gauge!(
        "engine_due_resources",
        "Resources with something due, of the whole store."
    );
    metrics::describe_gauge!(
        "engine_oldest_due_seconds",
        "For how long the oldest of it has been due."
    );
    metrics::describe_gauge!(
        "engine_failing_resources",
        "Resources with a step that failed and was put off."
    );
    metrics::describe_gauge!("engine_releases_halted", "1 while releases wait for an operator.");
    metrics::describe_gauge!(
        "engine_last_pass_timestamp_seconds",
        "When the last whole pass began, in business time."
    );
    metrics::describe_counter!("engine_steps_total", "Steps that this process' engine handled.");
    metrics::describe_counter!(
        "engine_failures_total",
        "Steps that failed in this process and were put off."
    );
    metrics::describe_counter!("mail_written_total", "Deliveries by e-mail that this process wrote.");
    metrics::describe_counter!(
        "mail_deliveries_total",
        "Messages that this process handed over, by outcome: delivered, postponed or dead."
    );
    metrics::describe_gauge!(
        "mail_pending",
        "Messages that wait to be sent, of the whole store; 10,000 for more."
    );
    metrics::describe_gauge!(
        "mail_dead",
        "Messages that were given up, of the whole store; 10,000 for more."
    );
    metrics::describe_gauge!(
        "mail_oldest_due_seconds",
        "For how long the oldest message has been due."
    );
    metrics::describe_gauge!("graphql_sockets_open", "Sockets that are open.");
    metrics::describe_gauge!("graphql_event_streams_open", "Event streams that are open.");
    metrics::describe_counter!(
        "graphql_event_stream_ends_total",
        "Event streams that ended, by reason."
    );
    metrics::describe_gauge!("graphql_subscriptions_open", "Operations running on sockets.");
    metrics::describe_counter!("graphql_socket_closes_total", "Sockets the server closed, by code.");
}

/// Puts the layers around all routes; the outermost sees every answer.
pub(super) fn dress(edge: Arc<Edge>, routes: Router) -> Router {
    let routes = match cross_origin(&edge.config.cors_origins) {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    routes.layer(from_fn_with_state(edge, observe))
}

fn cross_origin(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins)
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([REQUEST_ID, RETRY_AFTER])
        .max_age(Duration::from_secs(600));
    Some(layer)
}

async fn observe(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response<Body> {
    let began = clock::monotonic();
    let id = edge.new_id();
    request.extensions_mut().insert(RequestId(id));
    let method = known_method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", request_id = %id, method, route);

    let mut response = match AssertUnwindSafe(next.run(request).instrument(span))
        .catch_unwind()
        .await
    {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(request_id = %id, route, "a handler panicked");
            let caller = Caller {
                principal: None,
                request_id: id,
                transport: Transport::Http,
            };
            let mut rejection = Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "");
            *rejection.error = internal(&caller);
            rejection.write(Media::Json)
        }
    };
    put_headers(response.headers_mut(), id);

    let took = began.elapsed();
    let status = response.status().as_u16();
    tracing::debug!(request_id = %id, method, route, status, took_us = took.as_micros(), "answered");
    metrics::counter!("http_requests_total", "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    metrics::histogram!("http_request_duration_seconds", "route" => route).record(took);
    response
}

/// A method as a metric's label: what strangers make up must not become a series of its own.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        _ => "OTHER",
    }
}

fn put_headers(headers: &mut HeaderMap, id: Uuid) {
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The answer to a path that is not there.
pub(super) async fn not_found() -> Response<Body> {
    Rejection::new(
        StatusCode::NOT_FOUND,
        code::NOT_FOUND,
        "There is nothing at this path; the API is at /graphql.",
    )
    .write(Media::Json)
}
