//! The one error of the gateway, free of any transport. HTTP statuses and GraphQL codes are given to it at the very edge.
//!
//! Which one to use:
//! * [`Error::Refused`]: a rule says no, and the customer can do something about it. Shown as a typed user error.
//! * [`Error::NotFound`]: there is no such thing, or it is somebody else's. Never tell the two apart.
//! * [`Error::Unauthenticated`], [`Error::Forbidden`]: the caller, not the input, is the problem.
//! * [`Error::Configuration`]: an operator's mistake, told by its key before anything begins. No request ever meets it.
//! * [`Error::Unavailable`]: the store can't answer just now; nothing was changed; the same call may be repeated.
//! * [`Error::InDoubt`]: the store was lost at a commit; whether it happened is not known.
//! * [`Error::Internal`]: our fault. Logged whole, shown masked.

use std::sync::Arc;

use crate::domain::refusal::Refusal;

/// Everything that can go wrong, as the rest of the gateway needs to tell it apart.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A rule refused; nothing was written.
    #[error("{code}: {message}", code = .0.code, message = .0.message)]
    Refused(Box<Refusal>),
    /// There is no such thing for this caller.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Nobody knows who is calling.
    #[error("a valid token is required")]
    Unauthenticated,
    /// The caller may not do this; the permission or role that would allow it is named.
    #[error("this needs {0}")]
    Forbidden(&'static str),
    /// The cursor names another store or account, or events that are not kept any more.
    #[error("the cursor is expired or foreign: read the list again and go on from account.eventCursor")]
    CursorExpired,
    /// The process can't begin as it is configured; the key is named.
    #[error("{0}")]
    Configuration(Arc<str>),
    /// The store can't answer just now.
    #[error("the store is not available: {0}")]
    Unavailable(Arc<str>),
    /// The store was lost while it was told to keep a change.
    #[error("the store was lost while it kept a change: {0}")]
    InDoubt(Arc<str>),
    /// What should never happen.
    #[error("internal: {0}")]
    Internal(Arc<str>),
}

impl Error {
    /// An internal error with what is known about it.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self::Internal(what.to_string().into())
    }

    /// A mistake in the configuration, with the key that is to be changed.
    pub fn configuration(what: impl std::fmt::Display) -> Self {
        Self::Configuration(what.to_string().into())
    }

    /// The stable code that clients see in `extensions.code`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "REFUSED",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::CursorExpired => "CURSOR_EXPIRED",
            Self::Unavailable(_) | Self::InDoubt(_) => "UNAVAILABLE",
            // A request can't cause or mend it: to clients it is our fault.
            Self::Configuration(_) | Self::Internal(_) => "INTERNAL",
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        crate::db::failure::classify(&error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(format_args!("a stored document is unreadable: {error}"))
    }
}
