//! Quotes: what is asked for, priced item by item, with a coupon's shares. The catalogue comes in as values.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use chrono_tz::Tz;
use entity::enums::{DayCount, OrderAction, QuoteStatus};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::coupon::{self, CouponItem, CouponTerms};
use super::funding::Funding;
use super::money::{Currency, Money};
use super::pricing::{ComponentRef, MAX_QUANTITY, PriceRow, PricedLine, Totals, price_line, share_coupon};
use super::refusal::{Refusal, RefusalCode};
use super::term::{Span, Term, span};
use super::text;
use super::time::{Instant, PricedMinutes, checked_instant, zone_name};

/// How long a quote may be ordered, in minutes.
pub const VALID_MINUTES: i64 = 15;
/// The most items of one order. A quantity of n is n items.
pub const MAX_ITEMS: i64 = 50;
/// The most components of one configuration.
pub const MAX_COMPONENTS: usize = 50;

/// What the catalogue says of a resource type and its product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueProduct {
    /// The product's key.
    pub product_id: Uuid,
    /// Its short name: `vserver`.
    pub product_code: String,
    /// Its name.
    pub product_name: String,
    /// The resource type's key.
    pub resource_type_id: Uuid,
    /// Its short name: `server`.
    pub resource_type_code: String,
    /// Its name.
    pub resource_type_name: String,
    /// How the product counts the length of a period.
    pub day_count: DayCount,
    /// Whether customers may not switch auto-renewal off.
    pub auto_renew_locked: bool,
}

/// What the catalogue says of a component, with its price at the instant of the quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueComponent {
    /// Its key.
    pub component_id: Uuid,
    /// Its short name: `s-general-1x1`.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What one unit of it is: `instance`, `GB`.
    pub unit_label: String,
    /// The least quantity that a configuration may hold of it.
    pub min_quantity: i64,
    /// The most.
    pub max_quantity: i64,
    /// What it costs.
    pub price: PriceRow,
}

impl CatalogueComponent {
    /// What a line keeps of it.
    #[must_use]
    pub fn reference(&self) -> ComponentRef {
        ComponentRef {
            id: self.component_id,
            code: self.code.clone(),
            name: self.name.clone(),
            unit_label: self.unit_label.clone(),
        }
    }
}

/// A wish for new resources, all alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateItem {
    /// What they are.
    pub product: CatalogueProduct,
    /// Their components, each with its quantity.
    pub components: Vec<(CatalogueComponent, i64)>,
    /// How many.
    pub quantity: i64,
    /// For how long.
    pub term: Term,
    /// What to call them; several are numbered.
    pub name: Option<String>,
    /// Whether the engine renews them.
    pub auto_renew: bool,
}

/// One wish of a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedItem {
    /// New resources.
    Create(CreateItem),
    /// A longer life.
    Renew(RenewItem),
    /// Life again.
    Recover(RecoverItem),
    /// Another configuration for the rest of the paid time.
    Resize(ResizeItem),
    /// The end.
    Delete(DeleteItem),
}

/// What is asked for at once.
#[derive(Clone, Copy, Debug)]
pub struct QuoteRequest<'a> {
    /// The wishes, in the order they were made.
    pub items: &'a [RequestedItem],
    /// The coupon the customer typed, when there is such a coupon.
    pub coupon: Option<&'a CouponTerms>,
    /// The account's zone.
    pub zone: Tz,
    /// The account's currency.
    pub currency: Currency,
    /// The instant of the prices.
    pub now: Instant,
}

/// A component and how many units of it: what a configuration is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredComponent {
    /// The component's key.
    pub component_id: Uuid,
    /// Its short name.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What one unit of it is.
    pub unit_label: String,
    /// How many units.
    pub quantity: i64,
}

