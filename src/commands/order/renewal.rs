//! Renewing by itself: what the engine pays from credit when an attempt comes due, and what it tells when it can't.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use entity::enums::{EventType, StepKind, StepStatus, WalletKind};
use entity::{account, expiry_alert, resource, schedule_step};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{Placing, write};
use crate::app::App;
use crate::commands::fulfil::{Catalogue, promise};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::money::{Currency, Money};
use crate::domain::quote::{self as quote_rules, PricedQuote, QuoteRequest, RenewItem, RequestedItem};
use crate::domain::refusal::{Facts, Refusal};
use crate::domain::schedule::{self, Plan, Schedule, Step, StepKey};
use crate::domain::term::Term;
use crate::domain::{lifecycle, time};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News, Numbered};
use crate::store::ledger as books;
use crate::store::purchases::{self, Purchase, Standing};
use crate::store::{Scope, accounts, fulfilment};

/// How many resources are priced at once.
const PRICED_AT_ONCE: usize = 500;

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// It was renewed.
    Renewed,
    /// It was refused, and that was told.
    Failed(Refusal),
    /// It waits for no attempt any more: somebody renewed it, changed it or switched its renewal off.
    NotDue,
}

/// What a renewal by itself would cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// By how many months.
    pub months: i32,
    /// Its price, as by hand; or why there is none.
    pub price: Result<Money, Refusal>,
}

/// What renewing each of these resources by its own term would cost now. Those that are not there,
/// or have come to their end, are left out. Seven
/// statements, however many there are.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn renewals(
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: &account::Model,
    resources: &[Uuid],
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, Renewal>, Error> {
    let mut found = HashMap::with_capacity(resources.len());
    for ids in resources.chunks(PRICED_AT_ONCE) {
        let standing = purchases::standing(db, scope, account.id, ids, now, false).await?;
        let catalogue = Catalogue::read(db, scope, account, standing, &[], now).await?;
        for standing in catalogue.standing.values() {
            let row = &standing.resource;
            if lifecycle::is_over(row.life) {
                continue;
            }
            let price = match priced(&catalogue, row, account, now) {
                Ok(quote) => quote.due().map_err(Error::from),
                Err(error) => Err(error),
            };
            let renewal = Renewal {
                months: row.auto_renew_months,
                price: refused(price)?,
            };
            found.insert(row.id, renewal);
        }
    }
    Ok(found)
}

/// Makes the attempt that a resource waits for: renews it from credit, at the price as by hand, or tells why not and
/// goes on in its schedule. When the last attempt fails, auto-renewal stops, but for products that forbid it.
///
/// Source: rule "Auto-renewal" in ARCHITECTURE, section Life.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer; [`Error::Internal`] for what is ours.
pub async fn renew_automatically(
    app: &App,
    account: Uuid,
    resource: Uuid,
    now: DateTime<Utc>,
) -> Result<Attempted, Error> {
    let order_id = ids::new_id();
    let renewed = app
        .db
        .write("renew_automatically", async |tx| {
            let tx = &*tx;
            // A step leaves one row: run again after a commit whose answer was lost, there is no attempt to make.
            tx.is_replayable();
            renew(tx, account, resource, order_id, now).await
        })
        .await;
    let (attempted, newest) = match renewed {
        Ok(None) => return Ok(Attempted::NotDue),
        Ok(Some(newest)) => (Attempted::Renewed, newest),
        Err(Error::Refused(refusal)) => {
            let told = app
                .db
                .write("fail_renewal", async |tx| {
                    let tx = &*tx;
                    tx.is_replayable();
                    fail(tx, account, resource, &refusal, now).await
                })
                .await?;
            match told {
                None => return Ok(Attempted::NotDue),
                Some(newest) => (Attempted::Failed(*refusal), Some(newest)),
            }
        }
        Err(error) => return Err(error),
    };
    if let Some(newest) = newest {
        app.hub.wake(account, newest);
    }
    Ok(attempted)
}

