//! What a product's service reports of its tasks: an item was provisioned, or could not be.

use chrono::{DateTime, Utc};
use entity::enums::{CodeKind, EventType, Life, OrderAction, OrderItemStatus, StepStatus, WalletAction, WalletKind};
use entity::product;
use sea_orm::EntityTrait;
use uuid::Uuid;

use super::fulfil::{self, Deed};
use crate::app::App;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::funding::Funding;
use crate::domain::money::{Currency, Money};
use crate::domain::quote::PricedItem;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{ledger, order as rules, text, time};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::fulfilment::{self, Provisioned};
use crate::store::ledger::{self as books, Entry, Movement};
use crate::store::purchases::{self, Rows, Task};
use crate::store::{Scope, accounts, codes, resources};

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The resource is there.
    Succeeded {
        /// The product's own name for it.
        external_id: Option<String>,
    },
    /// It could not be made.
    Failed {
        /// Why, for the customer.
        reason: String,
    },
}

/// A report on a task.
#[derive(Clone, Debug)]
pub struct Report {
    /// The task: an order item.
    pub task: Uuid,
    /// How it ended.
    pub outcome: Outcome,
}

/// Takes a product's report. Success brings the resource to life, or gives it its other configuration, with its paid
/// period and its paid invoice; failure gives what was paid for the item back to the wallet, to the parts it came from. The same report again changes
/// nothing. Answers the order item.
///
/// # Errors
/// Refused with TASK_NOT_FOUND, TASK_ALREADY_REPORTED, INVALID_TEXT, END_NOT_AFTER_START.
pub async fn report(app: &App, scope: &Scope, input: Report) -> Result<Uuid, Error> {
    let outcome = checked(input.outcome)?;
    let now = app.clock.now();
    let told = app
        .db
        .write("report_provisioning", async |tx| {
            let tx = &*tx;
            let task = purchases::lock_task(tx, scope, input.task).await?;
            let task = task.ok_or_else(|| {
                Refusal::new(RefusalCode::TaskNotFound, "There is no such task of this product.").under("taskId")
            })?;
            if task.item.status != OrderItemStatus::Provisioning {
                let reported = purchases::lock_resource(tx, &Scope::engine(), task.item.resource_id).await?;
                check_repeated(&task, reported.external_id.as_deref(), &outcome)?;
                return Ok(None);
            }
            let account = task.item.account_id;
            let newest = match &outcome {
                Outcome::Succeeded { external_id } => succeed(tx, scope, task, external_id.clone(), now).await?,
                Outcome::Failed { reason } => fail(tx, scope, task, reason, now).await?,
            };
            Ok(newest.map(|newest| (account, newest)))
        })
        .await?;
    if let Some((account, newest)) = told {
        app.hub.wake(account, newest);
    }
    Ok(input.task)
}

fn checked(outcome: Outcome) -> Result<Outcome, Refusal> {
    let within = |refusal: Refusal, ended: &str, field: &str| refusal.under(field).under(ended).under("outcome");
    Ok(match outcome {
        Outcome::Succeeded { external_id } => Outcome::Succeeded {
            external_id: external_id
                .map(|id| text::line(&id, 200).map_err(|refusal| within(refusal, "succeeded", "externalId")))
                .transpose()?,
        },
        Outcome::Failed { reason } => Outcome::Failed {
            reason: text::line(&reason, text::MAX_REASON).map_err(|refusal| within(refusal, "failed", "reason"))?,
        },
    })
}

/// Lets the same report pass again, and nothing else: another outcome, another name of the resource, another reason.
fn check_repeated(task: &Task, external_id: Option<&str>, outcome: &Outcome) -> Result<(), Refusal> {
    let same = match (task.item.status, outcome) {
        (OrderItemStatus::Fulfilled, Outcome::Succeeded { external_id: again }) => again.as_deref() == external_id,
        (OrderItemStatus::Refunded, Outcome::Failed { reason }) => {
            task.item.failure_reason.as_deref() == Some(reason.as_str())
        }
        _ => false,
    };
    if same {
        return Ok(());
    }
    let message = format!(
        "This task is {} already. Its outcome can't be changed by another report.",
        task.item.status
    );
    Err(Refusal::new(RefusalCode::TaskAlreadyReported, message).under("taskId"))
}

