//! A paid period: what of it is left at an instant, what that is worth, and how it goes back.

use chrono_tz::Tz;
use entity::enums::DayCount;
use serde::{Deserialize, Serialize};

use super::day_count;
use super::funding::Funding;
use super::money::{Money, allocate};
use super::pricing::PricedLine;
use super::refusal::Refusal;
use super::time::{Instant, Minutes, PricedMinutes, zone_name};

/// An interval of a resource's life, and what was charged for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidPeriod {
    /// Its first instant.
    pub starts_at: Instant,
    /// Its end, exclusive.
    pub ends_at: Instant,
    /// Its length by its day count.
    pub length: Minutes,
    /// The minutes its price was made for.
    pub priced: PricedMinutes,
    /// What its length is measured by.
    pub day_count: DayCount,
    /// The zone it is measured in, as it was.
    #[serde(with = "zone_name")]
    pub zone: Tz,
    /// Net and tax, before the coupon.
    pub gross: Money,
    /// The tax within.
    pub tax: Money,
    /// What was charged: gross less the coupon's share.
    pub charged: Money,
    /// How much of that was promotional money.
    pub charged_promotional: Money,
}

/// The part of a paid period that is not used at an instant, and how it is booked back.
///
/// `refund = round(charged x remaining / length)`, and so are the tax and the coupon's share; the net is what balances
/// them: `net + tax - coupon = refund`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unused {
    /// What of the length is left.
    pub remaining: Minutes,
    /// What goes back, by where it came from.
    pub refund: Funding,
    /// The tax within.
    pub tax: Money,
    /// The coupon's share that is no longer given.
    pub coupon: Money,
    /// The revenue that is no longer deferred.
    pub net: Money,
}

impl Unused {
    /// What goes back. Errors: AMOUNT_OUT_OF_RANGE.
    pub fn amount(&self) -> Result<Money, Refusal> {
        self.refund.total()
    }
}

impl Unused {
    /// Whether there is something to be written down: an amount, its tax, or a coupon's share that is given no longer.
    /// Errors: AMOUNT_OUT_OF_RANGE.
    pub fn is_noted(&self) -> Result<bool, Refusal> {
        Ok(!(self.amount()?.is_zero() && self.tax.is_zero() && self.coupon.is_zero()))
    }
}

impl PaidPeriod {
    /// What of its length is left at an instant: all of it before it begins, nothing once it has ended.
    #[must_use]
    pub fn remaining(&self, at: Instant) -> Minutes {
        if at <= self.starts_at {
            return self.length;
        }
        if at >= self.ends_at {
            return Minutes::ZERO;
        }
        day_count::length(self.day_count, self.zone, at, self.ends_at).clamp(Minutes::ZERO, self.length)
    }

    /// What was charged, by where it came from. Errors: INCONSISTENT.
    pub fn funding(&self) -> Result<Funding, Refusal> {
        Funding::of(self.charged, self.charged_promotional)
    }

    /// What is left of it at an instant: `round(charged x remaining / length)` by its own day count. So it never
    /// exceeds what was paid, the coupon included, and it falls with time.
    ///
    /// Source: rule "Unused value" in ARCHITECTURE, section Money. Errors: INCONSISTENT for a period without length.
    pub fn unused(&self, at: Instant) -> Result<Unused, Refusal> {
        let remaining = self.remaining(at);
        let share = |amount: Money| amount.share(remaining.get(), self.length.get());
        let amount = share(self.charged)?;
        let tax = share(self.tax)?;
        let coupon = share(self.gross.minus(self.charged)?)?;
        Ok(Unused {
            remaining,
            refund: self.funding()?.refund(amount)?,
            tax,
            coupon,
            net: amount.minus(tax)?.plus(coupon)?,
        })
    }

    /// The worth of what is left at an instant. Errors: INCONSISTENT for a period without length.
    pub fn unused_value(&self, at: Instant) -> Result<Money, Refusal> {
        self.charged.share(self.remaining(at).get(), self.length.get())
    }

