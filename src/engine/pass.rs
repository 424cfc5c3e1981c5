//! One bounded pass over what is due, and the way a development clock moves through many of them.

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::StepKind;
use entity::store_state;
use uuid::Uuid;

use super::brake::{self, Brake};
use super::decide::{Present, decide};
use crate::app::App;
use crate::clock;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::time;
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
    let mut releases_left = app.settings.most_releases;
    tick_within(app, &mut releases_left).await
}

/// Makes one pass that may make so many releases at most, and takes off those that it made.
pub(super) async fn tick_within(app: &App, releases_left: &mut u64) -> Result<Passed, Error> {
    let now = app.clock.now();
    if let Some(since) = note_absence(app, now).await? {
        tracing::warn!(%since, "no engine ran for more than an hour: releases are put off by as much");
    }
    let passed = pass(app, now, releases_left).await?;
    // Only now: an engine whose passes fail is as good as none, and that time extends grace as well.
    app.db
        .write("note_pass", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            state::note_pass(tx, &Scope::engine(), now).await
        })
        .await?;
    Ok(passed)
}

/// Writes down since when no engine has made a pass, when that is long: since the last pass, or since the store was
/// made.
async fn note_absence(app: &App, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Error> {
    let scope = Scope::engine();
    let absent_since = |state: &store_state::Model| {
        let since = state.last_pass_at.unwrap_or(state.created_at);
        (now.signed_duration_since(since) > DOWN_AFTER).then_some(since)
    };
    let state = state::read(app.db.read(), &scope).await?;
    if state.as_ref().and_then(absent_since).is_none() {
        return Ok(None);
    }
    app.db
        .write("note_downtime", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let scope = Scope::engine();
            // Another engine may have come back first: what it noted is there once it lets go of the lock.
            let since = absent_since(&state::lock(tx, &scope).await?);
            if let Some(since) = since {
                state::note_downtime(tx, &scope, since, now).await?;
            }
            Ok(since)
        })
        .await
}

