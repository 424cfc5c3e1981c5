//! Changing a configuration for the rest of the paid time.

use chrono_tz::Tz;
use entity::enums::DayCount;

use super::day_count;
use super::funding::Funding;
use super::money::{Currency, Money};
use super::period::{PaidPeriod, Unused};
use super::pricing::{ComponentRef, PriceRow, PricedLine, Totals, price_line};
use super::refusal::{Refusal, RefusalCode};
use super::time::{Instant, Minutes, PricedMinutes};

/// What a resize replaces, opens and costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Where the old periods end and the new one begins: the quote's instant.
    pub at: Instant,
    /// The end of what is paid, which does not move.
    pub ends_at: Instant,
    /// The length of the new period by `day_count`.
    pub length: Minutes,
    /// The minutes the new configuration is priced for.
    pub priced: PricedMinutes,
    /// What the new period is measured by.
    pub day_count: DayCount,
    /// What is left of each period that is replaced, in their order.
    pub unused: Vec<Unused>,
    /// The new configuration, priced.
    pub lines: Vec<PricedLine>,
    /// The sums over the lines; no coupon counts on a resize.
    pub totals: Totals,
    /// What is left of the old periods together, by where it came from.
    pub credit: Funding,
    /// New value less unused value: to be paid when above zero, to go back when below.
    pub due: Money,
}

/// How a resize was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What the new period counts as charged, by where it came from.
    pub charged: Funding,
    /// What goes back to the wallet.
    pub refund: Funding,
}

/// What it costs to change a configuration at `at`.
///
/// Each period that has not ended is replaced. The new period is priced for the priced minutes they have left
/// (`priced x remaining / length` each, to the minute) at today's price, and is charged its list value; what they have
/// left goes against it. It is measured as they were; by the product's day count when they differ among themselves.
///
/// Source: rule "Resize" in ARCHITECTURE, section Money. Errors: PERIOD_ENDED when nothing is left; those of
/// [`price_line`]; CURRENCY_MISMATCH; AMOUNT_OUT_OF_RANGE.
pub fn resize(
    periods: &[PaidPeriod],
    configuration: &[(ComponentRef, PriceRow, i64)],
    product_day_count: DayCount,
    zone: Tz,
    at: Instant,
) -> Result<Resize, Refusal> {
    // One of which no minute is left although it has not ended (its last minute, or a day that counts nothing) is
    // replaced as well, or it would lie beside the new one.
    let open: Vec<&PaidPeriod> = periods.iter().filter(|period| period.ends_at > at).collect();
    let left: Vec<&PaidPeriod> = open
        .iter()
        .copied()
        .filter(|period| period.remaining(at) > Minutes::ZERO)
        .collect();
    let Some(furthest) = left.iter().max_by_key(|period| period.ends_at) else {
        return Err(Refusal::new(
            RefusalCode::PeriodEnded,
            "What was paid for has ended. Renew the resource first, then change it.",
        ));
    };
    let ends_at = furthest.ends_at;
    let currency: Currency = furthest.charged.currency();

    let mut unused = Vec::with_capacity(open.len());
    let mut priced = PricedMinutes::ZERO;
    let mut credit = Funding::zero(currency);
    for period in &open {
        let part = period.unused(at)?;
        priced = priced.plus(period.unused_priced(at)?)?;
        credit = credit.plus(&part.refund)?;
        unused.push(part);
    }
    let same = left
        .iter()
        .all(|period| period.day_count == furthest.day_count && period.zone == furthest.zone);
    let (day_count, zone) = if same {
        (furthest.day_count, furthest.zone)
    } else {
        (product_day_count, zone)
    };

    let lines = configuration
        .iter()
        .map(|(component, price, quantity)| price_line(component, price, *quantity, priced))
        .collect::<Result<Vec<_>, _>>()?;
    let totals = Totals::of_lines(currency, &lines)?;
    Ok(Resize {
        at,
        ends_at,
        // What is left of a period that began a moment ago may lie within one minute: no period is shorter.
        length: day_count::length(day_count, zone, at, ends_at).max(Minutes::new(1)),
        priced,
        day_count,
        unused,
        lines,
        totals,
        due: totals.charged.minus(credit.total()?)?,
        credit,
    })
}

impl Resize {
    /// Settles it with what was paid: see [`settle`].
    pub fn settle(&self, payment: &Funding) -> Result<Settled, Refusal> {
        settle(&self.credit, self.totals.charged, payment)
    }
}