/// One action on one resource, priced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedItem {
    /// What it does.
    pub action: OrderAction,
    /// The resource, when it exists.
    pub resource_id: Option<Uuid>,
    /// What the resource is called.
    pub name: String,
    /// The product's key.
    pub product_id: Uuid,
    /// Its short name.
    pub product_code: String,
    /// Its name.
    pub product_name: String,
    /// The resource type's key.
    pub resource_type_id: Uuid,
    /// Its short name.
    pub resource_type_code: String,
    /// Its name.
    pub resource_type_name: String,
    /// How the product counts a chosen end; the span has what this period is measured by.
    pub product_day_count: DayCount,
    /// For how long, where that is chosen.
    pub term: Option<Term>,
    /// The period that is paid, laid down in time; none for a deletion.
    pub span: Option<Span>,
    /// The zone it is laid down in.
    #[serde(with = "zone_name")]
    pub zone: Tz,
    /// Whether the engine renews it.
    pub auto_renew: bool,
    /// Its components, priced, with their shares of the coupon.
    pub lines: Vec<PricedLine>,
    /// The sums over the lines.
    pub totals: Totals,
    /// What the resource was paid for when this was priced; nothing for new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// The periods whose unused time is given back, or goes into the new period.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
}

impl PricedItem {
    /// What of the replaced periods is unused, by where it came from. Errors: AMOUNT_OUT_OF_RANGE.
    pub fn credited(&self) -> Result<Funding, Refusal> {
        let none = Funding::zero(self.totals.charged.currency());
        self.replaced
            .iter()
            .try_fold(none, |sum, replaced| sum.plus(&replaced.unused.refund))
    }

    /// What is to be paid for it: what is charged less what is unused, if that is above zero.
    /// Errors: AMOUNT_OUT_OF_RANGE.
    pub fn due(&self) -> Result<Money, Refusal> {
        let due = self.totals.charged.minus(self.credited()?.total()?)?;
        Ok(due.max_zero())
    }

    /// What goes back: what is unused less what is charged, if that is above zero. Errors: AMOUNT_OUT_OF_RANGE.
    pub fn refund(&self) -> Result<Money, Refusal> {
        let back = self.credited()?.total()?.minus(self.totals.charged)?;
        Ok(back.max_zero())
    }

    /// What the resource is made of.
    #[must_use]
    pub fn configuration(&self) -> Vec<ConfiguredComponent> {
        self.lines
            .iter()
            .map(|line| ConfiguredComponent {
                component_id: line.component.id,
                code: line.component.code.clone(),
                name: line.component.name.clone(),
                unit_label: line.component.unit_label.clone(),
                quantity: line.quantity,
            })
            .collect()
    }
}

/// What is asked for, priced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedQuote {
    /// The items, in the order of the wishes; a quantity of n makes n of them.
    pub items: Vec<PricedItem>,
    /// The coupon that counts.
    pub coupon_code: Option<String>,
    /// The sums over the items: gross, coupon, tax and what is to be paid.
    pub totals: Totals,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The instant of the prices.
    pub priced_at: Instant,
}

impl PricedQuote {
    /// What is to be paid: the sum of what each item costs. An item that gives back pays for no other one.
    /// Errors: AMOUNT_OUT_OF_RANGE.
    pub fn due(&self) -> Result<Money, Refusal> {
        self.items
            .iter()
            .try_fold(Money::zero(self.currency), |sum, item| sum.plus(item.due()?))
    }

    /// What goes back to the wallet. Errors: AMOUNT_OUT_OF_RANGE.
    pub fn refund(&self) -> Result<Money, Refusal> {
        self.items
            .iter()
            .try_fold(Money::zero(self.currency), |sum, item| sum.plus(item.refund()?))
    }
}

