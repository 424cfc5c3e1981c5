//! When to make a pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::MissedTickBehavior;

use super::pass::tick_within;
use crate::app::App;
use crate::clock;
use crate::error::Error;
use crate::store::{Scope, due, state};

/// A jump of the machine's clock against its monotonic one from which releases wait for an operator.
const JUMP: TimeDelta = TimeDelta::hours(1);

/// What the machine's two clocks said at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: DateTime<Utc>,
    monotonic: Instant,
}

impl Reading {
    fn now() -> Self {
        Self {
            wall: clock::machine_now(),
            monotonic: clock::monotonic(),
        }
    }

    /// How far the wall clock has moved against the monotonic one since then; nothing while it is no jump.
    fn jumped_since(self, before: Self) -> Option<TimeDelta> {
        let by_wall = self.wall.signed_duration_since(before.wall);
        let passed = self.monotonic.saturating_duration_since(before.monotonic);
        let jump = by_wall - TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX);
        (jump.abs() > JUMP).then_some(jump)
    }
}

/// Makes a pass every so often until the future is dropped. A failed pass is logged, and the next one goes on from what
/// is still due. Between passes it follows the store's clock, which another process may have moved in development.
pub async fn drive(app: Arc<App>, every: Duration) {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Reading::now();
    loop {
        timer.tick().await;
        before = round(&app, before, Reading::now()).await;
    }
}

/// One round: looks at the clocks, then makes passes while something is due. Answers the reading that the next round is
/// held against.
async fn round(app: &App, before: Reading, present: Reading) -> Reading {
    if let Some(jump) = present.jumped_since(before)
        && let Err(error) = halt(app, jump).await
    {
        // Without the halt written no pass is made, and the next round sees the same jump.
        tracing::error!(%error, "releases could not be halted");
        return before;
    }
    if let Err(error) = app.follow_clock().await {
        tracing::warn!(%error, "the store's clock could not be taken over; the engine goes on when it can");
        return present;
    }
    // What a bounded pass leaves is done at once, not at the next round. To the brake they are one pass.
    let mut releases_left = app.settings.most_releases;
    loop {
        match tick_within(app, &mut releases_left).await {
            Ok(passed) => {
                metrics::counter!("engine_steps_total").increment(passed.steps);
                metrics::counter!("engine_failures_total").increment(passed.failed);
                if passed.steps + passed.failed > 0 {
                    tracing::info!(
                        resources = passed.resources,
                        steps = passed.steps,
                        alerts = passed.alerts,
                        failed = passed.failed,
                        "engine pass"
                    );
                }
                if !passed.more {
                    break;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the engine's pass failed; what is due stays due");
                break;
            }
        }
    }
    if let Err(error) = show(app).await {
        tracing::warn!(%error, "the engine's backlog could not be counted");
    }
    present
}

/// Shows operators where the engine stands, in the metrics of every process: what is due belongs to none of them.
async fn show(app: &App) -> Result<(), Error> {
    let now = app.clock.now();
    let backlog = due::backlog(app.db.read(), &Scope::engine(), now).await?;
    let state = state::read(app.db.read(), &Scope::engine()).await?;
    let oldest = backlog.oldest.map_or(0, |oldest| (now - oldest).num_seconds().max(0));
    let halted = state.as_ref().is_some_and(|state| state.releases_halted_at.is_some());
    let last_pass = state.and_then(|state| state.last_pass_at);
    metrics::gauge!("engine_due_resources").set(gauge(backlog.resources));
    metrics::gauge!("engine_oldest_due_seconds").set(gauge(oldest));
    metrics::gauge!("engine_failing_resources").set(gauge(backlog.failing));
    metrics::gauge!("engine_releases_halted").set(gauge(i64::from(halted)));
    metrics::gauge!("engine_last_pass_timestamp_seconds").set(gauge(last_pass.map_or(0, |at| at.timestamp())));
    Ok(())
}

/// A number as the metrics take it. What a u32 can't hold is shown as the end that it is past.
fn gauge(number: i64) -> f64 {
    f64::from(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

async fn halt(app: &App, jump: TimeDelta) -> Result<(), Error> {
    let reason = format!("the machine's clock jumped by {} s", jump.num_seconds());
    tracing::error!(reason, "releases are halted until an operator approves them");
    app.db
        .write("halt_releases", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            state::halt_releases(tx, &Scope::engine(), &reason, app.clock.now()).await
        })
        .await
}

#[cfg(test)]
mod tests;