/// Settles a new period that takes in what is unused of earlier ones (`credit`) with what was paid for it. The new
/// period inherits the unused split and the new payment's; what goes back takes the promotional part that its share of
/// the unused had. A deletion is a new period that is charged nothing.
///
/// Source: rule "Resize" in ARCHITECTURE, section Money. Errors: INCONSISTENT when the payment is not what is due.
pub fn settle(credit: &Funding, charged: Money, payment: &Funding) -> Result<Settled, Refusal> {
    let due = charged.minus(credit.total()?)?;
    if due.is_negative() {
        if !payment.total()?.is_zero() {
            return Err(Refusal::inconsistent("something was paid for a change that gives back"));
        }
        let refund = credit.refund(due.negated()?)?;
        return Ok(Settled {
            charged: credit.minus(&refund)?,
            refund,
        });
    }
    if payment.total()? != due {
        return Err(Refusal::inconsistent("the payment of a change is not what it costs"));
    }
    Ok(Settled {
        charged: credit.plus(payment)?,
        refund: Funding::zero(charged.currency()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use chrono_tz::Asia;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::period::tests::period;
    use super::super::pricing::tests::{component, vnd_price};
    use super::super::time::MINUTES_PER_DAY;
    use super::super::time::tests::at;
    use super::*;

    fn vnd(minor: i64) -> Money {
        Money::of(minor, Currency::Vnd)
    }

    fn to(price: &str, periods: &[PaidPeriod], when: &str) -> Result<Resize, Refusal> {
        let configuration = [(component("server"), vnd_price(price), 1)];
        resize(
            periods,
            &configuration,
            DayCount::Thirty360,
            Asia::Ho_Chi_Minh,
            at(when),
        )
    }

    const MARCH: &str = "2023-03-06T00:00:00+07:00";
    const MAY: &str = "2023-05-06T00:00:00+07:00";
    const JUNE: &str = "2023-06-06T00:00:00+07:00";

    #[rstest]
    #[case("2023-03-06T00:00:00+07:00")]
    #[case("2023-04-16T00:00:00+07:00")]
    #[case("2023-05-16T13:37:00+07:00")]
    fn the_same_configuration_at_the_same_price_costs_nothing(#[case] when: &str) {
        assert!(
            to("181000", &[period(MARCH, JUNE, 543_000)], when)
                .unwrap()
                .due
                .is_zero()
        );
    }

    #[test]
    fn renewed_periods_not_begun_are_replaced_with_the_running_one() {
        let periods = [period(MARCH, MAY, 362_000), period(MAY, JUNE, 181_000)];
        let resize = to("520000", &periods, "2023-04-16T00:00:00+07:00").unwrap();
        assert_eq!(resize.unused.len(), 2);
        assert_eq!(resize.priced.get(), 50 * MINUTES_PER_DAY);
        assert_eq!(resize.length.get(), 50 * MINUTES_PER_DAY);
        assert_eq!(resize.ends_at, at(JUNE));
        assert_eq!(resize.credit.total().unwrap(), vnd(301_667));
        assert_eq!(resize.due, vnd(565_000));
    }

    #[test]
    fn a_period_that_has_ended_can_not_be_changed() {
        let refusal = to("520000", &[period(MARCH, MAY, 362_000)], MAY).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::PeriodEnded);
    }

    #[test]
    fn the_new_period_inherits_where_the_money_came_from() {
        let paid = PaidPeriod {
            charged_promotional: vnd(90_000),
            ..period(MARCH, JUNE, 543_000)
        };
        let up = to("520000", &[paid], "2023-04-16T00:00:00+07:00").unwrap();
        assert_eq!(
            up.credit,
            Funding {
                cash: vnd(251_667),
                promotional: vnd(50_000)
            }
        );
        let settled = up.settle(&Funding::of(vnd(565_000), vnd(5_000)).unwrap()).unwrap();
        assert_eq!(
            settled.charged,
            Funding {
                cash: vnd(811_667),
                promotional: vnd(55_000)
            }
        );
        assert_eq!(settled.refund.total().unwrap(), vnd(0));
        assert!(up.settle(&Funding::zero(Currency::Vnd)).is_err());

        let down = to("90500", &[paid], "2023-04-16T00:00:00+07:00").unwrap();
        let settled = down.settle(&Funding::zero(Currency::Vnd)).unwrap();
        assert_eq!(settled.refund.total().unwrap(), vnd(150_834));
        assert_eq!(settled.charged.plus(&settled.refund).unwrap(), down.credit);
    }

    proptest! {
        #[test]
        fn the_new_period_counts_what_its_lines_cost(charged in 0i64..5_000_000, granted in 0i64..=100, price in 0i64..5_000_000, minute in 0i64..129_000) {
            let paid = PaidPeriod { charged_promotional: vnd(charged * granted / 100), ..period(MARCH, JUNE, charged) };
            let when = paid.starts_at + chrono::TimeDelta::minutes(minute);
            let configuration = [(component("server"), vnd_price(&price.to_string()), 1)];
            let resize = resize(&[paid], &configuration, DayCount::Thirty360, Asia::Ho_Chi_Minh, when).unwrap();
            let owed = if resize.due.is_negative() { vnd(0) } else { resize.due };
            let settled = resize.settle(&Funding::of(owed, vnd(0)).unwrap()).unwrap();
            prop_assert_eq!(settled.charged.total().unwrap(), resize.totals.charged);
        }
    }
}
