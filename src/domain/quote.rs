//! A quote: what is asked for, priced item by item and line by line, with its coupon. It is frozen as a document; the
//! order, the paid periods and the invoices are made from it and from nothing else.

use std::collections::HashSet;

use chrono_tz::Tz;
use entity::enums::{DayCount, OrderAction};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::coupon::{self, CouponItem, CouponTerms};
use super::money::{Currency, Money};
use super::pricing::{ComponentRef, PriceRow, PricedLine, Totals, price_line, share_coupon};
use super::refusal::{Refusal, RefusalCode};
use super::term::{Span, Term, span};
use super::time::Instant;

/// How long a quote may be ordered, in minutes.
pub const VALID_MINUTES: i64 = 15;
/// The most items that one order may hold.
pub const MOST_ITEMS: usize = 100;
/// The most components of one configuration.
pub const MOST_COMPONENTS: usize = 50;

/// A component that a configuration may hold, with its price at the quote's instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueComponent {
    /// What it is called.
    pub component: ComponentRef,
    /// The least quantity, when it is part of a configuration.
    pub minimum: i64,
    /// The most.
    pub maximum: i64,
    /// Its price; nothing when it has none now.
    pub price: Option<PriceRow>,
}

/// What can be bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueType {
    /// The product's code.
    pub product_code: String,
    /// Its name.
    pub product_name: String,
    /// How a chosen end is counted.
    pub day_count: DayCount,
    /// The resource type.
    pub resource_type_id: Uuid,
    /// Its code.
    pub resource_type_code: String,
    /// Its components.
    pub components: Vec<CatalogueComponent>,
}

/// New resources that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// What is bought.
    pub sold: &'a CatalogueType,
    /// Which components, by code, and how many of each.
    pub components: Vec<(String, i64)>,
    /// How many resources; each becomes an order item.
    pub quantity: i64,
    /// For how long.
    pub term: Term,
    /// What they are called.
    pub name: String,
}

/// A component and its quantity, as a resource keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredComponent {
    /// The component.
    #[serde(flatten)]
    pub component: ComponentRef,
    /// How many units.
    pub quantity: i64,
}

/// One action on one resource, priced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedItem {
    /// What it does.
    pub action: OrderAction,
    /// The product's code.
    pub product_code: String,
    /// Its name.
    pub product_name: String,
    /// The resource type.
    pub resource_type_id: Uuid,
    /// Its code.
    pub resource_type_code: String,
    /// What the resource is called.
    pub name: String,
    /// For how long.
    pub term: Term,
    /// The term from the quote's instant on. A new resource's period begins when it is provisioned.
    pub span: Span,
    /// Its lines, one a component.
    pub lines: Vec<PricedLine>,
    /// The sums over the lines.
    pub totals: Totals,
}

impl PricedItem {
    /// The components and quantities that the resource will have.
    #[must_use]
    pub fn configuration(&self) -> Vec<ConfiguredComponent> {
        self.lines
            .iter()
            .map(|line| ConfiguredComponent { component: line.component.clone(), quantity: line.quantity })
            .collect()
    }
}

/// Everything that was asked for, priced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedQuote {
    /// The items, one a resource.
    pub items: Vec<PricedItem>,
    /// The coupon that takes something off.
    pub coupon_code: Option<String>,
    /// The sums over the items.
    pub totals: Totals,
}

