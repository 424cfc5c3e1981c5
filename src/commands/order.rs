//! Placing an order: a quote becomes items, a payment, resources; products that are instant are provisioned at once.

mod renewal;

use chrono::{DateTime, Utc};
use entity::enums::{
    CodeKind, EventType, Life, OrderAction, OrderStatus, PaymentMethod, PaymentPurpose, PaymentStatus, Power,
    ProductCall, StepStatus, TagKind, WalletAction,
};
use entity::{account, order, order_item, payment, product, quote, resource, resource_tag};
use serde::{Deserialize as _, Serialize};
use uuid::Uuid;

use super::fulfil::{self, Deed};
use crate::app::App;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::funding::Funding;
use crate::domain::money::{Currency, Money};
use crate::domain::quote::{self as quote_rules, PricedItem, PricedQuote};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{ledger, order as rules, return_url, time};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::fulfilment::{self, Provisioned};
use crate::store::idempotency::{self, Claim, Key};
use crate::store::ledger::{self as books, Entry, Movement};
use crate::store::purchases::{self, Purchase, Rows};
use crate::store::{Scope, codes, deliveries, pricing, resources};

pub use renewal::{Attempt, Attempted, Prospect, Renewal, renew_automatically, renewals};

/// A way to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PayBy {
    /// All of it from the credit wallet.
    Credit,
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
}

