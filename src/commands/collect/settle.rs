//! The one settle: what a gateway said of a payment, however it came, decided and written under one lock.

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{
    CancelReason, CaptureUse, EventType, HoldStatus, OrderStatus, PaymentStatus, QuarantineStatus, StepStatus,
    WalletAction, WalletKind,
};
use entity::{
    account, gateway_capture, gateway_notice, gateway_payment, hold, order, order_item, payment, quarantine, wallet,
};
use serde::Deserialize as _;
use uuid::Uuid;

use super::{cancel, next_check_of_ended, next_check_or_give_up};
use crate::app::App;
use crate::commands::fulfil::purchase::{self, Placing, Source, Waited};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::gateway::{Capture, Decline, Outcome};
use crate::domain::ledger;
use crate::domain::money::{Currency, MAX_MINOR, Money};
use crate::domain::payment::{self as rules, Settlement, Standing};
use crate::domain::quote::{self as quote_rules, PricedQuote};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::gateway_payments::{self, Attempted};
use crate::store::ledger::{self as books, Entry, Movement};
use crate::store::purchases::{self, Purchase};
use crate::store::{Scope, accounts};

/// What became of what a gateway said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Settled {
    /// It was written, or there was nothing to write.
    Done(Settlement),
    /// The event had been taken before.
    Repeated,
}

/// How it came that a gateway said something of a payment.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) enum Heard<'a> {
    /// By a notification of it.
    Told(&'a gateway_notice::Model),
    /// By a line of a statement.
    Stated,
    /// As the answer to our question, or to a charge: the time of the next question is set anew.
    Asked,
    /// As the answer to being asked to begin it. That it refuses says nothing of a payment that somebody else has begun at the
    /// same moment.
    Begun,
}

/// Writes what a gateway said of a payment: a notification, an answer to our asking, the outcome of a charge. However it
/// came and however often, it is written once. Nothing else decides what becomes of a payment.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer; nothing was written.
pub(in crate::commands) async fn settle(
    app: &App,
    attempt: &gateway_payment::Model,
    outcome: &Outcome,
    heard: Heard<'_>,
) -> Result<Settled, Error> {
    let settling = Settling {
        attempt,
        outcome,
        heard,
        may_pay: true,
    };
    match once(app, settling).await {
        // What the order was made from has changed since: the money is there, and becomes credit.
        Err(Error::Refused(refusal)) if !refusal.code.is_ours() => {
            tracing::info!(payment = %attempt.payment_id, %refusal, "an order could not be paid with what came for it");
            let credited = Settling {
                may_pay: false,
                ..settling
            };
            once(app, credited).await
        }
        other => other,
    }
}

#[derive(Clone, Copy, Debug)]
struct Settling<'a> {
    attempt: &'a gateway_payment::Model,
    outcome: &'a Outcome,
    heard: Heard<'a>,
    /// Whether an order may be paid; else its money becomes credit and it is given up.
    may_pay: bool,
}

