//! Placing an order: a quote becomes items, a payment, resources; products that are instant are provisioned at once. What is
//! paid through a gateway waits for its money first.

mod cancel;
mod on_behalf;
mod paying;
mod renewal;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{CancelReason, CodeKind, OrderStatus, PaymentMethod, StepStatus};
use entity::order;
use serde::{Deserialize as _, Serialize};
use uuid::Uuid;

use self::on_behalf::Asking;
use super::collect::{self, Collecting, Resolved};
use super::fulfil::purchase::{self, Placing, Source, stale};
use crate::app::App;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::money::Money;
use crate::domain::payment as payment_rules;
use crate::domain::quote::{self as quote_rules, PricedQuote};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{order as rules, return_url, time};
use crate::error::Error;
use crate::gateways::Gateway;
use crate::ids;
use crate::store::event_log;
use crate::store::gateway_payments;
use crate::store::idempotency::{self, Claim, Key};
use crate::store::ledger as books;
use crate::store::purchases::{self, Purchase, Rows};
use crate::store::remembered::Purse;
use crate::store::{Scope, codes};

pub use super::collect::Through;
pub use cancel::{CancelOrder, cancel_expired, cancel_order};
pub use on_behalf::{Seen, look, open_by_link, page_of, url_of};
pub use paying::{PayOrder, pay_order};
pub use renewal::{Attempt, Attempted, Prospect, Renewal, renew_automatically, renewals};

/// A way to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum PayBy {
    /// All of it from the credit wallet.
    Credit,
    /// All of it through a gateway or a linked account.
    Through(Through),
    /// All available credit, and the rest through a gateway or a linked account: together or not at all.
    TopUpAndPay(Through),
    /// All of it by somebody else, through a gateway, who is sent a link.
    OnBehalf {
        /// The gateway, by its code.
        gateway: String,
        /// Who is asked.
        payer_email: String,
    },
}

/// A quote to be ordered.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceOrder {
    /// Whose order.
    pub account: Uuid,
    /// The quote.
    pub quote: Uuid,
    /// How it is paid; nothing when nothing is due.
    pub payment: Option<PayBy>,
    /// Where the customer is sent back to.
    pub return_url: Option<String>,
    /// The caller's key.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What placing an order did.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The order.
    pub order: Uuid,
    /// The order as this call wrote it; nothing when this is the outcome of an earlier call with the same key.
    pub written: Option<order::Model>,
    /// The payment that waits for its gateway, if this call wrote one.
    pub collecting: Option<Uuid>,
}

/// Orders a quote and pays it. From credit: money, order, resources and what they are told by are written together or not
/// at all, and what gives something back does so first: it may pay for the rest. Through a gateway: the order is written
/// and waits, with its quote and its coupon, for the payment that is to be begun at the gateway next.
///
/// # Errors
/// Refused with QUOTE_NOT_FOUND, QUOTE_EXPIRED, QUOTE_ALREADY_ORDERED, QUOTE_STALE, PAYMENT_REQUIRED,
/// PAYMENT_NOT_NEEDED, INSUFFICIENT_CREDIT, STATE_CONFLICT, RETURN_URL_NOT_ALLOWED, UNKNOWN_GATEWAY, GATEWAY_LIMIT,
/// IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
pub async fn place_order(app: &App, scope: &Scope, input: PlaceOrder) -> Result<Placed, Error> {
    check_return_url(app, input.return_url.as_deref())?;
    let now = app.clock.now();
    let order_id = ids::new_id();

    let placing = async |tx: Arc<Tx>| {
        let tx = &*tx;
        if tx.at_once().is_none() {
            // What it leaves behind is read again.
            app.remembered.ordered(input.account, input.quote, None);
        }
        let key = Key {
            account: input.account,
            operation: "place_order",
            key: &input.idempotency_key,
        };
        if let Claim::Done(order) = idempotency::claim(tx, scope, key, &input, order_id, now).await? {
            let earlier = Placed {
                order,
                written: None,
                collecting: None,
            };
            return Ok((earlier, None));
        }
        let (purchase, priced) = purchase(app, tx, scope, &input, now).await?;
        let quote = &purchase.quote;
        quote_rules::check_ends_ahead(&priced, now).map_err(|refusal| refusal.under("quoteId"))?;
        rules::check_payment_given(priced.due()?, input.payment.is_some())
            .map_err(|refusal| refusal.under("payment"))?;
        if let Some(coupon) = quote.coupon_id
            && !purchases::redeem(tx, scope, coupon, input.account, order_id, quote.coupon_minor, now).await?
        {
            return Err(stale().into());
        }
        let placing = Placing {
            order_id,
            return_url: input.return_url.as_deref(),
            waited: StepStatus::Superseded,
            now,
        };
        let way = match &input.payment {
            Some(by) => way(app, tx, scope, by, priced.due()?, &purchase).await?,
            None => Way::Credit,
        };
        match way {
            Way::Credit => {
                let Written { order, newest, purse } = write(tx, scope, placing, &purchase, &priced).await?;
                if tx.at_once().is_some() {
                    // It was kept with its one statement, and the account's next order waits for its turn.
                    app.remembered.ordered(input.account, input.quote, purse);
                }
                let placed = Placed {
                    order: order_id,
                    written: Some(order),
                    collecting: None,
                };
                Ok((placed, newest))
            }
            way => {
                let placed = await_payment(tx, scope, placing, &purchase, &priced, way).await?;
                Ok((placed, None))
            }
        }
    };
    let (placed, newest) = match input.payment {
        None | Some(PayBy::Credit) => app.db.write_at_once("place_order", input.account, placing).await?,
        Some(_) => app.db.write("place_order", placing).await?,
    };
    if let Some(newest) = newest {
        app.hub.wake(input.account, newest);
    }
    Ok(placed)
}

