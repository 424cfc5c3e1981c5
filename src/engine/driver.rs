//! When to make a pass.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::MissedTickBehavior;

use super::pass::tick;
use crate::app::App;
use crate::clock;
use crate::store::{Scope, state};

/// A jump of the machine's clock against its monotonic one from which releases wait for an operator.
const JUMP: TimeDelta = TimeDelta::hours(1);

/// Makes a pass every so often until the future is dropped. A failed pass is logged, and the next one goes on from what
/// is still due. Between passes it follows the store's clock, which another process may have moved in development.
pub async fn drive(app: Arc<App>, every: Duration) {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = (clock::machine_now(), clock::monotonic());
    loop {
        timer.tick().await;
        let present = (clock::machine_now(), clock::monotonic());
        let by_wall = present.0.signed_duration_since(before.0);
        let by_monotonic = TimeDelta::from_std(present.1.duration_since(before.1)).unwrap_or(TimeDelta::MAX);
        before = present;
        if (by_wall - by_monotonic).abs() > JUMP {
            let reason = format!(
                "the machine's clock jumped by {} s",
                (by_wall - by_monotonic).num_seconds()
            );
            tracing::error!(reason, "releases are halted until an operator approves them");
            let halted = app
                .db
                .write("halt_releases", async |tx| {
                    let tx = &*tx;
                    tx.is_replayable();
                    state::halt_releases(tx, &Scope::engine(), &reason, app.clock.now()).await
                })
                .await;
            if let Err(error) = halted {
                // Without the halt written, no pass is made: the next round tries again.
                tracing::error!(%error, "releases could not be halted");
                continue;
            }
        }
        if let Err(error) = app.follow_clock().await {
            tracing::warn!(%error, "the store's clock could not be read; the engine goes on when it can");
            continue;
        }
        // What a bounded pass leaves is done at once, not at the next round.
        loop {
            match tick(&app).await {
                Ok(passed) => {
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
    }
}