/// Orders a quote and pays it. Money, order, resources and what they are told by are written together or not at all.
/// What gives something back does so first: it may pay for the rest.
///
/// # Errors
/// Refused with QUOTE_NOT_FOUND, QUOTE_EXPIRED, QUOTE_ALREADY_ORDERED, QUOTE_STALE, PAYMENT_REQUIRED,
/// PAYMENT_NOT_NEEDED, INSUFFICIENT_CREDIT, STATE_CONFLICT, RETURN_URL_NOT_ALLOWED, IDEMPOTENCY_KEY_INVALID,
/// IDEMPOTENCY_KEY_REUSED.
pub async fn place_order(app: &App, scope: &Scope, input: PlaceOrder) -> Result<Placed, Error> {
    check_return_url(app, input.return_url.as_deref())?;
    let now = app.clock.now();
    let order_id = ids::new_id();

    let (placed, newest) = app
        .db
        .write("place_order", async |tx| {
            let tx = &*tx;
            let key = Key {
                account: input.account,
                operation: "place_order",
                key: &input.idempotency_key,
            };
            if let Claim::Done(order) = idempotency::claim(tx, scope, key, &input, order_id, now).await? {
                return Ok((Placed { order, written: None }, None));
            }
            let purchase = purchases::lock_purchase(tx, scope, input.account, input.quote).await?;
            let purchase = check_quote(purchase, now)?;
            let quote = &purchase.quote;
            let priced = PricedQuote::deserialize(&quote.document)?;
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
            let (order, newest) = write(tx, scope, placing, &purchase, &priced).await?;
            Ok((
                Placed {
                    order: order_id,
                    written: Some(order),
                },
                newest,
            ))
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(input.account, newest);
    }
    Ok(placed)
}

fn check_return_url(app: &App, url: Option<&str>) -> Result<(), Error> {
    if let Some(url) = url {
        return_url::check(url, &app.settings.return_origins).map_err(|refusal| refusal.under("returnUrl"))?;
    }
    Ok(())
}

fn stale() -> Refusal {
    quote_rules::stale_quote().under("quoteId")
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

/// What is known of an order besides what is bought.
#[derive(Clone, Copy, Debug)]
struct Placing<'a> {
    order_id: Uuid,
    return_url: Option<&'a str>,
    /// What becomes of the steps that the plans of its resources waited for.
    waited: StepStatus,
    now: DateTime<Utc>,
}

/// Writes the order and all that comes with it, and answers the order with the newest event's number.
async fn write(
    tx: &Tx,
    scope: &Scope,
    placing: Placing<'_>,
    purchase: &Purchase,
    priced: &PricedQuote,
) -> Result<(order::Model, Option<i64>), Error> {
    let Placing { order_id, now, .. } = placing;
    let Purchase { quote, account, wallet } = purchase;
    let zone = time::zone(&account.zone)?;
    let currency: Currency = account.currency.parse()?;
    let due = priced.due()?;

    // Check: what exists must stand as it did when it was priced.
    let ids: Vec<Uuid> = priced.items.iter().filter_map(|item| item.resource_id).collect();
    // The periods as they were when this was priced: one of them may have ended since.
    let mut standing = purchases::standing(&**tx, scope, account.id, &ids, priced.priced_at, true).await?;
    let products = pricing::products(&**tx, scope, priced.items.iter().map(|item| item.product_code.as_str())).await?;
    let product_of = |code: &str| products.get(code).ok_or_else(stale);
    for item in priced.items.iter().filter(|item| item.action != OrderAction::Create) {
        let standing = item.resource_id.and_then(|id| standing.get(&id));
        fulfil::check(standing, item, product_of(&item.product_code)?, now).map_err(under_quote)?;
    }
    let tags = resources::tags_of_each_as_kept(&**tx, scope, &ids).await?;
    let replaced = priced.items.iter().flat_map(|item| &item.replaced);
    let replaced: Vec<Uuid> = replaced.map(|replaced| replaced.period_id).collect();
    let invoices = purchases::invoices_of_periods(&**tx, scope, &replaced).await?;

    // Decide: what is done at once, what that gives back, and who pays what.
    let mut wanted = Wanted {
        payments: usize::from(due.is_positive()),
        ..Wanted::default()
    };
    let mut back = Funding::zero(currency);
    for item in &priced.items {
        if fulfil::at_once(item.action, product_of(&item.product_code)?) {
            let (invoices, notes) = fulfil::documents(item)?;
            wanted.invoices += invoices;
            wanted.notes += notes;
            back = back.plus(&item.credited()?.refund(item.refund()?)?)?;
        }
    }
    let money = |minor| Money::of(minor, currency);
    let funding = rules::split_funding(
        due,
        money(wallet.cash_minor).plus(back.cash)?,
        money(wallet.promotional_minor).plus(back.promotional)?,
        money(wallet.held_minor),
    )?;
    let dues: Vec<Money> = priced.items.iter().map(PricedItem::due).collect::<Result<_, _>>()?;
    let shares = funding.over_items(&dues)?;

    let mut codes = codes::take(tx, scope, account, zone, now, &wanted.codes()).await?;
    let payment_id = due.is_positive().then(ids::new_id);
    let mut rows = Rows::default();
    let mut entries = Vec::new();
    let mut movements = Vec::new();
    let mut news = vec![News::of(EventType::OrderPaid).order(order_id)];
    let order_code = codes.next(CodeKind::Order)?;
    let mut paid = None;
    if let Some(id) = payment_id {
        rows.payments.push(payment(
            id,
            order_id,
            codes.next(CodeKind::Payment)?,
            &order_code,
            account,
            scope,
            &funding,
            now,
        )?);
        let mut entry = Entry::new(ledger::order_payment(&funding)?);
        entry.order = Some(order_id);
        entry.payment = payment_id;
        paid = Some(Movement {
            id: ids::new_id(),
            transaction: entry.id,
            action: WalletAction::OrderPayment,
            details: format!("Order {order_code}"),
            cash_minor: -funding.cash.minor(),
            promotional_minor: -funding.promotional.minor(),
            order: Some(order_id),
        });
        entries.push(entry);
        news.push(
            News::of(EventType::PaymentSucceeded)
                .order(order_id)
                .payment(id)
                .wallet(wallet.id),
        );
    }

    let created_by = serde_json::json!({ "created-by": scope.principal() });
    let mut states = Vec::with_capacity(priced.items.len());
    for ((position, item), share) in (0_i32..).zip(&priced.items).zip(&shares) {
        let product = product_of(&item.product_code)?;
        let at_once = fulfil::at_once(item.action, product);
        let new = match item.action {
            OrderAction::Create => Some(new_resource(account, product, item, scope, now)?),
            _ => None,
        };
        let resource_id = new.as_ref().map(|new| new.id).or(item.resource_id);
        let resource_id = resource_id.ok_or_else(|| Error::internal("an item is about no resource"))?;
        let row = new_item(
            order_id,
            account,
            position,
            product,
            resource_id,
            item,
            share,
            at_once,
            now,
        )?;
        let about = |kind| News::of(kind).order(order_id).resource(resource_id);
        if let Some(mut resource) = new {
            if at_once {
                let done = Provisioned {
                    item: &row,
                    priced: item,
                    product,
                    zone,
                    coupon_code: priced.coupon_code.as_deref(),
                    payment: payment_id,
                    tags: &created_by,
                    now,
                };
                let (entry, invoice) = fulfilment::add(&mut rows, &mut resource, &mut codes, done)?;
                entries.push(entry);
                news.push(about(EventType::ResourceProvisioned));
                news.push(about(EventType::InvoiceIssued).invoice(invoice));
            }
            let task = (!at_once).then_some(row.id);
            rows.calls
                .extend(deliveries::call(product, &resource, ProductCall::Provision, task, now));
            rows.tags.push(resource_tag::Model {
                resource_id,
                key: "created-by".to_owned(),
                account_id: account.id,
                kind: TagKind::System,
                value: scope.principal().chars().take(256).collect(),
            });
            rows.resources.push(resource);
        } else {
            let mut stands = standing.remove(&resource_id).ok_or_else(stale)?;
            if at_once {
                let deed = Deed {
                    product,
                    zone,
                    item: &row,
                    order_code: &order_code,
                    priced: item,
                    paid: *share,
                    payment: payment_id,
                    coupon_code: priced.coupon_code.as_deref(),
                    tags: tags.get(&resource_id).unwrap_or(&created_by),
                    invoices: &invoices,
                    waited: placing.waited,
                    now,
                };
                let done = fulfil::carry_out(&mut rows, &mut codes, stands, &deed)?;
                entries.extend(done.entries);
                news.extend(done.news);
                if let Some(refund) = done.refund {
                    movements.push(refund);
                    news.push(about(EventType::Refunded).wallet(wallet.id));
                }
            } else {
                stands.resource.order_item_id = Some(row.id);
                let call = deliveries::call(product, &stands.resource, ProductCall::Resize, Some(row.id), now);
                rows.calls.extend(call);
                rows.changed.push(stands.resource);
            }
        }
        states.push(row.status);
        rows.items.push(row);
    }
    movements.extend(paid);
    let status = rules::status(&states);
    if rules::is_over(status) {
        news.push(News::of(EventType::OrderCompleted).order(order_id));
    }
    let order = new_order(order_code, quote, placing, scope, status);
    rows.orders.push(order.clone());

    // Write and tell.
    let mut writes = Writes::of(tx);
    rows.write(&mut writes, scope);
    books::post(&mut writes, scope, account.id, entries, now);
    books::move_wallet(&mut writes, scope, wallet, movements, now)?;
    purchases::close_quote(&mut writes, scope, quote.id, order_id);
    event_log::append(&mut writes, scope, account.id, &news, now)?;
    Ok((order, writes.send(tx).await?))
}

/// How many codes of each kind an order takes.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    payments: usize,
    invoices: usize,
    notes: usize,
}