/// Prices what is asked for at an instant, in the account's zone and currency.
///
/// Source: rule "Quote" in ARCHITECTURE, section Money.
///
/// # Errors
/// With the field named: NOTHING_TO_BUY, TOO_MANY_ITEMS, INVALID_QUANTITY, UNKNOWN_COMPONENT, DUPLICATE_COMPONENT,
/// PRICE_NOT_AVAILABLE, INVALID_TERM, END_NOT_AFTER_START, ZERO_LENGTH, AMOUNT_OUT_OF_RANGE, and the coupon's.
pub fn price(
    wanted: &[Wanted<'_>],
    coupon: Option<&CouponTerms>,
    currency: Currency,
    zone: Tz,
    now: Instant,
) -> Result<PricedQuote, Refusal> {
    if wanted.is_empty() {
        return Err(Refusal::new(RefusalCode::NothingToBuy, "Ask for at least one item.").under("items"));
    }
    let mut items = Vec::new();
    for (place, wanted) in wanted.iter().enumerate() {
        let within = |refusal: Refusal| refusal.under("create").under(place).under("items");
        let most = i64::try_from(MOST_ITEMS.saturating_sub(items.len())).unwrap_or(0);
        if wanted.quantity < 1 {
            let refusal = Refusal::new(RefusalCode::InvalidQuantity, "Buy at least one.").under("quantity");
            return Err(within(refusal));
        }
        if wanted.quantity > most {
            let message = format!("An order holds at most {MOST_ITEMS} resources. Split the purchase.");
            return Err(within(Refusal::new(RefusalCode::TooManyItems, message).under("quantity")));
        }
        let item = price_item(wanted, currency, zone, now).map_err(within)?;
        for number in 1..=wanted.quantity {
            let mut item = item.clone();
            if wanted.quantity > 1 {
                item.name = format!("{}-{number}", wanted.name);
            }
            items.push(item);
        }
    }
    if let Some(terms) = coupon {
        let eligible: Vec<CouponItem<'_>> = items
            .iter()
            .map(|item| CouponItem { product_code: &item.product_code, action: item.action, gross: item.totals.gross })
            .collect();
        let shares = coupon::apply(terms, &eligible, now).map_err(|refusal| refusal.under("couponCode"))?;
        for (item, share) in items.iter_mut().zip(shares) {
            item.lines = share_coupon(std::mem::take(&mut item.lines), share)?;
            item.totals = Totals::of_lines(currency, &item.lines)?;
        }
    }
    let totals = items.iter().try_fold(Totals::zero(currency), |sum, item| sum.plus(&item.totals))?;
    Money::checked(totals.gross.minor(), currency)?;
    Ok(PricedQuote { items, coupon_code: coupon.map(|terms| terms.code.clone()), totals })
}

fn price_item(wanted: &Wanted<'_>, currency: Currency, zone: Tz, now: Instant) -> Result<PricedItem, Refusal> {
    let sold = wanted.sold;
    let span = span(wanted.term, now, zone, None, sold.day_count).map_err(|refusal| refusal.under("term"))?;
    if wanted.components.is_empty() || wanted.components.len() > MOST_COMPONENTS {
        let message = format!("A configuration has 1 to {MOST_COMPONENTS} components.");
        return Err(Refusal::new(RefusalCode::InvalidQuantity, message).under("components"));
    }
    let mut seen = HashSet::new();
    let mut lines = Vec::with_capacity(wanted.components.len());
    for (place, (code, quantity)) in wanted.components.iter().enumerate() {
        let at = |refusal: Refusal, field: &str| refusal.under(field).under(place).under("components");
        let Some(found) = sold.components.iter().find(|component| component.component.code == *code) else {
            let known: Vec<&str> = sold.components.iter().map(|component| component.component.code.as_str()).collect();
            let message = format!("{} has no such component. It has: {}.", sold.resource_type_code, known.join(", "));
            return Err(at(Refusal::new(RefusalCode::UnknownComponent, message), "code"));
        };
        if !seen.insert(code.as_str()) {
            let message = "Name each component once, with its quantity.";
            return Err(at(Refusal::new(RefusalCode::DuplicateComponent, message), "code"));
        }
        if !(found.minimum..=found.maximum).contains(quantity) {
            let message = format!("Choose {} to {} of {code}.", found.minimum, found.maximum);
            return Err(at(Refusal::new(RefusalCode::InvalidQuantity, message), "quantity"));
        }
        let Some(price) = found.price.filter(|price| price.currency == currency) else {
            let message = format!("{code} is not sold in {currency} now.");
            return Err(at(Refusal::new(RefusalCode::PriceNotAvailable, message), "code"));
        };
        lines.push(
            price_line(&found.component, &price, *quantity, span.priced).map_err(|refusal| at(refusal, "quantity"))?,
        );
    }
    let totals = Totals::of_lines(currency, &lines)?;
    Ok(PricedItem {
        action: OrderAction::Create,
        product_code: sold.product_code.clone(),
        product_name: sold.product_name.clone(),
        resource_type_id: sold.resource_type_id,
        resource_type_code: sold.resource_type_code.clone(),
        name: wanted.name.clone(),
        term: wanted.term,
        span,
        lines,
        totals,
    })
}
