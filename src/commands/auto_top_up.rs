//! Topping a wallet up by itself: the customer says when and how much, the engine does it.

use chrono::{DateTime, TimeDelta, Utc};
use entity::auto_top_up;
use entity::enums::{EventType, WalletKind};
use uuid::Uuid;

use super::collect;
use crate::app::App;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::auto_top_up::{self as rules, Situation, Step, Terms};
use crate::domain::money::{Currency, Money, Sign};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::time;
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::ledger as books;
use crate::store::{Scope, accounts, payment_methods, payments};

/// Who is written beside what it pays.
const PRINCIPAL: &str = "auto-top-up";
/// How many accounts one pass looks after.
const PASS: u64 = 50;
/// How long a wallet waits that could not be decided about.
const PUT_OFF: TimeDelta = TimeDelta::hours(1);

/// How a wallet is to be topped up by itself. Amounts are exact decimal text in the account's currency.
#[derive(Clone, Debug)]
pub struct SetAutoTopUp {
    /// Whose.
    pub account: Uuid,
    /// Whether it is done.
    pub is_on: bool,
    /// Below which available credit.
    pub below: String,
    /// How much is added at once.
    pub amount: String,
    /// The most that is added in one month.
    pub monthly_limit: String,
    /// What is charged; the default one when absent.
    pub method: Option<Uuid>,
}

/// Sets how a wallet is topped up by itself, or switches it off. Set anew, it forgets that it was declined or has stopped.
///
/// # Errors
/// Refused with ACCOUNT_NOT_FOUND, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, TOP_UP_LIMIT,
/// AUTO_TOP_UP_INVALID, PAYMENT_METHOD_NOT_FOUND.
pub async fn set(app: &App, scope: &Scope, input: SetAutoTopUp) -> Result<(), Error> {
    let account = accounts::by_ids(app.db.read(), scope, &[input.account]).await?;
    let account = account
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::new(RefusalCode::AccountNotFound, "There is no such account.").under("accountId"))?;
    let currency: Currency = account.currency.parse()?;
    let amount = |text: &str, field: &'static str, sign: Sign| {
        Money::from_decimal_text(text, currency, sign).map_err(|refusal| refusal.under(field))
    };
    let terms = Terms {
        below: amount(&input.below, "below", Sign::NotNegative)?,
        amount: amount(&input.amount, "amount", Sign::Positive)?,
        monthly_limit: amount(&input.monthly_limit, "monthlyLimit", Sign::Positive)?,
    };
    terms.check()?;
    let now = app.clock.now();
    app.db
        .write("set_auto_top_up", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            books::lock_wallet(tx, scope, account.id, WalletKind::Credit).await?;
            if input.is_on {
                let found = named(app, tx, scope, account.id, input.method, currency).await;
                found.map_err(|error| match error {
                    Error::Refused(refusal) => refusal.under("paymentMethodId").into(),
                    error => error,
                })?;
            }
            let before = payment_methods::auto_top_up(&**tx, scope, account.id).await?;
            let row = auto_top_up::Model {
                account_id: account.id,
                is_on: input.is_on,
                below_minor: terms.below.minor(),
                amount_minor: terms.amount.minor(),
                monthly_limit_minor: terms.monthly_limit.minor(),
                method_id: input.method,
                stopped_because: None,
                declined: 0,
                // One that is under way is waited for, whatever else changes.
                payment_id: before.as_ref().and_then(|row| row.payment_id),
                not_before: now,
                principal: scope.principal().to_owned(),
                changed_at: now,
                version: before.map_or(1, |row| row.version + 1),
            };
            payment_methods::set_auto_top_up(tx, scope, row).await
        })
        .await
}

/// What is charged: the one that is named, or the default one.
async fn named<'a>(
    app: &'a App,
    tx: &Tx,
    scope: &Scope,
    account: Uuid,
    method: Option<Uuid>,
    currency: Currency,
) -> Result<collect::Resolved<'a>, Error> {
    let id = match method {
        Some(id) => id,
        None => {
            let default = payment_methods::default_of(&**tx, scope, account).await?;
            default.ok_or_else(collect::no_method)?.id
        }
    };
    collect::resolve(app, &**tx, scope, account, &collect::Through::Linked(id), currency).await
}