async fn once(app: &App, settling: Settling<'_>) -> Result<Settled, Error> {
    let now = app.clock.now();
    let account = settling.attempt.account_id;
    let (settled, newest) = app
        .db
        .write("settle_payment", async |tx| {
            let tx = &*tx;
            // A capture is written once: run again after a commit whose answer was lost, it is found.
            tx.is_replayable();
            within(tx, settling, now).await
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(account, newest);
    }
    if let Settled::Done(Settlement::Quarantined) = settled {
        tracing::error!(payment = %settling.attempt.payment_id, "what a gateway took is not what was asked for, or more than the wallet can hold: it is in quarantine");
    }
    Ok(settled)
}

/// What a payment stands in, locked: the wallet first, as ever.
struct Locked {
    account: account::Model,
    wallet: wallet::Model,
    purchase: Option<Purchase>,
    order: Option<(order::Model, Vec<order_item::Model>)>,
    payment: payment::Model,
    attempt: gateway_payment::Model,
    hold: Option<hold::Model>,
}

async fn lock(tx: &Tx, scope: &Scope, attempt: &gateway_payment::Model) -> Result<Locked, Error> {
    let payment = crate::store::payments::by_ids(&**tx, scope, &[attempt.payment_id]).await?;
    let order_id = payment.into_iter().next().and_then(|payment| payment.order_id);
    let mut order = match order_id {
        Some(id) => gateway_payments::order_with_items(&**tx, scope, id).await?,
        None => None,
    };
    let mut purchase = None;
    if let Some((waiting, _)) = &order {
        purchase = purchases::lock_purchase(tx, scope, attempt.account_id, waiting.quote_id).await?;
        // As it is now that nobody else changes it.
        order = gateway_payments::order_with_items(&**tx, scope, waiting.id).await?;
    }
    let (account, wallet) = match &purchase {
        Some(purchase) => (purchase.account.clone(), purchase.wallet.clone()),
        None => {
            let wallet = books::lock_wallet(tx, scope, attempt.account_id, WalletKind::Credit).await?;
            let account = accounts::by_ids(&**tx, scope, &[attempt.account_id]).await?;
            (account.into_iter().next().ok_or(Error::NotFound("account"))?, wallet)
        }
    };
    let Attempted { payment, attempt } = gateway_payments::lock(tx, scope, attempt.payment_id).await?;
    let hold = books::open_holds(tx, scope, &[payment.id]).await?.into_iter().next();
    Ok(Locked {
        account,
        wallet,
        purchase,
        order,
        payment,
        attempt,
        hold,
    })
}

async fn within(tx: &Tx, settling: Settling<'_>, now: DateTime<Utc>) -> Result<(Settled, Option<i64>), Error> {
    let scope = Scope::engine();
    if let Heard::Told(event) = settling.heard
        && !gateway_payments::take_event(tx, &scope, event.clone()).await?
    {
        return Ok((Settled::Repeated, None));
    }
    let locked = lock(tx, &scope, settling.attempt).await?;
    let currency: Currency = locked.account.currency.parse()?;
    if let Outcome::Paid(capture) = settling.outcome
        && gateway_payments::capture(&**tx, &scope, &locked.attempt.gateway, &capture.transaction)
            .await?
            .is_some()
    {
        return Ok((Settled::Done(Settlement::Nothing), None));
    }
    let credit = locked.payment.amount_minor - locked.payment.gateway_minor;
    let order_status = locked.order.as_ref().map(|(order, _)| order.status);
    let standing = Standing {
        purpose: locked.payment.purpose,
        status: locked.payment.status,
        expected: Money::of(locked.attempt.amount_minor, currency),
        tried_at: locked.attempt.tried_at.unwrap_or(locked.attempt.created_at),
        is_handed_out: locked.attempt.begun_at.is_some(),
        expires_at: locked.attempt.expires_at,
        order: order_status,
        is_covered: credit == 0 || locked.hold.is_some(),
    };
    if matches!(settling.heard, Heard::Begun) && standing.is_handed_out {
        return Ok((Settled::Done(Settlement::Nothing), None));
    }
    let mut settlement = rules::settle(&standing, settling.outcome, now);
    if settlement == Settlement::Paid && !settling.may_pay {
        settlement = Settlement::Credited;
    }
    if let Outcome::Paid(capture) = settling.outcome
        && (settlement == Settlement::Credited || (settlement == Settlement::Paid && locked.order.is_none()))
        && locked.wallet.cash_minor + locked.wallet.promotional_minor + capture.amount.minor() > MAX_MINOR
    {
        settlement = Settlement::Quarantined;
    }
    let newest = match (&settlement, settling.outcome) {
        (Settlement::Paid, Outcome::Paid(capture)) if locked.order.is_some() => {
            pay_order(tx, &scope, locked, capture, now).await?
        }
        (Settlement::Paid | Settlement::Credited, Outcome::Paid(capture)) => {
            credit_wallet(tx, &scope, locked, capture, &settlement, !settling.may_pay, now).await?
        }
        (Settlement::Quarantined, Outcome::Paid(capture)) => {
            put_in_quarantine(tx, &scope, locked, capture, now).await?
        }
        (Settlement::Failed { decline, detail }, _) => {
            let failed = Ended {
                status: PaymentStatus::Failed,
                decline: *decline,
                detail,
                is_sure: matches!(settling.heard, Heard::Begun),
            };
            give_up(tx, &scope, locked, failed, now).await?
        }
        (Settlement::Expired, _) => {
            let expired = Ended {
                status: PaymentStatus::Expired,
                decline: Decline::Expired,
                detail: "the time to pay has run out",
                is_sure: matches!(settling.heard, Heard::Begun),
            };
            give_up(tx, &scope, locked, expired, now).await?
        }
        _ => {
            note_asked(tx, &scope, locked, settling, now).await?;
            None
        }
    };
    Ok((Settled::Done(settlement), newest))
}

/// What the other open payments of an order hold for it.
async fn of_others(tx: &Tx, scope: &Scope, order: Uuid, payment: Uuid) -> Result<Vec<hold::Model>, Error> {
    let others = gateway_payments::open_of_order(&**tx, scope, order).await?;
    let others: Vec<Uuid> = others
        .iter()
        .map(|other| other.id)
        .filter(|id| *id != payment)
        .collect();
    books::open_holds(tx, scope, &others).await
}

/// Pays the order that waited for it.
async fn pay_order(
    tx: &Tx,
    scope: &Scope,
    locked: Locked,
    capture: &Capture,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let (Some(purchase), Some((order, items))) = (locked.purchase, locked.order) else {
        return Err(Error::internal("a payment's order has no quote"));
    };
    let priced = PricedQuote::deserialize(&purchase.quote.document)?;
    quote_rules::check_ends_ahead(&priced, now)?;
    let placing = Placing {
        order_id: order.id,
        return_url: None,
        waited: StepStatus::Superseded,
        now,
    };
    let waited = Waited {
        // The order is paid.
        let_go: of_others(tx, scope, order.id, locked.payment.id).await?,
        order,
        items,
    };
    let source = Source::Gateway {
        payment: Box::new(locked.payment),
        taken: capture.amount,
        hold: locked.hold,
    };
    let paid = purchase::pay(tx, scope, placing, &purchase, &priced, Some(waited), source).await?;
    let transaction = paid
        .transaction
        .ok_or_else(|| Error::internal("an order that was paid through a gateway has no payment"))?;
    let mut writes = Writes::of(tx);
    let (news, _) = paid.write(&mut writes, scope, &purchase, now)?;
    captured(
        &mut writes,
        scope,
        locked.attempt,
        capture,
        CaptureUse::Paid,
        transaction,
        now,
    );
    event_log::append(&mut writes, scope, purchase.account.id, &news, now)?;
    writes.send(tx).await
}

/// Adds a capture, and that its payment needs no more asking.
fn captured(
    writes: &mut Writes,
    scope: &Scope,
    mut attempt: gateway_payment::Model,
    capture: &Capture,
    used_for: CaptureUse,
    transaction: Uuid,
    now: DateTime<Utc>,
) -> Uuid {
    let id = ids::new_id();
    let row = gateway_capture::Model {
        id,
        gateway: attempt.gateway.clone(),
        transaction_ref: capture.transaction.clone(),
        account_id: attempt.account_id,
        payment_id: attempt.payment_id,
        amount_minor: capture.amount.minor(),
        refunded_minor: 0,
        currency: capture.amount.currency().code().to_owned(),
        used_for,
        transaction_id: transaction,
        created_at: now,
    };
    gateway_payments::add_capture(writes, scope, row);
    attempt.is_reviewed = false;
    attempt.next_check_at = None;
    if used_for != CaptureUse::Quarantine {
        (attempt.decline, attempt.detail) = (None, None);
    }
    gateway_payments::update(writes, scope, attempt);
    id
}

/// Gives the money to the customer's wallet: a top-up, or what its order can't be paid with any more.
async fn credit_wallet(
    tx: &Tx,
    scope: &Scope,
    locked: Locked,
    capture: &Capture,
    settlement: &Settlement,
    gives_up_order: bool,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let Locked {
        account,
        wallet,
        payment,
        attempt,
        hold,
        ..
    } = locked;
    let is_top_up = *settlement == Settlement::Paid;
    let details = if is_top_up {
        format!("Top-up {}", payment.code)
    } else {
        format!("{}: paid when its order was not to be paid any more", payment.code)
    };
    let mut entry = Entry::new(ledger::top_up(capture.amount)?);
    entry.payment = Some(payment.id);
    entry.order = payment.order_id;
    let movement = Movement {
        id: ids::new_id(),
        transaction: entry.id,
        action: WalletAction::TopUp,
        details,
        cash_minor: capture.amount.minor(),
        promotional_minor: 0,
        order: payment.order_id,
    };
    let transaction = entry.id;
    // With its order goes what its other payments hold for it.
    let given_up = locked
        .order
        .filter(|(order, _)| gives_up_order && order.status == OrderStatus::AwaitingPayment);
    let mut holds: Vec<hold::Model> = hold.into_iter().collect();
    if let Some((order, _)) = &given_up {
        holds.extend(of_others(tx, scope, order.id, payment.id).await?);
    }
    let held: i64 = holds.iter().map(|hold| hold.amount_minor).sum();
    let mut writes = Writes::of(tx);
    let mut news = Vec::new();
    if payment.status != PaymentStatus::Succeeded {
        // What the wallet was to give stays there.
        let credited = payment::Model {
            status: PaymentStatus::Succeeded,
            became_credit: !is_top_up,
            amount_minor: payment.gateway_minor,
            cash_minor: 0,
            promotional_minor: 0,
            completed_at: Some(now),
            ..payment.clone()
        };
        crate::store::payments::update(&mut writes, scope, credited);
        news.push(
            News::of(EventType::PaymentSucceeded)
                .payment(payment.id)
                .wallet(wallet.id),
        );
    }
    news.push(
        News::of(EventType::WalletCredited)
            .payment(payment.id)
            .wallet(wallet.id),
    );
    books::post(&mut writes, scope, account.id, vec![entry], now);
    books::change_wallet(&mut writes, scope, &wallet, vec![movement], -held, now)?;
    for hold in &holds {
        books::end_hold(&mut writes, scope, hold, HoldStatus::Released, now);
    }
    captured(
        &mut writes,
        scope,
        attempt,
        capture,
        CaptureUse::Credit,
        transaction,
        now,
    );
    if let Some((order, items)) = given_up {
        news.push(cancel(&mut writes, scope, order, &items, CancelReason::Stale, now));
    }
    event_log::append(&mut writes, scope, account.id, &news, now)?;
    writes.send(tx).await
}

/// Keeps money that is not what was to be paid for an operator to decide.
async fn put_in_quarantine(
    tx: &Tx,
    scope: &Scope,
    locked: Locked,
    capture: &Capture,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let Locked {
        account,
        wallet,
        payment,
        mut attempt,
        hold,
        ..
    } = locked;
    let expected = Money::of(attempt.amount_minor, account.currency.parse()?);
    let reason = if capture.amount == expected {
        "the wallet can't hold as much".to_owned()
    } else {
        format!("{} was taken where {expected} was to be paid", capture.amount)
    };
    // The books of an account are kept in one currency: of another one only the number is booked, and the row tells which.
    let booked = Money::of(capture.amount.minor(), expected.currency());
    let mut entry = Entry::new(ledger::quarantine(booked)?);
    entry.payment = Some(payment.id);
    let transaction = entry.id;
    let mut writes = Writes::of(tx);
    if payment.status == PaymentStatus::Pending {
        crate::store::payments::update(
            &mut writes,
            scope,
            payment::Model {
                status: PaymentStatus::Failed,
                completed_at: Some(now),
                ..payment.clone()
            },
        );
        attempt.decline = Some(Decline::Rejected.as_str().to_owned());
        attempt.detail = Some(reason.clone());
    }
    books::post(&mut writes, scope, account.id, vec![entry], now);
    if let Some(hold) = &hold {
        books::change_wallet(&mut writes, scope, &wallet, Vec::new(), -hold.amount_minor, now)?;
        books::end_hold(&mut writes, scope, hold, HoldStatus::Released, now);
    }
    let payment_id = attempt.payment_id;
    let capture_id = captured(
        &mut writes,
        scope,
        attempt,
        capture,
        CaptureUse::Quarantine,
        transaction,
        now,
    );
    let row = quarantine::Model {
        id: ids::new_id(),
        account_id: Some(account.id),
        payment_id: Some(payment_id),
        capture_id: Some(capture_id),
        statement_ref: None,
        amount_minor: capture.amount.minor(),
        currency: capture.amount.currency().code().to_owned(),
        reason,
        status: QuarantineStatus::Open,
        created_at: now,
        resolved_at: None,
        resolved_by: None,
        resolution: None,
        version: 1,
    };
    gateway_payments::add_quarantine(&mut writes, scope, row);
    // Not told as a failure: money was taken.
    let told = News::of(EventType::PaymentHeld).payment(payment_id);
    event_log::append(&mut writes, scope, account.id, &[told], now)?;
    writes.send(tx).await
}

/// How a payment ended without money.
#[derive(Clone, Copy, Debug)]
struct Ended<'a> {
    status: PaymentStatus,
    decline: Decline,
    detail: &'a str,
    /// Whether nothing can have been paid: the gateway refused to begin it.
    is_sure: bool,
}

