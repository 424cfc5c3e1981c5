//! What a component costs: one rate, one quantity, one time, one rounding; then its tax and its share of a coupon.

use entity::enums::{PriceUnit, TaxMode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::exact::Fraction;
use super::money::{Currency, Money, allocate};
use super::rate::{MICROS, Share, UnitPrice};
use super::refusal::{Refusal, RefusalCode};
use super::time::{MINUTES_PER_THIRTY_DAYS, PricedMinutes};

/// The most units of a component in one configuration.
pub const MAX_QUANTITY: i64 = 1_000_000;

/// What a component costs at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceRow {
    /// What the unit price is for.
    pub unit: PriceUnit,
    /// The price of one unit.
    pub unit_price: UnitPrice,
    /// What is taken off for everybody.
    pub discount: Share,
    /// The tax rate.
    pub tax: Share,
    /// Whether the price includes the tax.
    pub tax_mode: TaxMode,
    /// The currency of the price.
    pub currency: Currency,
}

/// Which component a line is for, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentRef {
    /// Its key in the catalogue.
    pub id: Uuid,
    /// Its short name: `s-general-1x1`.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What one unit of it is: `instance`, `GB`.
    pub unit_label: String,
}

/// One component, priced. All amounts are of one currency; `net + tax = gross` and `gross - coupon = charged`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedLine {
    /// The component.
    pub component: ComponentRef,
    /// What the unit price is for.
    pub unit: PriceUnit,
    /// The price of one unit, as it was.
    pub unit_price: UnitPrice,
    /// How many units.
    pub quantity: i64,
    /// The minutes the price is made for.
    pub minutes: PricedMinutes,
    /// What is taken off for everybody.
    pub discount: Share,
    /// The tax rate.
    pub tax_rate: Share,
    /// Whether the price includes the tax.
    pub tax_mode: TaxMode,
    /// Unit price x quantity x time, less the discount, rounded.
    pub list: Money,
    /// Without tax.
    pub net: Money,
    /// The tax.
    pub tax: Money,
    /// With tax.
    pub gross: Money,
    /// The line's share of the coupon.
    pub coupon: Money,
    /// What is to be paid.
    pub charged: Money,
}

impl PricedLine {
    /// The same line with its share of a coupon, which comes off the gross and leaves the tax as it is.
    ///
    /// Source: rule "Coupon share" in ARCHITECTURE, section Money. Errors: INCONSISTENT when the share is below zero
    /// or more than the gross.
    pub fn with_coupon(mut self, share: Money) -> Result<Self, Refusal> {
        let charged = self.gross.minus(share)?;
        if share.is_negative() || charged.is_negative() {
            return Err(Refusal::inconsistent(
                "a coupon's share is not a part of what a line costs",
            ));
        }
        self.coupon = share;
        self.charged = charged;
        Ok(self)
    }
}

/// Unit price x quantity x time x (1 - discount), in minor units, exact.
///
/// Per 30 days the time is `minutes / 43,200`, per hour `minutes / 60`; what is priced once has no time.
pub fn exact_list(price: &PriceRow, quantity: i64, minutes: PricedMinutes) -> Result<Fraction, Refusal> {
    let units = Fraction::whole(price.unit_price.micros())
        .times(price.discount.complement_micros())?
        .times(quantity)?
        .times(price.currency.minor_per_unit())?;
    let timed = match unit_minutes(price.unit) {
        Some(unit_minutes) => units.times(minutes.get())?.over(unit_minutes)?,
        None => units,
    };
    timed.over(MICROS)?.over(MICROS)
}

/// The minutes one unit price is for; none when it is for no time.
#[must_use]
pub const fn unit_minutes(unit: PriceUnit) -> Option<i64> {
    match unit {
        PriceUnit::ThirtyDays => Some(MINUTES_PER_THIRTY_DAYS),
        PriceUnit::Hour => Some(60),
        PriceUnit::Once => None,
    }
}

