//! What would come if nobody did anything: the engine's own decisions, made over an account's resources in memory, from
//! one due instant to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::enums::{EventType, Life, StepKind, StepStatus, WalletKind};
use entity::{account, product, resource, schedule_step};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::brake::Brake;
use super::decide::{Present, decide, has_ended};
use super::pass::DOWNTIME_MEMORY;
use super::renewing;
use crate::app::App;
use crate::commands::order::Prospect;
use crate::domain::money::{Currency, MAX_MINOR, Money};
use crate::domain::refusal::{Facts, Refusal, RefusalCode};
use crate::domain::{order as rules, time};
use crate::error::Error;
use crate::store::{Scope, catalogue, due, state, wallets};

/// The most resources that a forecast is made for.
const MOST_RESOURCES: usize = 10_000;
/// How many days a forecast looks ahead at most.
const MOST_DAYS: i64 = 400;

/// Something that would happen to a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// When.
    pub at: DateTime<Utc>,
    /// What would be told.
    pub kind: EventType,
    /// The resource, as it would be after it.
    pub resource: resource::Model,
    /// What would be paid.
    pub amount: Option<Money>,
    /// Why a renewal would fail.
    pub refusal: Option<Refusal>,
    /// What could be spent after it.
    pub available: Money,
}

/// What would come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// How far it looks.
    pub until: DateTime<Utc>,
    /// Everything that would happen, in order. Reminders are left out.
    pub events: Vec<Foreseen>,
    /// What could be spent at its end.
    pub available: Money,
    /// What would be paid in all.
    pub charged: Money,
    /// The first instant at which the credit would not suffice.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// The least to top up now so that it suffices throughout.
    pub top_up: Money,
}

