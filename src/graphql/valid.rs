//! Requests that were found valid. Whether a document fits the schema depends on its text, its operation and its
//! variables alone: who sends the same again need not be told again.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Request, Response, Value};
use lru::LruCache;

/// How many are kept, the latest used.
const KEPT: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Longer ones are not kept, in bytes: what all take together is bounded.
const LONGEST: usize = 8 * 1024;

/// The requests that were found valid.
#[derive(Clone, Debug)]
pub(super) struct Valid(Arc<Mutex<LruCache<String, ()>>>);

impl Default for Valid {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(KEPT))))
    }
}

/// All that decides whether a request is valid; nothing for one that is too long to be kept.
pub(super) fn key(request: &Request) -> Option<String> {
    let mut key = String::with_capacity(request.query.len() + 64);
    writeln!(key, "{:?}", request.operation_name).ok()?;
    if !request.variables.is_empty() {
        key.push_str(&serde_json::to_string(&request.variables).ok()?);
    }
    key.push('\n');
    key.push_str(&request.query);
    // A document that is known by its hash alone has no text.
    (!request.query.is_empty() && key.len() <= LONGEST).then_some(key)
}

impl Valid {
    /// Whether it was found valid before.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).is_some()
    }

    /// Keeps it, when its answer says that it ran.
    pub(super) fn keep(&self, key: String, response: &Response) {
        let ran = response.data != Value::Null || response.errors.iter().any(|error| !error.path.is_empty());
        if ran {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, ());
        }
    }
}
