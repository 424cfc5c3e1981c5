//! What an order item leaves when it is done: its resource alive, a paid period with a schedule around its end, one paid
//! invoice with a line for each component, credit notes over what it replaces. Rows from the rules' values; nothing is
//! decided here.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::enums::{CodeKind, InvoiceStatus, Life, PeriodStatus, StepStatus};
use entity::{
    credit_note, credit_note_line, invoice, invoice_line, order_item, paid_period, product, resource, schedule_step,
};
use uuid::Uuid;

use super::codes::Codes;
use super::ledger::Entry;
use super::purchases::Rows;
use crate::domain::ledger;
use crate::domain::money::{Currency, Money};
use crate::domain::period::{PaidPeriod, credit_note_lines};
use crate::domain::policy::PolicyTerms;
use crate::domain::pricing::PricedLine;
use crate::domain::quote::{PricedItem, Replaced};
use crate::domain::schedule::{Plan, StepKey};
use crate::domain::term::{self, Span};
use crate::domain::time::{self, Minutes, PricedMinutes};
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
    let (Some(term), Some(planned)) = (priced.term, priced.span) else {
        return Err(Error::internal("a new resource has no term"));
    };
    let span = term::respan_at_provisioning(term, &planned, now, zone, priced.product_day_count)?;
    let opened = open_period(
        rows,
        resource,
        codes,
        &Opening {
            item,
            priced,
            span,
            sequence: 1,
            charged_promotional_minor: item.charged_promotional_minor,
            zone,
            coupon_code: done.coupon_code,
            payment: done.payment,
            tags: done.tags,
            now,
        },
    )?;
    resource.life = Life::Active;
    resource.provisioned_at = Some(now);
    follow(resource, opened.period, &span)?;
    plan_anew(
        rows,
        resource,
        &policy_terms(product)?,
        opened.period,
        StepStatus::Superseded,
        zone,
        now,
    )?;
    Ok((opened.entry, opened.invoice))
}

/// What is known when a paid period begins.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The item that pays it.
    pub item: &'a order_item::Model,
    /// It, as it was priced.
    pub priced: &'a PricedItem,
    /// The period, laid down in time.
    pub span: Span,
    /// Its place in the resource's life.
    pub sequence: i32,
    /// How much of what it is charged was promotional money.
    pub charged_promotional_minor: i64,
    /// The account's zone.
    pub zone: Tz,
    /// The coupon that took something off.
    pub coupon_code: Option<&'a str>,
    /// The payment that paid it.
    pub payment: Option<Uuid>,
    /// The resource's tags, as they are.
    pub tags: &'a serde_json::Value,
    /// When it is written, in business time.
    pub now: DateTime<Utc>,
}

/// A paid period that was opened.
#[derive(Debug)]
pub struct Opened {
    /// What is to be booked.
    pub entry: Entry,
    /// Its invoice.
    pub invoice: Uuid,
    /// Its key.
    pub period: Uuid,
}

/// Adds a paid period and its paid invoice, with a line for each component, to the rows.
///
/// # Errors
/// [`Error::Internal`] when a number is out of range.
pub fn open_period(
    rows: &mut Rows,
    resource: &resource::Model,
    codes: &mut Codes,
    opening: &Opening<'_>,
) -> Result<Opened, Error> {
    let Opening { item, priced, span, .. } = opening;
    let period = period(opening)?;
    let invoice_id = ids::new_id();
    let lines = priced.lines.iter();
    for (position, line) in (0_i32..).zip(lines) {
        let coupon_code = opening.coupon_code.filter(|_| !line.coupon.is_zero());
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
            coupon_code: coupon_code.map(str::to_owned),
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
        tags: opening.tags.clone(),
        issued_at: opening.now,
        due_at: None,
    });
    let mut entry = Entry::new(ledger::provisioned(
        totals.charged,
        totals.net,
        totals.tax,
        totals.coupon,
    )?);
    entry.order = Some(item.order_id);
    entry.order_item = Some(item.id);
    entry.payment = opening.payment;
    entry.invoice = Some(invoice_id);
    entry.resource = Some(item.resource_id);
    let opened = Opened {
        entry,
        invoice: invoice_id,
        period: period.id,
    };
    rows.periods.push(period);
    Ok(opened)
}

fn period(opening: &Opening<'_>) -> Result<paid_period::Model, Error> {
    let Opening {
        item,
        priced,
        span,
        now,
        ..
    } = opening;
    Ok(paid_period::Model {
        id: ids::new_id(),
        account_id: item.account_id,
        resource_id: item.resource_id,
        order_item_id: item.id,
        sequence: opening.sequence,
        status: PeriodStatus::Paid,
        starts_at: span.start,
        ends_at: span.end,
        length_minutes: span.length.get(),
        priced_minutes: span.priced.get(),
        day_count: span.day_count,
        zone: opening.zone.name().to_owned(),
        currency: priced.totals.charged.currency().code().to_owned(),
        gross_minor: item.gross_minor,
        coupon_minor: item.coupon_minor,
        tax_minor: item.tax_minor,
        charged_minor: item.charged_minor,
        charged_promotional_minor: opening.charged_promotional_minor,
        configuration: serde_json::to_value(&priced.lines)?,
        created_at: *now,
        closed_at: None,
    })
}

