//! Quotes: what is asked for, priced item by item, with a coupon's shares. The catalogue comes in as values.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use chrono_tz::Tz;
use entity::enums::{DayCount, OrderAction, QuoteStatus};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::coupon::{self, CouponItem, CouponTerms};
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

/// A wish for a longer life of a resource, at today's price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewItem {
    /// The resource.
    pub resource_id: Uuid,
    /// What the customer calls it.
    pub name: String,
    /// What it is.
    pub product: CatalogueProduct,
    /// Its components, each with its quantity.
    pub components: Vec<(CatalogueComponent, i64)>,
    /// The end of what is paid: the new period starts there.
    pub paid_until: Instant,
    /// The day of the month on which its months end.
    pub anchor_day: Option<u32>,
    /// By how much, or until when.
    pub term: Term,
    /// Whether the engine renews it.
    pub auto_renew: bool,
}

/// One wish of a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedItem {
    /// New resources.
    Create(CreateItem),
    /// A longer life.
    Renew(RenewItem),
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
    /// For how long.
    pub term: Term,
    /// The term laid down in time.
    pub span: Span,
    /// The zone it is laid down in.
    #[serde(with = "zone_name")]
    pub zone: Tz,
    /// Whether the engine renews it.
    pub auto_renew: bool,
    /// Its components, priced, with their shares of the coupon.
    pub lines: Vec<PricedLine>,
    /// The sums over the lines.
    pub totals: Totals,
}

impl PricedItem {
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

/// Prices what is asked for.
///
/// Each item is priced by itself, a quantity of n as n items; the coupon is counted over all of them and split over
/// the items and then their lines. Refusals name the field: `items.0.components.1.quantity`, `couponCode`.
///
/// Source: rules "List value", "Term" and "Coupons" in ARCHITECTURE. Errors: NOTHING_TO_BUY, TOO_MANY_ITEMS,
/// INVALID_QUANTITY, INVALID_TEXT, DUPLICATE_COMPONENT, PRICE_NOT_AVAILABLE, those of [`span`], [`price_line`] and
/// [`coupon::apply`].
pub fn price(request: &QuoteRequest<'_>) -> Result<PricedQuote, Refusal> {
    let now = checked_instant(request.now)?;
    check_count(request.items)?;
    let mut items = Vec::new();
    for (index, wish) in request.items.iter().enumerate() {
        let priced = price_wish(wish, request, now);
        items.extend(priced.map_err(|refusal| refusal.under(index).under("items"))?);
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
            RequestedItem::Renew(_) => 1,
        };
        if !(1..=MAX_ITEMS).contains(&quantity) {
            let refusal = Refusal::new(
                RefusalCode::InvalidQuantity,
                format!("Choose a quantity of 1 to {MAX_ITEMS} resources."),
            );
            return Err(refusal.under("quantity").under(index).under("items"));
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
                resource_id: None,
                name,
                lines: lines.clone(),
                totals,
                ..item_of(&create.product, create.term, span, request.zone, create.auto_renew)
            };
            Ok(names.into_iter().map(item).collect())
        }
        RequestedItem::Renew(renew) => {
            let span = span(
                renew.term,
                renew.paid_until,
                request.zone,
                renew.anchor_day,
                renew.product.day_count,
            )
            .map_err(|refusal| refusal.under("term"))?;
            let (lines, totals) = price_components(&renew.components, span.priced, request.currency)?;
            Ok(vec![PricedItem {
                action: OrderAction::Renew,
                resource_id: Some(renew.resource_id),
                name: renew.name.clone(),
                lines,
                totals,
                ..item_of(&renew.product, renew.term, span, request.zone, renew.auto_renew)
            }])
        }
    }
}

/// What every item of a product has; the caller fills in the rest.
fn item_of(product: &CatalogueProduct, term: Term, span: Span, zone: Tz, auto_renew: bool) -> PricedItem {
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
        term,
        span,
        zone,
        auto_renew: auto_renew || product.auto_renew_locked,
        lines: Vec::new(),
        totals: Totals::zero(Currency::Vnd),
    }
}