/// Tops those wallets up that are below what their owners want, and answers how many accounts it looked after. What it writes is
/// charged by whoever next asks about payments.
///
/// Source: rule "Auto top-up" in ARCHITECTURE, section Buying.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn round(app: &App, now: DateTime<Utc>) -> Result<u64, Error> {
    let mut looked_after = 0;
    for account in payment_methods::too_low(app.db.read(), &Scope::engine(), now, PASS).await? {
        let payment = ids::new_id();
        let done = app.db.write("auto_top_up", async |tx| {
            let tx = &*tx;
            // What is charged is written with the row that names it: run again, it is found and waited for.
            tx.is_replayable();
            look_after(app, tx, account, payment, now).await
        });
        // One that can't be decided comes later, and is in nobody's way.
        match done.await {
            Ok(Some(newest)) => app.hub.wake(account, newest),
            Ok(None) => {}
            Err(error @ Error::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::error!(%account, %error, "an automatic top-up could not be decided");
                let scope = Scope::engine();
                payment_methods::put_auto_top_up_off(&app.db, &scope, account, now + PUT_OFF).await?;
            }
        }
        looked_after += 1;
    }
    Ok(looked_after)
}

async fn look_after(
    app: &App,
    tx: &Tx,
    account: Uuid,
    payment: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let scope = Scope::Operator {
        principal: PRINCIPAL.to_owned(),
    };
    let wallet = books::lock_wallet(tx, &scope, account, WalletKind::Credit).await?;
    let Some(mut row) = payment_methods::auto_top_up(&**tx, &scope, account).await? else {
        return Ok(None);
    };
    let available = wallet.cash_minor + wallet.promotional_minor - wallet.held_minor;
    if !row.is_on || row.not_before > now || available >= row.below_minor {
        return Ok(None);
    }
    let found = accounts::by_ids(&**tx, &scope, &[account]).await?;
    let account = found.into_iter().next().ok_or(Error::NotFound("account"))?;
    let (currency, zone): (Currency, _) = (account.currency.parse()?, time::zone(&account.zone)?);
    let terms = Terms {
        below: Money::of(row.below_minor, currency),
        amount: Money::of(row.amount_minor, currency),
        monthly_limit: Money::of(row.monthly_limit_minor, currency),
    };
    let last = match row.payment_id {
        Some(last) => payments::by_ids(&**tx, &scope, &[last]).await?.into_iter().next(),
        None => None,
    };
    let began = rules::month_began(zone, now);
    let situation = Situation {
        last: last.as_ref().map(|last| (last.status, last.completed_at)),
        declined: row.declined,
        added: Money::of(
            payment_methods::topped_up_by(&**tx, &scope, account.id, PRINCIPAL, began).await?,
            currency,
        ),
    };
    if last.is_some_and(|last| last.status != entity::enums::PaymentStatus::Pending) {
        // It is counted now, once.
        row.payment_id = None;
    }
    row.version += 1;
    let mut writes = Writes::of(tx);
    let mut news = Vec::new();
    match rules::step(&terms, &situation, zone, now)? {
        Step::Wait { until, declined } => (row.not_before, row.declined) = (until, declined),
        Step::Stop => news.push(stop(&mut row, "DECLINED")),
        Step::Charge { declined } => {
            row.declined = declined;
            let topping = async {
                let resolved = named(app, tx, &scope, account.id, row.method_id, currency).await?;
                let topping = collect::ToppingUp {
                    payment,
                    account: &account,
                    amount: terms.amount,
                    resolved,
                    details: "Automatic top-up",
                    return_url: None,
                    now,
                };
                collect::top_up(tx, &scope, &mut writes, topping).await
            };
            match topping.await {
                Ok(()) => {
                    row.payment_id = Some(payment);
                    row.not_before = now + TimeDelta::minutes(1);
                }
                Err(Error::Refused(refusal)) if !refusal.code.is_ours() => {
                    news.push(stop(&mut row, refusal.code.as_str()));
                }
                Err(error) => return Err(error),
            }
        }
    }
    event_log::append(&mut writes, &scope, account.id, &news, now)?;
    let newest = writes.send(tx).await?;
    // Behind the payment that it names.
    payment_methods::set_auto_top_up(tx, &scope, row).await?;
    Ok(newest)
}

fn stop(row: &mut auto_top_up::Model, because: &str) -> News {
    row.is_on = false;
    row.stopped_because = Some(because.to_owned());
    News::of(EventType::AutoTopUpStopped)
}