/// Ends a payment whose money did not move, and lets go of what was held for it. Its order waits on: it may be paid another
/// way.
async fn give_up(
    tx: &Tx,
    scope: &Scope,
    locked: Locked,
    ended: Ended<'_>,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let Locked {
        wallet,
        payment,
        mut attempt,
        hold,
        ..
    } = locked;
    attempt.is_reviewed = false;
    attempt.decline = Some(ended.decline.as_str().to_owned());
    attempt.detail = Some(ended.detail.chars().take(500).collect());
    attempt.checks += 1;
    // Notifications come in any order or get lost, payers pay in the last moment, and a gateway may not know yet what it has
    // taken: it is asked once more.
    let may_have_more = !ended.is_sure && attempt.tried_at.is_some();
    attempt.next_check_at = may_have_more.then(|| now + TimeDelta::hours(1));
    let mut writes = Writes::of(tx);
    let news = News::of(EventType::PaymentFailed).payment(payment.id);
    let news = payment.order_id.map_or(news, |order| news.order(order));
    let account = payment.account_id;
    crate::store::payments::update(
        &mut writes,
        scope,
        payment::Model {
            status: ended.status,
            completed_at: Some(now),
            ..payment
        },
    );
    gateway_payments::update(&mut writes, scope, attempt);
    if let Some(hold) = &hold {
        books::change_wallet(&mut writes, scope, &wallet, Vec::new(), -hold.amount_minor, now)?;
        books::end_hold(&mut writes, scope, hold, HoldStatus::Released, now);
    }
    event_log::append(&mut writes, scope, account, &[news], now)?;
    writes.send(tx).await
}