async fn succeed(
    tx: &Tx,
    scope: &Scope,
    mut task: Task,
    external_id: Option<String>,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let engine = Scope::engine();
    let priced: PricedItem = serde_json::from_value(task.item.document.clone())?;
    let account = accounts::by_ids(&**tx, &engine, &[task.item.account_id])
        .await?
        .into_iter()
        .next();
    let account = account.ok_or(Error::NotFound("account"))?;
    let zone = time::zone(&account.zone)?;
    let product = product::Entity::find_by_id(task.item.product_id)
        .one(&**tx)
        .await?
        .ok_or(Error::NotFound("product"))?;
    // What goes back is the wallet's: it is locked before the resource, as an order does.
    let wallet = if priced.refund()?.is_positive() {
        Some(books::lock_wallet(tx, &engine, account.id, WalletKind::Credit).await?)
    } else {
        None
    };
    let (invoices, notes) = fulfil::documents(&priced)?;
    let wanted = [(CodeKind::Invoice, invoices), (CodeKind::CreditNote, notes)];
    let mut codes = codes::take(tx, &engine, &account, zone, now, &wanted).await?;
    let coupon = crate::store::pricing::coupon_code(&**tx, &engine, task.order.coupon_id).await?;
    let mut rows = Rows::default();
    let mut entries = Vec::new();
    let mut news = Vec::new();
    let mut movements = Vec::new();
    let (resource_id, order_id) = (task.item.resource_id, task.order.id);
    let about = |kind| News::of(kind).order(order_id).resource(resource_id);
    if priced.action == OrderAction::Create {
        let mut resource = purchases::lock_resource(tx, &engine, resource_id).await?;
        resource.external_id = external_id;
        let done = Provisioned {
            item: &task.item,
            priced: &priced,
            product: &product,
            zone,
            coupon_code: coupon.as_deref(),
            payment: None,
            tags: &serde_json::json!({ "created-by": resource.created_by.clone() }),
            now,
        };
        let (entry, invoice) = fulfilment::add(&mut rows, &mut resource, &mut codes, done)?;
        entries.push(entry);
        news.push(about(EventType::ResourceProvisioned));
        news.push(about(EventType::InvoiceIssued).invoice(invoice));
        rows.changed.push(resource);
    } else {
        // The periods as they were when this was priced: one of them may have ended since.
        let at = priced.span.map_or(now, |span| span.start);
        let found = purchases::standing(&**tx, &engine, account.id, &[resource_id], at, true).await?;
        let mut stands = found.into_values().next().ok_or(Error::NotFound("resource"))?;
        if external_id.is_some() {
            stands.resource.external_id = external_id;
        }
        let replaced: Vec<Uuid> = priced.replaced.iter().map(|replaced| replaced.period_id).collect();
        let deed = Deed {
            product: &product,
            zone,
            item: &task.item,
            order_code: &task.order.code,
            priced: &priced,
            paid: paid(&task)?,
            payment: None,
            coupon_code: coupon.as_deref(),
            tags: &resources::tags_as_kept(&**tx, &engine, resource_id).await?,
            invoices: &purchases::invoices_of_periods(&**tx, &engine, &replaced).await?,
            waited: StepStatus::Superseded,
            now,
        };
        let done = fulfil::carry_out(&mut rows, &mut codes, stands, &deed)?;
        entries.extend(done.entries);
        news.extend(done.news);
        if let (Some(refund), Some(wallet)) = (done.refund, &wallet) {
            movements.push(refund);
            news.push(about(EventType::Refunded).wallet(wallet.id));
        }
    }
    task.item.status = OrderItemStatus::Fulfilled;
    let mut writes = Writes::of(tx);
    finish(&mut writes, &engine, &task, &mut news, now);
    rows.write(&mut writes, &engine)?;
    books::post(&mut writes, scope, account.id, entries, now);
    if let Some(wallet) = wallet {
        books::move_wallet(&mut writes, &engine, &wallet, movements, now)?;
    }
    event_log::append(&mut writes, &engine, account.id, &news, now)?;
    writes.send(tx).await
}