/// The quote that is to be ordered with what is needed for that, and its document: as this process remembers it, as it is
/// read, or locked, as the transaction has it.
async fn purchase(
    app: &App,
    tx: &Tx,
    scope: &Scope,
    input: &PlaceOrder,
    now: DateTime<Utc>,
) -> Result<(Purchase, Arc<PricedQuote>), Error> {
    let remembered = tx
        .at_once()
        .and_then(|at_once| at_once.remembered(|| app.remembered.purchase(scope, input.account, input.quote)));
    if let Some((purchase, priced)) = remembered {
        return Ok((check_quote(Some(purchase), now)?, priced));
    }
    let purchase = if tx.at_once().is_some() {
        purchases::read_purchase(tx, scope, input.account, input.quote, now).await?
    } else {
        purchases::lock_purchase(tx, scope, input.account, input.quote).await?
    };
    let purchase = check_quote(purchase, now)?;
    let priced = PricedQuote::deserialize(&purchase.quote.document)?;
    Ok((purchase, Arc::new(priced)))
}

/// An order that is paid from credit, as it was written.
struct Written {
    order: order::Model,
    /// The newest event's number.
    newest: Option<i64>,
    /// What the account pays from since, where that is known.
    purse: Option<Purse>,
}

/// Writes an order that is paid from credit.
async fn write(
    tx: &Tx,
    scope: &Scope,
    placing: Placing<'_>,
    purchase: &Purchase,
    priced: &PricedQuote,
) -> Result<Written, Error> {
    let paid = purchase::pay(
        tx,
        scope,
        placing,
        purchase,
        priced,
        None,
        Source::Credit { payment: ids::new_id() },
    )
    .await?;
    let order = paid.order.clone();
    let mut writes = Writes::of(tx);
    purchases::still_as_seen(&mut writes, scope, purchase);
    // The quote before the wallet, as those lock them who lock.
    purchases::close_quote(&mut writes, scope, purchase.quote.id, placing.order_id);
    let (news, purse) = paid.write(&mut writes, scope, purchase, placing.now)?;
    event_log::append(&mut writes, scope, purchase.account.id, &news, placing.now)?;
    Ok(Written {
        order,
        newest: writes.send(tx).await?,
        purse,
    })
}

/// How an order is paid, as far as it is known before anything is written.
#[derive(Clone, Debug)]
enum Way<'a> {
    /// All of it from credit.
    Credit,
    /// A gateway takes all or a part of it.
    Collect(Split<'a>),
    /// Somebody else is asked.
    Ask {
        /// Where they pay.
        gateway: &'a dyn Gateway,
        /// Who.
        payer_email: String,
    },
}

