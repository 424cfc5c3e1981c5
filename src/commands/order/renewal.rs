//! Renewing by itself: what the engine pays from credit when an attempt comes due, and what it tells when it can't.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::enums::{EventType, StepKind, StepStatus, WalletKind};
use entity::{account, expiry_alert, product, resource, schedule_step};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{Placing, write};
use crate::app::App;
use crate::commands::fulfil::{self, Catalogue, promise};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::money::{Currency, Money};
use crate::domain::policy::PolicyTerms;
use crate::domain::quote::{self as quote_rules, PricedQuote, QuoteRequest, RenewItem, RequestedItem};
use crate::domain::refusal::{Facts, Refusal};
use crate::domain::schedule::{self, Plan, Schedule, Step, StepKey};
use crate::domain::term::Term;
use crate::domain::{lifecycle, time};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::ledger as books;
use crate::store::purchases::{self, Purchase, Standing};
use crate::store::{Scope, accounts, fulfilment, pricing};

/// How many resources are priced at once.
const PRICED_AT_ONCE: usize = 500;
/// How many changes of prices a prospect follows.
const MOST_PRICE_CHANGES: usize = 24;

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
            let price = match priced(&catalogue, standing, account, now) {
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
    let product = &catalogue.type_of(standing.resource.resource_type_id)?.product;
    if Attempt::of(&standing.resource, product, time::zone(&account.zone)?, now)?.is_none() {
        return Ok(None);
    }
    let priced = priced(&catalogue, standing, &account, now)?;
    let quote = promise(&account, &scope, &priced, None, now)?;
    purchases::insert_quote(tx, &scope, quote.clone()).await?;
    let purchase = Purchase {
        quote,
        account,
        wallet,
        seen: None,
    };
    let placing = Placing {
        order_id,
        return_url: None,
        waited: StepStatus::Sent,
        now,
    };
    let written = write(tx, &scope, placing, &purchase, &priced).await?;
    Ok(Some(written.newest))
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
    let product = &catalogue.type_of(standing.resource.resource_type_id)?.product;
    let Some(attempt) = Attempt::of(&standing.resource, product, time::zone(&account.zone)?, now)? else {
        return Ok(None);
    };
    let step = attempt.step;
    let (row, stops) = attempt.failed(standing.resource.clone());

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
            Facts::None | Facts::State { .. } | Facts::Gateway { .. } => None,
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
    let told = news.into_iter().zip(first..);
    let told: Vec<_> = told.map(|(news, place)| news.event(account.id, place, now)).collect();
    let mut writes = Writes::of(tx);
    event_log::write_at(&mut writes, &scope, &told);
    crate::store::due::write_batch(&mut writes, &scope, vec![handled], vec![alert], Vec::new());
    purchases::update_resource(&mut writes, &scope, row);
    writes.send(tx).await?;
    Ok(Some(first + count - 1))
}

/// An attempt that is to be made now.
#[derive(Clone, Debug)]
pub struct Attempt {
    terms: PolicyTerms,
    schedule: Schedule,
    step: Step,
    /// What its plan is about.
    plan: Uuid,
    paid_until: DateTime<Utc>,
    planned_release: DateTime<Utc>,
}

impl Attempt {
    /// The step that it is.
    #[must_use]
    pub const fn step(&self) -> StepKey {
        self.step.key()
    }