/// The tax within a list value, or on top of it, exact.
pub fn exact_tax(list: Money, rate: Share, mode: TaxMode) -> Result<Fraction, Refusal> {
    let taxed = Fraction::whole(list.minor()).times(rate.micros())?;
    match mode {
        TaxMode::Inclusive => taxed.over(MICROS + rate.micros()),
        TaxMode::Exclusive => taxed.over(MICROS),
    }
}

/// Prices one component of a configuration.
///
/// `list = round(unit price x quantity x minutes / 43,200 x (1 - discount))`, rounded once, halves away from zero. A
/// price that includes the tax: `gross = list, tax = round(gross x r / (1 + r)), net = gross - tax`; one that does
/// not: `net = list, tax = round(net x r), gross = net + tax`. No coupon yet.
///
/// Source: rules "List value" and "Tax" in ARCHITECTURE, section Money. Errors: INVALID_QUANTITY outside 1 to
/// [`MAX_QUANTITY`], AMOUNT_OUT_OF_RANGE, INCONSISTENT for minutes below zero.
pub fn price_line(
    component: &ComponentRef,
    price: &PriceRow,
    quantity: i64,
    minutes: PricedMinutes,
) -> Result<PricedLine, Refusal> {
    if !(1..=MAX_QUANTITY).contains(&quantity) {
        return Err(Refusal::new(
            RefusalCode::InvalidQuantity,
            format!("Choose a quantity of 1 to {MAX_QUANTITY}."),
        ));
    }
    if minutes < PricedMinutes::ZERO {
        return Err(Refusal::inconsistent("a time below zero was to be priced"));
    }
    let currency = price.currency;
    let list = Money::checked(exact_list(price, quantity, minutes)?.rounded()?, currency)?;
    let tax = Money::checked(exact_tax(list, price.tax, price.tax_mode)?.rounded()?, currency)?;
    let (net, gross) = match price.tax_mode {
        TaxMode::Inclusive => (list.minus(tax)?, list),
        TaxMode::Exclusive => (list, list.plus(tax)?),
    };
    Ok(PricedLine {
        component: component.clone(),
        unit: price.unit,
        unit_price: price.unit_price,
        quantity,
        minutes,
        discount: price.discount,
        tax_rate: price.tax,
        tax_mode: price.tax_mode,
        list,
        net,
        tax,
        gross,
        coupon: Money::zero(currency),
        charged: gross,
    })
}

/// Gives each line its share of an item's coupon share, in proportion to its gross, by largest remainder.
///
/// Source: rule "Coupon share" in ARCHITECTURE, section Money. Errors: INCONSISTENT when the share is more than the
/// lines cost together.
pub fn share_coupon(lines: Vec<PricedLine>, share: Money) -> Result<Vec<PricedLine>, Refusal> {
    let gross: Vec<Money> = lines.iter().map(|line| line.gross).collect();
    let shares = allocate(share, &gross)?;
    lines
        .into_iter()
        .zip(shares)
        .map(|(line, share)| line.with_coupon(share))
        .collect()
}

/// The sums over some lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Without tax.
    pub net: Money,
    /// The tax.
    pub tax: Money,
    /// With tax, before the coupon.
    pub gross: Money,
    /// What the coupon takes off.
    pub coupon: Money,
    /// What is to be paid.
    pub charged: Money,
}