/// How a payment is shared between the wallet and a gateway, and which.
#[derive(Clone, Copy, Debug)]
struct Split<'a> {
    method: PaymentMethod,
    gateway: &'a dyn Gateway,
    saved: Option<Uuid>,
    shared: payment_rules::Shared,
}

/// How an order is paid.
///
/// # Errors
/// Refused with UNKNOWN_GATEWAY, PAYMENT_METHOD_NOT_FOUND; on behalf also with GATEWAY_LIMIT, INVALID_EMAIL, LIMIT_EXCEEDED.
async fn way<'a>(
    app: &'a App,
    tx: &Tx,
    scope: &Scope,
    by: &PayBy,
    due: Money,
    purchase: &Purchase,
) -> Result<Way<'a>, Error> {
    let (through, field) = match by {
        PayBy::Credit => return Ok(Way::Credit),
        PayBy::OnBehalf { gateway, payer_email } => {
            let asked = (gateway.as_str(), payer_email.as_str());
            let checked = on_behalf::check(app, tx, scope, purchase.account.id, asked, due).await;
            let (gateway, payer_email) = checked.map_err(|error| at_payment(error, "onBehalf"))?;
            return Ok(Way::Ask { gateway, payer_email });
        }
        PayBy::Through(through @ Through::Gateway(_)) => (through, "gateway"),
        PayBy::Through(through @ Through::Linked(_)) => (through, "linkedAccount"),
        PayBy::TopUpAndPay(through) => (through, "topUpAndPay"),
    };
    let resolved = collect::resolve(app, &**tx, scope, purchase.account.id, through, due.currency()).await;
    let Resolved { gateway, saved } = resolved.map_err(|error| at_payment(error, field))?;
    let (method, shared) = if let PayBy::TopUpAndPay(_) = by {
        let wallet = &purchase.wallet;
        let available = wallet.cash_minor + wallet.promotional_minor - wallet.held_minor;
        let least = gateway
            .limits(due.currency())
            .map_or_else(|| Money::zero(due.currency()), |limits| limits.least);
        let shared = payment_rules::share(due, Money::of(available, due.currency()), least)?;
        (PaymentMethod::TopUpAndPay, shared)
    } else {
        let shared = payment_rules::Shared {
            credit: Money::zero(due.currency()),
            gateway: due,
        };
        let method = if saved.is_some() {
            PaymentMethod::LinkedAccount
        } else {
            PaymentMethod::Gateway
        };
        (method, shared)
    };
    if !shared.gateway.is_positive() {
        return Ok(Way::Credit);
    }
    Ok(Way::Collect(Split {
        method,
        gateway,
        saved,
        shared,
    }))
}

/// A refusal of a way to pay, at its field.
fn at_payment(error: Error, field: &'static str) -> Error {
    match error {
        Error::Refused(refusal) => refusal.under(field).under("payment").into(),
        error => error,
    }
}

/// Writes an order that waits, and the payment that is to be begun at its gateway, or the link by which somebody else is asked.
async fn await_payment(
    tx: &Tx,
    scope: &Scope,
    placing: Placing<'_>,
    purchase: &Purchase,
    priced: &PricedQuote,
    way: Way<'_>,
) -> Result<Placed, Error> {
    let Placing { order_id, now, .. } = placing;
    let account = &purchase.account;
    let zone = time::zone(&account.zone)?;
    let collects = matches!(way, Way::Collect(_));
    let wanted = [(CodeKind::Order, 1), (CodeKind::Payment, usize::from(collects))];
    let mut codes = codes::take(tx, scope, account, zone, now, &wanted).await?;
    let code = codes.next(CodeKind::Order)?;
    let details = format!("Order {code}");
    let (mut order, items) = purchase::wait(tx, scope, placing, code, purchase, priced).await?;
    let link = match &way {
        Way::Ask { gateway, payer_email } => {
            let asking = Asking {
                id: ids::new_id(),
                gateway: *gateway,
                payer_email,
            };
            Some(on_behalf::ask(tx, scope, &mut order, asking, now).await?)
        }
        Way::Collect(split) => {
            order.expires_at = Some(now + order_waits(split.gateway));
            None
        }
        Way::Credit => None,
    };
    let mut writes = Writes::of(tx);
    let rows = Rows {
        orders: vec![order.clone()],
        items,
        ..Rows::default()
    };
    rows.write(&mut writes, scope)?;
    let mut collected = None;
    if let Way::Collect(split) = way {
        let payment_code = codes.next(CodeKind::Payment)?;
        let collecting = Collecting {
            id: ids::new_id(),
            code: &payment_code,
            account,
            order: Some(order_id),
            method: split.method,
            gateway: split.gateway,
            saved: split.saved,
            amount: split.shared.gateway,
            credit: split.shared.credit,
            details: &details,
            return_url: placing.return_url,
            now,
        };
        begin_collecting(&mut writes, scope, collecting, purchase, 0)?;
        collected = Some(collecting.id);
    }
    if let Some(link) = link {
        on_behalf::add(&mut writes, scope, link, now);
    }
    purchases::close_quote(&mut writes, scope, purchase.quote.id, order_id);
    writes.send(tx).await?;
    Ok(Placed {
        order: order_id,
        written: Some(order),
        collecting: collected,
    })
}

