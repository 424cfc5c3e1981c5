//! What an action does to a resource when it is done: its life, what is paid for it, its schedule, the invoice and the
//! credit notes, and what is booked. By hand, by a product's report or by the engine, it is done here.

mod catalogue;
pub(super) mod purchase;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::enums::{
    EventType, GraceService, Life, OrderAction, OrderItemStatus, Power, ProductCall, ProvisioningMode, StepStatus,
    WalletAction,
};
use entity::raw_json::RawJson;
use entity::{order_item, product, resource};
use uuid::Uuid;

use crate::domain::funding::Funding;
use crate::domain::lifecycle::{self, Event, State};
use crate::domain::quote::{self as quote_rules, PricedItem};
use crate::domain::refusal::{Facts, Refusal, RefusalCode};
use crate::domain::term::Span;
use crate::domain::{ledger, resize, term};
use crate::error::Error;
use crate::ids;
use crate::store::codes::Codes;
use crate::store::deliveries;
use crate::store::event_log::News;
use crate::store::fulfilment::{self, Closing, Opened, Opening};
use crate::store::ledger::{Entry, Movement};
use crate::store::purchases::{Rows, Standing};

pub(super) use catalogue::{Catalogue, catalogue_product, promise};

/// What is known of an action that is done now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed<'a> {
    /// The product.
    pub(super) product: &'a product::Model,
    /// The account's zone.
    pub(super) zone: Tz,
    /// The item.
    pub(super) item: &'a order_item::Model,
    /// The code of its order.
    pub(super) order_code: &'a str,
    /// It, as it was priced.
    pub(super) priced: &'a PricedItem,
    /// What was paid for it.
    pub(super) paid: Funding,
    /// The payment that paid it.
    pub(super) payment: Option<Uuid>,
    /// The coupon that took something off.
    pub(super) coupon_code: Option<&'a str>,
    /// The resource's tags, as they are.
    pub(super) tags: &'a serde_json::Value,
    /// The invoices of the periods it replaces.
    pub(super) invoices: &'a HashMap<Uuid, Uuid>,
    /// What becomes of the step that the resource's old plan waited for.
    pub(super) waited: StepStatus,
    /// The present, in business time.
    pub(super) now: DateTime<Utc>,
}

/// What is to be booked and told of an action that was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) entries: Vec<Entry>,
    /// What goes back to the wallet.
    pub(super) refund: Option<Movement>,
    pub(super) news: Vec<News>,
}

/// How many invoices and credit notes an item makes when it is done.
///
/// # Errors
/// [`Error::Internal`] when an amount is out of range.
pub(super) fn documents(item: &PricedItem) -> Result<(usize, usize), Error> {
    let mut notes = 0;
    for replaced in &item.replaced {
        notes += usize::from(replaced.unused.is_noted()?);
    }
    // What is given free, and what is deleted, has no lines.
    Ok((usize::from(!item.lines.is_empty()), notes))
}

/// Whether an item is done as soon as it is paid. New resources and other configurations of some products are made by
/// the product's service, which reports; all else is a matter of the books.
pub(super) const fn at_once(action: OrderAction, product: &product::Model) -> bool {
    match action {
        OrderAction::Create | OrderAction::Resize => {
            matches!(product.provisioning, ProvisioningMode::Instant)
        }
        OrderAction::Renew | OrderAction::Recover | OrderAction::Delete | OrderAction::StopPoc => true,
    }
}

/// Whether an action that was priced may be done to the resource as it stands now: it is paid for as it was then, no
/// other order of it is being carried out, and its state allows it.
///
/// Errors: QUOTE_STALE, STATE_CONFLICT.
pub(super) fn check(
    standing: Option<&Standing>,
    item: &PricedItem,
    product: &product::Model,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let standing = standing.ok_or_else(quote_rules::stale_quote)?;
    let resource = &standing.resource;
    if resource.order_item_id.is_some() {
        return Err(busy(resource.life, resource.power).into());
    }
    let stale = item
        .basis
        .is_none_or(|basis| basis.period_id != resource.period_id || basis.paid_until != resource.paid_until);
    let terms = fulfilment::policy_terms(product)?;
    let state = State {
        life: resource.life,
        power: resource.power,
    };
    // A state that has moved on says more than a quote that is stale.
    lifecycle::decide(&terms, state, event_of(item, now)?)?;
    // What has ended since has no unused value, whatever the quote saw in it.
    let ended = resource.paid_until.is_some_and(|end| end <= now);
    let gives_back = item.action == OrderAction::Delete && item.credited()?.total()?.is_positive();
    if stale || (ended && gives_back) {
        return Err(quote_rules::stale_quote().into());
    }
    Ok(())
}

