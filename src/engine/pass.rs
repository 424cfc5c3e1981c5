//! One bounded pass over what is due, and the way a development clock moves through many of them.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::StepKind;
use entity::{account_event, product, resource, store_state};
use uuid::Uuid;

use super::brake::{self, Brake};
use super::decide::{Present, decide};
use super::renewing::{self, Attempt};
use crate::app::App;
use crate::clock;
use crate::commands::{auto_top_up, order, payment_methods, payments, refunds};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::time;
use crate::error::Error;
use crate::store::due::Waiting;
use crate::store::{
    Scope, accounts, deliveries, due, event_log, gateway_payments, payment_methods as store_methods,
    refunds as store_refunds, state,
};

/// How many resources one pass works on.
const PASS: u64 = 10_000;
/// How many resources one transaction works on, of however many accounts.
const BATCH: usize = 250;
/// How long the accounts of a batch stay claimed, in seconds of the database's clock.
const LEASE_SECONDS: i64 = 60;
/// A gap between two passes from which the engine is said to have been down.
const DOWN_AFTER: TimeDelta = TimeDelta::hours(1);
/// How far back spans without an engine still matter: past any release.
pub(super) const DOWNTIME_MEMORY: TimeDelta = TimeDelta::days(400);
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
    /// Resources that were renewed.
    pub renewed: u64,
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
        self.renewed += other.renewed;
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
    let passed = pass(app, now, releases_left, Looks::AT_ALL).await?;
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
    Ok(advance_while(app, until, || true).await?.0)
}

/// Moves the business clock as [`advance`] does, as long as it may go on, and answers where it stopped: at `until`, or at
/// the due instant behind which it was told to stop. What was done so far stays done.
///
/// # Errors
/// Those of [`advance`].
pub async fn advance_while(
    app: &App,
    until: DateTime<Utc>,
    may_go_on: impl Fn() -> bool,
) -> Result<(Passed, DateTime<Utc>), Error> {
    let until = clock::to_micros(until);
    let mut passed = Passed::default();
    let mut coming = Coming::read(app).await?;
    loop {
        let next = coming.next();
        let at = next.filter(|next| *next < until).unwrap_or(until).max(app.clock.now());
        app.advance_clock(at).await?;
        let mut releases_left = app.settings.most_releases;
        loop {
            let done = pass(app, at, &mut releases_left, coming.due(at)).await?;
            passed.add(done);
            coming = Coming::read(app).await?;
            if done.elsewhere {
                // Another process is at it: time does not move on before it is done, or has lost its lease.
                tokio::time::sleep(ELSEWHERE_WAIT).await;
            } else if !done.more || coming.next().is_none_or(|next| next > at) {
                // What was due at this instant is done.
                passed.more = false;
                break;
            }
        }
        if at >= until || !may_go_on() {
            return Ok((passed, at));
        }
    }
}

/// When each kind of what the engine does is due next: nothing else is looked at when time moves.
#[derive(Clone, Copy, Debug)]
struct Coming {
    top_ups: Option<DateTime<Utc>>,
    links: Option<DateTime<Utc>>,
    payments: Option<DateTime<Utc>>,
    refunds: Option<DateTime<Utc>>,
    orders: Option<DateTime<Utc>>,
    resources: Option<DateTime<Utc>>,
}

/// Which kinds of things a pass looks at.
#[derive(Clone, Copy, Debug)]
struct Looks {
    top_ups: bool,
    links: bool,
    payments: bool,
    refunds: bool,
    orders: bool,
    resources: bool,
}

impl Looks {
    /// At all of them.
    const AT_ALL: Self = Self {
        top_ups: true,
        links: true,
        payments: true,
        refunds: true,
        orders: true,
        resources: true,
    };
}