/// What was paid for an item, by where it came from.
fn paid(task: &Task) -> Result<Funding, Error> {
    let currency: Currency = task.order.currency.parse()?;
    let due = (task.item.charged_minor - task.item.credited_minor).max(0);
    Ok(Funding::of(
        Money::of(due, currency),
        Money::of(task.item.charged_promotional_minor, currency),
    )?)
}

async fn fail(tx: &Tx, scope: &Scope, mut task: Task, reason: &str, now: DateTime<Utc>) -> Result<Option<i64>, Error> {
    let engine = Scope::engine();
    let account = task.item.account_id;
    let charged = paid(&task)?;
    let wallet = if charged.total()?.is_positive() {
        Some(books::lock_wallet(tx, &engine, account, WalletKind::Credit).await?)
    } else {
        None
    };
    let mut resource = purchases::lock_resource(tx, &engine, task.item.resource_id).await?;
    let missed = if task.item.action == OrderAction::Create {
        resource.life = Life::Failed;
        resource.ended_at = Some(now);
        "provisioned"
    } else {
        // It stays what it was.
        resource.order_item_id = None;
        "resized"
    };
    let (resource_id, order_id) = (resource.id, task.order.id);
    task.item.status = OrderItemStatus::Refunded;
    task.item.failure_reason = Some(reason.to_owned());
    let mut news = vec![
        News::of(EventType::ProvisioningFailed)
            .order(order_id)
            .resource(resource_id),
    ];
    let mut writes = Writes::of(tx);
    if let Some(wallet) = wallet {
        let mut entry = Entry::new(ledger::provisioning_refund(&charged)?);
        entry.order = Some(order_id);
        entry.order_item = Some(task.item.id);
        entry.resource = Some(resource_id);
        entry.reason = Some(reason.to_owned());
        let movement = Movement {
            id: ids::new_id(),
            transaction: entry.id,
            action: WalletAction::Refund,
            details: format!("Order {}: {} could not be {missed}", task.order.code, resource.name),
            cash_minor: charged.cash.minor(),
            promotional_minor: charged.promotional.minor(),
            order: Some(order_id),
        };
        books::post(&mut writes, scope, account, vec![entry], now);
        books::move_wallet(&mut writes, &engine, &wallet, vec![movement], now)?;
        news.push(
            News::of(EventType::Refunded)
                .order(order_id)
                .resource(resource_id)
                .wallet(wallet.id),
        );
    }
    finish(&mut writes, &engine, &task, &mut news, now);
    purchases::update_resource(&mut writes, &engine, resource);
    event_log::append(&mut writes, &engine, account, &news, now)?;
    writes.send(tx).await
}

/// Writes the item's end and the order's state after it; the last item completes the order.
fn finish(writes: &mut Writes, scope: &Scope, task: &Task, news: &mut Vec<News>, now: DateTime<Utc>) {
    let states: Vec<OrderItemStatus> = task
        .states
        .iter()
        .map(|(id, status)| if *id == task.item.id { task.item.status } else { *status })
        .collect();
    let status = rules::status(&states);
    let completed_at = rules::is_over(status).then_some(now);
    if completed_at.is_some() {
        news.push(News::of(EventType::OrderCompleted).order(task.order.id));
    }
    purchases::finish_task(writes, scope, &task.item, &task.order, status, completed_at, now);
}
