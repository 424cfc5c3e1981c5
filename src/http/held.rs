//! Connections that stay open: sockets and event streams, counted together.

use axum::http::StatusCode;
use tokio::sync::watch;

use super::edge::Edge;
use super::reply::{Rejection, code};

/// One of the connections that stay open, until it is dropped.
pub(super) struct Held {
    open: watch::Sender<usize>,
    gauge: &'static str,
}

impl Held {
    /// One more, also in its gauge.
    ///
    /// Errors: as many are open as this process may hold.
    pub(super) fn new(edge: &Edge, gauge: &'static str) -> Result<Self, Rejection> {
        let most = edge.config.sockets.sockets;
        let fits = edge.sockets.send_if_modified(|open| {
            let fits = *open < most;
            if fits {
                *open += 1;
            }
            fits
        });
        if !fits {
            let message = "Too many sockets are open: try again later.";
            return Err(Rejection::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code::TOO_MANY_SOCKETS,
                message,
            ));
        }
        metrics::gauge!(gauge).increment(1);
        Ok(Self {
            open: edge.sockets.clone(),
            gauge,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open = open.saturating_sub(1));
        metrics::gauge!(self.gauge).decrement(1);
    }
}