/// Another order of the resource is being carried out.
pub(super) fn busy(life: Life, power: entity::enums::Power) -> Refusal {
    Refusal {
        facts: Facts::State {
            state: lifecycle::display_status(life, power).to_string(),
            allowed: Vec::new(),
        },
        ..Refusal::new(
            RefusalCode::StateConflict,
            "An order of this resource is being carried out by its product. Wait until it is done.",
        )
    }
}

fn event_of(item: &PricedItem, now: DateTime<Utc>) -> Result<Event, Error> {
    Ok(match item.action {
        OrderAction::Renew => Event::Renewed {
            covers_now: item.span.is_some_and(|span| span.end > now),
        },
        OrderAction::Recover => Event::Recovered,
        OrderAction::Resize => Event::Resized,
        OrderAction::Delete => Event::DeletedByCustomer,
        OrderAction::Create | OrderAction::StopPoc => {
            return Err(Error::internal("no action on a resource that exists"));
        }
    })
}

/// Does it: adds what it leaves to the rows, the resource as it then is included.
///
/// # Errors
/// Refused with STATE_CONFLICT; [`Error::Internal`] when the periods are not those that were priced.
pub(super) fn carry_out(
    rows: &mut Rows,
    codes: &mut Codes,
    standing: Standing,
    deed: &Deed<'_>,
) -> Result<Done, Error> {
    let Deed { item, priced, now, .. } = *deed;
    let terms = fulfilment::policy_terms(deed.product)?;
    let Standing {
        mut resource,
        periods,
        newest,
    } = standing;
    let before = State {
        life: resource.life,
        power: resource.power,
    };
    // What its product did has been done, whatever has become of the resource meanwhile.
    let reported = resource.order_item_id.take() == Some(item.id);
    if !reported {
        let after = lifecycle::decide(&terms, before, event_of(priced, now)?)?.to;
        (resource.life, resource.power) = (after.life, after.power);
    }

    let mut done = Done::default();
    let settled = resize::settle(&priced.credited()?, priced.totals.charged, &deed.paid)?;
    let mut opened = None;
    if let (false, Some(planned)) = (priced.lines.is_empty(), priced.span) {
        let span = match (priced.action, priced.term) {
            (OrderAction::Recover, Some(chosen)) => {
                term::respan_at_provisioning(chosen, &planned, now, deed.zone, priced.product_day_count)?
            }
            _ => planned,
        };
        let period = fulfilment::open_period(
            rows,
            &resource,
            codes,
            &Opening {
                item,
                priced,
                span,
                sequence: newest + 1,
                charged_promotional_minor: settled.charged.promotional.minor(),
                zone: deed.zone,
                coupon_code: deed.coupon_code,
                payment: deed.payment,
                tags: deed.tags,
                now,
            },
        )?;
        fulfilment::follow(&mut resource, period.period, &span)?;
        opened = Some(period);
    }
    if !priced.replaced.is_empty() {
        let reason = format!("Order {}: {}", deed.order_code, words(priced.action));
        let closing = Closing {
            item,
            replaced: &priced.replaced,
            periods: &periods,
            invoices: deed.invoices,
            reason: &reason,
            now,
        };
        let noted = fulfilment::close_periods(rows, codes, closing)?;
        let unused: Vec<_> = priced.replaced.iter().map(|replaced| replaced.unused).collect();
        let mut entry = Entry::new(ledger::unused_replaced(&unused, &settled.refund)?);
        entry.order = Some(item.order_id);
        entry.order_item = Some(item.id);
        entry.resource = Some(resource.id);
        if settled.refund.total()?.is_positive() {
            done.refund = Some(Movement {
                id: ids::new_id(),
                transaction: entry.id,
                action: WalletAction::Refund,
                details: format!("Order {}: {} {}", deed.order_code, resource.name, words(priced.action)),
                cash_minor: settled.refund.cash.minor(),
                promotional_minor: settled.refund.promotional.minor(),
                order: Some(item.order_id),
            });
        }
        done.entries.push(entry);
        let told = noted
            .into_iter()
            .map(|invoice| about(EventType::CreditNoteIssued, item).invoice(invoice));
        done.news.extend(told);
    }

    let plan = match priced.action {
        OrderAction::Renew | OrderAction::Recover => {
            resource.trashed_at = None;
            match (&opened, priced.span) {
                (Some(period), _) => Some(period.period),
                // Free, up to the old end. Its steps are those of a plan of its own: the old one was given up.
                (None, Some(span)) => {
                    resource.paid_until = Some(span.end);
                    Some(item.id)
                }
                (None, None) => return Err(Error::internal("a recovery has no end")),
            }
        }
        OrderAction::Resize => {
            resource.configuration = RawJson::of(&priced.configuration())?;
            // Its end has not moved, and neither has what happens around it.
            None
        }
        OrderAction::Delete => {
            if !priced.replaced.is_empty() {
                resource.paid_until = Some(now);
            }
            match resource.life {
                Life::Trashed => resource.trashed_at = Some(now),
                _ => resource.ended_at = Some(now),
            }
            Some(item.id)
        }
        OrderAction::Create | OrderAction::StopPoc => None,
    };
    if let Some(plan) = plan {
        fulfilment::plan_anew(rows, &mut resource, &terms, plan, deed.waited, deed.zone, now)?;
    }
    if lifecycle::is_over(resource.life) {
        (resource.next_step, resource.next_due_at) = (None, None);
    }
    // A reported resize has been done by its product already.
    if let Some(call) = call_of(priced.action, before, &resource, deed.product).filter(|_| !reported) {
        rows.calls
            .extend(deliveries::call(deed.product, &resource, call, None, now));
    }
    done.news.insert(0, about(told_by(priced.action), item));
    if let Some(Opened { entry, invoice, .. }) = opened {
        done.entries.push(entry);
        done.news.push(about(EventType::InvoiceIssued, item).invoice(invoice));
    }
    rows.changed.push(resource);
    Ok(done)
}