impl Coming {
    async fn read(app: &App) -> Result<Self, Error> {
        let (db, scope) = (app.db.read(), Scope::engine());
        let gateways = app.gateways.codes();
        let asked = gateway_payments::next_check(db, &scope, &gateways).await?;
        let told = match &app.sandbox {
            Some(sandbox) => sandbox.next_due().await?,
            None => None,
        };
        Ok(Self {
            top_ups: store_methods::next_too_low(db, &scope).await?,
            links: store_methods::next_instant(db, &scope, &gateways).await?,
            payments: [asked, told].into_iter().flatten().min(),
            refunds: store_refunds::next_instant(db, &scope, &gateways).await?,
            orders: gateway_payments::next_expiry(db, &scope).await?,
            resources: due::next_instant(db, &scope).await?,
        })
    }

    /// When the first of them is due.
    fn next(&self) -> Option<DateTime<Utc>> {
        let all = [
            self.top_ups,
            self.links,
            self.payments,
            self.refunds,
            self.orders,
            self.resources,
        ];
        all.into_iter().flatten().min()
    }

    /// What is due at an instant.
    fn due(&self, at: DateTime<Utc>) -> Looks {
        let is_due = |next: Option<DateTime<Utc>>| next.is_some_and(|next| next <= at);
        Looks {
            top_ups: is_due(self.top_ups),
            links: is_due(self.links),
            payments: is_due(self.payments),
            refunds: is_due(self.refunds),
            orders: is_due(self.orders),
            resources: is_due(self.resources),
        }
    }
}

async fn pass(app: &App, now: DateTime<Utc>, releases_left: &mut u64, looks: Looks) -> Result<Passed, Error> {
    // Money first: what it pays for must not end for want of it. And what one kind did may have made the next one due: a
    // top-up is a charge that is to be made.
    let mut done = 0;
    if looks.top_ups {
        done += auto_top_up::round(app, now).await?;
    }
    if looks.links || done > 0 {
        done += payment_methods::round(app, now).await?;
    }
    if looks.payments || done > 0 {
        done += payments::round(app, now).await?;
    }
    if looks.refunds || done > 0 {
        done += refunds::check_due(app, now).await?;
    }
    if looks.orders || done > 0 {
        done += order::cancel_expired(app, now).await?;
    }
    let mut passed = Passed {
        more: done > 0,
        ..Passed::default()
    };
    if looks.resources {
        passed.add(pass_over_resources(app, now, releases_left).await?);
    }
    Ok(passed)
}

/// Handles the due steps of resources.
async fn pass_over_resources(app: &App, now: DateTime<Utc>, releases_left: &mut u64) -> Result<Passed, Error> {
    let scope = Scope::engine();
    let downtimes: Vec<_> = state::downtimes_since(app.db.read(), &scope, now - DOWNTIME_MEMORY)
        .await?
        .into_iter()
        .map(|span| (span.from_at, span.until_at))
        .collect();
    brake::halt_too_many(app, now, &downtimes, *releases_left).await?;
    let waiting = due::waiting(app.db.read(), &scope, now, PASS).await?;
    let mut passed = Passed {
        more: u64::try_from(waiting.len()).unwrap_or(u64::MAX) == PASS,
        ..Passed::default()
    };
    let moment = Moment {
        now,
        downtimes: &downtimes,
    };
    let mut attempts = Vec::new();
    for batch in batches(waiting) {
        let accounts: Vec<Uuid> = batch.iter().map(|waiting| waiting.account).collect();
        let claimed = due::lease(&app.db, &scope, &accounts, app.process, LEASE_SECONDS).await?;
        let own: Vec<Uuid> = batch
            .iter()
            .filter(|waiting| claimed.contains(&waiting.account))
            .map(|waiting| waiting.resource)
            .collect();
        passed.elsewhere |= own.len() < batch.len();
        if !own.is_empty() {
            passed.add(halve_until_done(app, own, moment, releases_left, &mut attempts).await?);
        }
        due::release_leases(&app.db, &scope, &claimed, app.process).await?;
    }
    passed.add(renewing::renew(app, attempts, now).await?);
    Ok(passed)
}

