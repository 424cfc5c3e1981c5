//! What may be asked for a resource that exists: a longer life, life again, another configuration, its end.

use entity::enums::{Life, OrderAction};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    CatalogueComponent, CatalogueProduct, PricedItem, QuoteRequest, check_components, item_of, price_components,
};
use crate::domain::lifecycle::{self, Event, State};
use crate::domain::period::{PaidPeriod, Unused, delete_refund};
use crate::domain::policy::PolicyTerms;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::term::{Span, Term, span};
use crate::domain::time::{Instant, Minutes, PricedMinutes, local};
use crate::domain::{day_count, resize as rules};

/// A period that is paid and was not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenPeriod {
    /// Its key.
    pub period_id: Uuid,
    /// What was paid for it.
    pub paid: PaidPeriod,
}

/// A resource that an action is asked for, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Its key.
    pub resource_id: Uuid,
    /// What the customer calls it.
    pub name: String,
    /// What it is.
    pub product: CatalogueProduct,
    /// What the product says about its life.
    pub terms: PolicyTerms,
    /// Whether the product gives the unused value back when it is deleted.
    pub refunds_on_delete: bool,
    /// Where it stands.
    pub state: State,
    /// Whether the engine renews it.
    pub auto_renew: bool,
    /// The end of what is paid.
    pub paid_until: Option<Instant>,
    /// The day of the month on which its months end.
    pub anchor_day: Option<u32>,
    /// The paid period that reaches furthest.
    pub period_id: Option<Uuid>,
    /// Its periods that were not closed, in their order.
    pub periods: Vec<OpenPeriod>,
    /// Its components at today's price, each with its quantity.
    pub components: Vec<(CatalogueComponent, i64)>,
    /// A component of it that has no price now.
    pub unsold: Option<String>,
}

/// What a resource was paid for when an action was priced. It must be the same when the action is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The paid period that reaches furthest.
    pub period_id: Option<Uuid>,
    /// The end of what is paid.
    pub paid_until: Option<Instant>,
}

/// A period whose unused time is given back, or goes into the new period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its key.
    pub period_id: Uuid,
    /// What of it is unused.
    pub unused: Unused,
}

/// A wish for a longer life of a resource, at today's price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewItem {
    /// The resource.
    pub existing: Existing,
    /// By how much, or until when: the new period starts at the old end.
    pub term: Term,
}

/// A wish for a resource in the trash to live again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoverItem {
    /// The resource.
    pub existing: Existing,
    /// For how long from now on; none where what is paid is still ahead.
    pub term: Option<Term>,
}

/// A wish for another configuration, for the rest of the paid time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeItem {
    /// The resource.
    pub existing: Existing,
    /// The whole new configuration, each component with its quantity.
    pub components: Vec<(CatalogueComponent, i64)>,
}

/// A wish for the end of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteItem {
    /// The resource.
    pub existing: Existing,
}

impl Existing {
    fn allows(&self, event: Event) -> Result<(), Refusal> {
        lifecycle::decide(&self.terms, self.state, event)
            .map(|_| ())
            .map_err(|refusal| refusal.under("resourceId"))
    }

    fn paid(&self) -> Vec<PaidPeriod> {
        self.periods.iter().map(|period| period.paid).collect()
    }

    /// The end of what is still paid, of a resource that was deleted and given nothing back for.
    fn paid_ahead(&self, now: Instant) -> Option<Instant> {
        let ends = self.periods.iter().map(|period| period.paid.ends_at);
        ends.max().filter(|end| self.state.life == Life::Trashed && *end > now)
    }

    fn item(&self, action: OrderAction, request: &QuoteRequest<'_>) -> PricedItem {
        PricedItem {
            action,
            resource_id: Some(self.resource_id),
            name: self.name.clone(),
            basis: Some(Basis {
                period_id: self.period_id,
                paid_until: self.paid_until,
            }),
            ..item_of(&self.product, self.auto_renew, request)
        }
    }
}

/// A renewal: any end later than the present one, from the old end on, at today's price.
///
/// Source: rule "Renewal" in ARCHITECTURE, section Life.
pub(super) fn renew(wish: &RenewItem, request: &QuoteRequest<'_>, now: Instant) -> Result<PricedItem, Refusal> {
    let existing = &wish.existing;
    // Whether it may be renewed at all does not hang on the term.
    existing.allows(Event::Renewed { covers_now: true })?;
    let from = existing
        .paid_until
        .ok_or_else(|| Refusal::inconsistent("a resource that may be renewed was never paid"))?;
    let laid_down = span(
        wish.term,
        from,
        request.zone,
        existing.anchor_day,
        existing.product.day_count,
    )
    .map_err(|refusal| refusal.under("term"))?;
    existing.allows(Event::Renewed {
        covers_now: laid_down.end > now,
    })?;
    let (lines, totals) = priced(existing, laid_down.priced, request)?;
    Ok(PricedItem {
        term: Some(wish.term),
        span: Some(laid_down),
        lines,
        totals,
        ..existing.item(OrderAction::Renew, request)
    })
}