impl Totals {
    /// Nothing.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self {
            net: zero,
            tax: zero,
            gross: zero,
            coupon: zero,
            charged: zero,
        }
    }

    /// The sums over lines. Errors: CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE.
    pub fn of_lines(currency: Currency, lines: &[PricedLine]) -> Result<Self, Refusal> {
        lines.iter().try_fold(Self::zero(currency), |sum, line| {
            sum.plus(&Self {
                net: line.net,
                tax: line.tax,
                gross: line.gross,
                coupon: line.coupon,
                charged: line.charged,
            })
        })
    }

    /// Field by field. Errors: CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE.
    pub fn plus(&self, other: &Self) -> Result<Self, Refusal> {
        Ok(Self {
            net: self.net.plus(other.net)?,
            tax: self.tax.plus(other.tax)?,
            gross: self.gross.plus(other.gross)?,
            coupon: self.coupon.plus(other.coupon)?,
            charged: self.charged.plus(other.charged)?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    pub(crate) fn component(code: &str) -> ComponentRef {
        ComponentRef {
            id: Uuid::nil(),
            code: code.into(),
            name: code.to_uppercase(),
            unit_label: "unit".into(),
        }
    }

    pub(crate) fn vnd_price(unit_price: &str) -> PriceRow {
        PriceRow {
            unit: PriceUnit::ThirtyDays,
            unit_price: UnitPrice::from_decimal_text(unit_price).unwrap(),
            discount: Share::ZERO,
            tax: Share::from_percent(10).unwrap(),
            tax_mode: TaxMode::Inclusive,
            currency: Currency::Vnd,
        }
    }

    fn priced(price: &PriceRow, quantity: i64, minutes: i64) -> PricedLine {
        price_line(&component("c"), price, quantity, PricedMinutes::new(minutes)).unwrap()
    }

    #[rstest]
    #[case("181000", 1, 43_200, 181_000)]
    #[case("181000", 1, 28_800, 120_667)]
    #[case("520000", 1, 72_000, 866_667)]
    #[case("90000", 1, 86_400, 180_000)]
    #[case("35000", 3, 43_200, 105_000)]
    // Exactly half a dong goes up.
    #[case("1", 1, 21_600, 1)]
    #[case("1", 1, 21_599, 0)]
    fn a_rate_is_per_thirty_days(#[case] price: &str, #[case] quantity: i64, #[case] minutes: i64, #[case] list: i64) {
        assert_eq!(priced(&vnd_price(price), quantity, minutes).list.minor(), list);
    }

    #[test]
    fn a_rate_per_hour_and_one_without_time() {
        let hourly = PriceRow {
            unit: PriceUnit::Hour,
            ..vnd_price("7.7")
        };
        assert_eq!(priced(&hourly, 10, 3 * 60).list.minor(), 231);
        assert_eq!(priced(&hourly, 20, 20 * 60).list.minor(), 3_080);
        let once = PriceRow {
            unit: PriceUnit::Once,
            ..vnd_price("1000")
        };
        assert_eq!(priced(&once, 16, 999).list.minor(), 16_000);
    }

    #[rstest]
    #[case("181000", TaxMode::Inclusive, 164_545, 16_455, 181_000)]
    #[case("181000", TaxMode::Exclusive, 181_000, 18_100, 199_100)]
    #[case("5", TaxMode::Exclusive, 5, 1, 6)]
    #[case("4", TaxMode::Exclusive, 4, 0, 4)]
    fn tax_is_within_or_on_top(
        #[case] price: &str,
        #[case] mode: TaxMode,
        #[case] net: i64,
        #[case] tax: i64,
        #[case] gross: i64,
    ) {
        let line = priced(
            &PriceRow {
                tax_mode: mode,
                ..vnd_price(price)
            },
            1,
            43_200,
        );
        assert_eq!(
            (line.net.minor(), line.tax.minor(), line.gross.minor()),
            (net, tax, gross)
        );
    }

    #[test]
    fn cents_are_kept_and_the_discount_is_rounded_with_the_rest() {
        let price = PriceRow {
            currency: Currency::Usd,
            unit_price: UnitPrice::from_decimal_text("9.99").unwrap(),
            discount: Share::from_percent_text("12.5").unwrap(),
            ..vnd_price("0")
        };
        // 9.99 x 3 x 0.875 = 26.22375 dollars.
        assert_eq!(priced(&price, 3, 43_200).list.to_decimal_text(), "26.22");
        let all_off = PriceRow {
            discount: Share::ONE,
            ..price
        };
        assert!(priced(&all_off, 1_000_000, 5_000_000).list.is_zero());
    }

    #[test]
    fn a_coupon_share_leaves_the_tax_as_it_is() {
        let line = priced(&vnd_price("181000"), 1, 43_200)
            .with_coupon(Money::of(18_100, Currency::Vnd))
            .unwrap();
        assert_eq!(
            (line.charged.minor(), line.tax.minor(), line.gross.minor()),
            (162_900, 16_455, 181_000)
        );
        assert!(line.with_coupon(Money::of(181_001, Currency::Vnd)).is_err());
    }

    #[rstest]
    #[case(0)]
    #[case(-1)]
    #[case(MAX_QUANTITY + 1)]
    #[case(i64::MIN)]
    #[case(i64::MAX)]
    fn quantities_have_limits(#[case] quantity: i64) {
        let refusal = price_line(&component("c"), &vnd_price("1"), quantity, PricedMinutes::new(1)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::InvalidQuantity);
    }

    #[test]
    fn what_costs_too_much_is_refused() {
        let refusal = price_line(
            &component("c"),
            &vnd_price("1000000000000"),
            MAX_QUANTITY,
            PricedMinutes::new(5_000_000),
        )
        .unwrap_err();
        assert_eq!(refusal.code, RefusalCode::AmountOutOfRange);
    }

    proptest! {
        #[test]
        fn lines_add_up(
            price in 0i64..2_000_000_000_000,
            quantity in 1i64..1_000,
            minutes in 0i64..6_000_000,
            discount in 0i64..=MICROS,
            tax in 0i64..=MICROS,
            exclusive in any::<bool>(),
        ) {
            let row = PriceRow {
                unit: PriceUnit::ThirtyDays,
                unit_price: UnitPrice::from_micros(price).unwrap(),
                discount: Share::from_micros(discount).unwrap(),
                tax: Share::from_micros(tax).unwrap(),
                tax_mode: if exclusive { TaxMode::Exclusive } else { TaxMode::Inclusive },
                currency: Currency::Vnd,
            };
            let line = priced(&row, quantity, minutes);
            prop_assert_eq!(line.net.plus(line.tax).unwrap(), line.gross);
            prop_assert!(!line.net.is_negative() && !line.tax.is_negative());
            // The one rounding is never further than half a minor unit from the exact value.
            let exact = i128::from(price) * i128::from(quantity) * i128::from(minutes) * i128::from(MICROS - discount);
            let whole = 43_200i128 * i128::from(MICROS) * i128::from(MICROS);
            prop_assert!((i128::from(line.list.minor()) * whole - exact).abs() * 2 <= whole);
        }

        #[test]
        fn a_split_period_costs_the_whole_within_rounding(price in 0i64..2_000_000_000_000, first in 0i64..500_000, second in 0i64..500_000) {
            let row = PriceRow { unit_price: UnitPrice::from_micros(price).unwrap(), ..vnd_price("0") };
            let whole = priced(&row, 1, first + second).list.minor();
            let parts = priced(&row, 1, first).list.minor() + priced(&row, 1, second).list.minor();
            prop_assert!((whole - parts).abs() <= 1);
        }

        #[test]
        fn coupon_shares_add_up_over_lines(prices in proptest::collection::vec(0i64..5_000_000, 1..10), cut in 0i64..=100) {
            let lines: Vec<PricedLine> = prices.iter().map(|price| priced(&vnd_price(&price.to_string()), 1, 43_200)).collect();
            let total = Totals::of_lines(Currency::Vnd, &lines).unwrap();
            let share = Money::of(total.gross.minor() * cut / 100, Currency::Vnd);
            let after = Totals::of_lines(Currency::Vnd, &share_coupon(lines, share).unwrap()).unwrap();
            prop_assert_eq!(after.coupon, share);
            prop_assert_eq!(after.charged, total.gross.minus(share).unwrap());
            prop_assert_eq!(after.tax, total.tax);
        }
    }
}
