//! graphql-transport-ws: one task for each socket, which reads, writes, and asks its subscriptions, and one for each query
//! or mutation that runs on it.
//!
//! Nothing here grows without bound: when the reader is slow the outbox fills, in messages or in bytes, and then nothing
//! more is read from the socket and nothing more is taken from its operations until it moves again. Queries and mutations
//! have tasks of their own, and the engine's subscriptions what they need, so that only what they have finished waits: one
//! that stood still in the middle would hold what it has, a transaction above all.

mod messages;
mod operations;
mod outbox;
mod session;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::accept::Media;
use super::edge::Edge;
use super::held::Held;
use super::reply::{Rejection, code};
use session::{Closing, Session};

const PROTOCOL: &str = "graphql-transport-ws";

/// Why the server closes a socket; the protocol's codes and the WebSocket's own.
pub(super) mod close {
    pub(in crate::http) const GOING_AWAY: u16 = 1001;
    pub(in crate::http) const PROTOCOL_ERROR: u16 = 1002;
    pub(in crate::http) const INVALID_PAYLOAD: u16 = 1007;
    pub(in crate::http) const TOO_BIG: u16 = 1009;
    pub(in crate::http) const TRY_AGAIN_LATER: u16 = 1013;
    /// Registered with IANA as "Timeout"; 4408 is kept for `connection_init`, as the protocol says.
    pub(in crate::http) const SILENT: u16 = 3008;
    pub(in crate::http) const BAD_MESSAGE: u16 = 4400;
    pub(in crate::http) const UNAUTHORIZED: u16 = 4401;
    pub(in crate::http) const FORBIDDEN: u16 = 4403;
    pub(in crate::http) const SUBPROTOCOL: u16 = 4406;
    pub(in crate::http) const TIMEOUT: u16 = 4408;
    pub(in crate::http) const DUPLICATE: u16 = 4409;
    pub(in crate::http) const SECOND_INIT: u16 = 4429;
}

/// Answers an upgrade. Strange origins and too many sockets are refused before it; a subprotocol we do not speak is
/// accepted and closed with 4406, because a browser hides the status of a refused upgrade from its page.
pub(super) fn accept(edge: Arc<Edge>, mut upgrade: WebSocketUpgrade, parts: &Parts) -> Response<Body> {
    if !origin_allowed(&edge.config.sockets.origins, &parts.headers) {
        let message = "Pages of this origin may not open sockets here.";
        return Rejection::new(StatusCode::FORBIDDEN, code::FORBIDDEN_ORIGIN, message).write(Media::Json);
    }
    let held = match Held::new(&edge, "graphql_sockets_open") {
        Ok(held) => held,
        Err(rejection) => return rejection.write(Media::Json),
    };
    let spoken = upgrade.requested_protocols().any(|offered| offered == PROTOCOL);
    let selected = if spoken {
        Some(HeaderValue::from_static(PROTOCOL))
    } else {
        // Any name the client offered lets it read the close code.
        upgrade.requested_protocols().next().cloned()
    };
    if let Some(selected) = selected {
        upgrade.set_selected_protocol(selected);
    }
    let header = edge.authenticate(&parts.headers);
    let limit = edge.config.sockets.message_limit_bytes;
    upgrade
        // Most messages are smaller; a larger one gets its own room.
        .read_buffer_size(1_024)
        .write_buffer_size(0)
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_upgrade(move |socket: WebSocket| async move {
            let closing = if spoken {
                Session::new(Arc::clone(&edge), header).serve(socket).await
            } else {
                Some(Closing::early(socket, close::SUBPROTOCOL, "Subprotocol not acceptable"))
            };
            if let Some(closing) = closing {
                closing.finish().await;
            }
            drop(held);
        })
}

/// A page's origin: its own host, or one of the list. Clients that are no browsers send none.
fn origin_allowed(origins: &[String], headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin_host = origin.split_once("://").map(|(_, host)| host);
    origin_host
        .zip(host)
        .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
}