/// Renews, and answers the newest event's number; none when nothing waits to be renewed.
async fn renew(
    tx: &Tx,
    account: Uuid,
    resource: Uuid,
    order_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Option<i64>>, Error> {
    let scope = Scope::engine();
    // The wallet first, then the resource: as an order by hand does.
    let wallet = books::lock_wallet(tx, &scope, account, WalletKind::Credit).await?;
    let account = account_row(tx, account).await?;
    let standing = purchases::standing(&**tx, &scope, account.id, &[resource], now, true).await?;
    let catalogue = Catalogue::read(&**tx, &scope, &account, standing, &[], now).await?;
    let Some(standing) = catalogue.standing.get(&resource) else {
        return Ok(None);
    };
    if waiting(&catalogue, standing, &account, now)?.is_none() {
        return Ok(None);
    }
    let priced = priced(&catalogue, &standing.resource, &account, now)?;
    let quote = promise(&account, &scope, &priced, None, now)?;
    purchases::insert_quote(tx, &scope, quote.clone()).await?;
    let purchase = Purchase { quote, account, wallet };
    let placing = Placing {
        order_id,
        return_url: None,
        waited: StepStatus::Sent,
        now,
    };
    let (_, newest) = write(tx, &scope, placing, &purchase, &priced).await?;
    Ok(Some(newest))
}

/// Tells that an attempt was refused, and goes on in the schedule; answers the newest event's number.
async fn fail(
    tx: &Tx,
    account: Uuid,
    resource: Uuid,
    refusal: &Refusal,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let scope = Scope::engine();
    let account = account_row(tx, account).await?;
    let standing = purchases::standing(&**tx, &scope, account.id, &[resource], now, true).await?;
    let catalogue = Catalogue::read(&**tx, &scope, &account, standing, &[], now).await?;
    let Some(standing) = catalogue.standing.get(&resource) else {
        return Ok(None);
    };
    let Some(attempt) = waiting(&catalogue, standing, &account, now)? else {
        return Ok(None);
    };
    let mut row = standing.resource.clone();
    let step = attempt.step;
    let stops = schedule::is_last_attempt(&attempt.terms, step.key()) && attempt.terms.stops_renewing();
    if stops {
        row.auto_renew = false;
    }
    let next = attempt.schedule.next_after(Some(step.key()));
    row.next_step = next.map(|step| step.key().to_string());
    row.next_due_at = next.map(|step| step.due_at);
    row.attempts = 0;

    let alert_id = ids::new_id();
    let mut news = vec![News::of(EventType::RenewalFailed).resource(row.id).alert(alert_id)];
    if stops {
        news.push(News::of(EventType::AutoRenewStopped).resource(row.id));
    }
    let count = i64::try_from(news.len()).map_err(Error::internal)?;
    let next = event_log::take_sequences(tx, &scope, &BTreeMap::from([(account.id, count)])).await?;
    let first = next.get(&account.id).copied().ok_or(Error::NotFound("account"))?;
    let alert = expiry_alert::Model {
        id: alert_id,
        account_id: account.id,
        resource_id: row.id,
        period_id: attempt.plan,
        step: step.key().to_string(),
        kind: StepKind::AutoRenew,
        event_sequence: first,
        days_left: schedule::days_left(attempt.paid_until, now),
        expires_at: attempt.paid_until,
        releases_at: Some(attempt.planned_release),
        failure: Some(refusal.code.as_str().to_owned()),
        shortfall_minor: match &refusal.facts {
            Facts::InsufficientCredit { shortfall, .. } => Some(shortfall.minor()),
            Facts::None | Facts::State { .. } => None,
        },
        created_at: now,
        acknowledged_at: None,
        acknowledged_by: None,
    };
    let handled = schedule_step::Model {
        resource_id: row.id,
        period_id: attempt.plan,
        step: step.key().to_string(),
        account_id: account.id,
        kind: StepKind::AutoRenew,
        status: StepStatus::Sent,
        due_at: step.due_at,
        handled_at: now,
    };
    let numbered: Vec<Numbered> = news
        .into_iter()
        .zip(first..)
        .map(|(news, sequence)| Numbered {
            account: account.id,
            sequence,
            news,
        })
        .collect();
    let mut writes = Writes::of(tx);
    event_log::write_at(&mut writes, &scope, &numbered, now);
    crate::store::due::write_batch(&mut writes, &scope, vec![handled], vec![alert], Vec::new());
    purchases::update_resource(&mut writes, &scope, row);
    writes.send(tx).await?;
    Ok(Some(first + count - 1))
}

/// An attempt that is to be made now.
struct Attempt {
    terms: crate::domain::policy::PolicyTerms,
    schedule: Schedule,
    step: Step,
    /// What its plan is about.
    plan: Uuid,
    paid_until: DateTime<Utc>,
    planned_release: DateTime<Utc>,
}

/// The attempt that a resource waits for, when it is due and still to be made.
fn waiting(
    catalogue: &Catalogue,
    standing: &Standing,
    account: &account::Model,
    now: DateTime<Utc>,
) -> Result<Option<Attempt>, Error> {
    let row = &standing.resource;
    let (Some(plan), Some(next), Some(due_at)) = (row.plan_id, &row.next_step, row.next_due_at) else {
        return Ok(None);
    };
    let key: StepKey = next.parse()?;
    if due_at > now || row.order_item_id.is_some() {
        return Ok(None);
    }
    let product = &catalogue.type_of(row.resource_type_id)?.product;
    let (terms, paid_until) = fulfilment::plan_of(row, &fulfilment::policy_terms(product)?)?;
    let planned = Plan {
        terms: &terms,
        paid_until,
        zone: time::zone(&account.zone)?,
        auto_renew: row.auto_renew,
        release_at: None,
    };
    let schedule = planned.schedule();
    let attempted = schedule
        .step(key)
        .filter(|step| schedule::is_attempted(step, row.life, row.auto_renew, now));
    Ok(attempted.map(|step| Attempt {
        planned_release: planned.planned_release(),
        terms,
        schedule,
        step,
        plan,
        paid_until,
    }))
}

/// A renewal of a resource by its own term, priced.
fn priced(
    catalogue: &Catalogue,
    row: &resource::Model,
    account: &account::Model,
    now: DateTime<Utc>,
) -> Result<PricedQuote, Error> {
    let item = RequestedItem::Renew(RenewItem {
        existing: catalogue.existing(row.id)?,
        term: Term::months(i64::from(row.auto_renew_months))?,
    });
    let currency: Currency = account.currency.parse()?;
    let request = QuoteRequest {
        items: &[item],
        coupon: None,
        zone: time::zone(&account.zone)?,
        currency,
        now,
    };
    Ok(quote_rules::price(&request)?)
}

/// What was refused, apart from what failed.
fn refused<T>(result: Result<T, Error>) -> Result<Result<T, Refusal>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Refused(refusal)) => Ok(Err(*refusal)),
        Err(error) => Err(error),
    }
}

async fn account_row(tx: &Tx, id: Uuid) -> Result<account::Model, Error> {
    let found = accounts::by_ids(&**tx, &Scope::engine(), &[id]).await?;
    found.into_iter().next().ok_or(Error::NotFound("account"))
}
