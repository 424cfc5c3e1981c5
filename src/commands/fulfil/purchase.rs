//! What ordering and paying write: the order with its items, resources, ledger, invoices and calls, prepared so that who
//! orders, who renews and who settles a gateway's payment write the same.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::enums::{
    CodeKind, EventType, HoldStatus, Life, OrderAction, OrderItemStatus, OrderStatus, PaymentMethod, PaymentPurpose,
    PaymentStatus, Power, ProductCall, StepStatus, TagKind, WalletAction,
};
use entity::raw_json::RawJson;
use entity::{account, hold, order, order_item, payment, product, quote, resource, resource_tag};
use uuid::Uuid;

use super::{Deed, at_once, carry_out, check, documents, status};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::funding::Funding;
use crate::domain::money::{Currency, Money};
use crate::domain::payment as paying;
use crate::domain::quote::{self as quote_rules, PricedItem, PricedQuote};
use crate::domain::refusal::Refusal;
use crate::domain::{ledger, order as rules, time};
use crate::error::Error;
use crate::ids;
use crate::store::codes::{self, Codes};
use crate::store::event_log::News;
use crate::store::fulfilment::{self, Provisioned};
use crate::store::ledger::{self as books, Entry, Movement};
use crate::store::purchases::{self, Purchase, Rows, Standing};
use crate::store::remembered::Purse;
use crate::store::{Scope, deliveries, pricing, resources};

/// What is known of an order besides what is bought.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Placing<'a> {
    pub(in crate::commands) order_id: Uuid,
    pub(in crate::commands) return_url: Option<&'a str>,
    /// What becomes of the steps that the plans of its resources waited for.
    pub(in crate::commands) waited: StepStatus,
    pub(in crate::commands) now: DateTime<Utc>,
}

/// An order that waited for its payment.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Waited {
    /// The order.
    pub(in crate::commands) order: order::Model,
    /// Its items, in their order.
    pub(in crate::commands) items: Vec<order_item::Model>,
    /// What is held of the wallet for payments of it that were begun and are not wanted any more.
    pub(in crate::commands) let_go: Vec<hold::Model>,
}

/// Where an order's money comes from.
#[derive(Clone, Debug)]
pub(in crate::commands) enum Source {
    /// All of it from the wallet.
    Credit {
        /// What the payment is called, when something is due.
        payment: Uuid,
    },
    /// From a gateway that took it.
    Gateway {
        /// The payment.
        payment: Box<payment::Model>,
        /// What the gateway took.
        taken: Money,
        /// The credit part, held since.
        hold: Option<hold::Model>,
    },
}

/// What is written when an order is paid.
#[derive(Debug)]
pub(in crate::commands) struct Paid {
    /// The order as it then is.
    pub(in crate::commands) order: order::Model,
    /// The ledger transaction of its payment.
    pub(in crate::commands) transaction: Option<Uuid>,
    /// The codes of its documents, given out.
    codes: Codes,
    rows: Rows,
    entries: Vec<Entry>,
    movements: Vec<Movement>,
    ended_holds: Vec<(hold::Model, HoldStatus)>,
    news: Vec<News>,
}

impl Paid {
    /// Adds all of it to what is written, but for the news, which it answers: they are counted last. Answers also what the
    /// account then pays from, where all of that was read.
    ///
    /// # Errors
    /// [`Error::Internal`] when a balance would overflow.
    pub(in crate::commands) fn write(
        self,
        writes: &mut Writes,
        scope: &Scope,
        purchase: &Purchase,
        now: DateTime<Utc>,
    ) -> Result<(Vec<News>, Option<Purse>), Error> {
        let held: i64 = self.ended_holds.iter().map(|(hold, _)| hold.amount_minor).sum();
        self.rows.write(writes, scope)?;
        books::post(writes, scope, purchase.account.id, self.entries, now);
        let wallet = books::change_wallet(writes, scope, &purchase.wallet, self.movements, -held, now)?;
        for (hold, status) in self.ended_holds {
            books::end_hold(writes, scope, &hold, status, now);
        }
        let purse = purchase.seen.as_ref().map(|seen| {
            let mut numbers = seen.numbers.clone();
            numbers.extend(self.codes.last());
            Purse {
                account: purchase.account.clone(),
                wallet,
                numbers,
            }
        });
        Ok((self.news, purse))
    }
}

/// What stands behind a quote, as it was locked.
struct Ground {
    standing: HashMap<Uuid, Standing>,
    products: Arc<HashMap<String, product::Model>>,
}