impl Wanted {
    const fn codes(self) -> [(CodeKind, usize); 4] {
        [
            (CodeKind::Order, 1),
            (CodeKind::Payment, self.payments),
            (CodeKind::Invoice, self.invoices),
            (CodeKind::CreditNote, self.notes),
        ]
    }
}

fn under_quote(error: Error) -> Error {
    match error {
        Error::Refused(refusal) => Refusal {
            path: vec!["quoteId".to_owned()],
            ..*refusal
        }
        .into(),
        error => error,
    }
}

#[allow(clippy::too_many_arguments, reason = "each is a column of the row")]
fn payment(
    id: Uuid,
    order_id: Uuid,
    code: String,
    order_code: &str,
    account: &account::Model,
    scope: &Scope,
    funding: &Funding,
    now: DateTime<Utc>,
) -> Result<payment::Model, Error> {
    Ok(payment::Model {
        id,
        account_id: account.id,
        code,
        order_id: Some(order_id),
        invoice_id: None,
        purpose: PaymentPurpose::Order,
        method: PaymentMethod::Credit,
        status: PaymentStatus::Succeeded,
        currency: account.currency.clone(),
        amount_minor: funding.total()?.minor(),
        cash_minor: funding.cash.minor(),
        promotional_minor: funding.promotional.minor(),
        gateway_minor: 0,
        gateway: None,
        details: format!("Order {order_code}"),
        principal: scope.principal().to_owned(),
        created_at: now,
        completed_at: Some(now),
        version: 1,
    })
}

