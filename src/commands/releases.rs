//! Releases that wait for an operator.

use crate::app::App;
use crate::error::Error;
use crate::store::{Scope, state};

/// Lets releases go on, and answers whether they were halted. Those that waited are looked at within ten minutes, however
/// many they are; later ones may halt again.
///
/// Source: rule "Release brakes" in ARCHITECTURE, section Life.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an operator.
pub async fn approve(app: &App, scope: &Scope) -> Result<bool, Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let now = app.clock.now();
    let approved = app
        .db
        .write("approve_releases", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            state::resume_releases(tx, scope, now).await
        })
        .await?;
    if approved {
        tracing::warn!(principal = scope.principal(), "releases were approved");
    }
    Ok(approved)
}
