#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use chrono_tz::Asia;
use entity::enums::{GraceService, Life, LifecyclePolicy, Power};
use proptest::prelude::*;
use rstest::rstest;

use super::super::coupon::tests::ten_percent;
use super::super::lifecycle::State;
use super::super::policy::PolicyTerms;
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

/// A server that was bought, with these periods.
pub(crate) fn existing(periods: Vec<OpenPeriod>) -> Existing {
    Existing {
        resource_id: Uuid::from_u128(5),
        name: "web".into(),
        product: vserver(),
        terms: PolicyTerms {
            policy: LifecyclePolicy::Standard,
            grace_service: GraceService::Full,
            release_days: 30,
            trash_days: 7,
            auto_renew_locked: false,
        },
        refunds_on_delete: true,
        state: State {
            life: Life::Active,
            power: Power::Running,
        },
        auto_renew: true,
        paid_until: periods.last().map(|period| period.paid.ends_at),
        anchor_day: None,
        period_id: periods.last().map(|period| period.period_id),
        periods,
        components: server(Term::Months(1)).components,
        unsold: None,
    }
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
    assert_eq!(item.span.unwrap().end, at("2023-04-06T00:00:00+07:00"));
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
        existing: Existing {
            paid_until: Some(at("2023-02-28T00:00:00+07:00")),
            anchor_day: Some(31),
            ..existing(Vec::new())
        },
        term: Term::Months(1),
    };
    let quote = quote_of(&[RequestedItem::Renew(renew)], None).unwrap();
    assert_eq!(quote.items[0].span.unwrap().end, at("2023-03-31T00:00:00+07:00"));
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
#[case(CreateItem { quantity: 0, ..server(Term::Months(1)) }, RefusalCode::InvalidQuantity, "items.0.create.quantity")]
#[case(CreateItem { quantity: -1, ..server(Term::Months(1)) }, RefusalCode::InvalidQuantity, "items.0.create.quantity")]
#[case(CreateItem { quantity: i64::MAX, ..server(Term::Months(1)) }, RefusalCode::InvalidQuantity, "items.0.create.quantity")]
#[case(server(Term::Months(0)), RefusalCode::InvalidTerm, "items.0.create.term")]
#[case(
    server(Term::Until(at("2023-03-05T00:00:00+07:00"))),
    RefusalCode::EndNotAfterStart,
    "items.0.create.term"
)]
#[case(CreateItem { name: Some("x".repeat(1_000_000)), ..server(Term::Months(1)) }, RefusalCode::InvalidText, "items.0.create.name")]
#[case(with_components(Vec::new()), RefusalCode::NothingToBuy, "items.0.create.components")]
#[case(with_components(vec![(component(1, "a", "1"), 11)]), RefusalCode::InvalidQuantity, "items.0.create.components.0.quantity")]
#[case(with_components(vec![(component(1, "a", "1"), -1)]), RefusalCode::InvalidQuantity, "items.0.create.components.0.quantity")]
#[case(
    with_components(vec![(component(1, "a", "1"), 1), (component(1, "a", "1"), 1)]),
    RefusalCode::DuplicateComponent,
    "items.0.create.components.1"
)]
#[case(with_components((0..51).map(|n| (component(n, "a", "1"), 1)).collect()), RefusalCode::TooManyItems, "items.0.create.components")]
#[case(
    with_components(vec![(CatalogueComponent {
        price: PriceRow { currency: Currency::Usd, ..vnd_price("1") },
        ..component(1, "a", "1")
    }, 1)]),
    RefusalCode::PriceNotAvailable,
    "items.0.create.components.0"
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