fn new_order(
    code: String,
    quote: &quote::Model,
    placing: Placing<'_>,
    scope: &Scope,
    status: OrderStatus,
) -> order::Model {
    let now = placing.now;
    order::Model {
        id: placing.order_id,
        account_id: quote.account_id,
        quote_id: quote.id,
        code,
        status,
        currency: quote.currency.clone(),
        gross_minor: quote.gross_minor,
        coupon_minor: quote.coupon_minor,
        tax_minor: quote.tax_minor,
        charged_minor: quote.charged_minor,
        due_minor: quote.due_minor,
        refund_minor: quote.refund_minor,
        coupon_id: quote.coupon_id,
        principal: scope.principal().to_owned(),
        return_url: placing.return_url.map(str::to_owned),
        created_at: now,
        paid_at: Some(now),
        completed_at: rules::is_over(status).then_some(now),
        version: 1,
    }
}

pub(super) fn new_resource(
    account: &account::Model,
    product: &product::Model,
    item: &PricedItem,
    scope: &Scope,
    now: DateTime<Utc>,
) -> Result<resource::Model, Error> {
    Ok(resource::Model {
        id: ids::new_id(),
        account_id: account.id,
        product_id: product.id,
        resource_type_id: item.resource_type_id,
        name: item.name.clone(),
        life: Life::Provisioning,
        power: Power::Running,
        configuration: serde_json::to_value(item.configuration())?,
        external_id: None,
        search_text: resources::search_text(&item.name, None),
        period_id: None,
        plan_id: None,
        paid_until: None,
        anchor_day: None,
        auto_renew: item.auto_renew,
        auto_renew_months: 1,
        next_step: None,
        next_due_at: None,
        attempts: 0,
        created_by: scope.principal().to_owned(),
        created_at: now,
        provisioned_at: None,
        trashed_at: None,
        order_item_id: None,
        ended_at: None,
        version: 1,
    })
}

#[allow(clippy::too_many_arguments, reason = "each is a column of the row")]
pub(super) fn new_item(
    order_id: Uuid,
    account: &account::Model,
    position: i32,
    product: &product::Model,
    resource_id: Uuid,
    item: &PricedItem,
    share: &Funding,
    at_once: bool,
    now: DateTime<Utc>,
) -> Result<order_item::Model, Error> {
    Ok(order_item::Model {
        id: ids::new_id(),
        order_id,
        account_id: account.id,
        position,
        action: item.action,
        status: fulfil::status(at_once),
        product_id: product.id,
        resource_id,
        gross_minor: item.totals.gross.minor(),
        coupon_minor: item.totals.coupon.minor(),
        tax_minor: item.totals.tax.minor(),
        charged_minor: item.totals.charged.minor(),
        credited_minor: item.credited()?.total()?.minor(),
        charged_promotional_minor: share.promotional.minor(),
        document: serde_json::to_value(item)?,
        failure_reason: None,
        created_at: now,
        completed_at: at_once.then_some(now),
        version: 1,
    })
}
