//! Where the engine stands, for operators.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use super::caller::OperatorOnly;
use super::errors::Result;
use super::scalars::DateTime;
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::clock;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::engine;
use crate::error::Error;
use crate::store::{due, state};

/// How far the clock moves at once.
const MOST_ADVANCED: chrono::TimeDelta = chrono::TimeDelta::days(3_653);
/// How long moving it takes at most, but for the due instant it is at: less than a request may take.
const ADVANCING: std::time::Duration = std::time::Duration::from_secs(5);

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

/// An instant to move the clock to.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct AdvanceClockInput {
    /// The instant: behind the present of the business clock, and within ten years.
    until: DateTime,
}

/// What moving the clock did.
#[derive(Debug, SimpleObject)]
pub(crate) struct AdvanceClockPayload {
    /// Where the business clock stands now; null when it was refused.
    now: Option<DateTime>,
    /// Whether it stands where it was to go. Moving takes a few seconds at most: call again with the same instant until
    /// it does.
    finished: bool,
    /// How many steps of resources' schedules were handled.
    steps: i64,
    /// How many alerts were sent.
    alerts: i64,
    /// How many resources were renewed.
    renewed: i64,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct EngineMutations;

#[Object]
impl EngineMutations {
    /// Moves the business clock of a development store, as if an engine had run all along: it stops at every due step and
    /// handles it at its own time, so that a year passes in a minute, and subscribers are told on the way. The clock of
    /// the whole store, for operators; refused in production.
    ///
    /// Codes: INVALID_INSTANT.
    #[graphql(guard = "OperatorOnly")]
    async fn advance_clock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Until when.")] input: AdvanceClockInput,
    ) -> Result<Option<AdvanceClockPayload>> {
        let session = ctx.session()?;
        let app = &session.app;
        if !app.settings.development {
            return Err(Error::Forbidden("development mode").into());
        }
        let (from, until) = (app.clock.now(), input.until.0);
        let wrong = if until <= from {
            let now = from.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            Some(format!(
                "The clock stands at {now} and never moves back. Choose a later instant."
            ))
        } else if until > from + MOST_ADVANCED {
            Some("The clock moves at most ten years at once. Choose an earlier instant.".to_owned())
        } else {
            None
        };
        if let Some(message) = wrong {
            let refusal = Refusal::new(RefusalCode::InvalidInstant, message).under("until");
            return Ok(Some(AdvanceClockPayload {
                now: None,
                finished: false,
                steps: 0,
                alerts: 0,
                renewed: 0,
                user_errors: refused(refusal.into())?,
            }));
        }
        let began = clock::monotonic();
        let (passed, reached) = engine::advance_while(app, until, || began.elapsed() < ADVANCING).await?;
        session.forget();
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(Some(AdvanceClockPayload {
            now: Some(reached.into()),
            finished: reached >= clock::to_micros(until),
            steps: count(passed.steps),
            alerts: count(passed.alerts),
            renewed: count(passed.renewed),
            user_errors: Vec::new(),
        }))
    }
}