/// Moves the business clock up to an instant as if an engine had run all along: it stops at every due step and handles
/// it at its own time. For development and tests. The clock never moves back.
///
/// # Errors
/// [`Error::Forbidden`] in production, [`Error::Configuration`] for a store that was run in it; what [`tick`] answers.
pub async fn advance(app: &App, until: DateTime<Utc>) -> Result<Passed, Error> {
    let until = clock::to_micros(until);
    let mut passed = Passed::default();
    loop {
        let next = due::next_instant(app.db.read(), &Scope::engine()).await?;
        let at = next.filter(|next| *next < until).unwrap_or(until).max(app.clock.now());
        app.advance_clock(at).await?;
        let mut releases_left = app.settings.most_releases;
        loop {
            let done = pass(app, at, &mut releases_left).await?;
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

async fn pass(app: &App, now: DateTime<Utc>, releases_left: &mut u64) -> Result<Passed, Error> {
    let scope = Scope::engine();
    let downtimes: Vec<_> = state::downtimes_since(app.db.read(), &scope, now - DOWNTIME_MEMORY)
        .await?
        .into_iter()
        .map(|span| (span.from_at, span.until_at))
        .collect();
    brake::halt_too_many(app, now, &downtimes, *releases_left).await?;
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
        match of_account(app, account, now, &downtimes, releases_left).await {
            Ok(done) => passed.add(done),
            Err(Error::Unavailable(why)) => return Err(Error::Unavailable(why)),
            Err(error) => {
                // Something is wrong with this account: it must not hold up the others.
                tracing::error!(%account, %error, "an account can't be handled; what is due of it is put off");
                passed.failed += put_off_account(app, account, now).await?;
            }
        }
        due::release_lease(&app.db, &scope, account, app.process).await?;
    }
    Ok(passed)
}

/// What is due of one account, in batches.
async fn of_account(
    app: &App,
    account: Uuid,
    now: DateTime<Utc>,
    downtimes: &[(DateTime<Utc>, DateTime<Utc>)],
    releases_left: &mut u64,
) -> Result<Passed, Error> {
    let owner = accounts::by_ids(app.db.read(), &Scope::engine(), &[account]).await?;
    let owner = owner.first().ok_or(Error::NotFound("account"))?;
    let present = Present {
        now,
        zone: time::zone(&owner.zone)?,
        downtimes,
    };
    let mut passed = Passed::default();
    for round in 1..=BATCHES {
        let done = match batch(app, account, present, BATCH, releases_left).await {
            Ok(done) => done,
            Err(Error::Unavailable(why)) => return Err(Error::Unavailable(why)),
            Err(error) => {
                // One of them can't be handled: it must not hold up the others.
                tracing::error!(%account, %error, "a batch failed; its resources are handled one by one");
                one_by_one(app, account, present, releases_left).await?
            }
        };
        passed.add(done);
        if done.resources + done.failed < BATCH {
            break;
        }
        passed.more |= round == BATCHES;
    }
    Ok(passed)
}

async fn put_off_account(app: &App, account: Uuid, now: DateTime<Utc>) -> Result<u64, Error> {
    app.db
        .write("put_off_account", async |tx| {
            let tx = &*tx;
            let scope = Scope::engine();
            let attempts = due::attempts(tx, &scope, account, now).await?;
            due::put_off_account(tx, &scope, account, now, now + backoff(attempts)).await
        })
        .await
}

/// How long a step waits that failed so often before.
fn backoff(attempts: i32) -> TimeDelta {
    let doublings = u32::try_from(attempts.clamp(0, 10)).unwrap_or(10);
    let wait = FIRST_BACKOFF.checked_mul(1 << doublings).unwrap_or(TimeDelta::days(1));
    wait.min(TimeDelta::days(1))
}

pub(super) async fn batch(
    app: &App,
    account: Uuid,
    present: Present<'_>,
    most: u64,
    releases_left: &mut u64,
) -> Result<Passed, Error> {
    let left = *releases_left;
    let (passed, newest, brake) = app
        .db
        .write("engine_batch", async |tx| {
            let tx = &*tx;
            // A step leaves one row: run again after a commit whose answer was lost, the batch finds it no longer due.
            tx.is_replayable();
            let mut brake = Brake::with_left(left);
            let (passed, newest) = handle(tx, account, present, most, &mut brake).await?;
            if brake.tripped {
                brake::halt(tx, app.settings.most_releases, present.now).await?;
            }
            Ok((passed, newest, brake))
        })
        .await?;
    *releases_left = brake.left;
    if brake.tripped {
        brake::tell(app.settings.most_releases);
    }
    if let Some(newest) = newest {
        app.hub.wake(account, newest);
    }
    Ok(passed)
}

async fn handle(
    tx: &Tx,
    account: Uuid,
    present: Present<'_>,
    most: u64,
    brake: &mut Brake,
) -> Result<(Passed, Option<i64>), Error> {
    let scope = Scope::engine();
    let due = due::lock_batch(tx, &scope, account, present.now, most).await?;
    let past_their_end: Vec<Uuid> = due
        .iter()
        .filter(|(resource, _)| resource.paid_until.is_some_and(|end| end <= present.now))
        .map(|(resource, _)| resource.id)
        .collect();
    let handled = due::state_steps(&**tx, &scope, &past_their_end).await?;
    if handled.iter().any(|step| step.kind == StepKind::FinalNotice) {
        // Only what had its notice can be released. Whether it may is read under the lock: a halt that was written a
        // moment ago counts, by whomever, and one that comes a moment later waits for this batch.
        let state = state::lock(tx, &scope).await?;
        brake.halted = state.releases_halted_at.is_some();
        brake.approved_at = state.releases_approved_at;
    }
    let handled = due::by_period(handled);

    let mut passed = Passed::default();
    let (mut resources, mut steps, mut alerts, mut news) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (resource, product) in due {
        let before = due::of_period(&handled, &resource);
        let decided = decide(resource, &product, before, present, brake)?;
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
    let mut writes = Writes::of(tx);
    if !news.is_empty() {
        let first = event_log::take_sequences(tx, &scope, account, news.len()).await?;
        for (sequence, alert) in (first..).zip(&mut alerts) {
            alert.event_sequence = sequence;
        }
        newest = Some(event_log::write_at(
            &mut writes,
            &scope,
            account,
            first,
            &news,
            present.now,
        ));
    }
    due::write_batch(&mut writes, &scope, steps, alerts, resources);
    writes.send(tx).await?;
    Ok((passed, newest))
}

/// Handles an account's due resources in transactions of their own. What fails is put off, longer each time, and logged.
async fn one_by_one(app: &App, account: Uuid, present: Present<'_>, releases_left: &mut u64) -> Result<Passed, Error> {
    let scope = Scope::engine();
    let mut passed = Passed::default();
    for _ in 0..BATCH {
        match batch(app, account, present, 1, releases_left).await {
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
                        due::put_off(tx, &scope, resource.id, present.now + backoff(resource.attempts)).await?;
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
