//! Documents that came before. Clients send the same few over and over: each is scanned and parsed once.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::parser::types::ExecutableDocument;
use lru::LruCache;

use super::Refused;

/// How many are kept, the latest used.
const KEPT: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Longer ones are not kept, in bytes of text: what all take together is bounded.
const LONGEST: usize = 8 * 1024;

/// Parsed documents by their text.
pub(in crate::http) struct Documents(Mutex<LruCache<String, Arc<ExecutableDocument>>>);

impl Default for Documents {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Documents {
    /// The document of a text; `parse` is asked for one that is not known. What it refuses is not kept.
    pub(super) fn of(
        &self,
        text: &str,
        parse: impl FnOnce(&str) -> Result<ExecutableDocument, Refused>,
    ) -> Result<Arc<ExecutableDocument>, Refused> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(text) {
            return Ok(Arc::clone(known));
        }
        let document = Arc::new(parse(text)?);
        if text.len() <= LONGEST {
            lock().put(text.to_owned(), Arc::clone(&document));
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;
    use crate::http::guard::syntax;

    #[test]
    fn a_document_is_parsed_once_and_one_that_is_refused_every_time() {
        let documents = Documents::default();
        let mut parsed = 0;
        let mut ask = |text: &str| {
            documents
                .of(text, |text| {
                    parsed += 1;
                    parse_query(text).map_err(syntax)
                })
                .is_ok()
        };
        let long = format!("{{ a }} # {}", "x".repeat(LONGEST));
        let asked = ["{ a }", "{ a }", "{ b }", "{", "{", &long, &long, "{ a }"].map(&mut ask);
        assert_eq!(asked, [true, true, true, false, false, true, true, true]);
        // a, b, twice what is refused, twice what is too long to keep.
        assert_eq!(parsed, 6);
        for number in 0..KEPT.get() {
            let text = format!("{{ f{number} }}");
            assert!(documents.of(&text, |text| parse_query(text).map_err(syntax)).is_ok());
        }
        assert_eq!(documents.0.lock().map(|kept| kept.len()).ok(), Some(KEPT.get()));
    }
}
