//! Releases that wait for an operator.

use crate::app::App;
use crate::error::Error;
use crate::store::{Scope, state};

/// Lets releases go on, and answers whether they were halted. Those that are due are looked at within ten minutes.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an operator.
pub async fn approve(app: &App, scope: &Scope) -> Result<bool, Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let approved = app
        .db
        .write("approve_releases", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            state::resume_releases(tx, scope).await
        })
        .await?;
    if approved {
        tracing::warn!(principal = scope.principal(), "releases were approved");
    }
    Ok(approved)
}
