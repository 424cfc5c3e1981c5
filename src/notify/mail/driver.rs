//! When to make a pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::pass::{Passed, pass_since};
use super::smtp::Mailer;
use crate::app::App;
use crate::clock;
use crate::error::Error;
use crate::store::{Scope, outbox};

/// How far before the last pass a pass looks for events: a transaction may be committed later than it began.
const OVERLAP: TimeDelta = TimeDelta::seconds(30);
/// How often all accounts with recipients are looked at, for events that were committed later still.
const WHOLE: Duration = Duration::from_secs(300);

/// From where on the next pass looks for events.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    /// When the last pass that came to its end began, in business time.
    last: Option<DateTime<Utc>>,
    /// When the last one over all accounts did.
    whole: Option<Instant>,
}

/// Makes a pass every so often until it is told to stop; what is being handed over then is brought to its end. A failed
/// pass is logged, and the next one goes on. Without a mailer deliveries are written, kept and shown.
pub async fn drive(app: Arc<App>, mailer: Option<Mailer>, every: Duration, stop: CancellationToken) {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = Look::default();
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        while round(&app, mailer.as_ref(), &mut look, &stop).await && !stop.is_cancelled() {}
        if let Err(error) = show(&app).await {
            tracing::warn!(%error, "the outbox could not be counted");
        }
    }
}

/// Makes a pass, and answers whether there is more to be done at once.
async fn round(app: &App, mailer: Option<&Mailer>, look: &mut Look, stop: &CancellationToken) -> bool {
    let (now, began) = (app.clock.now(), clock::monotonic());
    let whole = look
        .whole
        .is_none_or(|last| began.saturating_duration_since(last) >= WHOLE);
    let since = look.last.filter(|_| !whole).map(|last| last - OVERLAP);
    match pass_since(app, mailer, since, clock::machine_now(), stop).await {
        Ok(passed) => {
            if !passed.more {
                look.last = Some(now);
                if whole {
                    look.whole = Some(began);
                }
            }
            count(passed);
            passed.more
        }
        Err(error) => {
            tracing::warn!(%error, "the pass over the outbox failed; what is to be sent stays to be sent");
            false
        }
    }
}

fn count(passed: Passed) {
    metrics::counter!("mail_written_total").increment(passed.written);
    metrics::counter!("mail_deliveries_total", "outcome" => "delivered").increment(passed.delivered);
    metrics::counter!("mail_deliveries_total", "outcome" => "postponed").increment(passed.postponed);
    metrics::counter!("mail_deliveries_total", "outcome" => "dead").increment(passed.dead);
}

/// Shows operators where the outbox stands, in the metrics of every process: what waits belongs to none of them.
async fn show(app: &App) -> Result<(), Error> {
    let backlog = outbox::backlog(app.db.read(), &Scope::engine()).await?;
    let waited = |since: DateTime<Utc>| clock::machine_now().signed_duration_since(since).num_seconds();
    metrics::gauge!("mail_pending").set(gauge(backlog.pending));
    metrics::gauge!("mail_dead").set(gauge(backlog.dead));
    metrics::gauge!("mail_oldest_due_seconds").set(gauge(backlog.oldest.map_or(0, waited)));
    Ok(())
}

/// A number as the metrics take it. What a u32 can't hold is shown as the end that it is past.
fn gauge(number: i64) -> f64 {
    f64::from(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}
