//! Errors as clients see them: a stable `extensions.code`, what to do next, and nothing of ours.

use std::sync::Arc;

use async_graphql::{Error as GraphqlError, ErrorExtensionValues, ErrorExtensions as _};

use crate::error::Error;

/// What a resolver answers.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// A top-level error: a stranger, a broken client, or our fault. What a customer can cause is a user error instead.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    code: &'static str,
    reason: Option<&'static str>,
    message: String,
    source: Option<Arc<Error>>,
}

impl ApiError {
    /// Input that no schema-true client sends.
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self {
            code: "BAD_USER_INPUT",
            reason: None,
            message: message.into(),
            source: None,
        }
    }

    /// A page that can't be: its size, its direction or its cursor.
    pub(crate) fn bad_page(message: impl Into<String>) -> Self {
        Self {
            code: "BAD_USER_INPUT",
            reason: Some("INVALID_PAGE"),
            message: message.into(),
            source: None,
        }
    }
}

impl From<Arc<Error>> for ApiError {
    fn from(error: Arc<Error>) -> Self {
        let message = match error.as_ref() {
            Error::Unavailable(_) => "The store can't answer just now. Nothing was changed; try again.".to_owned(),
            Error::InDoubt(_) => {
                "The store was lost. Whether it happened is not known: repeat it with the same key.".to_owned()
            }
            Error::Configuration(_) | Error::Internal(_) => "internal error".to_owned(),
            Error::Refused(refusal) if refusal.code.is_ours() => "internal error".to_owned(),
            Error::Refused(refusal) => refusal.message.clone(),
            Error::NotFound(what) => format!("There is no such {what}."),
            Error::Forbidden(needed) => format!("This needs {needed}."),
            Error::Unauthenticated => "A valid token is required.".to_owned(),
            Error::CursorExpired => {
                "The cursor is expired or foreign: read the list again and go on from account.eventCursor.".to_owned()
            }
        };
        let code = match error.as_ref() {
            Error::Refused(refusal) if refusal.code.is_ours() => "INTERNAL",
            Error::Refused(refusal) => refusal.code.as_str(),
            other => other.code(),
        };
        Self {
            code,
            reason: None,
            message,
            source: Some(error),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Arc::new(error).into()
    }
}

impl From<ApiError> for GraphqlError {
    fn from(error: ApiError) -> Self {
        let needs = match error.source.as_deref() {
            Some(Error::Forbidden(needed)) => Some(*needed),
            _ => None,
        };
        // The source is for the log: the edge never shows it.
        let source = error
            .source
            .map(|source| source as Arc<dyn std::any::Any + Send + Sync>);
        GraphqlError {
            message: error.message,
            source,
            extensions: None,
        }
        .extend_with(|_, extensions: &mut ErrorExtensionValues| {
            extensions.set("code", error.code);
            if let Some(reason) = error.reason {
                extensions.set("reason", reason);
            }
            if let Some(needs) = needs {
                extensions.set("needs", needs);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiError, Error};

    #[test]
    fn what_may_have_happened_is_not_told_as_what_did_not() {
        let away = ApiError::from(Error::Unavailable("away".into()));
        let lost = ApiError::from(Error::InDoubt("lost".into()));
        assert_eq!((away.code, lost.code), ("UNAVAILABLE", "UNAVAILABLE"));
        assert!(away.message.contains("Nothing was changed"), "{}", away.message);
        assert!(lost.message.contains("not known"), "{}", lost.message);
    }
}
