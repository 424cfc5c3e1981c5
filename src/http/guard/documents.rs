//! Documents that came before. Clients send the same few over and over: each is scanned and parsed once.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::parser::types::{ExecutableDocument, OperationType};
use lru::LruCache;

use super::{Measured, Refused};

/// How much text is kept, in bytes, the latest used: some hundred documents as clients have them. Parsed, a document can
/// take a hundred times its text, and anybody may send one.
const KEPT: usize = 256 * 1024;
/// Longer ones are not kept, in bytes.
const LONGEST: usize = 8 * 1024;

/// A document that was parsed.
pub(super) struct Known {
    pub(super) document: ExecutableDocument,
    /// What it is and measures for who names no operation and sends no variables, once somebody did so.
    pub(super) plain: OnceLock<(OperationType, Measured)>,
}

impl From<ExecutableDocument> for Known {
    fn from(document: ExecutableDocument) -> Self {
        Self {
            document,
            plain: OnceLock::new(),
        }
    }
}

/// Parsed documents by their text.
pub(in crate::http) struct Documents(Mutex<Kept>);

struct Kept {
    documents: LruCache<String, Arc<Known>>,
    bytes: usize,
}

impl Default for Documents {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            documents: LruCache::unbounded(),
            bytes: 0,
        }))
    }
}

impl Documents {
    /// The document of a text; `parse` is asked for one that is not known. What it refuses is not kept.
    pub(super) fn of(
        &self,
        text: &str,
        parse: impl FnOnce(&str) -> Result<ExecutableDocument, Refused>,
    ) -> Result<Arc<Known>, Refused> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().documents.get(text) {
            return Ok(Arc::clone(known));
        }
        let document = Arc::new(Known::from(parse(text)?));
        if text.len() <= LONGEST {
            lock().keep(text, Arc::clone(&document));
        }
        Ok(document)
    }
}

impl Kept {
    fn keep(&mut self, text: &str, document: Arc<Known>) {
        // Two who send it at once both parse it.
        if self.documents.put(text.to_owned(), document).is_none() {
            self.bytes = self.bytes.saturating_add(text.len());
        }
        while self.bytes > KEPT {
            let Some((oldest, _)) = self.documents.pop_lru() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(oldest.len());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

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
        // Many more than are kept; the same one at once by two is counted once.
        for number in 0..100 {
            let text = format!("{{ f{number} }} # {}", "x".repeat(LONGEST - 20));
            for _ in 0..2 {
                if let Ok(document) = parse_query(&text).map_err(syntax) {
                    documents.0.lock().unwrap().keep(&text, Arc::new(document.into()));
                }
            }
        }
        let kept = documents.0.lock().unwrap();
        let bytes: usize = kept.documents.iter().map(|(text, _)| text.len()).sum();
        assert_eq!(kept.bytes, bytes);
        assert!((KEPT - LONGEST..=KEPT).contains(&bytes), "{bytes}");
    }
}