/// Foresees an account's course up to an instant, if nobody does anything and the engine is never late.
///
/// Source: rule "Forecast" in ARCHITECTURE, section Life.
///
/// # Errors
/// Refused with INVALID_INSTANT for an instant that is not ahead, or too far, and with LIMIT_EXCEEDED for an account with
/// too many resources. [`Error::Unavailable`] when the store does not answer.
pub async fn forecast(
    app: &App,
    scope: &Scope,
    account: &account::Model,
    until: DateTime<Utc>,
) -> Result<Forecast, Error> {
    let now = app.clock.now();
    if until <= now || until > now + chrono::TimeDelta::days(MOST_DAYS) {
        let message = format!("Choose an instant that is ahead, by {MOST_DAYS} days at most.");
        return Err(Refusal::new(RefusalCode::InvalidInstant, message).under("until").into());
    }
    let db = app.db.read();
    let most = u64::try_from(MOST_RESOURCES).unwrap_or(u64::MAX);
    let rows = due::scheduled(db, scope, account.id, most + 1).await?;
    if rows.len() > MOST_RESOURCES {
        let message = format!("A forecast is made for at most {MOST_RESOURCES} resources, and this account has more.");
        return Err(Refusal::new(RefusalCode::LimitExceeded, message).into());
    }
    let distinct = |key: fn(&resource::Model) -> Uuid| -> Vec<Uuid> {
        rows.iter().map(key).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let prospect = Prospect::read(db, scope, account, &distinct(|row| row.resource_type_id), (now, until)).await?;
    let products = catalogue::products_by_ids(db, scope, &distinct(|row| row.product_id)).await?;
    let ended = rows.iter().filter(|row| has_ended(row, now));
    let ended: Vec<Uuid> = ended.map(|row| row.id).collect();
    let handled = due::state_steps(db, scope, &ended).await?;
    let spans = state::downtimes_since(db, &Scope::engine(), now - DOWNTIME_MEMORY).await?;
    let downtimes: Vec<_> = spans.into_iter().map(|span| (span.from_at, span.until_at)).collect();
    let wallet = wallets::of_accounts(db, scope, &[account.id])
        .await?
        .remove(&account.id);
    let wallet = wallet
        .unwrap_or_default()
        .into_iter()
        .find(|wallet| wallet.kind == WalletKind::Credit)
        .ok_or(Error::NotFound("wallet"))?;

    let currency: Currency = account.currency.parse()?;
    let money = move |minor| Money::of(minor, currency);
    let purse = Purse {
        cash: money(wallet.cash_minor),
        promotional: money(wallet.promotional_minor),
        held: money(wallet.held_minor),
    };
    let course = Course {
        prospect: Arc::new(prospect),
        products: products.into_iter().map(|product| (product.id, product)).collect(),
        zone: time::zone(&account.zone)?,
        downtimes,
        waiting: rows.iter().filter_map(|row| Some((row.next_due_at?, row.id))).collect(),
        rows: rows.into_iter().map(|row| (row.id, row)).collect(),
        handled: due::by_period(handled),
        purse,
        charged: money(0),
        events: Vec::new(),
        tells: true,
    };
    // Whoever never runs out pays everything at its first attempt: that is what would have to be there.
    let mut rich = course.clone();
    rich.purse.cash = money(MAX_MINOR / 2);
    rich.tells = false;
    // A large account's year takes seconds. Nobody else waits for it but who wants a forecast as well; and whoever went away
    // meanwhile is not forecast for any longer.
    let permit = AT_ONCE.acquire().await.map_err(Error::internal)?;
    let permit = Arc::new(permit);
    let wanted = Wanted::default();
    let runs = [course, rich].map(|course| {
        let (permit, wanted) = (Arc::clone(&permit), Arc::clone(&wanted.0));
        tokio::task::spawn_blocking(move || {
            let ran = course.run(now, until, &wanted);
            drop(permit);
            ran
        })
    });
    let [course, rich] = runs;
    let (course, rich) = tokio::try_join!(course, rich).map_err(Error::internal)?;
    told(course?, rich?.charged, purse.available()?, until)
}

/// How many forecasts are made at once in this process.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Tells the threads that forecast when nobody waits for them any more.
struct Wanted(Arc<AtomicBool>);

impl Default for Wanted {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What the course of an account tells, with what would be paid in full and what is available before it.
fn told(course: Course, paid_in_full: Money, available: Money, until: DateTime<Utc>) -> Result<Forecast, Error> {
    let short = |event: &&Foreseen| {
        let refusal = event.refusal.as_ref();
        refusal.is_some_and(|refusal| refusal.code == RefusalCode::InsufficientCredit)
    };
    Ok(Forecast {
        until,
        available: course.purse.available()?,
        charged: course.charged,
        runs_out_at: course.events.iter().find(short).map(|event| event.at),
        top_up: paid_in_full.minus(available)?.max_zero(),
        events: course.events,
    })
}

/// An account's money.
#[derive(Clone, Copy, Debug)]
struct Purse {
    cash: Money,
    promotional: Money,
    held: Money,
}

impl Purse {
    fn available(&self) -> Result<Money, Refusal> {
        self.cash.plus(self.promotional)?.minus(self.held)
    }

    /// Pays, or says what is missing.
    fn pay(&mut self, due: Money) -> Result<(), Refusal> {
        let funding = rules::split_funding(due, self.cash, self.promotional, self.held)?;
        self.cash = self.cash.minus(funding.cash)?;
        self.promotional = self.promotional.minus(funding.promotional)?;
        Ok(())
    }
}

/// An account's resources on their way through time.
#[derive(Clone, Debug)]
struct Course {
    prospect: Arc<Prospect>,
    products: HashMap<Uuid, product::Model>,
    zone: Tz,
    downtimes: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    rows: BTreeMap<Uuid, resource::Model>,
    /// When each of them waits for something.
    waiting: BTreeSet<(DateTime<Utc>, Uuid)>,
    /// What became of state steps.
    handled: due::Handled,
    purse: Purse,
    charged: Money,
    events: Vec<Foreseen>,
    /// Whether what happens is kept, to be told.
    tells: bool,
}

impl Course {
    /// Goes from one due instant to the next, while it is wanted.
    fn run(mut self, now: DateTime<Utc>, until: DateTime<Utc>, wanted: &AtomicBool) -> Result<Self, Error> {
        let mut at = now;
        while let Some((due, _)) = self.waiting.first().copied().filter(|(due, _)| *due <= until) {
            if !wanted.load(Ordering::Relaxed) {
                return Err(Error::internal("nobody waits for the forecast any more"));
            }
            at = at.max(due);
            self.pass(at)?;
        }
        Ok(self)
    }

    /// One pass, as the engine makes it: what is due, soonest expiry first, and then the attempts to renew.
    fn pass(&mut self, at: DateTime<Utc>) -> Result<(), Error> {
        let due = self.waiting.iter().take_while(|(due, _)| *due <= at).map(|(_, id)| *id);
        let mut due: Vec<(Option<DateTime<Utc>>, Uuid)> = due
            .filter_map(|id| Some((self.rows.get(&id)?.paid_until, id)))
            .collect();
        due.sort_unstable();
        let mut attempts = Vec::new();
        for (_, id) in due {
            if self.step(id, at)? {
                attempts.push(id);
            }
        }
        let mut turns = Vec::with_capacity(attempts.len());
        for id in attempts {
            let Some(row) = self.rows.get(&id) else { continue };
            let renewal = self.prospect.renewal(row, at)?;
            let price = renewal.as_ref().ok().map(|(price, _)| price.minor());
            turns.push((renewing::turn(row, price), id, renewal));
        }
        turns.sort_by_key(|(turn, ..)| *turn);
        for (_, id, renewal) in turns {
            self.attempt(id, renewal, at)?;
        }
        Ok(())
    }

    /// Handles what is due of a resource, and answers whether an attempt to renew is to be made.
    fn step(&mut self, id: Uuid, at: DateTime<Utc>) -> Result<bool, Error> {
        let Some(row) = self.rows.get(&id).cloned() else {
            return Ok(false);
        };
        let waited = row.next_due_at;
        let product = self.products.get(&row.product_id).ok_or(Error::NotFound("product"))?;
        let present = Present {
            now: at,
            zone: self.zone,
            downtimes: &self.downtimes,
        };
        let before = due::of_period(&self.handled, &row);
        // Nobody halts what was not foreseen.
        let mut brake = Brake::with_left(u64::MAX);
        let mut decided = decide(row, product, before, present, &mut brake)?;
        if decided.resource.order_item_id.is_some() && decided.resource.life != Life::Active && decided.steps.is_empty()
        {
            // Nothing is taken from it before its product has reported, and nobody knows when that will be.
            decided.resource.next_due_at = None;
        }
        for step in decided.steps {
            self.note(step);
        }
        let told = decided.alerts.into_iter().map(|(_, news)| news.kind);
        for kind in told.filter(|kind| *kind != EventType::ExpiryReminder) {
            self.tell(at, kind, &decided.resource, None, None)?;
        }
        if !decided.attempt && decided.resource.next_due_at.is_some_and(|next| next <= at) {
            return Err(Error::internal("a resource stays where it is in a forecast"));
        }
        self.become_(waited, decided.resource);
        Ok(decided.attempt)
    }

    /// Makes an attempt to renew.
    fn attempt(
        &mut self,
        id: Uuid,
        renewal: Result<(Money, resource::Model), Refusal>,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let Some(row) = self.rows.get(&id).cloned() else {
            return Ok(());
        };
        let waited = row.next_due_at;
        let attempt = self.prospect.attempt(&row, at)?;
        let attempt = attempt.ok_or_else(|| Error::internal("an attempt is not due in a forecast"))?;
        let paid = renewal.and_then(|(price, after)| self.purse.pay(price).map(|()| (price, after)));
        match paid {
            Ok((price, after)) => {
                self.charged = self.charged.plus(price)?;
                self.tell(at, EventType::ResourceRenewed, &after, Some(price), None)?;
                self.become_(waited, after);
            }
            Err(refusal) => {
                let (after, stops) = attempt.failed(row);
                self.tell(at, EventType::RenewalFailed, &after, None, Some(refusal))?;
                if stops {
                    self.tell(at, EventType::AutoRenewStopped, &after, None, None)?;
                }
                self.become_(waited, after);
            }
        }
        Ok(())
    }

    fn tell(
        &mut self,
        at: DateTime<Utc>,
        kind: EventType,
        resource: &resource::Model,
        amount: Option<Money>,
        refusal: Option<Refusal>,
    ) -> Result<(), Error> {
        if !self.tells {
            return Ok(());
        }
        self.events.push(Foreseen {
            at,
            kind,
            resource: resource.clone(),
            amount,
            refusal,
            available: self.purse.available()?,
        });
        Ok(())
    }

    /// Keeps what the brakes on releases ask for later.
    fn note(&mut self, step: schedule_step::Model) {
        let of_state = matches!(step.kind, StepKind::Expire | StepKind::Suspend | StepKind::FinalNotice);
        if of_state && step.status == StepStatus::Sent {
            self.handled
                .entry((step.resource_id, step.period_id))
                .or_default()
                .push(step);
        }
    }

    fn become_(&mut self, waited: Option<DateTime<Utc>>, row: resource::Model) {
        if let Some(waited) = waited {
            self.waiting.remove(&(waited, row.id));
        }
        if let Some(next) = row.next_due_at {
            self.waiting.insert((next, row.id));
        }
        self.rows.insert(row.id, row);
    }
}

impl Foreseen {
    /// How much a renewal would be short of.
    #[must_use]
    pub fn shortfall(&self) -> Option<Money> {
        match self.refusal.as_ref()?.facts {
            Facts::InsufficientCredit { shortfall, .. } => Some(shortfall),
            Facts::None | Facts::State { .. } | Facts::Gateway { .. } => None,
        }
    }
}
