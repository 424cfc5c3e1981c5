//! Paying an order that waits: another way, or once more, when a payment of it failed or was left.

use chrono::TimeDelta;
use entity::enums::{HoldStatus, StepStatus};
use serde::{Deserialize as _, Serialize};
use uuid::Uuid;

use super::on_behalf::{self, Asking};
use super::{PayBy, Way, begin_collecting, check_return_url, check_waits, no_order, order_waits, way};
use crate::app::App;
use crate::commands::collect::{self, Collecting};
use crate::commands::fulfil::purchase::{self, Placing, Source, Waited};
use crate::db::writes::Writes;
use crate::domain::payment as payment_rules;
use crate::domain::quote::{self as quote_rules, PricedQuote};
use crate::error::Error;
use crate::ids;
use crate::store::Scope;
use crate::store::event_log;
use crate::store::gateway_payments;
use crate::store::idempotency::{self, Claim, Key};
use crate::store::ledger as books;
use crate::store::purchases;

/// An order to be paid.
#[derive(Clone, Debug, Serialize)]
pub struct PayOrder {
    /// Whose.
    pub account: Uuid,
    /// The order.
    pub order: Uuid,
    /// How it is paid.
    pub payment: PayBy,
    /// Where the customer is sent back to.
    pub return_url: Option<String>,
    /// The caller's key.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What paying an order did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The payment; the link, where somebody else is asked to pay.
    pub payment: Uuid,
    /// Whether this is the outcome of an earlier call with the same key.
    pub replayed: bool,
    /// Whether its gateway is to begin it next.
    pub collecting: bool,
}

/// Pays an order that waits. What an earlier payment of it holds in the wallet is let go: should money of that one come after
/// all, it is the customer's credit, or pays the order if that waits still and nothing was held for it.
///
/// # Errors
/// Refused with ORDER_NOT_FOUND, ORDER_PAID, ORDER_CANCELLED, ORDER_EXPIRED, QUOTE_STALE, STATE_CONFLICT,
/// INSUFFICIENT_CREDIT, RETURN_URL_NOT_ALLOWED, UNKNOWN_GATEWAY, GATEWAY_LIMIT, IDEMPOTENCY_KEY_INVALID,
/// IDEMPOTENCY_KEY_REUSED.
pub async fn pay_order(app: &App, scope: &Scope, input: PayOrder) -> Result<Begun, Error> {
    check_return_url(app, input.return_url.as_deref())?;
    let now = app.clock.now();
    let payment_id = ids::new_id();
    let (begun, newest) = app
        .db
        .write("pay_order", async |tx| {
            let tx = &*tx;
            let key = Key {
                account: input.account,
                operation: "pay_order",
                key: &input.idempotency_key,
            };
            if let Claim::Done(payment) = idempotency::claim(tx, scope, key, &input, payment_id, now).await? {
                let earlier = Begun {
                    payment,
                    replayed: true,
                    collecting: false,
                };
                return Ok((earlier, None));
            }
            let found = gateway_payments::order_with_items(&**tx, scope, input.order).await?;
            let (order, _) = found
                .filter(|(order, _)| order.account_id == input.account)
                .ok_or_else(no_order)?;
            let purchase = purchases::lock_purchase(tx, scope, input.account, order.quote_id).await?;
            let mut purchase = purchase.ok_or_else(no_order)?;
            // As it is now that nobody else changes it.
            let found = gateway_payments::order_with_items(&**tx, scope, input.order).await?;
            let (order, items) = found.ok_or_else(no_order)?;
            check_waits(&order, now)?;
            let priced = PricedQuote::deserialize(&purchase.quote.document)?;
            quote_rules::check_ends_ahead(&priced, now).map_err(|refusal| refusal.under("orderId"))?;
            let open = gateway_payments::open_of_order(&**tx, scope, order.id).await?;
            let open: Vec<Uuid> = open.iter().map(|payment| payment.id).collect();
            let let_go = books::open_holds(tx, scope, &open).await?;
            let held: i64 = let_go.iter().map(|hold| hold.amount_minor).sum();

            // What is let go may be spent again.
            purchase.wallet.held_minor -= held;
            let way = way(app, tx, scope, &input.payment, priced.due()?, &purchase).await?;
            purchase.wallet.held_minor += held;
            let mut writes = Writes::of(tx);
            let collecting = matches!(way, Way::Collect(_));
            let begun = Begun {
                payment: payment_id,
                replayed: false,
                collecting,
            };
            let mut waits = order.clone();
            match way {
                Way::Credit => {
                    let placing = Placing {
                        order_id: order.id,
                        return_url: None,
                        waited: StepStatus::Superseded,
                        now,
                    };
                    let waited = Waited { order, items, let_go };
                    let source = Source::Credit { payment: payment_id };
                    let paid = purchase::pay(tx, scope, placing, &purchase, &priced, Some(waited), source).await?;
                    let (news, _) = paid.write(&mut writes, scope, &purchase, now)?;
                    event_log::append(&mut writes, scope, input.account, &news, now)?;
                    return Ok((begun, writes.send(tx).await?));
                }
                Way::Ask { gateway, payer_email } => {
                    let asking = Asking {
                        id: payment_id,
                        gateway,
                        payer_email: &payer_email,
                    };
                    let link = on_behalf::ask(tx, scope, &mut waits, asking, now).await;
                    let link = link.map_err(|error| match error {
                        Error::Refused(refusal) => refusal.under("orderId").into(),
                        error => error,
                    })?;
                    on_behalf::add(&mut writes, scope, link, now);
                    books::change_wallet(&mut writes, scope, &purchase.wallet, Vec::new(), -held, now)?;
                }
                Way::Collect(split) => {
                    let code = collect::payment_code(tx, scope, &purchase.account, now).await?;
                    let details = format!("Order {}", order.code);
                    let collecting = Collecting {
                        id: payment_id,
                        code: &code,
                        account: &purchase.account,
                        order: Some(order.id),
                        method: split.method,
                        gateway: split.gateway,
                        saved: split.saved,
                        amount: split.shared.gateway,
                        credit: split.shared.credit,
                        details: &details,
                        return_url: input.return_url.as_deref().or(order.return_url.as_deref()),
                        now,
                    };
                    begin_collecting(&mut writes, scope, collecting, &purchase, held)?;
                    let longest = order.created_at + TimeDelta::hours(payment_rules::ORDER_MOST_HOURS);
                    let end = (now + order_waits(split.gateway)).min(longest);
                    waits.expires_at = Some(order.expires_at.map_or(end, |before| before.max(end)));
                }
            }
            for hold in &let_go {
                books::end_hold(&mut writes, scope, hold, HoldStatus::Released, now);
            }
            purchases::update_waiting_order(&mut writes, scope, waits);
            writes.send(tx).await?;
            Ok((begun, None))
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(input.account, newest);
    }
    Ok(begun)
}
