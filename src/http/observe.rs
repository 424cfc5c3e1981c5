//! What every answer carries and every request leaves behind: id, security headers, metrics, a log line; and the last
//! net under a panic.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower::{Layer, Service};
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
    routes.layer(Observe(edge))
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

/// Watches every request. A layer of our own, because one that is made of a function costs what a small query costs.
#[derive(Clone)]
struct Observe(Arc<Edge>);

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            edge: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service whose requests are watched.
#[derive(Clone)]
struct Observed<S> {
    edge: Arc<Edge>,
    inner: S,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let seen = Seen {
            began: clock::monotonic(),
            id: self.edge.new_id(),
            method: known_method(request.method()),
            route: request.extensions().get::<MatchedPath>().cloned(),
        };
        request.extensions_mut().insert(RequestId(seen.id));
        let span = tracing::info_span!("request", request_id = %seen.id, method = seen.method, route = seen.route());
        let answering = AssertUnwindSafe(self.inner.call(request).instrument(span)).catch_unwind();
        let edge = Arc::clone(&self.edge);
        Box::pin(async move {
            let mut response = match answering.await {
                Ok(response) => response?,
                Err(_) => seen.panicked(),
            };
            put_headers(response.headers_mut(), seen.id);
            seen.answered(&edge, &response);
            Ok(response)
        })
    }
}

/// What is known of a request before it is answered.
struct Seen {
    began: Instant,
    id: Uuid,
    method: &'static str,
    route: Option<MatchedPath>,
}

impl Seen {
    fn route(&self) -> &str {
        self.route.as_ref().map_or("none", MatchedPath::as_str)
    }

    fn panicked(&self) -> Response<Body> {
        tracing::error!(request_id = %self.id, route = self.route(), "a handler panicked");
        let caller = Caller {
            principal: None,
            request_id: self.id,
            transport: Transport::Http,
        };
        let mut rejection = Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "");
        *rejection.error = internal(&caller);
        rejection.write(Media::Json)
    }

    fn answered(&self, edge: &Edge, response: &Response<Body>) {
        let took = self.began.elapsed();
        let (method, route, status) = (self.method, self.route(), response.status().as_u16());
        tracing::debug!(request_id = %self.id, method, route, status, took_us = took.as_micros(), "answered");
        edge.counts.answered(route, method, status, took);
    }
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

/// What every answer carries, but for its id.
static CARRIED: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

fn put_headers(headers: &mut HeaderMap, id: Uuid) {
    let mut text = Uuid::encode_buffer();
    if let Ok(value) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in &CARRIED {
        headers.entry(name).or_insert_with(|| value.clone());
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
