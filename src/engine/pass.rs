//! One bounded pass over what is due, and the way a development clock moves through many of them.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::StepKind;
use uuid::Uuid;

use super::decide::{HALTED_WAIT, Present, decide};
use crate::app::App;
use crate::db::Tx;
use crate::error::Error;
use crate::store::{Scope, accounts, due, event_log, state};

/// How many accounts one pass works on.
const ACCOUNTS: u64 = 500;
/// How many of an account's resources one transaction works on.
const BATCH: u64 = 200;
/// How many transactions one account gets in a pass, so that one customer never starves the others.
const BATCHES: u32 = 20;
/// How long an account stays claimed, in seconds of the database's clock.
const LEASE_SECONDS: i64 = 60;
/// A gap between two passes from which the engine is said to have been down.
const DOWN_AFTER: TimeDelta = TimeDelta::hours(1);
/// How far back spans without an engine still matter: past any release.
const DOWNTIME_MEMORY: TimeDelta = TimeDelta::days(400);
/// How long moving time waits for another process before it looks again.
const ELSEWHERE_WAIT: std::time::Duration = std::time::Duration::from_millis(20);
/// The wait before a step that failed is tried again; it doubles with each failure, up to a day.
const FIRST_BACKOFF: TimeDelta = TimeDelta::minutes(1);

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Resources whose due steps were handled.
    pub resources: u64,
    /// Steps that were handled, missed ones included.
    pub steps: u64,
    /// Alerts that were written.
    pub alerts: u64,
    /// Resources that failed and were put off.
    pub failed: u64,
    /// Whether something is still due.
    pub more: bool,
    /// Whether an account with something due was left to another process, which holds its lease.
    pub elsewhere: bool,
}

impl Passed {
    fn add(&mut self, other: Self) {
        self.resources += other.resources;
        self.steps += other.steps;
        self.alerts += other.alerts;
        self.failed += other.failed;
        self.more |= other.more;
        self.elsewhere |= other.elsewhere;
    }
}

/// Makes one pass at the present of the business clock.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer; what was committed stays, the rest is still due.
pub async fn tick(app: &App) -> Result<Passed, Error> {
    let now = app.clock.now();
    let before = app
        .db
        .write("note_pass", async |tx| {
            let tx = &*tx;
            let before = state::note_pass(tx, &Scope::engine(), now).await?;
            if let Some(before) = before.filter(|before| now.signed_duration_since(*before) > DOWN_AFTER) {
                state::note_downtime(tx, &Scope::engine(), before, now).await?;
            }
            Ok(before)
        })
        .await?;
    if before.is_some_and(|before| now.signed_duration_since(before) > DOWN_AFTER) {
        tracing::warn!(since = ?before, "no engine ran for more than an hour: releases are put off by as much");
    }
    pass(app, now).await
}

/// Moves the business clock up to an instant as if an engine had run all along: it stops at every due step and handles
/// it at its own time. For development and tests. The clock never moves back.
///
/// # Errors
/// [`Error::Forbidden`] in production; what [`tick`] answers.
pub async fn advance(app: &App, until: DateTime<Utc>) -> Result<Passed, Error> {
    let mut passed = Passed::default();
    loop {
        let next = due::next_instant(app.db.read(), &Scope::engine()).await?;
        let at = next.filter(|next| *next < until).unwrap_or(until).max(app.clock.now());
        app.set_clock(at).await?;
        let now = app.clock.now();
        app.db
            .write("note_pass", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                state::note_pass(tx, &Scope::engine(), now).await.map(|_| ())
            })
            .await?;
        loop {
            let done = pass(app, now).await?;
            passed.add(done);
            if done.elsewhere {
                // Another process is at it: time does not move on before it is done, or has lost its lease.
                tokio::time::sleep(ELSEWHERE_WAIT).await;
            } else if !done.more {
                break;
            }
        }
        if at >= until {
            return Ok(passed);
        }
    }
}

async fn pass(app: &App, now: DateTime<Utc>) -> Result<Passed, Error> {
    let scope = Scope::engine();
    let halted = halts(app, now).await?;
    let downtimes: Vec<_> = state::downtimes_since(app.db.read(), &scope, now - DOWNTIME_MEMORY)
        .await?
        .into_iter()
        .map(|span| (span.from_at, span.until_at))
        .collect();
    let waiting = due::accounts(app.db.read(), &scope, now, ACCOUNTS).await?;
    let mut passed = Passed {
        more: u64::try_from(waiting.len()).unwrap_or(u64::MAX) == ACCOUNTS,
        ..Passed::default()
    };
    for account in waiting {
        if !due::lease(&app.db, &scope, account, app.process, LEASE_SECONDS).await? {
            passed.elsewhere = true;
            continue;
        }
        let Some(owner) = accounts::by_ids(app.db.read(), &scope, &[account])
            .await?
            .into_iter()
            .next()
        else {
            return Err(Error::internal("an account is due that does not exist"));
        };
        let present = Present {
            now,
            zone: &owner.zone,
            releases_halted: halted,
            downtimes: &downtimes,
        };
        for round in 1..=BATCHES {
            let done = match batch(app, account, present, BATCH).await {
                Ok(done) => done,
                Err(Error::Unavailable(why)) => return Err(Error::Unavailable(why)),
                Err(error) => {
                    // One of them can't be handled: it must not hold up the others.
                    tracing::error!(%account, %error, "a batch failed; its resources are handled one by one");
                    one_by_one(app, account, present).await?
                }
            };
            passed.add(done);
            if done.resources + done.failed < BATCH {
                break;
            }
            passed.more |= round == BATCHES;
        }
        due::release_lease(&app.db, &scope, account, app.process).await?;
    }
    Ok(passed)
}

