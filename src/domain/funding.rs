//! Where an amount came from: promotional money, which is spent first, and cash. A refund goes back the same way.

use serde::{Deserialize, Serialize};

use super::money::{Currency, Money, allocate};
use super::refusal::Refusal;

/// An amount by where it came from. Neither part is below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funding {
    /// Money that was paid in.
    pub cash: Money,
    /// Money that was granted.
    pub promotional: Money,
}

impl Funding {
    /// Nothing.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self {
            cash: Money::zero(currency),
            promotional: Money::zero(currency),
        }
    }

    /// A total of which `promotional` was granted. Errors: INCONSISTENT when that is more than the total or below zero.
    pub fn of(total: Money, promotional: Money) -> Result<Self, Refusal> {
        let cash = total.minus(promotional)?;
        if cash.is_negative() || promotional.is_negative() {
            return Err(Refusal::inconsistent(
                "the promotional part of an amount is not a part of it",
            ));
        }
        Ok(Self { cash, promotional })
    }

    /// Both parts together. Errors: AMOUNT_OUT_OF_RANGE.
    pub fn total(&self) -> Result<Money, Refusal> {
        self.cash.plus(self.promotional)
    }

    /// Part by part. Errors: CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE.
    pub fn plus(&self, other: &Self) -> Result<Self, Refusal> {
        Ok(Self {
            cash: self.cash.plus(other.cash)?,
            promotional: self.promotional.plus(other.promotional)?,
        })
    }

    /// Part by part. Errors: INCONSISTENT when a part would fall below zero.
    pub fn minus(&self, other: &Self) -> Result<Self, Refusal> {
        let left = Self {
            cash: self.cash.minus(other.cash)?,
            promotional: self.promotional.minus(other.promotional)?,
        };
        if left.cash.is_negative() || left.promotional.is_negative() {
            return Err(Refusal::inconsistent("more was to go back than had come from there"));
        }
        Ok(left)
    }

    /// The split of a refund out of this amount: its promotional part is `round(refund x promotional / total)`, the
    /// rest is cash.
    ///
    /// Source: rule "Refund split" in ARCHITECTURE, section Money. Errors: INCONSISTENT when the refund is more than
    /// the total, or below zero.
    pub fn refund(&self, refund: Money) -> Result<Self, Refusal> {
        let total = self.total()?;
        if refund.is_negative() || total.minus(refund)?.is_negative() {
            return Err(Refusal::inconsistent("a refund is more than what was paid"));
        }
        if total.is_zero() {
            return Ok(Self::zero(total.currency()));
        }
        Self::of(refund, refund.share(self.promotional.minor(), total.minor())?)
    }

    /// The parts of this amount that were charged for each of several items: the promotional part by largest
    /// remainder over what was charged, the rest cash.
    ///
    /// Source: rule "Funding of items" in ARCHITECTURE, section Money. Errors: INCONSISTENT when the items were not
    /// charged this amount together.
    pub fn over_items(&self, charged: &[Money]) -> Result<Vec<Self>, Refusal> {
        let total = self.total()?;
        if Money::sum(total.currency(), charged.iter().copied())? != total {
            return Err(Refusal::inconsistent(
                "the items of an order do not add up to its payment",
            ));
        }
        allocate(self.promotional, charged)?
            .into_iter()
            .zip(charged)
            .map(|(promotional, charged)| Self::of(*charged, promotional))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::super::refusal::RefusalCode;
    use super::*;

    fn vnd(minor: i64) -> Money {
        Money::of(minor, Currency::Vnd)
    }

    #[test]
    fn a_refund_goes_back_where_it_came_from() {
        let paid = Funding::of(vnd(181_000), vnd(50_000)).unwrap();
        let back = paid.refund(vnd(120_667)).unwrap();
        assert_eq!(
            back,
            Funding {
                cash: vnd(87_334),
                promotional: vnd(33_333)
            }
        );
        assert_eq!(paid.refund(vnd(181_000)).unwrap(), paid);
        assert_eq!(paid.refund(vnd(181_001)).unwrap_err().code, RefusalCode::Inconsistent);
        assert_eq!(paid.refund(vnd(-1)).unwrap_err().code, RefusalCode::Inconsistent);
        assert_eq!(
            Funding::zero(Currency::Vnd).refund(vnd(0)).unwrap(),
            Funding::zero(Currency::Vnd)
        );
    }

    #[test]
    fn the_promotional_part_is_a_part() {
        assert_eq!(Funding::of(vnd(1), vnd(2)).unwrap_err().code, RefusalCode::Inconsistent);
        assert_eq!(
            Funding::of(vnd(1), vnd(-1)).unwrap_err().code,
            RefusalCode::Inconsistent
        );
    }

    #[test]
    fn items_share_the_promotional_part_by_what_they_were_charged() {
        let funding = Funding::of(vnd(100), vnd(50)).unwrap();
        let parts = funding.over_items(&[vnd(33), vnd(33), vnd(34)]).unwrap();
        assert_eq!(
            parts.iter().map(|part| part.promotional.minor()).collect::<Vec<_>>(),
            [17, 16, 17]
        );
        assert_eq!(parts[0].cash, vnd(16));
        assert_eq!(
            funding.over_items(&[vnd(99)]).unwrap_err().code,
            RefusalCode::Inconsistent
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_part_is_negative(
            charged in proptest::collection::vec(0i64..10_000_000, 1..12),
            granted in 0u32..=1_000,
            returned in 0u32..=1_000,
        ) {
            let total: i64 = charged.iter().sum();
            let funding = Funding::of(vnd(total), vnd(total * i64::from(granted) / 1_000)).unwrap();
            let charged: Vec<Money> = charged.into_iter().map(vnd).collect();
            let parts = funding.over_items(&charged).unwrap();
            let sum = parts.iter().try_fold(Funding::zero(Currency::Vnd), |sum, part| sum.plus(part)).unwrap();
            prop_assert_eq!(sum, funding);
            let refund = funding.refund(vnd(total * i64::from(returned) / 1_000)).unwrap();
            prop_assert!(!refund.cash.is_negative() && !refund.promotional.is_negative());
            prop_assert!(refund.promotional.minor() <= funding.promotional.minor());
            prop_assert!(refund.cash.minor() <= funding.cash.minor());
        }
    }
}