    /// The attempt that a resource waits for, when it is due and still to be made.
    fn of(
        row: &resource::Model,
        product: &product::Model,
        zone: Tz,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, Error> {
        let (Some(plan), Some(next), Some(due_at)) = (row.plan_id, &row.next_step, row.next_due_at) else {
            return Ok(None);
        };
        let key: StepKey = next.parse()?;
        if due_at > now || row.order_item_id.is_some() {
            return Ok(None);
        }
        let (terms, paid_until) = fulfilment::plan_of(row, &fulfilment::policy_terms(product)?)?;
        let planned = Plan {
            terms: &terms,
            paid_until,
            zone,
            auto_renew: row.auto_renew,
            release_at: None,
        };
        let schedule = planned.schedule();
        let attempted = schedule
            .step(key)
            .filter(|step| schedule::is_attempted(step, row.life, row.auto_renew, now));
        Ok(attempted.map(|step| Self {
            planned_release: planned.planned_release(),
            terms,
            schedule,
            step,
            plan,
            paid_until,
        }))
    }

    /// What a resource is after the attempt failed, and whether its auto-renewal stops with it.
    ///
    /// Source: rule "Auto-renewal" in ARCHITECTURE, section Life.
    #[must_use]
    pub fn failed(&self, mut row: resource::Model) -> (resource::Model, bool) {
        let stops = schedule::is_last_attempt(&self.terms, self.step.key()) && self.terms.stops_renewing();
        if stops {
            row.auto_renew = false;
        }
        let next = self.schedule.next_after(Some(self.step.key()));
        row.next_step = next.map(|step| step.key().to_string());
        row.next_due_at = next.map(|step| step.due_at);
        row.attempts = 0;
        (row, stops)
    }
}

/// What is needed to say what renewals of an account's resources would cost at any instant of a span, and what they
/// would make of them: for forecasts.
#[derive(Debug)]
pub struct Prospect {
    account: account::Model,
    zone: Tz,
    /// The catalogue from each instant on at which a price changes.
    catalogues: Vec<(DateTime<Utc>, Catalogue)>,
}

impl Prospect {
    /// Reads the prices of a span for resources of these types. At most 24 changes are followed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn read(
        db: &impl ConnectionTrait,
        scope: &Scope,
        account: &account::Model,
        types: &[Uuid],
        (from, until): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Self, Error> {
        let changes = pricing::changes(db, scope, types, &account.currency, (from, until), MOST_PRICE_CHANGES).await?;
        let mut catalogues = Vec::with_capacity(1 + changes.len());
        for at in std::iter::once(from).chain(changes) {
            let catalogue = Catalogue {
                sold: pricing::sellable(db, scope, &[], types, &account.currency, at).await?,
                standing: HashMap::new(),
                currency: account.currency.parse()?,
            };
            catalogues.push((at, catalogue));
        }
        Ok(Self {
            account: account.clone(),
            zone: time::zone(&account.zone)?,
            catalogues,
        })
    }

    fn catalogue(&self, at: DateTime<Utc>) -> Result<&Catalogue, Error> {
        let known = self.catalogues.iter().rev().find(|(from, _)| *from <= at);
        let known = known.or(self.catalogues.first());
        known
            .map(|(_, catalogue)| catalogue)
            .ok_or_else(|| Error::internal("a prospect without a catalogue"))
    }

    /// The attempt that a resource would wait for, if it were due.
    ///
    /// # Errors
    /// [`Error::Internal`] for a row that is not one of ours.
    pub fn attempt(&self, row: &resource::Model, at: DateTime<Utc>) -> Result<Option<Attempt>, Error> {
        let product = &self.catalogue(at)?.type_of(row.resource_type_id)?.product;
        Attempt::of(row, product, self.zone, at)
    }

    /// What renewing it would cost then, and what it would be after; or why it would be refused.
    ///
    /// # Errors
    /// [`Error::Internal`] for a row that is not one of ours.
    pub fn renewal(
        &self,
        row: &resource::Model,
        at: DateTime<Utc>,
    ) -> Result<Result<(Money, resource::Model), Refusal>, Error> {
        let catalogue = self.catalogue(at)?;
        let standing = Standing {
            resource: row.clone(),
            periods: Vec::new(),
            newest: 0,
        };
        let renewed = || {
            let quote = priced(catalogue, &standing, &self.account, at)?;
            let span = quote.items.first().and_then(|item| item.span);
            let span = span.ok_or_else(|| Error::internal("a renewal has no span"))?;
            let product = &catalogue.type_of(row.resource_type_id)?.product;
            let after = fulfil::renewed(row.clone(), product, &span, self.zone, at)?;
            Ok((quote.due()?, after))
        };
        refused(renewed())
    }
}

/// A renewal of a resource by its own term, priced.
fn priced(
    catalogue: &Catalogue,
    standing: &Standing,
    account: &account::Model,
    now: DateTime<Utc>,
) -> Result<PricedQuote, Error> {
    let item = RequestedItem::Renew(RenewItem {
        existing: catalogue.existing_as(standing)?,
        term: Term::months(i64::from(standing.resource.auto_renew_months))?,
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