/// Whether releases wait for an operator: they were halted, or more of them are due at once than one pass may make.
async fn halts(app: &App, now: DateTime<Utc>) -> Result<bool, Error> {
    let scope = Scope::engine();
    let state = state::read(app.db.read(), &scope).await?;
    if state.as_ref().is_some_and(|state| state.releases_halted_at.is_some()) {
        return Ok(true);
    }
    // What waited when an operator approved is looked at within the wait. It is not a reason to halt again.
    let approved = state
        .and_then(|state| state.releases_approved_at)
        .map(|at| at + HALTED_WAIT);
    let most = app.settings.most_releases;
    let releases = due::count_due(
        app.db.read(),
        &scope,
        (approved, now),
        StepKind::Release.as_str(),
        most.saturating_add(1),
    )
    .await?;
    if releases <= most {
        return Ok(false);
    }
    let reason = format!("more than {most} releases were due in one pass");
    app.db
        .write("halt_releases", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            state::halt_releases(tx, &Scope::engine(), &reason, now).await
        })
        .await?;
    tracing::error!(reason, "releases are halted until an operator approves them");
    Ok(true)
}

async fn batch(app: &App, account: Uuid, present: Present<'_>, most: u64) -> Result<Passed, Error> {
    let (passed, newest) = app
        .db
        .write("engine_batch", async |tx| {
            let tx = &*tx;
            // A step leaves one row: run again after a commit whose answer was lost, the batch finds it no longer due.
            tx.is_replayable();
            handle(tx, account, present, most).await
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(account, newest);
    }
    Ok(passed)
}

async fn handle(tx: &Tx, account: Uuid, present: Present<'_>, most: u64) -> Result<(Passed, Option<i64>), Error> {
    let scope = Scope::engine();
    let due = due::lock_batch(tx, &scope, account, present.now, most).await?;
    let past_their_end: Vec<Uuid> = due
        .iter()
        .filter(|(resource, _)| resource.paid_until.is_some_and(|end| end <= present.now))
        .map(|(resource, _)| resource.id)
        .collect();
    let notices: HashMap<(Uuid, Uuid), DateTime<Utc>> = due::final_notices(tx, &scope, &past_their_end)
        .await?
        .into_iter()
        .map(|step| ((step.resource_id, step.period_id), step.handled_at))
        .collect();

    let mut passed = Passed::default();
    let (mut resources, mut steps, mut alerts, mut news) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (resource, product) in due {
        let notice = resource
            .period_id
            .and_then(|period| notices.get(&(resource.id, period)).copied());
        let decided = decide(resource, &product, notice, present)?;
        passed.resources += 1;
        passed.steps += u64::try_from(decided.steps.len()).map_err(Error::internal)?;
        passed.alerts += u64::try_from(decided.alerts.len()).map_err(Error::internal)?;
        resources.push(decided.resource);
        steps.extend(decided.steps);
        for (alert, told) in decided.alerts {
            alerts.push(alert);
            news.push(told);
        }
    }
    let mut newest = None;
    if !news.is_empty() {
        let first = event_log::take_sequences(tx, &scope, account, news.len()).await?;
        for (sequence, alert) in (first..).zip(&mut alerts) {
            alert.event_sequence = sequence;
        }
        newest = Some(event_log::write_at(tx, &scope, account, first, &news, present.now).await?);
    }
    due::write_batch(tx, &scope, steps, alerts, resources).await?;
    Ok((passed, newest))
}

/// Handles an account's due resources in transactions of their own. What fails is put off, longer each time, and logged.
async fn one_by_one(app: &App, account: Uuid, present: Present<'_>) -> Result<Passed, Error> {
    let scope = Scope::engine();
    let mut passed = Passed::default();
    for _ in 0..BATCH {
        match batch(app, account, present, 1).await {
            Ok(done) if done.resources == 0 => break,
            Ok(done) => passed.add(done),
            Err(Error::Unavailable(why)) => return Err(Error::Unavailable(why)),
            Err(error) => {
                let put_off = app
                    .db
                    .write("put_off", async |tx| {
                        let tx = &*tx;
                        let due = due::lock_batch(tx, &scope, account, present.now, 1).await?;
                        let Some((resource, _)) = due.first() else {
                            return Ok(None);
                        };
                        let doublings = u32::try_from(resource.attempts.clamp(0, 10)).unwrap_or(10);
                        let wait = FIRST_BACKOFF.checked_mul(1 << doublings).unwrap_or(TimeDelta::days(1));
                        due::put_off(tx, &scope, resource.id, present.now + wait.min(TimeDelta::days(1))).await?;
                        Ok(Some(resource.id))
                    })
                    .await?;
                passed.failed += 1;
                tracing::error!(%account, resource = ?put_off, %error, "a step failed and was put off");
            }
        }
    }
    Ok(passed)
}
