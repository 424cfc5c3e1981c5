//! What further routes use of the edge: who calls, and refusals in the form that all of the API has.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};

use super::accept::Media;
use super::auth::Principal;
use super::edge::Edge;
use super::reply::{Rejection, code};

impl Edge {
    /// Who calls, by the same tokens as everywhere.
    ///
    /// # Errors
    /// The answer to a caller without a token, or with one that is not good.
    pub fn principal(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Box<Response<Body>>> {
        let rejected = match self.authenticate(headers) {
            Ok(Some(principal)) => return Ok(principal),
            Ok(None) => Rejection::anonymous(),
            Err(reason) => Rejection::unauthenticated(reason),
        };
        Err(Box::new(rejected.write(Media::Json)))
    }
}

/// A refusal of a further route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What was sent makes no sense.
    BadInput,
    /// A permission is missing.
    Forbidden,
    /// There is no such thing, or it is somebody else's.
    NotFound,
    /// Later, please.
    Unavailable,
    /// Our fault.
    Internal,
}

/// The answer that refuses.
#[must_use]
pub fn refuse(refusal: Refusal, message: impl Into<String>) -> Response<Body> {
    let (status, code) = match refusal {
        Refusal::BadInput => (StatusCode::BAD_REQUEST, code::BAD_USER_INPUT),
        Refusal::Forbidden => (StatusCode::FORBIDDEN, code::FORBIDDEN),
        Refusal::NotFound => (StatusCode::NOT_FOUND, code::NOT_FOUND),
        Refusal::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE),
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL),
    };
    Rejection::new(status, code, message).write(Media::Json)
}