/// Notes what a gateway said that is not final, and when it is asked again: a payment that has ended is asked about for a day
/// while it can still be paid there, and for as long as any while its money is looked into.
async fn note_asked(
    tx: &Tx,
    scope: &Scope,
    locked: Locked,
    settling: Settling<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Locked {
        payment, mut attempt, ..
    } = locked;
    let asked = matches!(settling.heard, Heard::Asked);
    attempt.checks += i32::from(asked);
    if payment.status == PaymentStatus::Pending {
        attempt.is_reviewed |= *settling.outcome == Outcome::Review;
        if asked {
            attempt.next_check_at = next_check_or_give_up(&attempt, now);
        }
    } else if payment.status != PaymentStatus::Succeeded {
        match settling.outcome {
            Outcome::Review => {
                attempt.is_reviewed = true;
                attempt.next_check_at = next_check_or_give_up(&attempt, now);
            }
            Outcome::Unknown if attempt.is_reviewed && asked => {
                attempt.next_check_at = next_check_or_give_up(&attempt, now);
            }
            Outcome::Pending if asked => attempt.next_check_at = next_check_of_ended(&payment, &attempt, now),
            _ if asked => (attempt.is_reviewed, attempt.next_check_at) = (false, None),
            _ => {}
        }
    } else if asked {
        attempt.next_check_at = None;
    }
    let mut writes = Writes::of(tx);
    gateway_payments::update(&mut writes, scope, attempt);
    writes.send(tx).await?;
    Ok(())
}
