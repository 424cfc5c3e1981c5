//! The published worked examples, reproduced to the last dong from their dates and prices alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::NaiveDate;
use chrono_tz::{Asia, Tz};
use entity::enums::{DayCount, OrderAction};
use serde_json::Value;

use super::coupon::tests::terms as coupon_terms;
use super::coupon::{self, CouponItem, CouponValue};
use super::day_count::length;
use super::funding::Funding;
use super::money::{Currency, Money};
use super::period::{PaidPeriod, delete_refund};
use super::pricing::tests::{component as component_ref, vnd_price};
use super::quote::tests::{component, existing, vserver};
use super::quote::{
    CatalogueComponent, CreateItem, Existing, PricedItem, QuoteRequest, RenewItem, RequestedItem, price,
};
use super::resize::resize;
use super::term::Term;
use super::time::{Instant, MINUTES_PER_DAY, start_of_day};

const ZONE: Tz = Asia::Ho_Chi_Minh;

fn vnd(minor: i64) -> Money {
    Money::of(minor, Currency::Vnd)
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("not a whole number: {value}"))
}

fn midnight(value: &Value) -> Instant {
    let date: NaiveDate = value.as_str().unwrap().parse().unwrap();
    start_of_day(date, ZONE)
}

fn server(unit_price: &Value) -> Vec<(CatalogueComponent, i64)> {
    vec![(component(10, "server", &number(unit_price).to_string()), 1)]
}

fn quote(wish: RequestedItem, now: Instant, coupon: Option<&coupon::CouponTerms>) -> super::quote::PricedQuote {
    price(&QuoteRequest {
        items: &[wish],
        coupon,
        zone: ZONE,
        currency: Currency::Vnd,
        now,
    })
    .unwrap()
}

fn create(components: Vec<(CatalogueComponent, i64)>, term: Term, now: Instant) -> PricedItem {
    let wish = CreateItem {
        product: vserver(),
        components,
        quantity: 1,
        term,
        name: None,
        auto_renew: false,
    };
    quote(RequestedItem::Create(wish), now, None).items.remove(0)
}

/// The period an item becomes when it is paid in cash and provisioned at once.
fn paid(item: &PricedItem) -> PaidPeriod {
    let span = item.span.unwrap();
    PaidPeriod {
        starts_at: span.start,
        ends_at: span.end,
        length: span.length,
        priced: span.priced,
        day_count: span.day_count,
        zone: item.zone,
        gross: item.totals.gross,
        tax: item.totals.tax,
        charged: item.totals.charged,
        charged_promotional: vnd(0),
    }
}

fn assert_days(from: Instant, to: Instant, days: &Value) {
    let length = length(DayCount::Thirty360, ZONE, from, to);
    assert_eq!(length.get(), number(days) * MINUTES_PER_DAY, "{from} to {to}");
}

#[test]
fn a_server_and_its_disk_for_sixty_days_with_a_coupon() {
    let golden = read(include_str!("../../tests/golden/create_invoice.json"));
    let items = golden["items"].as_array().unwrap();
    let components = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let code = item["item"].as_str().unwrap();
            (
                component(index as u128, code, &number(&item["unit_price"]).to_string()),
                1,
            )
        })
        .collect();
    let terms = coupon_terms(CouponValue::Fixed(vnd(number(&golden["coupon"]))));
    let wish = CreateItem {
        product: vserver(),
        components,
        quantity: 1,
        term: Term::days(number(&golden["days"])).unwrap(),
        name: None,
        auto_renew: false,
    };
    let quote = quote(
        RequestedItem::Create(wish),
        super::time::tests::at("2023-03-06T00:00:00+07:00"),
        Some(&terms),
    );
    for (line, item) in quote.items[0].lines.iter().zip(items) {
        assert_eq!(line.gross.minor(), number(&item["expect"]), "{}", line.component.code);
    }
    assert_eq!(quote.totals.coupon.minor(), number(&golden["coupon"]));
    assert_eq!(quote.totals.charged.minor(), number(&golden["expect_invoice_total"]));
}

