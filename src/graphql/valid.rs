//! Requests that were found valid. Whether a document fits the schema depends on its text, its operation and its
//! variables alone: who sends the same again need not be told again.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use async_graphql::{Request, Response, Value};
use lru::LruCache;

/// How many are kept, the latest used.
const KEPT: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Longer ones are not kept, in bytes: what all take together is bounded.
const LONGEST: usize = 8 * 1024;

/// What is known of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Whether its answer may have to be merged.
    pub(super) merges: bool,
}

/// The requests that were found valid.
#[derive(Debug)]
pub(super) struct Valid(Mutex<LruCache<String, Known>>);

impl Default for Valid {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

/// All that decides whether a request is valid: its text, and where it has a name or variables, those before it. Nothing
/// for one that is too long to be kept.
pub(super) fn key(request: &Request) -> Option<Cow<'_, str>> {
    let query = &request.query;
    let key = if request.operation_name.is_none() && request.variables.is_empty() {
        Cow::Borrowed(query.as_str())
    } else {
        // No document begins so: this is never the text of another.
        let mut key = String::from("\0");
        key.push_str(&serde_json::to_string(&(&request.operation_name, &request.variables)).ok()?);
        key.push_str(query);
        Cow::Owned(key)
    };
    // A document that is known by its hash alone has no text.
    (!query.is_empty() && key.len() <= LONGEST).then_some(key)
}

impl Valid {
    /// What is known of it, where it was found valid before.
    pub(super) fn what_of(&self, key: &str) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    /// Keeps it, when its answer says that it ran, and it is not about the schema itself.
    pub(super) fn keep(&self, key: String, known: Known, response: &Response) {
        let ran = response.data != Value::Null || response.errors.iter().any(|error| !error.path.is_empty());
        if ran && !may_introspect(&key) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, known);
        }
    }
}

/// Whether a text may select `__schema` or `__type`. All clients select `__typename`.
fn may_introspect(text: &str) -> bool {
    text.contains("__schema")
        || text
            .match_indices("__type")
            .any(|(at, _)| !text[at..].starts_with("__typename"))
}