/// What waits, in batches: each account's together, so that its lease is taken once, and many accounts in one batch.
fn batches(waiting: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let mut turn = HashMap::new();
    let mut by_account: Vec<(usize, Waiting)> = Vec::with_capacity(waiting.len());
    for waiting in waiting {
        let next = turn.len();
        by_account.push((*turn.entry(waiting.account).or_insert(next), waiting));
    }
    by_account.sort_by_key(|(turn, _)| *turn);
    let chunks = by_account.chunks(BATCH);
    chunks
        .map(|chunk| chunk.iter().map(|(_, waiting)| *waiting).collect())
        .collect()
}

/// Handles a batch. One that fails is cut in two again and again, until what can't be handled stands alone: it is put
/// off, longer each time, logged, and holds up none of the others.
async fn halve_until_done(
    app: &App,
    resources: Vec<Uuid>,
    moment: Moment<'_>,
    releases_left: &mut u64,
    attempts: &mut Vec<Attempt>,
) -> Result<Passed, Error> {
    let mut passed = Passed::default();
    let mut left = vec![resources];
    while let Some(resources) = left.pop() {
        match (
            batch(app, &resources, moment, releases_left, attempts).await,
            resources.as_slice(),
        ) {
            (Ok(done), _) => passed.add(done),
            (Err(Error::Unavailable(why)), _) => return Err(Error::Unavailable(why)),
            (Err(error), [resource]) => {
                tracing::error!(%resource, %error, "a step failed and is put off");
                passed.failed += put_off(app, *resource, moment.now).await?;
            }
            (Err(_), many) => {
                let (first, second) = many.split_at(many.len() / 2);
                left.extend([second.to_vec(), first.to_vec()]);
            }
        }
    }
    Ok(passed)
}

/// Puts off a resource whose step failed, if it is still due, and answers whether it was.
pub(super) async fn put_off(app: &App, resource: Uuid, now: DateTime<Utc>) -> Result<u64, Error> {
    app.db
        .write("put_off", async |tx| {
            let tx = &*tx;
            let scope = Scope::engine();
            let due = due::lock_batch(tx, &scope, &[resource], now).await?;
            let Some((row, _)) = due.first() else { return Ok(0) };
            due::put_off(tx, &scope, resource, now + backoff(row.attempts)).await?;
            Ok(1)
        })
        .await
}

/// How long a step waits that failed so often before.
fn backoff(attempts: i32) -> TimeDelta {
    let doublings = u32::try_from(attempts.clamp(0, 10)).unwrap_or(10);
    let wait = FIRST_BACKOFF.checked_mul(1 << doublings).unwrap_or(TimeDelta::days(1));
    wait.min(TimeDelta::days(1))
}

/// What a pass knows of the time it runs at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) now: DateTime<Utc>,
    /// The spans in which no engine ran.
    pub(super) downtimes: &'a [(DateTime<Utc>, DateTime<Utc>)],
}

pub(super) async fn batch(
    app: &App,
    resources: &[Uuid],
    moment: Moment<'_>,
    releases_left: &mut u64,
    attempts: &mut Vec<Attempt>,
) -> Result<Passed, Error> {
    let left = *releases_left;
    let (handled, brake) = app
        .db
        .write("engine_batch", async |tx| {
            let tx = &*tx;
            // A step leaves one row: run again after a commit whose answer was lost, the batch finds it no longer due.
            tx.is_replayable();
            let mut brake = Brake::with_left(left);
            let handled = handle(tx, resources, moment, &mut brake).await?;
            if brake.tripped {
                brake::halt(tx, app.settings.most_releases, moment.now).await?;
            }
            Ok((handled, brake))
        })
        .await?;
    *releases_left = brake.left;
    if brake.tripped {
        brake::tell(app.settings.most_releases);
    }
    app.hub.tell(&handled.told);
    attempts.extend(handled.attempts);
    Ok(handled.passed)
}

