//! What collecting money through a gateway does, whoever begins it and whoever brings the news: an attempt is written before
//! the gateway hears of it, and what the gateway says of it ends in one [`settle`].

mod asking;
mod link;
mod refund;
mod settle;
mod through;
mod top_up;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{
    CancelReason, CodeKind, EventType, HoldPurpose, HoldStatus, OrderStatus, PaymentMethod, PaymentPurpose,
    PaymentStatus,
};
use entity::{account, gateway_payment, hold, order, order_item, payment, wallet};
use uuid::Uuid;

use crate::app::App;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::money::{Currency, Money};
use crate::domain::payment as rules;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::time;
use crate::error::Error;
use crate::gateways::{Attempt, Gateway, bank};
use crate::ids;
use crate::store::event_log::News;
use crate::store::gateway_payments::{self, Attempted};
use crate::store::purchases;
use crate::store::{Scope, codes};

pub(super) use asking::{LEASE, PASS, all_at_once};
pub(super) use link::{end as end_method, ended_there, link_of, no_method, saved_of, settle_link};
pub(super) use refund::{Says, settle_refund};
pub(super) use settle::{Heard, Settled, settle};
pub use through::Through;
pub(super) use through::{Resolved, resolve};
pub(super) use top_up::{ToppingUp, top_up};

/// The gateway of a code, for a currency.
///
/// # Errors
/// Refused with UNKNOWN_GATEWAY.
pub(super) fn gateway_of<'a>(app: &'a App, code: &str, currency: Currency) -> Result<&'a dyn Gateway, Refusal> {
    app.gateways
        .get(code)
        .filter(|gateway| gateway.limits(currency).is_some())
        .map(AsRef::as_ref)
        .ok_or_else(|| {
            let known: Vec<&str> = app
                .gateways
                .all()
                .filter(|gateway| gateway.limits(currency).is_some())
                .map(|gateway| gateway.code())
                .collect();
            Refusal::new(
                RefusalCode::UnknownGateway,
                format!(
                    "There is no such gateway for {currency}. There are: {}.",
                    known.join(", ")
                ),
            )
        })
}

/// A payment that is to be collected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collecting<'a> {
    pub(super) id: Uuid,
    pub(super) code: &'a str,
    pub(super) account: &'a account::Model,
    pub(super) order: Option<Uuid>,
    pub(super) method: PaymentMethod,
    pub(super) gateway: &'a dyn Gateway,
    /// The linked account or card that is charged.
    pub(super) saved: Option<Uuid>,
    /// What the gateway is to take.
    pub(super) amount: Money,
    /// What is held in the wallet for the rest.
    pub(super) credit: Money,
    pub(super) details: &'a str,
    pub(super) return_url: Option<&'a str>,
    pub(super) now: DateTime<Utc>,
}

/// The rows of a payment that is to be collected: nothing of it has happened yet.
///
/// # Errors
/// Refused with GATEWAY_LIMIT, UNKNOWN_GATEWAY.
pub(super) fn open(
    scope: &Scope,
    collecting: Collecting<'_>,
    wallet: &wallet::Model,
) -> Result<(Attempted, Option<hold::Model>), Error> {
    let Collecting {
        account,
        gateway,
        amount,
        credit,
        now,
        ..
    } = collecting;
    let limits = gateway
        .limits(amount.currency())
        .ok_or_else(|| Refusal::new(RefusalCode::UnknownGateway, "This gateway does not take the currency."))?;
    rules::check_gateway_limits(amount, limits.least, limits.most, gateway.name())?;
    let payment = payment::Model {
        id: collecting.id,
        account_id: account.id,
        code: collecting.code.to_owned(),
        order_id: collecting.order,
        invoice_id: None,
        purpose: if collecting.order.is_some() {
            PaymentPurpose::Order
        } else {
            PaymentPurpose::TopUp
        },
        method: match collecting.method {
            PaymentMethod::Gateway if gateway.code() == bank::CODE => PaymentMethod::BankTransfer,
            method => method,
        },
        status: PaymentStatus::Pending,
        currency: account.currency.clone(),
        amount_minor: amount.plus(credit)?.minor(),
        // Which part of the wallet is spent is known when it is.
        cash_minor: credit.minor(),
        promotional_minor: 0,
        gateway_minor: amount.minor(),
        gateway: Some(gateway.code().to_owned()),
        became_credit: false,
        details: collecting.details.to_owned(),
        principal: scope.principal().to_owned(),
        created_at: now,
        completed_at: None,
        version: 1,
    };
    let expires_at = now + TimeDelta::minutes(gateway.payer_minutes());
    let mut attempt = gateway_payment::Model {
        payment_id: collecting.id,
        account_id: account.id,
        gateway: gateway.code().to_owned(),
        reference: gateway.reference_of(collecting.code, collecting.id, now),
        amount_minor: amount.minor(),
        currency: account.currency.clone(),
        created_at: now,
        expires_at,
        tried_at: None,
        begun_at: None,
        gateway_id: None,
        checkout: None,
        method_id: collecting.saved,
        return_url: collecting.return_url.map(str::to_owned),
        is_reviewed: false,
        decline: None,
        detail: None,
        next_check_at: None,
        checks: 0,
        version: 1,
    };
    attempt.next_check_at = next_check(&attempt, now);
    let hold = credit.is_positive().then(|| hold::Model {
        id: ids::new_id(),
        account_id: account.id,
        wallet_id: wallet.id,
        purpose: HoldPurpose::Payment,
        status: HoldStatus::Open,
        amount_minor: credit.minor(),
        resource_id: None,
        payment_id: Some(collecting.id),
        created_at: now,
        expires_at: Some(expires_at),
        ended_at: None,
    });
    Ok((Attempted { payment, attempt }, hold))
}