fn price_components(
    components: &[(CatalogueComponent, i64)],
    minutes: PricedMinutes,
    currency: Currency,
) -> Result<(Vec<PricedLine>, Totals), Refusal> {
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
    let mut lines = Vec::with_capacity(components.len());
    for (index, (component, quantity)) in components.iter().enumerate() {
        let line = if seen.insert(component.component_id) {
            price_component(component, *quantity, minutes, currency)
        } else {
            let message = format!(
                "{} is listed twice. List it once, with the whole quantity.",
                component.code
            );
            Err(Refusal::new(RefusalCode::DuplicateComponent, message))
        };
        lines.push(line.map_err(|refusal| refusal.under(index).under("components"))?);
    }
    let totals = Totals::of_lines(currency, &lines)?;
    Ok((lines, totals))
}

fn price_component(
    component: &CatalogueComponent,
    quantity: i64,
    minutes: PricedMinutes,
    currency: Currency,
) -> Result<PricedLine, Refusal> {
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
    price_line(&component.reference(), &component.price, quantity, minutes)
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

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use chrono_tz::Asia;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::coupon::tests::ten_percent;
    use super::super::pricing::tests::vnd_price;
    use super::super::time::tests::at;
    use super::*;

    pub(crate) fn vserver() -> CatalogueProduct {
        CatalogueProduct {
            product_id: Uuid::from_u128(1),
            product_code: "vserver".into(),
            product_name: "vServer".into(),
            resource_type_id: Uuid::from_u128(2),
            resource_type_code: "server".into(),
            resource_type_name: "Server".into(),
            day_count: DayCount::Thirty360,
            auto_renew_locked: false,
        }
    }

    pub(crate) fn component(number: u128, code: &str, unit_price: &str) -> CatalogueComponent {
        CatalogueComponent {
            component_id: Uuid::from_u128(number),
            code: code.into(),
            name: code.to_uppercase(),
            unit_label: "instance".into(),
            min_quantity: 1,
            max_quantity: 10,
            price: vnd_price(unit_price),
        }
    }

    pub(crate) fn server(term: Term) -> CreateItem {
        CreateItem {
            product: vserver(),
            components: vec![(component(10, "s-general-1x1", "181000"), 1)],
            quantity: 1,
            term,
            name: None,
            auto_renew: false,
        }
    }

    pub(crate) fn quote_of(items: &[RequestedItem], coupon: Option<&CouponTerms>) -> Result<PricedQuote, Refusal> {
        price(&QuoteRequest {
            items,
            coupon,
            zone: Asia::Ho_Chi_Minh,
            currency: Currency::Vnd,
            now: at("2023-03-06T00:00:00+07:00"),
        })
    }

    fn create(item: CreateItem) -> Result<PricedQuote, Refusal> {
        quote_of(&[RequestedItem::Create(item)], None)
    }

    #[test]
    fn a_server_for_a_month_with_a_coupon() {
        let terms = ten_percent();
        let quote = quote_of(&[RequestedItem::Create(server(Term::Months(1)))], Some(&terms)).unwrap();
        assert_eq!(quote.totals.charged.minor(), 162_900);
        assert_eq!(quote.totals.coupon.minor(), 18_100);
        assert_eq!(quote.totals.tax.minor(), 16_455);
        let item = &quote.items[0];
        assert_eq!(item.name, "server");
        assert_eq!(item.span.end, at("2023-04-06T00:00:00+07:00"));
        assert_eq!(item.configuration()[0].code, "s-general-1x1");
        assert_eq!(quote.coupon_code.as_deref(), Some("LAUNCH10"));
    }

    #[test]
    fn a_quantity_makes_as_many_items() {
        let three = CreateItem {
            quantity: 3,
            name: Some("web".into()),
            ..server(Term::Days(30))
        };
        let quote = create(three).unwrap();
        let names: Vec<&str> = quote.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["web-1", "web-2", "web-3"]);
        assert_eq!(quote.totals.charged.minor(), 543_000);
    }

    #[test]
    fn a_renewal_starts_at_the_old_end_on_the_remembered_day() {
        let renew = RenewItem {
            resource_id: Uuid::from_u128(5),
            name: "web".into(),
            product: vserver(),
            components: server(Term::Months(1)).components,
            paid_until: at("2023-02-28T00:00:00+07:00"),
            anchor_day: Some(31),
            term: Term::Months(1),
            auto_renew: true,
        };
        let quote = quote_of(&[RequestedItem::Renew(renew)], None).unwrap();
        assert_eq!(quote.items[0].span.end, at("2023-03-31T00:00:00+07:00"));
        assert_eq!(quote.totals.charged.minor(), 181_000);
    }

    #[test]
    fn a_locked_product_is_always_renewed() {
        let product = CatalogueProduct {
            auto_renew_locked: true,
            ..vserver()
        };
        let quote = create(CreateItem {
            product,
            ..server(Term::Months(1))
        })
        .unwrap();
        assert!(quote.items[0].auto_renew);
    }

    fn with_components(components: Vec<(CatalogueComponent, i64)>) -> CreateItem {
        CreateItem {
            components,
            ..server(Term::Months(1))
        }
    }

    #[rstest]
    #[case(CreateItem { quantity: 0, ..server(Term::Months(1)) }, RefusalCode::InvalidQuantity, "items.0.quantity")]
    #[case(CreateItem { quantity: -1, ..server(Term::Months(1)) }, RefusalCode::InvalidQuantity, "items.0.quantity")]
    #[case(CreateItem { quantity: i64::MAX, ..server(Term::Months(1)) }, RefusalCode::InvalidQuantity, "items.0.quantity")]
    #[case(server(Term::Months(0)), RefusalCode::InvalidTerm, "items.0.term")]
    #[case(
        server(Term::Until(at("2023-03-05T00:00:00+07:00"))),
        RefusalCode::EndNotAfterStart,
        "items.0.term"
    )]
    #[case(CreateItem { name: Some("x".repeat(1_000_000)), ..server(Term::Months(1)) }, RefusalCode::InvalidText, "items.0.name")]
    #[case(with_components(Vec::new()), RefusalCode::NothingToBuy, "items.0.components")]
    #[case(with_components(vec![(component(1, "a", "1"), 11)]), RefusalCode::InvalidQuantity, "items.0.components.0.quantity")]
    #[case(with_components(vec![(component(1, "a", "1"), -1)]), RefusalCode::InvalidQuantity, "items.0.components.0.quantity")]
    #[case(
        with_components(vec![(component(1, "a", "1"), 1), (component(1, "a", "1"), 1)]),
        RefusalCode::DuplicateComponent,
        "items.0.components.1"
    )]
    #[case(with_components((0..51).map(|n| (component(n, "a", "1"), 1)).collect()), RefusalCode::TooManyItems, "items.0.components")]
    #[case(
        with_components(vec![(CatalogueComponent {
            price: PriceRow { currency: Currency::Usd, ..vnd_price("1") },
            ..component(1, "a", "1")
        }, 1)]),
        RefusalCode::PriceNotAvailable,
        "items.0.components.0"
    )]
    fn what_can_not_be_bought_is_refused_with_its_place(
        #[case] item: CreateItem,
        #[case] code: RefusalCode,
        #[case] path: &str,
    ) {
        let refusal = create(item).unwrap_err();
        assert_eq!((refusal.code, refusal.path.join(".").as_str()), (code, path));
    }

    #[test]
    fn an_order_has_at_least_one_item_and_at_most_fifty() {
        assert_eq!(quote_of(&[], None).unwrap_err().code, RefusalCode::NothingToBuy);
        let many = RequestedItem::Create(CreateItem {
            quantity: 26,
            ..server(Term::Months(1))
        });
        assert_eq!(
            quote_of(&[many.clone(), many], None).unwrap_err().code,
            RefusalCode::TooManyItems
        );
    }

    #[test]
    fn a_refused_coupon_names_its_field() {
        let expired = CouponTerms {
            valid_until: Some(at("2023-02-01T00:00:00Z")),
            ..ten_percent()
        };
        let refusal = quote_of(&[RequestedItem::Create(server(Term::Months(1)))], Some(&expired)).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.path),
            (RefusalCode::CouponExpired, vec!["couponCode".to_owned()])
        );
    }

    #[test]
    fn a_quote_is_a_document_that_reads_back_exactly() {
        let terms = ten_percent();
        let wishes = [RequestedItem::Create(server(Term::Until(at(
            "2023-04-01T12:34:56.123456Z",
        ))))];
        let quote = quote_of(&wishes, Some(&terms)).unwrap();
        let json = serde_json::to_value(&quote).unwrap();
        assert_eq!(serde_json::from_value::<PricedQuote>(json.clone()).unwrap(), quote);
        assert_eq!(json["items"][0]["zone"], "Asia/Ho_Chi_Minh");
        assert_eq!(json["items"][0]["lines"][0]["unit_price"], "181000");
    }

    #[rstest]
    #[case(QuoteStatus::Open, "2023-03-06T00:14:59Z", false, None)]
    #[case(QuoteStatus::Open, "2023-03-06T00:15:00Z", false, Some(RefusalCode::QuoteExpired))]
    #[case(QuoteStatus::Open, "2023-03-06T00:00:00Z", true, Some(RefusalCode::QuoteStale))]
    #[case(
        QuoteStatus::Ordered,
        "2023-03-06T00:00:00Z",
        false,
        Some(RefusalCode::QuoteAlreadyOrdered)
    )]
    #[case(
        QuoteStatus::Ordered,
        "2023-03-07T00:00:00Z",
        true,
        Some(RefusalCode::QuoteAlreadyOrdered)
    )]
    fn a_quote_is_good_for_a_quarter_of_an_hour(
        #[case] status: QuoteStatus,
        #[case] now: &str,
        #[case] stale: bool,
        #[case] code: Option<RefusalCode>,
    ) {
        let until = expires_at(at("2023-03-06T00:00:00Z"));
        assert_eq!(
            check_orderable(status, until, at(now), stale)
                .err()
                .map(|refusal| refusal.code),
            code
        );
    }

    proptest! {
        #[test]
        fn totals_are_the_sums_of_items_and_items_of_lines(
            prices in proptest::collection::vec(0i64..3_000_000, 1..5),
            quantity in 1i64..=20,
            months in 1u32..=24,
            with_coupon in any::<bool>(),
        ) {
            let components = prices.iter().enumerate()
                .map(|(index, price)| (component(index as u128, "c", &price.to_string()), 1 + index as i64))
                .collect();
            let item = CreateItem { components, quantity, ..server(Term::Months(months)) };
            let terms = ten_percent();
            let wishes = [RequestedItem::Create(item)];
            let Ok(quote) = quote_of(&wishes, with_coupon.then_some(&terms)) else {
                prop_assert!(prices.iter().all(|price| *price == 0));
                return Ok(());
            };
            let sum = |pick: fn(&PricedLine) -> Money| {
                quote.items.iter().flat_map(|item| &item.lines).map(|line| pick(line).minor()).sum::<i64>()
            };
            prop_assert_eq!(quote.items.len() as i64, quantity);
            prop_assert_eq!(quote.totals.gross.minor(), sum(|line| line.gross));
            prop_assert_eq!(quote.totals.tax.minor(), sum(|line| line.tax));
            prop_assert_eq!(quote.totals.coupon.minor(), sum(|line| line.coupon));
            prop_assert_eq!(quote.totals.charged.minor(), sum(|line| line.charged));
            prop_assert_eq!(quote.totals.charged, quote.totals.gross.minus(quote.totals.coupon).unwrap());
            prop_assert_eq!(quote.totals.gross, quote.totals.net.plus(quote.totals.tax).unwrap());
        }
    }
}