impl Ground {
    /// Looks whether what exists stands as it did when it was priced.
    ///
    /// # Errors
    /// Refused with QUOTE_STALE, STATE_CONFLICT.
    async fn check(
        tx: &Tx,
        scope: &Scope,
        purchase: &Purchase,
        priced: &PricedQuote,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let ids: Vec<Uuid> = priced.items.iter().filter_map(|item| item.resource_id).collect();
        // The periods as they were when this was priced: one of them may have ended since.
        let standing = purchases::standing(&**tx, scope, purchase.account.id, &ids, priced.priced_at, true).await?;
        let products = match &purchase.seen {
            Some(seen) => Arc::clone(&seen.products),
            None => {
                let codes = priced.items.iter().map(|item| item.product_code.as_str());
                Arc::new(pricing::products(&**tx, scope, codes).await?)
            }
        };
        let ground = Self { standing, products };
        for item in priced.items.iter().filter(|item| item.action != OrderAction::Create) {
            let standing = item.resource_id.and_then(|id| ground.standing.get(&id));
            check(standing, item, ground.product(&item.product_code)?, now).map_err(under_quote)?;
        }
        Ok(ground)
    }

    fn product(&self, code: &str) -> Result<&product::Model, Refusal> {
        product(&self.products, code)
    }
}

fn product<'a>(products: &'a HashMap<String, product::Model>, code: &str) -> Result<&'a product::Model, Refusal> {
    products.get(code).ok_or_else(stale)
}

/// Prepares an order that waits for its payment: nothing of it is done yet. The items know the keys that their new
/// resources will have.
///
/// # Errors
/// Refused with QUOTE_STALE, STATE_CONFLICT.
pub(in crate::commands) async fn wait(
    tx: &Tx,
    scope: &Scope,
    placing: Placing<'_>,
    code: String,
    purchase: &Purchase,
    priced: &PricedQuote,
) -> Result<(order::Model, Vec<order_item::Model>), Error> {
    let Placing { order_id, now, .. } = placing;
    let account = &purchase.account;
    let ground = Ground::check(tx, scope, purchase, priced, now).await?;
    let nothing = Funding::zero(account.currency.parse()?);
    let mut items = Vec::with_capacity(priced.items.len());
    for (position, item) in (0_i32..).zip(&priced.items) {
        let product = ground.product(&item.product_code)?;
        let resource = item.resource_id.unwrap_or_else(ids::new_id);
        let mut row = new_item(
            order_id, account, position, product, resource, item, &nothing, false, now,
        )?;
        row.status = OrderItemStatus::AwaitingPayment;
        items.push(row);
    }
    let mut order = new_order(code, &purchase.quote, placing, scope, OrderStatus::AwaitingPayment);
    order.paid_at = None;
    Ok((order, items))
}