    /// The priced minutes that are left: `priced x remaining / length`, to the minute.
    /// Errors: INCONSISTENT for a period without length.
    pub fn unused_priced(&self, at: Instant) -> Result<PricedMinutes, Refusal> {
        let exact = super::exact::Fraction::whole(self.priced.get())
            .times(self.remaining(at).get())?
            .over(self.length.get())?;
        Ok(PricedMinutes::new(exact.rounded()?))
    }
}

/// What goes back when a resource is deleted: the unused value of each of its periods that has not ended, those not
/// begun whole. Each keeps its own split. In the order of the periods.
///
/// Source: rule "Delete" in ARCHITECTURE, section Money. Errors: INCONSISTENT.
pub fn delete_refund(periods: &[PaidPeriod], at: Instant) -> Result<Vec<Unused>, Refusal> {
    periods.iter().map(|period| period.unused(at)).collect()
}

/// One line of a credit note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNoteLine {
    /// By how much the line is reduced, tax within.
    pub amount: Money,
    /// The tax within.
    pub tax: Money,
}

/// The credit note over the unused part of a period: its amount over the lines of the invoice by what each was
/// charged, its tax by the tax of each, both by largest remainder.
///
/// Source: rule "Credit notes" in ARCHITECTURE, section Money. Errors: INCONSISTENT when there are no lines.
pub fn credit_note_lines(unused: &Unused, lines: &[PricedLine]) -> Result<Vec<CreditNoteLine>, Refusal> {
    let charged: Vec<Money> = lines.iter().map(|line| line.charged).collect();
    let taxed: Vec<Money> = lines.iter().map(|line| line.tax).collect();
    let amounts = allocate(unused.amount()?, &charged)?;
    let taxes = allocate(unused.tax, &taxed)?;
    Ok(amounts
        .into_iter()
        .zip(taxes)
        .map(|(amount, tax)| CreditNoteLine { amount, tax })
        .collect())
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use chrono::TimeDelta;
    use chrono_tz::Asia;
    use proptest::prelude::*;

    use super::super::money::Currency;
    use super::super::pricing::tests::{component, vnd_price};
    use super::super::pricing::{price_line, share_coupon};
    use super::super::term::{Term, span};
    use super::super::time::tests::{ZONES, at};
    use super::*;

    fn vnd(minor: i64) -> Money {
        Money::of(minor, Currency::Vnd)
    }

    /// A period of VND in months of 30 days, paid in cash, without tax or coupon.
    pub(crate) fn period(from: &str, to: &str, charged: i64) -> PaidPeriod {
        let span = span(
            Term::Until(at(to)),
            at(from),
            Asia::Ho_Chi_Minh,
            None,
            DayCount::Thirty360,
        )
        .unwrap();
        PaidPeriod {
            starts_at: span.start,
            ends_at: span.end,
            length: span.length,
            priced: span.priced,
            day_count: span.day_count,
            zone: Asia::Ho_Chi_Minh,
            gross: vnd(charged),
            tax: vnd(0),
            charged: vnd(charged),
            charged_promotional: vnd(0),
        }
    }

    #[test]
    fn what_has_not_begun_counts_whole_and_what_has_ended_counts_nothing() {
        let period = period("2023-03-06T00:00:00+07:00", "2023-05-06T00:00:00+07:00", 362_000);
        assert_eq!(
            period.unused_value(at("2023-01-01T00:00:00+07:00")).unwrap(),
            vnd(362_000)
        );
        assert_eq!(
            period.unused_value(at("2023-04-16T00:00:00+07:00")).unwrap(),
            vnd(120_667)
        );
        assert_eq!(period.unused_value(at("2023-05-06T00:00:00+07:00")).unwrap(), vnd(0));
        assert_eq!(period.unused_value(at("2024-01-01T00:00:00+07:00")).unwrap(), vnd(0));
    }

    #[test]
    fn a_refund_counts_the_coupon_and_goes_back_where_it_came_from() {
        let period = PaidPeriod {
            gross: vnd(181_000),
            tax: vnd(16_455),
            charged: vnd(162_900),
            charged_promotional: vnd(62_900),
            ..period("2023-03-06T00:00:00+07:00", "2023-04-06T00:00:00+07:00", 0)
        };
        let unused = period.unused(at("2023-03-16T00:00:00+07:00")).unwrap();
        assert_eq!(unused.amount().unwrap(), vnd(108_600));
        assert_eq!(
            unused.refund,
            Funding {
                cash: vnd(66_667),
                promotional: vnd(41_933)
            }
        );
        assert_eq!(
            (unused.tax, unused.coupon, unused.net),
            (vnd(10_970), vnd(12_067), vnd(109_697))
        );
    }

    #[test]
    fn a_credit_note_is_split_over_its_lines() {
        let lines = vec![
            price_line(&component("a"), &vnd_price("90000"), 1, PricedMinutes::new(86_400)).unwrap(),
            price_line(&component("b"), &vnd_price("35000"), 1, PricedMinutes::new(86_400)).unwrap(),
        ];
        let lines = share_coupon(lines, vnd(20_000)).unwrap();
        let unused = Unused {
            remaining: Minutes::new(1),
            refund: Funding::of(vnd(76_667), vnd(0)).unwrap(),
            tax: vnd(7_576),
            coupon: vnd(6_667),
            net: vnd(75_758),
        };
        let notes = credit_note_lines(&unused, &lines).unwrap();
        assert_eq!(
            notes.iter().map(|note| note.amount.minor()).collect::<Vec<_>>(),
            [55_200, 21_467]
        );
        assert_eq!(notes.iter().map(|note| note.tax.minor()).sum::<i64>(), 7_576);
    }

    #[test]
    fn nothing_paid_gives_nothing_back() {
        let free = period("2023-03-06T00:00:00+07:00", "2023-05-06T00:00:00+07:00", 0);
        let unused = delete_refund(&[free, free], at("2023-04-06T00:00:00+07:00")).unwrap();
        assert!(unused.iter().all(|unused| unused.amount().unwrap().is_zero()));
    }

    proptest! {
        #[test]
        fn unused_value_never_exceeds_what_was_charged_and_falls_with_time(
            start in 946_684_800i64..2_000_000_000,
            minutes in 1i64..1_000_000,
            gross in 0i64..100_000_000,
            coupon in 0i64..=100,
            granted in 0i64..=100,
            first in -1_000i64..1_100_000,
            later in 0i64..500_000,
            zone in 0..ZONES.len(),
            actual in any::<bool>(),
        ) {
            let starts_at = chrono::DateTime::from_timestamp(start, 0).unwrap();
            let day_count = if actual { DayCount::ActualMinutes } else { DayCount::Thirty360 };
            let Ok(span) = span(Term::Until(starts_at + TimeDelta::minutes(minutes)), starts_at, ZONES[zone], None, day_count)
            else { return Ok(()) };
            let charged = gross - gross * coupon / 100;
            let period = PaidPeriod {
                starts_at, ends_at: span.end, length: span.length, priced: span.priced, day_count, zone: ZONES[zone],
                gross: vnd(gross), tax: vnd(gross / 11), charged: vnd(charged), charged_promotional: vnd(charged * granted / 100),
            };
            let one = period.unused(starts_at + TimeDelta::minutes(first)).unwrap();
            let two = period.unused(starts_at + TimeDelta::minutes(first + later)).unwrap();
            let (before, after) = (one.amount().unwrap().minor(), two.amount().unwrap().minor());
            prop_assert!(0 <= after && after <= before && before <= charged);
            prop_assert!(two.remaining <= one.remaining && one.remaining <= period.length);
            prop_assert_eq!(one.net.plus(one.tax).unwrap().minus(one.coupon).unwrap(), one.amount().unwrap());
            prop_assert!(one.refund.promotional.minor() <= period.charged_promotional.minor());
        }
    }
}