/// A recovery: a new period from now on, at today's price; free, up to the old end, where nothing was given back and
/// the paid end is ahead.
///
/// Source: rule "Recovery" in ARCHITECTURE, section Life.
pub(super) fn recover(wish: &RecoverItem, request: &QuoteRequest<'_>, now: Instant) -> Result<PricedItem, Refusal> {
    let existing = &wish.existing;
    existing.allows(Event::Recovered)?;
    let in_term = |refusal: Refusal| refusal.under("term");
    match (existing.paid_ahead(now), wish.term) {
        (Some(_), Some(_)) => Err(in_term(Refusal::new(
            RefusalCode::InvalidTerm,
            "What was paid is still ahead: it is recovered free, up to that end. Leave the term out, and renew it after.",
        ))),
        (Some(end), None) => Ok(PricedItem {
            span: Some(Span {
                start: now,
                end,
                length: day_count::length(existing.product.day_count, request.zone, now, end).max(Minutes::ZERO),
                priced: PricedMinutes::ZERO,
                day_count: existing.product.day_count,
                anchor_day: existing.anchor_day.unwrap_or_else(|| {
                    use chrono::Datelike as _;
                    local(end, request.zone).day()
                }),
            }),
            ..existing.item(OrderAction::Recover, request)
        }),
        (None, None) => Err(in_term(Refusal::new(
            RefusalCode::InvalidTerm,
            "Nothing is paid any more: a new period begins now. Choose for how long.",
        ))),
        (None, Some(term)) => {
            let laid_down = span(term, now, request.zone, None, existing.product.day_count).map_err(in_term)?;
            let (lines, totals) = priced(existing, laid_down.priced, request)?;
            Ok(PricedItem {
                term: Some(term),
                span: Some(laid_down),
                lines,
                totals,
                ..existing.item(OrderAction::Recover, request)
            })
        }
    }
}

/// Another configuration for the rest of the paid time: its list value at today's price, less what is unused.
///
/// Source: rule "Resize" in ARCHITECTURE, section Money.
pub(super) fn resize(wish: &ResizeItem, request: &QuoteRequest<'_>, now: Instant) -> Result<PricedItem, Refusal> {
    let existing = &wish.existing;
    existing.allows(Event::Resized)?;
    check_components(&wish.components, request.currency)?;
    let configuration: Vec<_> = wish
        .components
        .iter()
        .map(|(component, quantity)| (component.reference(), component.price, *quantity))
        .collect();
    let resized = rules::resize(
        &existing.paid(),
        &configuration,
        existing.product.day_count,
        request.zone,
        now,
    )
    .map_err(|refusal| refusal.under("resourceId"))?;
    let left = existing.periods.iter().filter(|period| period.paid.ends_at > now);
    let replaced = left.zip(&resized.unused).map(|(period, unused)| Replaced {
        period_id: period.period_id,
        unused: *unused,
    });
    use chrono::Datelike as _;
    Ok(PricedItem {
        span: Some(Span {
            start: resized.at,
            end: resized.ends_at,
            length: resized.length,
            priced: resized.priced,
            day_count: resized.day_count,
            anchor_day: existing
                .anchor_day
                .unwrap_or_else(|| local(resized.ends_at, request.zone).day()),
        }),
        replaced: replaced.collect(),
        lines: resized.lines,
        totals: resized.totals,
        ..existing.item(OrderAction::Resize, request)
    })
}

/// The end of a resource: what is unused goes back where the product gives it back.
///
/// Source: rule "Delete" in ARCHITECTURE, section Money.
pub(super) fn delete(wish: &DeleteItem, request: &QuoteRequest<'_>, now: Instant) -> Result<PricedItem, Refusal> {
    let existing = &wish.existing;
    existing.allows(Event::DeletedByCustomer)?;
    let mut item = existing.item(OrderAction::Delete, request);
    if existing.refunds_on_delete {
        let unused = delete_refund(&existing.paid(), now)?;
        let left = existing.periods.iter().zip(unused);
        item.replaced = left
            .filter(|(period, _)| period.paid.ends_at > now)
            .map(|(period, unused)| Replaced {
                period_id: period.period_id,
                unused,
            })
            .collect();
        if item.refund()?.is_zero() {
            // Nothing goes back: what is paid stays, and it can be recovered free.
            item.replaced.clear();
        }
    }
    Ok(item)
}

fn priced(
    existing: &Existing,
    minutes: PricedMinutes,
    request: &QuoteRequest<'_>,
) -> Result<(Vec<crate::domain::pricing::PricedLine>, crate::domain::pricing::Totals), Refusal> {
    if let Some(code) = &existing.unsold {
        let message = format!("{code} is not sold now. Choose another configuration for this resource.");
        return Err(Refusal::new(RefusalCode::PriceNotAvailable, message).under("resourceId"));
    }
    // The configuration stands: what is wrong with it is about the resource.
    price_components(&existing.components, minutes, request.currency).map_err(|refusal| Refusal {
        path: vec!["resourceId".into()],
        ..refusal
    })
}
