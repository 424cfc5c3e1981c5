//! What a provisioned order item leaves: its resource alive, a paid period with a schedule around its end, and one paid
//! invoice with a line for each component. Rows from the rules' values; nothing is decided here.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::enums::{CodeKind, InvoiceStatus, Life, PeriodStatus};
use entity::{invoice, invoice_line, order_item, paid_period, product, resource};
use uuid::Uuid;

use super::codes::Codes;
use super::ledger::Entry;
use super::purchases::Rows;
use crate::domain::ledger;
use crate::domain::policy::PolicyTerms;
use crate::domain::quote::PricedItem;
use crate::domain::schedule::Plan;
use crate::domain::term::{self, Span};
use crate::error::Error;
use crate::ids;

/// What is known when an item was provisioned.
#[derive(Clone, Copy, Debug)]
pub struct Provisioned<'a> {
    /// The item.
    pub item: &'a order_item::Model,
    /// It, as it was priced.
    pub priced: &'a PricedItem,
    /// Its product.
    pub product: &'a product::Model,
    /// The account's zone.
    pub zone: Tz,
    /// The coupon that took something off.
    pub coupon_code: Option<&'a str>,
    /// The payment that paid it.
    pub payment: Option<Uuid>,
    /// Its tags, as they are.
    pub tags: &'a serde_json::Value,
    /// When it was provisioned, in business time.
    pub now: DateTime<Utc>,
}

/// The schedule terms of a product.
///
/// # Errors
/// [`Error::Internal`] for days out of range: the table's CHECKs keep them in it.
pub fn policy_terms(product: &product::Model) -> Result<PolicyTerms, Error> {
    Ok(PolicyTerms {
        policy: product.lifecycle,
        grace_service: product.grace_service,
        release_days: u32::try_from(product.release_days).map_err(Error::internal)?,
        trash_days: u32::try_from(product.trash_days).map_err(Error::internal)?,
        auto_renew_locked: product.auto_renew_locked,
    })
}

/// Adds an item's paid period and invoice to the rows, brings its resource to life, and answers what is to be booked
/// with the invoice's key.
///
/// # Errors
/// Refused with END_NOT_AFTER_START when a chosen end has passed: the item is to be reported as failed.
pub fn add(
    rows: &mut Rows,
    resource: &mut resource::Model,
    codes: &mut Codes,
    done: Provisioned<'_>,
) -> Result<(Entry, Uuid), Error> {
    let Provisioned {
        item,
        priced,
        product,
        zone,
        now,
        ..
    } = done;
    let span = term::respan_at_provisioning(priced.term, &priced.span, now, zone, priced.product_day_count)?;
    let period = period(item, priced, &span, zone, now)?;
    come_alive(resource, product, &period, &span, zone, now)?;

    let invoice_id = ids::new_id();
    let lines = priced.lines.iter();
    for (position, line) in (0_i32..).zip(lines) {
        rows.lines.push(invoice_line::Model {
            invoice_id,
            position,
            component_code: line.component.code.clone(),
            component_name: line.component.name.clone(),
            unit_label: line.component.unit_label.clone(),
            unit: line.unit,
            unit_price_micros: line.unit_price.micros(),
            quantity: line.quantity,
            minutes: line.minutes.get(),
            discount_micros: line.discount.micros(),
            tax_rate_micros: line.tax_rate.micros(),
            net_minor: line.net.minor(),
            tax_minor: line.tax.minor(),
            coupon_code: done.coupon_code.filter(|_| !line.coupon.is_zero()).map(str::to_owned),
            coupon_minor: line.coupon.minor(),
            total_minor: line.charged.minor(),
        });
    }
    let totals = &priced.totals;
    rows.invoices.push(invoice::Model {
        id: invoice_id,
        account_id: item.account_id,
        resource_id: item.resource_id,
        period_id: Some(period.id),
        order_id: Some(item.order_id),
        code: codes.next(CodeKind::Invoice)?,
        status: InvoiceStatus::Paid,
        currency: period.currency.clone(),
        net_minor: totals.net.minor(),
        tax_minor: totals.tax.minor(),
        coupon_minor: totals.coupon.minor(),
        total_minor: totals.charged.minor(),
        paid_minor: totals.charged.minor(),
        credited_minor: 0,
        description: description(resource, priced),
        period_start: span.start,
        period_end: span.end,
        billing_address: None,
        tags: done.tags.clone(),
        issued_at: now,
        due_at: None,
    });
    rows.periods.push(period);
    let mut entry = Entry::new(ledger::provisioned(
        totals.charged,
        totals.net,
        totals.tax,
        totals.coupon,
    )?);
    entry.order = Some(item.order_id);
    entry.order_item = Some(item.id);
    entry.payment = done.payment;
    entry.invoice = Some(invoice_id);
    entry.resource = Some(item.resource_id);
    Ok((entry, invoice_id))
}

fn period(
    item: &order_item::Model,
    priced: &PricedItem,
    span: &Span,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<paid_period::Model, Error> {
    Ok(paid_period::Model {
        id: ids::new_id(),
        account_id: item.account_id,
        resource_id: item.resource_id,
        order_item_id: item.id,
        sequence: 1,
        status: PeriodStatus::Paid,
        starts_at: span.start,
        ends_at: span.end,
        length_minutes: span.length.get(),
        priced_minutes: span.priced.get(),
        day_count: span.day_count,
        zone: zone.name().to_owned(),
        currency: priced.totals.charged.currency().code().to_owned(),
        gross_minor: item.gross_minor,
        coupon_minor: item.coupon_minor,
        tax_minor: item.tax_minor,
        charged_minor: item.charged_minor,
        charged_promotional_minor: item.charged_promotional_minor,
        configuration: serde_json::to_value(&priced.lines)?,
        created_at: now,
        closed_at: None,
    })
}

fn come_alive(
    resource: &mut resource::Model,
    product: &product::Model,
    period: &paid_period::Model,
    span: &Span,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let terms = policy_terms(product)?;
    let plan = Plan {
        terms: &terms,
        paid_until: span.end,
        zone,
        auto_renew: false,
        release_at: None,
    };
    // A term shorter than a week begins after some of its reminders: those belong to no plan.
    let next = plan.steps().into_iter().find(|step| step.due_at >= now);
    resource.life = Life::Active;
    resource.period_id = Some(period.id);
    resource.paid_until = Some(span.end);
    resource.anchor_day = Some(i32::try_from(span.anchor_day).map_err(Error::internal)?);
    resource.provisioned_at = Some(now);
    resource.next_step = next.map(|step| step.key().to_string());
    resource.next_due_at = next.map(|step| step.due_at);
    Ok(())
}

/// The resource and its configuration, in words, within the column's bound.
fn description(resource: &resource::Model, priced: &PricedItem) -> String {
    let parts: Vec<String> = priced
        .lines
        .iter()
        .map(|line| format!("{} x {}", line.quantity, line.component.code))
        .collect();
    let text = format!("{} {}: {}", priced.product_name, resource.name, parts.join(", "));
    text.chars().take(500).collect()
}