#[test]
fn one_coupon_over_two_resources_paid_together() {
    let golden = read(include_str!("../../tests/golden/coupon_split.json"));
    let items = golden["items"].as_array().unwrap();
    let counted: Vec<CouponItem<'_>> = items
        .iter()
        .map(|item| CouponItem {
            product_code: item["resource"].as_str().unwrap(),
            action: OrderAction::Create,
            gross: vnd(number(&item["price"])),
        })
        .collect();
    let terms = coupon_terms(CouponValue::Fixed(vnd(number(&golden["coupon"]))));
    let shares = coupon::apply(&terms, &counted, super::time::tests::at("2023-03-06T00:00:00+07:00")).unwrap();
    let mut payment = vnd(0);
    for ((share, counted), item) in shares.iter().zip(&counted).zip(items) {
        let pay = counted.gross.minus(*share).unwrap();
        assert_eq!(share.minor(), number(&item["expect_coupon"]));
        assert_eq!(pay.minor(), number(&item["expect_pay"]));
        payment = payment.plus(pay).unwrap();
    }
    assert_eq!(payment.minor(), number(&golden["expect_payment"]));
    assert_eq!(shares.len() as i64, number(&golden["expect_invoices"]));
}

#[test]
fn a_server_made_larger_then_smaller() {
    let golden = read(include_str!("../../tests/golden/resize.json"));
    let steps = golden["steps"].as_array().unwrap();
    let mut period: Option<PaidPeriod> = None;
    for step in steps {
        let (now, end) = (midnight(&step["at"]), midnight(&step["end"]));
        assert_days(now, end, &step["days"]);
        let Some(old) = period else {
            let item = create(server(&step["unit_price"]), Term::Until(end), now);
            assert_eq!(item.totals.gross.minor(), number(&step["expect_new_value"]));
            assert_eq!(item.totals.charged.minor(), number(&step["expect_to_pay"]));
            period = Some(paid(&item));
            continue;
        };
        let configuration = [(
            component_ref("server"),
            vnd_price(&number(&step["unit_price"]).to_string()),
            1,
        )];
        let resized = resize(&[old], &configuration, DayCount::Thirty360, ZONE, now).unwrap();
        assert_eq!(
            resized.credit.total().unwrap().minor(),
            number(&step["expect_unused_value"])
        );
        assert_eq!(resized.totals.charged.minor(), number(&step["expect_new_value"]));
        assert_eq!(resized.due.minor(), number(&step["expect_to_pay"]));

        let payment = if resized.due.is_negative() { vnd(0) } else { resized.due };
        let settled = resized.settle(&Funding::of(payment, vnd(0)).unwrap()).unwrap();
        period = Some(PaidPeriod {
            starts_at: now,
            ends_at: resized.ends_at,
            length: resized.length,
            priced: resized.priced,
            day_count: resized.day_count,
            zone: ZONE,
            gross: resized.totals.gross,
            tax: resized.totals.tax,
            charged: settled.charged.total().unwrap(),
            charged_promotional: settled.charged.promotional,
        });
    }
    assert_eq!(steps.len(), 3);
}

#[test]
fn a_renewal_paid_early_starts_at_the_old_end() {
    let golden = read(include_str!("../../tests/golden/renew_delete.json"));
    let golden = &golden["renew"];
    let (created, renewed) = (&golden["create"], &golden["renew"]);
    let (start, end) = (midnight(&created["at"]), midnight(&created["end"]));
    assert_days(start, end, &created["days"]);
    for term in [Term::Until(end), Term::Months(1)] {
        let item = create(server(&golden["unit_price"]), term, start);
        assert_eq!(item.span.unwrap().end, end);
        assert_eq!(item.totals.charged.minor(), number(&created["expect_to_pay"]));
    }

    let new_end = midnight(&renewed["new_end"]);
    assert_days(end, new_end, &renewed["days"]);
    for term in [Term::Until(new_end), Term::Months(2)] {
        let wish = RenewItem {
            existing: Existing {
                components: server(&golden["unit_price"]),
                paid_until: Some(end),
                anchor_day: Some(6),
                ..existing(Vec::new())
            },
            term,
        };
        let quote = quote(RequestedItem::Renew(wish), midnight(&renewed["at"]), None);
        let span = quote.items[0].span.unwrap();
        assert_eq!((span.start, span.end), (end, new_end));
        assert_eq!(quote.totals.charged.minor(), number(&renewed["expect_to_pay"]));
    }
}

#[test]
fn a_deletion_gives_the_unused_value_back() {
    let golden = read(include_str!("../../tests/golden/renew_delete.json"));
    let golden = &golden["delete"];
    let (created, end, deleted) = (
        midnight(&golden["created"]),
        midnight(&golden["end"]),
        midnight(&golden["deleted"]),
    );
    let item = create(server(&golden["unit_price"]), Term::Until(end), created);
    let unused = delete_refund(&[paid(&item)], deleted).unwrap();
    assert_eq!(
        unused[0].remaining.get(),
        number(&golden["unused_days"]) * MINUTES_PER_DAY
    );
    assert_eq!(unused[0].amount().unwrap().minor(), number(&golden["expect_refund"]));
}