/// A stored period as the rules know it.
///
/// # Errors
/// [`Error::Internal`] when the row is not one of ours.
pub fn paid(row: &paid_period::Model) -> Result<PaidPeriod, Error> {
    let currency: Currency = row.currency.parse()?;
    let money = |minor: i64| Money::of(minor, currency);
    Ok(PaidPeriod {
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        length: Minutes::new(row.length_minutes),
        priced: PricedMinutes::new(row.priced_minutes),
        day_count: row.day_count,
        zone: time::zone(&row.zone)?,
        gross: money(row.gross_minor),
        tax: money(row.tax_minor),
        charged: money(row.charged_minor),
        charged_promotional: money(row.charged_promotional_minor),
    })
}

/// What is known when periods are closed.
#[derive(Clone, Copy, Debug)]
pub struct Closing<'a> {
    /// The item that replaces them.
    pub item: &'a order_item::Model,
    /// The periods, and what of each is unused.
    pub replaced: &'a [Replaced],
    /// The resource's open periods.
    pub periods: &'a [paid_period::Model],
    /// The invoices of those that are replaced.
    pub invoices: &'a HashMap<Uuid, Uuid>,
    /// Why, in words.
    pub reason: &'a str,
    /// When, in business time.
    pub now: DateTime<Utc>,
}

/// Closes the periods that an item replaces, and adds a credit note over what of each is unused to the rows; answers
/// the notes' invoices.
///
/// # Errors
/// [`Error::Internal`] when a period or its invoice is not there.
pub fn close_periods(rows: &mut Rows, codes: &mut Codes, closing: Closing<'_>) -> Result<Vec<Uuid>, Error> {
    let Closing { item, reason, now, .. } = closing;
    let mut noted = Vec::new();
    for Replaced { period_id, unused } in closing.replaced {
        let period = closing.periods.iter().find(|period| period.id == *period_id);
        let period = period.ok_or_else(|| Error::internal("a period that is replaced is not open"))?;
        rows.closed.push((period.id, now));
        if !unused.is_noted()? {
            continue;
        }
        let invoice = closing.invoices.get(period_id).copied();
        let invoice = invoice.ok_or_else(|| Error::internal("a period that is replaced has no invoice"))?;
        let lines: Vec<PricedLine> = serde_json::from_value(period.configuration.clone())?;
        let id = ids::new_id();
        for (position, line) in (0_i32..).zip(credit_note_lines(unused, &lines)?) {
            rows.credit_note_lines.push(credit_note_line::Model {
                credit_note_id: id,
                position,
                amount_minor: line.amount.minor(),
                tax_minor: line.tax.minor(),
            });
        }
        let amount_minor = unused.amount()?.minor();
        rows.credit_notes.push(credit_note::Model {
            id,
            account_id: item.account_id,
            invoice_id: invoice,
            order_item_id: item.id,
            code: codes.next(CodeKind::CreditNote)?,
            currency: period.currency.clone(),
            amount_minor,
            tax_minor: unused.tax.minor(),
            coupon_minor: unused.coupon.minor(),
            reason: reason.chars().take(500).collect(),
            issued_at: now,
        });
        if amount_minor > 0 {
            rows.credited.push((invoice, amount_minor));
        }
        noted.push(invoice);
    }
    Ok(noted)
}

/// What a resource is paid for from now on.
///
/// # Errors
/// [`Error::Internal`] when a number is out of range.
pub fn follow(resource: &mut resource::Model, period: Uuid, span: &Span) -> Result<(), Error> {
    resource.period_id = Some(period);
    resource.paid_until = Some(span.end);
    resource.anchor_day = Some(i32::try_from(span.anchor_day).map_err(Error::internal)?);
    Ok(())
}

/// Makes the plan of a resource anew, about `plan`: its paid period, or its deletion. The step that the old plan waited
/// for becomes what `waited` says: superseded, and with it all that would have followed; or sent, when it made the new
/// plan.
///
/// # Errors
/// [`Error::Internal`] for a resource that was never paid.
pub fn plan_anew(
    rows: &mut Rows,
    resource: &mut resource::Model,
    terms: &PolicyTerms,
    plan: Uuid,
    waited: StepStatus,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if let (Some(old), Some(step), Some(due_at)) = (resource.plan_id, &resource.next_step, resource.next_due_at)
        && old != plan
    {
        let key: StepKey = step.parse()?;
        rows.steps.push(schedule_step::Model {
            resource_id: resource.id,
            period_id: old,
            step: step.clone(),
            account_id: resource.account_id,
            kind: key.kind,
            status: waited,
            due_at,
            handled_at: now,
        });
    }
    let (terms, end) = plan_of(resource, terms)?;
    let next = Plan {
        terms: &terms,
        paid_until: end,
        zone,
        auto_renew: resource.auto_renew,
        release_at: None,
    }
    .begins(resource.life, now);
    resource.plan_id = Some(plan);
    resource.next_step = next.map(|step| step.key().to_string());
    resource.next_due_at = next.map(|step| step.due_at);
    resource.attempts = 0;
    Ok(())
}

/// By which terms a resource's plan is made, and around which instant: the end of what is paid; in the trash, the
/// deletion.
///
/// # Errors
/// [`Error::Internal`] for a resource that was never paid.
pub fn plan_of(resource: &resource::Model, terms: &PolicyTerms) -> Result<(PolicyTerms, DateTime<Utc>), Error> {
    let planned = match (resource.life, resource.trashed_at) {
        (Life::Trashed, Some(at)) => Some((terms.in_trash(), at)),
        _ => resource.paid_until.map(|end| (*terms, end)),
    };
    planned.ok_or_else(|| Error::internal("a resource that was never paid has no plan"))
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
