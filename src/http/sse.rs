//! GraphQL over server-sent events, in distinct connections mode: one operation for each request, an event for each of
//! its answers. For readers that no socket reaches.
//!
//! A stream that is cut (the token has ended, the reader is slow, the process stops) ends without `complete`: the client
//! knows that there is more, and goes on after its cursor with a new request. An operation has a task of its own, which
//! holds one event while its reader takes none.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Response};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::accept::Media;
use super::edge::{Caller, Edge};
use super::held::Held;
use super::params::Params;
use super::reply::{Answer, Outcome, Rejection};
use super::run;

/// A comment: it says that the stream is alive, and keeps proxies from ending it.
const HEARTBEAT: &str = ":\n\n";
/// The data is empty and yet there: without it `EventSource` would not tell of the event.
const COMPLETE: &str = "event: complete\ndata: \n\n";
/// Tells nginx not to collect what is to be told at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Answers a request with the events of its operation. What could not run is an event too, as the protocol has it:
/// browsers hide what a refused stream says.
///
/// Errors: the kind of operation is not allowed here, or too many connections are open.
pub(super) fn open(
    edge: &Arc<Edge>,
    caller: Caller,
    params: Params,
    allowed: impl Fn(OperationType) -> Result<(), Rejection>,
) -> Result<Response<Body>, Rejection> {
    let held = Held::new(edge, "graphql_event_streams_open")?;
    let expires_at = caller.principal.as_ref().map(|principal| principal.expires_at);
    let answers = match run::admit(edge, &caller, params) {
        Ok(operation) => {
            allowed(operation.kind)?;
            run::answers(edge, caller, operation)
        }
        Err(errors) => stream::once(async { Answer::refused(errors) }).boxed(),
    };
    let (sender, mut events) = mpsc::channel(1);
    let edge = Arc::clone(edge);
    tokio::spawn(async move {
        let end = tell(&edge, expires_at, answers, &sender).await;
        metrics::counter!("graphql_event_stream_ends_total", "reason" => end).increment(1);
        drop(held);
    });
    let events = stream::poll_fn(move |context| events.poll_recv(context)).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(events));
    for (name, value) in [
        (CONTENT_TYPE, Media::EventStream.content_type()),
        (CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
        (UNBUFFERED, HeaderValue::from_static("no")),
    ] {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Sends events until the operation or the stream ends; answers why it did.
async fn tell(
    edge: &Edge,
    expires_at: Option<DateTime<Utc>>,
    mut answers: BoxStream<'static, Answer>,
    sender: &mpsc::Sender<Bytes>,
) -> &'static str {
    let limits = &edge.config.sockets;
    // The first says that the stream stands.
    let mut event = Bytes::from_static(HEARTBEAT.as_bytes());
    let mut last = false;
    loop {
        tokio::select! {
            biased;
            sent = timeout(limits.send_timeout, sender.send(event)) => match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return "client gone",
                Err(_) => return "too slow",
            },
            () = edge.shutdown.cancelled() => return "going away",
        }
        if last {
            return "complete";
        }
        event = tokio::select! {
            biased;
            () = edge.shutdown.cancelled() => return "going away",
            () = sender.closed() => return "client gone",
            () = sleep(left(edge, expires_at).min(limits.ping_interval)) => {
                if left(edge, expires_at).is_zero() {
                    return "token expired";
                }
                Bytes::from_static(HEARTBEAT.as_bytes())
            }
            answer = answers.next() => match answer {
                Some(answer) => {
                    if answer.outcome != Outcome::Executed {
                        answers = stream::empty().boxed();
                    }
                    next(&answer)
                }
                None => {
                    last = true;
                    Bytes::from_static(COMPLETE.as_bytes())
                }
            },
        };
    }
}

/// An answer as an event. JSON has no line breaks of its own.
fn next(answer: &Answer) -> Bytes {
    Bytes::from(["event: next\ndata: ", &answer.json(), "\n\n"].concat())
}

/// What is left of the token that a stream was opened with; without one, more than anybody waits.
fn left(edge: &Edge, expires_at: Option<DateTime<Utc>>) -> Duration {
    expires_at.map_or(Duration::MAX, |end| {
        end.signed_duration_since(edge.now()).to_std().unwrap_or_default()
    })
}