/// When a payment is asked about next. A bank tells by its statement alone: a transfer is looked at when its time is over.
fn next_check(attempt: &gateway_payment::Model, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let last_call = attempt.expires_at + TimeDelta::minutes(rules::SLACK_MINUTES);
    if attempt.method_id.is_some() && attempt.tried_at.is_none() {
        // Nobody has to come to pay: who comes by charges, should the one who wrote it have died.
        return Some(now);
    }
    if attempt.gateway == bank::CODE && now < last_call {
        return Some(last_call);
    }
    rules::next_check(attempt.created_at, attempt.expires_at, attempt.checks, now)
}

/// The same. When it is not asked any more, operators are told.
fn next_check_or_give_up(attempt: &gateway_payment::Model, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let next = next_check(attempt, now);
    if next.is_none() {
        tracing::error!(payment = %attempt.payment_id, gateway = attempt.gateway, "a gateway never said what became of a payment: it stays as it is until an operator has looked");
        metrics::counter!("gateway_given_up_total", "gateway" => attempt.gateway.clone()).increment(1);
    }
    next
}

/// When a payment that has ended without money is asked about next, while its gateway says nothing final.
fn next_check_of_ended(
    payment: &payment::Model,
    attempt: &gateway_payment::Model,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if payment.status == PaymentStatus::Succeeded {
        return None;
    }
    let ended = payment.completed_at.unwrap_or(attempt.expires_at);
    rules::next_check_of_ended(ended.max(attempt.expires_at), now)
}

/// Notes that a gateway did not answer: a payment stays as it is, and is asked about again. After as long as it is asked, an
/// operator has to look.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub(super) async fn not_answered(app: &App, attempt: &gateway_payment::Model) -> Result<(), Error> {
    let now = app.clock.now();
    app.db
        .write("note_unanswered", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let scope = Scope::engine();
            let Attempted { payment, mut attempt } = gateway_payments::lock(tx, &scope, attempt.payment_id).await?;
            attempt.checks += 1;
            let is_open = payment.status == PaymentStatus::Pending || attempt.is_reviewed;
            attempt.next_check_at = if is_open {
                next_check_or_give_up(&attempt, now)
            } else {
                next_check_of_ended(&payment, &attempt, now)
            };
            let mut writes = Writes::of(tx);
            gateway_payments::update(&mut writes, &scope, attempt);
            writes.send(tx).await?;
            Ok(())
        })
        .await
}

/// Gives an order up that waits for its payment: its quote and its coupon are free again. What is held for its payments is
/// the caller's to let go. Answers what is to be told.
pub(super) fn cancel(
    writes: &mut Writes,
    scope: &Scope,
    order: order::Model,
    items: &[order_item::Model],
    because: CancelReason,
    now: DateTime<Utc>,
) -> News {
    let (id, coupon, quote) = (order.id, order.coupon_id, order.quote_id);
    gateway_payments::cancel_items(writes, scope, items, now);
    if let Some(coupon) = coupon {
        purchases::return_redemption(writes, scope, coupon, id, now);
    }
    purchases::reopen_quote(writes, scope, quote, id);
    purchases::update_waiting_order(
        writes,
        scope,
        order::Model {
            status: OrderStatus::Cancelled,
            cancelled_because: Some(because),
            completed_at: Some(now),
            ..order
        },
    );
    News::of(EventType::OrderCancelled).order(id)
}

/// The number of a new payment.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub(super) async fn payment_code(
    tx: &Tx,
    scope: &Scope,
    account: &account::Model,
    now: DateTime<Utc>,
) -> Result<String, Error> {
    let zone = time::zone(&account.zone)?;
    codes::take(tx, scope, account, zone, now, &[(CodeKind::Payment, 1)])
        .await?
        .next(CodeKind::Payment)
}

/// A payment as its gateway needs to know it.
///
/// # Errors
/// [`Error::Internal`] for a currency that is none.
pub(super) fn attempt_of(app: &App, row: &gateway_payment::Model, account: &account::Model) -> Result<Attempt, Error> {
    let currency: Currency = row.currency.parse()?;
    let base = app.public_url();
    Ok(Attempt {
        reference: row.reference.clone(),
        amount: Money::of(row.amount_minor, currency),
        created_at: row.created_at,
        expires_at: row.expires_at,
        description: format!("Payment {}", row.reference.replace('_', "-")),
        payer: account.id.simple().to_string(),
        payer_address: None,
        language: account.language,
        return_url: format!("{base}/payments/return/{}", row.payment_id.simple()),
        notify_url: format!("{base}/webhooks/{}", row.gateway.to_ascii_lowercase()),
        gateway_id: row.gateway_id.clone(),
        transaction: None,
    })
}
