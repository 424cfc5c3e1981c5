//! Giving up an order that waits for its payment: by the customer, or because its time has run out.

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{CancelReason, HoldStatus, OrderStatus};
use entity::{order, order_item, payment};
use uuid::Uuid;

use super::{check_waits, no_order};
use crate::app::App;
use crate::commands::collect;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::error::Error;
use crate::store::Scope;
use crate::store::event_log;
use crate::store::gateway_payments;
use crate::store::ledger as books;
use crate::store::purchases::{self, Purchase};

/// How many orders one pass gives up.
const PASS: u64 = 200;

/// An order to be cancelled.
#[derive(Clone, Copy, Debug)]
pub struct CancelOrder {
    /// Whose.
    pub account: Uuid,
    /// The order.
    pub order: Uuid,
}

/// Cancels an order that waits for its payment: its quote may be ordered again while it is good, its coupon is free, and what
/// was held for it may be spent. Money that comes for it after all is credit. Cancelled before, it stays cancelled.
///
/// # Errors
/// Refused with ORDER_NOT_FOUND, ORDER_PAID, ORDER_EXPIRED.
pub async fn cancel_order(app: &App, scope: &Scope, input: CancelOrder) -> Result<(), Error> {
    let now = app.clock.now();
    let newest = app
        .db
        .write("cancel_order", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let waiting = lock(tx, scope, input).await?.ok_or_else(no_order)?;
            if waiting.order.cancelled_because == Some(CancelReason::Customer) {
                return Ok(None);
            }
            check_waits(&waiting.order, now)?;
            give_up(tx, scope, waiting, CancelReason::Customer, now).await
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(input.account, newest);
    }
    Ok(())
}

/// Gives up orders whose time has run out, and answers how many. One with a payment whose fate is not known waits for it: an
/// order is never given up before its gateways have said no.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn cancel_expired(app: &App, now: DateTime<Utc>) -> Result<u64, Error> {
    let scope = Scope::engine();
    let mut cancelled = 0;
    for order in gateway_payments::expired_orders(app.db.read(), &scope, now, PASS).await? {
        let of = CancelOrder {
            account: order.account_id,
            order: order.id,
        };
        let newest = app
            .db
            .write("expire_order", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                let Some(waiting) = lock(tx, &scope, of).await? else {
                    return Ok(None);
                };
                let is_over = waiting.order.expires_at.is_some_and(|end| end <= now);
                if !is_over || waiting.order.status != OrderStatus::AwaitingPayment {
                    return Ok(None);
                }
                if waiting.open.is_empty() {
                    return give_up(tx, &scope, waiting, CancelReason::Expired, now).await;
                }
                let put_off = order::Model {
                    expires_at: Some(now + put_off(now - waiting.order.created_at)),
                    ..waiting.order
                };
                let mut writes = Writes::of(tx);
                purchases::update_waiting_order(&mut writes, &scope, put_off);
                writes.send(tx).await
            })
            .await?;
        if let Some(newest) = newest {
            cancelled += 1;
            app.hub.wake(of.account, newest);
        }
    }
    Ok(cancelled)
}

/// How long an order waits on whose payment's fate is not known: the longer, the longer it has waited, up to a day.
fn put_off(waited: TimeDelta) -> TimeDelta {
    (waited / 4).clamp(TimeDelta::minutes(5), TimeDelta::days(1))
}

/// An order as it stands while nobody else changes it.
struct Waiting {
    purchase: Purchase,
    order: order::Model,
    items: Vec<order_item::Model>,
    /// Its payments that are not final.
    open: Vec<payment::Model>,
}

async fn lock(tx: &Tx, scope: &Scope, of: CancelOrder) -> Result<Option<Waiting>, Error> {
    let found = gateway_payments::order_with_items(&**tx, scope, of.order).await?;
    let Some((order, _)) = found.filter(|(order, _)| order.account_id == of.account) else {
        return Ok(None);
    };
    let Some(purchase) = purchases::lock_purchase(tx, scope, of.account, order.quote_id).await? else {
        return Ok(None);
    };
    let Some((order, items)) = gateway_payments::order_with_items(&**tx, scope, of.order).await? else {
        return Ok(None);
    };
    let open = gateway_payments::open_of_order(&**tx, scope, order.id).await?;
    Ok(Some(Waiting {
        purchase,
        order,
        items,
        open,
    }))
}

async fn give_up(
    tx: &Tx,
    scope: &Scope,
    waiting: Waiting,
    because: CancelReason,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let open: Vec<Uuid> = waiting.open.iter().map(|payment| payment.id).collect();
    let holds = books::open_holds(tx, scope, &open).await?;
    let held: i64 = holds.iter().map(|hold| hold.amount_minor).sum();
    let mut writes = Writes::of(tx);
    books::change_wallet(&mut writes, scope, &waiting.purchase.wallet, Vec::new(), -held, now)?;
    for hold in &holds {
        books::end_hold(&mut writes, scope, hold, HoldStatus::Released, now);
    }
    let account = waiting.order.account_id;
    let news = collect::cancel(&mut writes, scope, waiting.order, &waiting.items, because, now);
    event_log::append(&mut writes, scope, account, &[news], now)?;
    writes.send(tx).await
}
