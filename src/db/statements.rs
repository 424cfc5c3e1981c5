//! Counts the SQL statements that a task sends: what a request costs, and what the tests of batching look at.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

tokio::task_local! {
    static STATEMENTS: Arc<AtomicU64>;
}

/// One more statement was sent. Outside [`counted`] nobody asks, and nothing happens.
pub(crate) fn count() {
    let _ = STATEMENTS.try_with(|statements| statements.fetch_add(1, Ordering::Relaxed));
}

/// A future whose statements are counted where this is called, also when it runs in a task of its own.
pub(crate) fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let counted = STATEMENTS.try_with(Arc::clone).ok();
    async move {
        match counted {
            Some(statements) => STATEMENTS.scope(statements, future).await,
            None => future.await,
        }
    }
}

/// Runs a future and tells how many statements it sent. BEGIN and COMMIT are not among them.
pub async fn counted<F: Future>(future: F) -> (F::Output, u64) {
    let statements = Arc::<AtomicU64>::default();
    let output = STATEMENTS.scope(Arc::clone(&statements), future).await;
    (output, statements.load(Ordering::Relaxed))
}