/// Prepares a paid order: a new one, or one that waited. What gives something back does so first: it may pay for the rest
/// when that is paid from credit.
///
/// # Errors
/// Refused with QUOTE_STALE, STATE_CONFLICT, INSUFFICIENT_CREDIT.
pub(in crate::commands) async fn pay(
    tx: &Tx,
    scope: &Scope,
    placing: Placing<'_>,
    purchase: &Purchase,
    priced: &PricedQuote,
    waited: Option<Waited>,
    source: Source,
) -> Result<Paid, Error> {
    let Placing { order_id, now, .. } = placing;
    let Purchase {
        quote, account, wallet, ..
    } = purchase;
    let zone = time::zone(&account.zone)?;
    let currency: Currency = account.currency.parse()?;
    let due = priced.due()?;

    // Check: what exists must stand as it did when it was priced.
    let mut ground = Ground::check(tx, scope, purchase, priced, now).await?;
    let ids: Vec<Uuid> = priced.items.iter().filter_map(|item| item.resource_id).collect();
    let tags = resources::tags_of_each_as_kept(&**tx, scope, &ids).await?;
    let replaced = priced.items.iter().flat_map(|item| &item.replaced);
    let replaced: Vec<Uuid> = replaced.map(|replaced| replaced.period_id).collect();
    let invoices = purchases::invoices_of_periods(&**tx, scope, &replaced).await?;

    // Decide: what is done at once, what that gives back, and who pays what.
    let mut wanted = Wanted {
        orders: usize::from(waited.is_none()),
        payments: usize::from(due.is_positive() && matches!(source, Source::Credit { .. })),
        ..Wanted::default()
    };
    let mut back = Funding::zero(currency);
    for item in &priced.items {
        if at_once(item.action, ground.product(&item.product_code)?) {
            let (invoices, notes) = documents(item)?;
            wanted.invoices += invoices;
            wanted.notes += notes;
            back = back.plus(&item.credited()?.refund(item.refund()?)?)?;
        }
    }
    let money = |minor| Money::of(minor, currency);
    // The wallet's part, and all of it: what a gateway took counts as cash from here on.
    let let_go = waited.iter().flat_map(|waited| &waited.let_go);
    let let_go: i64 = let_go.map(|hold| hold.amount_minor).sum();
    let (credit, funding) = match &source {
        Source::Credit { .. } => {
            let credit = rules::split_funding(
                due,
                money(wallet.cash_minor).plus(back.cash)?,
                money(wallet.promotional_minor).plus(back.promotional)?,
                money(wallet.held_minor).minus(money(let_go))?,
            )?;
            (credit, credit)
        }
        Source::Gateway { taken, hold, .. } => {
            let held = money(hold.as_ref().map_or(0, |hold| hold.amount_minor));
            let credit = paying::capture_hold(held, money(wallet.cash_minor), money(wallet.promotional_minor))?;
            (credit, credit.plus(&Funding::of(*taken, Money::zero(currency))?)?)
        }
    };
    let dues: Vec<Money> = priced.items.iter().map(PricedItem::due).collect::<Result<_, _>>()?;
    let shares = funding.over_items(&dues)?;

    let wanted = wanted.codes();
    let mut codes = match (tx.at_once(), &purchase.seen) {
        (Some(at_once), Some(seen)) => {
            let year = codes::year_of(zone, now);
            codes::take_as_read(at_once, scope, account, year, &seen.numbers, &wanted)?
        }
        _ => codes::take(tx, scope, account, zone, now, &wanted).await?,
    };
    let mut rows = Rows::default();
    let mut entries = Vec::new();
    let mut movements = Vec::new();
    let mut news = vec![News::of(EventType::OrderPaid).order(order_id)];
    let order_code = match &waited {
        None => codes.next(CodeKind::Order)?,
        Some(waited) => waited.order.code.clone(),
    };
    let mut payment_id = None;
    let mut paid = None;
    if due.is_positive() {
        let (id, transaction) = match &source {
            Source::Gateway { payment, taken, .. } => {
                rows.settled.push(payment::Model {
                    status: PaymentStatus::Succeeded,
                    cash_minor: credit.cash.minor(),
                    promotional_minor: credit.promotional.minor(),
                    completed_at: Some(now),
                    ..payment.as_ref().clone()
                });
                (payment.id, ledger::order_collected(&credit, *taken)?)
            }
            Source::Credit { payment: id } => {
                let id = *id;
                let code = codes.next(CodeKind::Payment)?;
                let row = credit_payment(id, order_id, code, &order_code, account, scope, &funding, now)?;
                rows.payments.push(row);
                (id, ledger::order_payment(&credit)?)
            }
        };
        let mut entry = Entry::new(transaction);
        entry.order = Some(order_id);
        entry.payment = Some(id);
        if credit.total()?.is_positive() {
            paid = Some(Movement {
                id: ids::new_id(),
                transaction: entry.id,
                action: WalletAction::OrderPayment,
                details: format!("Order {order_code}"),
                cash_minor: -credit.cash.minor(),
                promotional_minor: -credit.promotional.minor(),
                order: Some(order_id),
            });
        }
        entries.push(entry);
        news.push(
            News::of(EventType::PaymentSucceeded)
                .order(order_id)
                .payment(id)
                .wallet(wallet.id),
        );
        payment_id = Some(id);
    }

    // Who ordered, not who said that the money had come.
    let owner = match &waited {
        None => scope.principal().to_owned(),
        Some(waited) => waited.order.principal.clone(),
    };
    let created_by = serde_json::json!({ "created-by": owner });
    let mut waiting = waited.as_ref().map(|waited| waited.items.clone().into_iter());
    let mut states = Vec::with_capacity(priced.items.len());
    for ((position, item), share) in (0_i32..).zip(&priced.items).zip(&shares) {
        let product = product(&ground.products, &item.product_code)?;
        let done_at_once = at_once(item.action, product);
        let before = match &mut waiting {
            None => None,
            Some(items) => Some(
                items
                    .next()
                    .ok_or_else(|| Error::internal("an order has fewer items than its quote"))?,
            ),
        };
        let new = match item.action {
            OrderAction::Create => {
                let id = before.as_ref().map_or_else(ids::new_id, |before| before.resource_id);
                Some(new_resource(id, account, product, item, &owner, now)?)
            }
            _ => None,
        };
        let resource_id = new.as_ref().map(|new| new.id).or(item.resource_id);
        let resource_id = resource_id.ok_or_else(|| Error::internal("an item is about no resource"))?;
        let mut row = new_item(
            order_id,
            account,
            position,
            product,
            resource_id,
            item,
            share,
            done_at_once,
            now,
        )?;
        if let Some(before) = &before {
            row.id = before.id;
            row.created_at = before.created_at;
            row.version = before.version;
        }
        let about = |kind| News::of(kind).order(order_id).resource(resource_id);
        if let Some(mut resource) = new {
            if done_at_once {
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
            let task = (!done_at_once).then_some(row.id);
            rows.calls
                .extend(deliveries::call(product, &resource, ProductCall::Provision, task, now));
            rows.tags.push(resource_tag::Model {
                resource_id,
                key: "created-by".to_owned(),
                account_id: account.id,
                kind: TagKind::System,
                value: owner.chars().take(256).collect(),
            });
            rows.resources.push(resource);
        } else {
            let mut stands = ground.standing.remove(&resource_id).ok_or_else(stale)?;
            if done_at_once {
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
                let done = carry_out(&mut rows, &mut codes, stands, &deed)?;
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
        if before.is_some() {
            rows.paid_items.push(row);
        } else {
            rows.items.push(row);
        }
    }
    movements.extend(paid);
    let status = rules::status(&states);
    if rules::is_over(status) {
        news.push(News::of(EventType::OrderCompleted).order(order_id));
    }
    let transaction = payment_id.and_then(|_| entries.first()).map(|entry| entry.id);
    let mut ended_holds = Vec::new();
    if let Source::Gateway { hold: Some(hold), .. } = source {
        ended_holds.push((hold, HoldStatus::Captured));
    }
    let order = match waited {
        None => {
            let order = new_order(order_code, quote, placing, scope, status);
            rows.orders.push(order.clone());
            order
        }
        Some(waited) => {
            let let_go = waited.let_go.into_iter();
            ended_holds.extend(let_go.map(|hold| (hold, HoldStatus::Released)));
            let order = order::Model {
                status,
                paid_at: Some(now),
                completed_at: rules::is_over(status).then_some(now),
                ..waited.order
            };
            rows.paid_orders.push(order.clone());
            order
        }
    };
    Ok(Paid {
        order,
        transaction,
        codes,
        rows,
        entries,
        movements,
        ended_holds,
        news,
    })
}

/// How many codes of each kind an order takes.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    orders: usize,
    payments: usize,
    invoices: usize,
    notes: usize,
}

impl Wanted {
    const fn codes(self) -> [(CodeKind, usize); 4] {
        [
            (CodeKind::Order, self.orders),
            (CodeKind::Payment, self.payments),
            (CodeKind::Invoice, self.invoices),
            (CodeKind::CreditNote, self.notes),
        ]
    }
}

/// What the quote was made from has changed.
pub(in crate::commands) fn stale() -> Refusal {
    quote_rules::stale_quote().under("quoteId")
}

/// A refusal as one of the quote.
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
fn credit_payment(
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
        became_credit: false,
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
        expires_at: None,
        cancelled_because: None,
        paid_at: Some(now),
        completed_at: rules::is_over(status).then_some(now),
        version: 1,
    }
}

pub(in crate::commands) fn new_resource(
    id: Uuid,
    account: &account::Model,
    product: &product::Model,
    item: &PricedItem,
    created_by: &str,
    now: DateTime<Utc>,
) -> Result<resource::Model, Error> {
    Ok(resource::Model {
        id,
        account_id: account.id,
        product_id: product.id,
        resource_type_id: item.resource_type_id,
        name: item.name.clone(),
        life: Life::Provisioning,
        power: Power::Running,
        configuration: RawJson::of(&item.configuration())?,
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
        created_by: created_by.to_owned(),
        created_at: now,
        provisioned_at: None,
        trashed_at: None,
        order_item_id: None,
        ended_at: None,
        version: 1,
    })
}

#[allow(clippy::too_many_arguments, reason = "each is a column of the row")]
pub(in crate::commands) fn new_item(
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
        status: status(at_once),
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