/// What a renewal makes of a resource: alive, paid up to the new end, with a plan of its own around it. What [`carry_out`]
/// does to the row, without documents and postings: for who asks what would be.
///
/// # Errors
/// Refused with STATE_CONFLICT.
pub(super) fn renewed(
    mut resource: resource::Model,
    product: &product::Model,
    span: &Span,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<resource::Model, Error> {
    let terms = fulfilment::policy_terms(product)?;
    let state = State {
        life: resource.life,
        power: resource.power,
    };
    let event = Event::Renewed {
        covers_now: span.end > now,
    };
    resource.life = lifecycle::decide(&terms, state, event)?.to.life;
    resource.trashed_at = None;
    let period = ids::new_id();
    fulfilment::follow(&mut resource, period, span)?;
    let mut rows = Rows::default();
    fulfilment::plan_anew(&mut rows, &mut resource, &terms, period, StepStatus::Sent, zone, now)?;
    Ok(resource)
}

/// How an item stands that was paid: done, or waiting for its product.
pub(super) const fn status(at_once: bool) -> OrderItemStatus {
    if at_once {
        OrderItemStatus::Fulfilled
    } else {
        OrderItemStatus::Provisioning
    }
}

/// What a product's service is to do after an action that was a matter of the books.
fn call_of(
    action: OrderAction,
    before: State,
    resource: &resource::Model,
    product: &product::Model,
) -> Option<ProductCall> {
    let served = match before.life {
        Life::Active => true,
        Life::Grace => product.grace_service == GraceService::Full,
        _ => false,
    };
    match action {
        OrderAction::Renew | OrderAction::Recover => {
            let runs = resource.life == Life::Active && resource.power == Power::Running;
            (runs && !served).then_some(ProductCall::Start)
        }
        OrderAction::Resize | OrderAction::StopPoc => Some(ProductCall::Resize),
        OrderAction::Delete if resource.life == Life::Deleted => Some(ProductCall::Release),
        OrderAction::Delete => Some(ProductCall::Delete),
        OrderAction::Create => None,
    }
}

const fn about(kind: EventType, item: &order_item::Model) -> News {
    News::of(kind).order(item.order_id).resource(item.resource_id)
}

const fn told_by(action: OrderAction) -> EventType {
    match action {
        OrderAction::Create => EventType::ResourceProvisioned,
        OrderAction::Renew => EventType::ResourceRenewed,
        OrderAction::Recover => EventType::ResourceRecovered,
        OrderAction::Resize | OrderAction::StopPoc => EventType::ResourceResized,
        OrderAction::Delete => EventType::ResourceDeleted,
    }
}

const fn words(action: OrderAction) -> &'static str {
    match action {
        OrderAction::Create => "bought",
        OrderAction::Renew => "renewed",
        OrderAction::Recover => "recovered",
        OrderAction::Resize | OrderAction::StopPoc => "resized",
        OrderAction::Delete => "deleted",
    }
}

#[cfg(test)]
mod tests;
