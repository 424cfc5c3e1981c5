//! Where the engine stands, for operators.

use async_graphql::{Context, Object, SimpleObject};

use super::caller::OperatorOnly;
use super::errors::Result;
use super::scalars::DateTime;
use super::session::Reach as _;
use crate::store::{due, state};

/// Where the engine stands. Every figure is the whole store's, whichever process answers.
#[derive(Debug, SimpleObject)]
pub(crate) struct EngineStatus {
    /// When the last pass began that came to its end, in business time; null before the first.
    last_pass_at: Option<DateTime>,
    /// How many resources have something due that is not done.
    due_resources: i64,
    /// Since when the oldest of it is due; null when nothing is.
    oldest_due_at: Option<DateTime>,
    /// How many resources have a step that failed and was put off. The log of the process says why.
    failing_resources: i64,
    /// Since when releases wait for an operator's `approveReleases`; null while they go on.
    releases_halted_at: Option<DateTime>,
    /// Why they wait.
    releases_halted_reason: Option<String>,
    /// When an operator last let them go on.
    releases_approved_at: Option<DateTime>,
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct EngineQueries;

#[Object]
impl EngineQueries {
    /// Where the engine stands: its last pass, what is due, what fails, what waits. For operators.
    #[graphql(guard = "OperatorOnly")]
    async fn engine_status(&self, ctx: &Context<'_>) -> Result<Option<EngineStatus>> {
        let session = ctx.session()?;
        let db = session.app.db.read();
        let backlog = due::backlog(db, &session.scope, session.app.clock.now()).await?;
        let state = state::read(db, &session.scope).await?;
        let of_state = |get: fn(&entity::store_state::Model) -> Option<chrono::DateTime<chrono::Utc>>| {
            state.as_ref().and_then(get).map(Into::into)
        };
        Ok(Some(EngineStatus {
            last_pass_at: of_state(|state| state.last_pass_at),
            due_resources: backlog.resources,
            oldest_due_at: backlog.oldest.map(Into::into),
            failing_resources: backlog.failing,
            releases_halted_at: of_state(|state| state.releases_halted_at),
            releases_approved_at: of_state(|state| state.releases_approved_at),
            releases_halted_reason: state.as_ref().and_then(|state| state.releases_halted_reason.clone()),
        }))
    }
}
