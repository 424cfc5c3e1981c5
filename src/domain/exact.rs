//! A fraction that stays exact until it is rounded, once. It lives between a rate and an amount, and is stored nowhere.

use super::refusal::{Refusal, RefusalCode};

/// An exact fraction with a positive denominator, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: i128,
    denominator: i128,
}

const fn gcd(left: i128, right: i128) -> i128 {
    // Euclid's, over magnitudes. i128::MIN can't occur: checked_mul of two values in range never leaves it unnoticed.
    let (mut a, mut b) = (left.unsigned_abs(), right.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a as i128
}

impl Fraction {
    /// A whole number.
    #[must_use]
    pub const fn whole(value: i64) -> Self {
        Self {
            numerator: value as i128,
            denominator: 1,
        }
    }

    /// This fraction times a whole number. Errors: AMOUNT_OUT_OF_RANGE beyond 38 digits.
    pub fn times(self, factor: i64) -> Result<Self, Refusal> {
        let factor = i128::from(factor);
        let common = gcd(factor, self.denominator).max(1);
        let numerator = self.numerator.checked_mul(factor / common).ok_or_else(too_large)?;
        Ok(Self {
            numerator,
            denominator: self.denominator / common,
        })
    }

    /// This fraction divided by a whole number above zero. Errors: INCONSISTENT for a divisor of zero or less,
    /// AMOUNT_OUT_OF_RANGE beyond 38 digits.
    pub fn over(self, divisor: i64) -> Result<Self, Refusal> {
        if divisor <= 0 {
            return Err(Refusal::inconsistent(
                "a share of something without length was asked for",
            ));
        }
        let divisor = i128::from(divisor);
        let common = gcd(self.numerator, divisor).max(1);
        let denominator = self.denominator.checked_mul(divisor / common).ok_or_else(too_large)?;
        Ok(Self {
            numerator: self.numerator / common,
            denominator,
        })
    }

    /// The nearest whole number; halves go away from zero. Errors: AMOUNT_OUT_OF_RANGE beyond 64 bits.
    ///
    /// Source: rule "Rounding" in ARCHITECTURE, section Money.
    pub fn rounded(self) -> Result<i64, Refusal> {
        let (quotient, rest) = (self.numerator / self.denominator, self.numerator % self.denominator);
        let rest = rest.abs();
        // rest >= denominator - rest is rest * 2 >= denominator without the product.
        let away = if rest >= self.denominator - rest {
            self.numerator.signum()
        } else {
            0
        };
        i64::try_from(quotient + away).map_err(|_| too_large())
    }

    /// Whether it is a whole number: rounding changes nothing.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.denominator == 1
    }

    /// Its decimal text with at most `digits` decimals, cut, not rounded; an ellipsis says that it goes on.
    #[must_use]
    pub fn to_text(self, digits: u32) -> String {
        let mut text = String::new();
        if self.numerator < 0 {
            text.push('-');
        }
        let numerator = self.numerator.unsigned_abs();
        let denominator = self.denominator.unsigned_abs();
        text.push_str(&(numerator / denominator).to_string());
        let mut rest = numerator % denominator;
        let mut decimals = String::new();
        for _ in 0..digits {
            if rest == 0 {
                break;
            }
            let Some(shifted) = rest.checked_mul(10) else { break };
            decimals.push_str(&(shifted / denominator).to_string());
            rest = shifted % denominator;
        }
        if !decimals.is_empty() {
            text.push('.');
            text.push_str(&decimals);
        }
        if rest != 0 {
            text.push('…');
        }
        text
    }
}

fn too_large() -> Refusal {
    Refusal::new(
        RefusalCode::AmountOutOfRange,
        "The amount is too large. Ask for less, or for a shorter time.",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1, 2, 1)]
    #[case(-1, 2, -1)]
    #[case(3, 2, 2)]
    #[case(-3, 2, -2)]
    #[case(1, 3, 0)]
    #[case(2, 3, 1)]
    #[case(-2, 3, -1)]
    #[case(0, 7, 0)]
    #[case(i64::MAX, 1, i64::MAX)]
    fn halves_go_away_from_zero(#[case] numerator: i64, #[case] denominator: i64, #[case] expected: i64) {
        assert_eq!(
            Fraction::whole(numerator).over(denominator).unwrap().rounded().unwrap(),
            expected
        );
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let square = Fraction::whole(i64::MAX).times(i64::MAX).unwrap();
        assert_eq!(square.rounded().unwrap_err().code, RefusalCode::AmountOutOfRange);
        let cube = square.times(i64::MAX);
        assert_eq!(cube.unwrap_err().code, RefusalCode::AmountOutOfRange);
        assert_eq!(Fraction::whole(1).over(0).unwrap_err().code, RefusalCode::Inconsistent);
    }

    #[rstest]
    #[case(362_000, 3, "120666.6666…")]
    #[case(1, 4, "0.25")]
    #[case(-7, 2, "-3.5")]
    #[case(5, 1, "5")]
    fn text_says_where_it_was_cut(#[case] numerator: i64, #[case] denominator: i64, #[case] expected: &str) {
        assert_eq!(
            Fraction::whole(numerator).over(denominator).unwrap().to_text(4),
            expected
        );
    }

    proptest! {
        #[test]
        fn rounding_is_symmetric_and_within_half(n in -1_000_000_000i64..1_000_000_000, d in 1i64..1_000_000) {
            let up = Fraction::whole(n).over(d).unwrap().rounded().unwrap();
            let down = Fraction::whole(-n).over(d).unwrap().rounded().unwrap();
            prop_assert_eq!(up, -down);
            prop_assert!((i128::from(up) * i128::from(d) - i128::from(n)).abs() * 2 <= i128::from(d));
        }

        #[test]
        fn the_order_of_factors_does_not_matter(a in 1i64..1_000_000, b in 1i64..1_000_000, c in 1i64..1_000_000) {
            let one = Fraction::whole(a).times(b).unwrap().over(c).unwrap();
            let other = Fraction::whole(a).over(c).unwrap().times(b).unwrap();
            prop_assert_eq!(one, other);
        }
    }
}