/// What a batch came to.
struct Handled {
    passed: Passed,
    /// What accounts are told, account by account.
    told: Vec<account_event::Model>,
    /// The attempts to renew that are to be made.
    attempts: Vec<Attempt>,
}

/// Handles what is due of these resources. Attempts to renew are left to be made one by one: each is an order.
async fn handle(tx: &Tx, resources: &[Uuid], moment: Moment<'_>, brake: &mut Brake) -> Result<Handled, Error> {
    let scope = Scope::engine();
    let Moment { now, downtimes } = moment;
    let due = due::lock_batch(tx, &scope, resources, now).await?;
    let zones = zones(tx, &due).await?;
    let ended: Vec<Uuid> = due
        .iter()
        .filter(|(resource, _)| super::decide::has_ended(resource, now))
        .map(|(resource, _)| resource.id)
        .collect();
    let handled = due::state_steps(&**tx, &scope, &ended).await?;
    if handled.iter().any(|step| step.kind == StepKind::FinalNotice) {
        // Only what had its notice can be released. Whether it may is read under the lock: a halt that was written a
        // moment ago counts, by whomever, and one that comes a moment later waits for this batch.
        let state = state::lock(tx, &scope).await?;
        brake.halted = state.releases_halted_at.is_some();
        brake.approved_at = state.releases_approved_at;
    }
    let handled = due::by_period(handled);

    let mut passed = Passed::default();
    let (mut resources, mut steps, mut alerts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut attempts, mut calls) = (Vec::new(), Vec::new());
    let mut counts: BTreeMap<Uuid, i64> = BTreeMap::new();
    for (resource, product) in due {
        let before = due::of_period(&handled, &resource);
        let zone = zones.get(&resource.account_id).ok_or(Error::NotFound("account"))?;
        let present = Present {
            now,
            zone: time::zone(zone)?,
            downtimes,
        };
        let decided = decide(resource, &product, before, present, brake)?;
        if decided.attempt {
            attempts.push(Attempt::of(&decided.resource));
            if decided.steps.is_empty() {
                continue;
            }
        }
        passed.resources += 1;
        passed.steps += u64::try_from(decided.steps.len()).map_err(Error::internal)?;
        passed.alerts += u64::try_from(decided.alerts.len()).map_err(Error::internal)?;
        let told = i64::try_from(decided.alerts.len()).map_err(Error::internal)?;
        if told > 0 {
            *counts.entry(decided.resource.account_id).or_insert(0) += told;
        }
        resources.push(decided.resource);
        steps.extend(decided.steps);
        alerts.extend(decided.alerts);
        calls.extend(decided.calls);
    }

    let mut writes = Writes::of(tx);
    let mut next = event_log::take_sequences(tx, &scope, &counts).await?;
    let (mut rows, mut told) = (Vec::with_capacity(alerts.len()), Vec::with_capacity(alerts.len()));
    for (mut alert, news) in alerts {
        let next = next.get_mut(&alert.account_id).ok_or(Error::NotFound("account"))?;
        alert.event_sequence = *next;
        told.push(news.event(alert.account_id, *next, now));
        *next += 1;
        rows.push(alert);
    }
    told.sort_unstable_by_key(|event| (event.account_id, event.sequence));
    event_log::write_at(&mut writes, &scope, &told);
    due::write_batch(&mut writes, &scope, steps, rows, resources);
    deliveries::add(&mut writes, &scope, calls);
    writes.send(tx).await?;
    Ok(Handled { passed, told, attempts })
}

/// The zones of the accounts whose resources these are.
async fn zones(tx: &Tx, due: &[(resource::Model, product::Model)]) -> Result<HashMap<Uuid, String>, Error> {
    let mut owners: Vec<Uuid> = due.iter().map(|(resource, _)| resource.account_id).collect();
    owners.sort_unstable();
    owners.dedup();
    let owners = accounts::by_ids(&**tx, &Scope::engine(), &owners).await?;
    Ok(owners.into_iter().map(|owner| (owner.id, owner.zone)).collect())
}