/// How long an order waits for a payment through a gateway: longer than its payer may take.
fn order_waits(gateway: &dyn Gateway) -> TimeDelta {
    TimeDelta::minutes(gateway.payer_minutes() + payment_rules::ORDER_MORE_MINUTES)
}

/// Adds a payment that is to be collected and the hold of its credit part; `let_go` is what is held no more at the same time.
fn begin_collecting(
    writes: &mut Writes,
    scope: &Scope,
    collecting: Collecting<'_>,
    purchase: &Purchase,
    let_go: i64,
) -> Result<(), Error> {
    let now = collecting.now;
    let (attempted, hold) = collect::open(scope, collecting, &purchase.wallet).map_err(|error| match error {
        Error::Refused(refusal) => refusal.under("payment").into(),
        error => error,
    })?;
    let rows = Rows {
        payments: vec![attempted.payment],
        ..Rows::default()
    };
    rows.write(writes, scope)?;
    gateway_payments::add(writes, scope, vec![attempted.attempt]);
    let held = hold.as_ref().map_or(0, |hold| hold.amount_minor);
    books::change_wallet(writes, scope, &purchase.wallet, Vec::new(), held - let_go, now)?;
    books::add_holds(writes, scope, hold.into_iter().collect());
    Ok(())
}

fn check_return_url(app: &App, url: Option<&str>) -> Result<(), Error> {
    if let Some(url) = url {
        return_url::check(url, &app.settings.return_origins).map_err(|refusal| refusal.under("returnUrl"))?;
    }
    Ok(())
}

fn check_quote(purchase: Option<Purchase>, now: DateTime<Utc>) -> Result<Purchase, Refusal> {
    let purchase = purchase.ok_or_else(|| {
        Refusal::new(RefusalCode::QuoteNotFound, "There is no such quote. Make a new one.").under("quoteId")
    })?;
    let quote = &purchase.quote;
    quote_rules::check_orderable(quote.status, quote.expires_at, now, false)
        .map_err(|refusal| refusal.under("quoteId"))?;
    Ok(purchase)
}

/// Whether an order waits for its payment still. Errors: ORDER_PAID, ORDER_CANCELLED, ORDER_EXPIRED.
fn check_waits(order: &order::Model, now: DateTime<Utc>) -> Result<(), Refusal> {
    let refused = |code, message: &str| Err(Refusal::new(code, message).under("orderId"));
    match (order.status, order.cancelled_because) {
        (OrderStatus::AwaitingPayment, _) if order.expires_at.is_none_or(|end| now < end) => Ok(()),
        (OrderStatus::AwaitingPayment, _) | (OrderStatus::Cancelled, Some(CancelReason::Expired)) => refused(
            RefusalCode::OrderExpired,
            "The time to pay this order has run out. Make a new quote and order it.",
        ),
        (OrderStatus::Cancelled, _) => refused(
            RefusalCode::OrderCancelled,
            "This order was cancelled. Make a new quote and order it.",
        ),
        _ => refused(
            RefusalCode::OrderPaid,
            "This order is paid. Nothing more is to be paid for it.",
        ),
    }
}

/// There is no such order for this caller.
fn no_order() -> Refusal {
    Refusal::new(RefusalCode::OrderNotFound, "There is no such order.").under("orderId")
}