impl RequestedItem {
    /// What the action is called where it is asked for.
    const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Renew(_) => "renew",
            Self::Recover(_) => "recover",
            Self::Resize(_) => "resize",
            Self::Delete(_) => "delete",
        }
    }

    /// The resource, when it exists.
    const fn existing(&self) -> Option<&Existing> {
        match self {
            Self::Create(_) => None,
            Self::Renew(item) => Some(&item.existing),
            Self::Recover(item) => Some(&item.existing),
            Self::Resize(item) => Some(&item.existing),
            Self::Delete(item) => Some(&item.existing),
        }
    }
}

/// Prices what is asked for.
///
/// Each item is priced by itself, a quantity of n as n items; the coupon is counted over all of them and split over
/// the items and then their lines. Refusals name the field: `items.0.create.components.1.quantity`, `couponCode`.
///
/// Source: rules "List value", "Term" and "Coupons" in ARCHITECTURE. Errors: NOTHING_TO_BUY, TOO_MANY_ITEMS,
/// INVALID_QUANTITY, INVALID_TEXT, DUPLICATE_COMPONENT, DUPLICATE_RESOURCE, STATE_CONFLICT, PRICE_NOT_AVAILABLE, those
/// of [`span`], [`price_line`] and [`coupon::apply`].
pub fn price(request: &QuoteRequest<'_>) -> Result<PricedQuote, Refusal> {
    let now = checked_instant(request.now)?;
    check_count(request.items)?;
    check_each_once(request.items)?;
    let mut items = Vec::new();
    for (index, wish) in request.items.iter().enumerate() {
        let priced = price_wish(wish, request, now);
        items.extend(priced.map_err(|refusal| refusal.under(wish.name()).under(index).under("items"))?);
    }
    if let Some(terms) = request.coupon {
        items = with_coupon(items, terms, now).map_err(|refusal| refusal.under("couponCode"))?;
    }
    let totals = items
        .iter()
        .try_fold(Totals::zero(request.currency), |sum, item| sum.plus(&item.totals))?;
    Ok(PricedQuote {
        items,
        coupon_code: request.coupon.map(|terms| terms.code.clone()),
        totals,
        currency: request.currency,
        priced_at: now,
    })
}

/// Until when a quote made at `now` may be ordered.
#[must_use]
pub fn expires_at(now: Instant) -> Instant {
    now + TimeDelta::minutes(VALID_MINUTES)
}

/// Whether a quote may be ordered: it is open, its time has not run out, and nothing it was made from has changed.
///
/// Source: rule "Quotes" in ARCHITECTURE, section Money. Errors: QUOTE_ALREADY_ORDERED, QUOTE_EXPIRED, QUOTE_STALE.
pub fn check_orderable(status: QuoteStatus, expires_at: Instant, now: Instant, stale: bool) -> Result<(), Refusal> {
    match status {
        QuoteStatus::Ordered => {
            return Err(Refusal::new(
                RefusalCode::QuoteAlreadyOrdered,
                "This quote was ordered before. Look at its order, or make a new quote.",
            ));
        }
        QuoteStatus::Open => {}
    }
    if now >= expires_at {
        return Err(Refusal::new(
            RefusalCode::QuoteExpired,
            format!("This quote was good for {VALID_MINUTES} minutes. Make a new one."),
        ));
    }
    if stale {
        return Err(stale_quote());
    }
    Ok(())
}

/// Whether every chosen end is still ahead: what ended before it began can't be provisioned, so nothing is taken for it.
///
/// Source: rule "Quotes" in ARCHITECTURE, section Money. Errors: QUOTE_STALE.
pub fn check_ends_ahead(quote: &PricedQuote, now: Instant) -> Result<(), Refusal> {
    let passed = |item: &PricedItem| match (item.action, item.term) {
        // A renewal may end before the present: what is owed for the past is paid first.
        (OrderAction::Renew, _) | (_, None | Some(Term::Months(_) | Term::Days(_))) => false,
        (_, Some(Term::Until(end))) => end <= now,
    };
    if quote.items.iter().any(passed) {
        return Err(stale_quote());
    }
    Ok(())
}

