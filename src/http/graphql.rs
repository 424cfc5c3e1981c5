//! GraphQL over HTTP: POST with JSON, GET for queries, event streams, and the upgrade to a socket, all on one path.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use axum::response::IntoResponse;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::accept::{self, Media};
use super::edge::{Caller, Edge, Transport};
use super::observe::RequestId;
use super::params::{self, Params};
use super::reply::{self, Answer, Rejection, code};
use super::run::{self, Deadline};
use super::{sse, ws};

const ALLOWED: &str = "GET, POST";

/// Everything that comes to `/graphql`.
pub(super) async fn serve(State(edge): State<Arc<Edge>>, request: Request) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    if is_upgrade(&parts) {
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => ws::accept(edge, upgrade, &parts),
            Err(refused) => refused.into_response(),
        };
    }
    let media = accept::preferred(&parts.headers);
    let answered = match media {
        Some(media) => answer(&edge, &parts, body, media).await,
        None => Err(Rejection::new(
            StatusCode::NOT_ACCEPTABLE,
            code::NOT_ACCEPTABLE,
            "Answers are application/graphql-response+json, application/json or text/event-stream: accept one of them.",
        )),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(rejection) => rejection.write(match media {
            Some(Media::GraphqlResponse) => Media::GraphqlResponse,
            Some(Media::Json | Media::EventStream) | None => Media::Json,
        }),
    };
    response
        .headers_mut()
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn answer(edge: &Arc<Edge>, parts: &Parts, body: Body, media: Media) -> Result<Response<Body>, Rejection> {
    // One for all that the request takes: its body, and everything it asks for.
    let mut deadline = Deadline::after(edge.config.request_timeout);
    match parts.method {
        Method::POST => {
            accept::check_json(&parts.headers).map_err(Rejection::unsupported)?;
            let caller = caller(edge, parts)?;
            let bytes = read(edge, &parts.headers, body, &mut deadline).await?;
            match params::from_body(&bytes, edge.config.batch_limit).map_err(|bad| Rejection::bad_request(bad.0))? {
                params::Body::One(params) if media == Media::EventStream => sse::open(edge, caller, params, |_| Ok(())),
                params::Body::Batch(_) if media == Media::EventStream => Err(Rejection::bad_request(
                    "A batch is not answered as a stream of events: send one request at a time.",
                )),
                params::Body::One(params) => {
                    let answer = perform(edge, &caller, params, |_| Ok(()), &mut deadline).await?;
                    Ok(write(media, answer))
                }
                params::Body::Batch(batch) => {
                    let mut answers = Vec::with_capacity(batch.len());
                    // One after the other: what a batch writes happens in its order.
                    for params in batch {
                        answers.push(perform(edge, &caller, params, |_| Ok(()), &mut deadline).await?);
                    }
                    let answers: Vec<_> = answers.iter().map(|answer| answer.wire().json()).collect();
                    let json = [b"[".as_slice(), &answers.join(&b','), b"]"].concat();
                    Ok(reply::write(StatusCode::OK, media, json))
                }
            }
        }
        Method::GET => {
            let caller = caller(edge, parts)?;
            let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
                .map_err(|_| Rejection::bad_request("The query string cannot be read."))?;
            let params = params::from_pairs(pairs.0).map_err(|bad| Rejection::bad_request(bad.0))?;
            if media == Media::EventStream {
                return sse::open(edge, caller, params, |kind| match kind {
                    OperationType::Subscription => Ok(()),
                    other => only_queries(other),
                });
            }
            let answer = perform(edge, &caller, params, only_queries, &mut deadline).await?;
            Ok(write(media, answer))
        }
        _ => Err(Rejection::not_allowed("Send POST, or GET for queries.", ALLOWED)),
    }
}

/// A GET may be sent by any page and repeated by any proxy: it must not change anything.
fn only_queries(kind: OperationType) -> Result<(), Rejection> {
    match kind {
        OperationType::Query => Ok(()),
        OperationType::Mutation => Err(Rejection::not_allowed("Mutations are sent by POST.", "POST")),
        OperationType::Subscription => Err(Rejection::not_allowed(
            "Subscriptions run over a WebSocket (graphql-transport-ws), or for who accepts text/event-stream.",
            "POST",
        )),
    }
}

async fn perform(
    edge: &Edge,
    caller: &Caller,
    params: Params,
    allowed: impl Fn(OperationType) -> Result<(), Rejection>,
    deadline: &mut Deadline,
) -> Result<Answer, Rejection> {
    match run::admit(edge, caller, params) {
        Ok(operation) => {
            allowed(operation.kind)?;
            Ok(run::execute(edge, caller, operation, deadline).await)
        }
        Err(errors) => Ok(Answer::refused(errors)),
    }
}

fn write(media: Media, mut answer: Answer) -> Response<Body> {
    let mut response = reply::write(answer.status(media), media, answer.wire().json());
    let headers = std::mem::take(&mut answer.headers);
    let mut name = None;
    for (next, value) in headers {
        name = next.or(name);
        if let Some(name) = &name {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn caller(edge: &Edge, parts: &Parts) -> Result<Caller, Rejection> {
    let principal = edge.authenticate(&parts.headers).map_err(Rejection::unauthenticated)?;
    let request_id = parts
        .extensions
        .get::<RequestId>()
        .map_or_else(|| edge.new_id(), |id| id.0);
    Ok(Caller {
        principal,
        request_id,
        transport: Transport::Http,
    })
}

async fn read(edge: &Edge, headers: &HeaderMap, body: Body, deadline: &mut Deadline) -> Result<Bytes, Rejection> {
    let limit = edge.config.body_limit_bytes;
    let too_large = || {
        Rejection::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            code::BODY_TOO_LARGE,
            format!("The body is larger than the {limit} bytes allowed."),
        )
    };
    let announced = headers
        .get("content-length")
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > limit)) {
        return Err(too_large());
    }
    let Some(read) = deadline.within(whole(Limited::new(body, limit))).await else {
        return Err(Rejection::new(
            StatusCode::REQUEST_TIMEOUT,
            code::TIMEOUT,
            "The body did not arrive in time.",
        ));
    };
    match read {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Rejection::bad_request("The body could not be read.")),
    }
}

/// A body to its end. Most come in one piece, which is taken as it is.
async fn whole(mut body: Limited<Body>) -> Result<Bytes, BoxError> {
    let first = match body.frame().await.transpose()?.map(|frame| frame.into_data()) {
        None | Some(Err(_)) => Bytes::new(),
        Some(Ok(first)) => first,
    };
    if body.is_end_stream() {
        return Ok(first);
    }
    let rest = body.collect().await?.to_bytes();
    Ok([first, rest].concat().into())
}

fn is_upgrade(parts: &Parts) -> bool {
    let names = |header, word: &str| {
        parts
            .headers
            .get_all(header)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let over_http2 = parts.version == Version::HTTP_2 && parts.method == Method::CONNECT;
    over_http2 || (parts.method == Method::GET && names(CONNECTION, "upgrade") && names(UPGRADE, "websocket"))
}
