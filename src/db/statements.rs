//! Counts the SQL statements that a task sends: what a request costs, and what the tests of batching look at.

use std::cell::Cell;
use std::future::Future;

tokio::task_local! {
    static STATEMENTS: Cell<u64>;
}

/// One more statement was sent. Outside [`counted`] nobody asks, and nothing happens.
pub(crate) fn count() {
    let _ = STATEMENTS.try_with(|statements| statements.set(statements.get().saturating_add(1)));
}

/// Runs a future and tells how many statements it sent. BEGIN and COMMIT are not among them.
pub async fn counted<F: Future>(future: F) -> (F::Output, u64) {
    STATEMENTS
        .scope(Cell::new(0), async {
            let output = future.await;
            (output, STATEMENTS.with(Cell::get))
        })
        .await
}