/// What the quote was made from has changed: its resource's version, or the availability of its coupon.
#[must_use]
pub fn stale_quote() -> Refusal {
    Refusal::new(
        RefusalCode::QuoteStale,
        "What this quote was made from has changed since. Nothing was taken. Make a new quote.",
    )
}

fn check_count(wishes: &[RequestedItem]) -> Result<(), Refusal> {
    if wishes.is_empty() {
        return Err(Refusal::new(RefusalCode::NothingToBuy, "Ask for at least one item.").under("items"));
    }
    let mut count: i64 = 0;
    for (index, wish) in wishes.iter().enumerate() {
        let quantity = match wish {
            RequestedItem::Create(create) => create.quantity,
            _ => 1,
        };
        if !(1..=MAX_ITEMS).contains(&quantity) {
            let refusal = Refusal::new(
                RefusalCode::InvalidQuantity,
                format!("Choose a quantity of 1 to {MAX_ITEMS} resources."),
            );
            return Err(refusal.under("quantity").under(wish.name()).under(index).under("items"));
        }
        count = count.saturating_add(quantity);
    }
    if count > MAX_ITEMS {
        return Err(Refusal::new(
            RefusalCode::TooManyItems,
            format!("One order holds at most {MAX_ITEMS} resources, and these are {count}. Order the rest separately."),
        )
        .under("items"));
    }
    Ok(())
}

/// One action on one resource at a time: what a second one costs depends on what the first one does.
fn check_each_once(wishes: &[RequestedItem]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for (index, wish) in wishes.iter().enumerate() {
        if let Some(existing) = wish.existing()
            && !seen.insert(existing.resource_id)
        {
            let message = format!("{} is named twice. Ask for one action on it at a time.", existing.name);
            return Err(Refusal::new(RefusalCode::DuplicateResource, message)
                .under("resourceId")
                .under(wish.name())
                .under(index)
                .under("items"));
        }
    }
    Ok(())
}

fn price_wish(wish: &RequestedItem, request: &QuoteRequest<'_>, now: Instant) -> Result<Vec<PricedItem>, Refusal> {
    match wish {
        RequestedItem::Create(create) => {
            let span = span(create.term, now, request.zone, None, create.product.day_count)
                .map_err(|refusal| refusal.under("term"))?;
            let names = names(
                create.name.as_deref(),
                &create.product.resource_type_code,
                create.quantity,
            )
            .map_err(|refusal| refusal.under("name"))?;
            let (lines, totals) = price_components(&create.components, span.priced, request.currency)?;
            let item = |name: String| PricedItem {
                action: OrderAction::Create,
                name,
                term: Some(create.term),
                span: Some(span),
                lines: lines.clone(),
                totals,
                ..item_of(&create.product, create.auto_renew, request)
            };
            Ok(names.into_iter().map(item).collect())
        }
        RequestedItem::Renew(item) => Ok(vec![actions::renew(item, request, now)?]),
        RequestedItem::Recover(item) => Ok(vec![actions::recover(item, request, now)?]),
        RequestedItem::Resize(item) => Ok(vec![actions::resize(item, request, now)?]),
        RequestedItem::Delete(item) => Ok(vec![actions::delete(item, request, now)?]),
    }
}

/// What every item of a product has; the caller fills in the rest.
fn item_of(product: &CatalogueProduct, auto_renew: bool, request: &QuoteRequest<'_>) -> PricedItem {
    PricedItem {
        action: OrderAction::Create,
        resource_id: None,
        name: String::new(),
        product_id: product.product_id,
        product_code: product.product_code.clone(),
        product_name: product.product_name.clone(),
        resource_type_id: product.resource_type_id,
        resource_type_code: product.resource_type_code.clone(),
        resource_type_name: product.resource_type_name.clone(),
        product_day_count: product.day_count,
        term: None,
        span: None,
        zone: request.zone,
        auto_renew: auto_renew || product.auto_renew_locked,
        lines: Vec::new(),
        totals: Totals::zero(request.currency),
        basis: None,
        replaced: Vec::new(),
    }
}

