//! What machines ask about the process: is it alive, can it serve, what has it counted.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::accept::Media;
use super::edge::Edge;
use super::reply;

/// Alive: 200 as long as the process answers at all.
pub(super) async fn alive() -> Response<Body> {
    said(StatusCode::OK, &json!({ "status": "ok" }))
}

/// How long what the process needs may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ready: 200, or 503 with the reason; 503 too once the process has begun to stop, so that it gets no new work. What the
/// store said about itself (addresses, users) is for the log: anybody may ask this.
pub(super) async fn ready(State(edge): State<Arc<Edge>>) -> Response<Body> {
    let reason = if edge.shutdown.is_cancelled() {
        Some("stopping")
    } else {
        match tokio::time::timeout(PATIENCE, (edge.ready)()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(error, "not ready: the store is away");
                Some("the store is away")
            }
            Err(_) => {
                tracing::warn!(seconds = PATIENCE.as_secs(), "not ready: the store does not answer");
                Some("the store is away")
            }
        }
    };
    match reason {
        None => said(StatusCode::OK, &json!({ "status": "ready" })),
        Some(reason) => said(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "status": "unavailable", "reason": reason }),
        ),
    }
}

/// What was counted, as Prometheus reads it.
pub(super) async fn metrics(State(edge): State<Arc<Edge>>) -> Response<Body> {
    let text = edge.metrics.as_ref().map(|text| text()).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    fresh(response)
}

fn fresh(mut response: Response<Body>) -> Response<Body> {
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn said(status: StatusCode, body: &Value) -> Response<Body> {
    fresh(reply::write(status, Media::Json, body.to_string().into_bytes()))
}