fn price_components(
    components: &[(CatalogueComponent, i64)],
    minutes: PricedMinutes,
    currency: Currency,
) -> Result<(Vec<PricedLine>, Totals), Refusal> {
    check_components(components, currency)?;
    let lines = components.iter().enumerate().map(|(index, (component, quantity))| {
        let line = price_line(&component.reference(), &component.price, *quantity, minutes);
        line.map_err(|refusal| refusal.under(index).under("components"))
    });
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let totals = Totals::of_lines(currency, &lines)?;
    Ok((lines, totals))
}

fn check_components(components: &[(CatalogueComponent, i64)], currency: Currency) -> Result<(), Refusal> {
    if components.is_empty() {
        return Err(Refusal::new(RefusalCode::NothingToBuy, "Choose at least one component.").under("components"));
    }
    if components.len() > MAX_COMPONENTS {
        return Err(Refusal::new(
            RefusalCode::TooManyItems,
            format!("One configuration holds at most {MAX_COMPONENTS} components."),
        )
        .under("components"));
    }
    let mut seen = BTreeSet::new();
    for (index, (component, quantity)) in components.iter().enumerate() {
        let checked = if seen.insert(component.component_id) {
            check_component(component, *quantity, currency)
        } else {
            let message = format!(
                "{} is listed twice. List it once, with the whole quantity.",
                component.code
            );
            Err(Refusal::new(RefusalCode::DuplicateComponent, message))
        };
        checked.map_err(|refusal| refusal.under(index).under("components"))?;
    }
    Ok(())
}

fn check_component(component: &CatalogueComponent, quantity: i64, currency: Currency) -> Result<(), Refusal> {
    let (least, most) = (component.min_quantity.max(1), component.max_quantity.min(MAX_QUANTITY));
    if !(least..=most).contains(&quantity) {
        let message = format!(
            "Choose {least} to {most} {} of {}.",
            component.unit_label, component.code
        );
        return Err(Refusal::new(RefusalCode::InvalidQuantity, message).under("quantity"));
    }
    if component.price.currency != currency {
        let message = format!(
            "{} has no price in {currency}. Choose another component.",
            component.code
        );
        return Err(Refusal::new(RefusalCode::PriceNotAvailable, message));
    }
    Ok(())
}

/// One name as it is; several numbered from 1. Without a name the resource type lends its own.
fn names(name: Option<&str>, resource_type_code: &str, quantity: i64) -> Result<Vec<String>, Refusal> {
    let room = if quantity > 1 { "-50".len() } else { 0 };
    let base = text::line(name.unwrap_or(resource_type_code), text::MAX_NAME - room)?;
    if quantity == 1 {
        return Ok(vec![base]);
    }
    Ok((1..=quantity).map(|number| format!("{base}-{number}")).collect())
}

fn with_coupon(items: Vec<PricedItem>, terms: &CouponTerms, now: Instant) -> Result<Vec<PricedItem>, Refusal> {
    let counted: Vec<CouponItem<'_>> = items
        .iter()
        .map(|item| CouponItem {
            product_code: &item.product_code,
            action: item.action,
            gross: item.totals.gross,
        })
        .collect();
    let shares: Vec<Money> = coupon::apply(terms, &counted, now)?;
    items
        .into_iter()
        .zip(shares)
        .map(|(item, share)| {
            let lines = share_coupon(item.lines, share)?;
            let totals = Totals::of_lines(item.totals.gross.currency(), &lines)?;
            Ok(PricedItem { lines, totals, ..item })
        })
        .collect()
}

mod actions;

pub use actions::{Basis, DeleteItem, Existing, OpenPeriod, RecoverItem, RenewItem, Replaced, ResizeItem};

#[cfg(test)]
pub(crate) mod tests;
