//! Amounts: whole minor units of a currency. Arithmetic is checked, and nothing here is ever a float.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::exact::Fraction;
use super::refusal::{Refusal, RefusalCode};

macro_rules! currencies {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $exponent:literal;)+) => {
        /// A currency the gateway counts in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Currency {
            $($(#[$doc])* #[serde(rename = $code)] $variant,)+
        }

        impl Currency {
            /// Every currency.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its ISO 4217 code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// How many decimals it has: one unit is 10^exponent minor units.
            #[must_use]
            pub const fn exponent(self) -> u32 {
                match self { $(Self::$variant => $exponent,)+ }
            }
        }
    };
}

currencies! {
    /// The Vietnamese dong. It has no minor unit.
    Vnd = "VND", 0;
    /// The United States dollar.
    Usd = "USD", 2;
    /// The euro.
    Eur = "EUR", 2;
    /// The Singapore dollar.
    Sgd = "SGD", 2;
    /// The Thai baht.
    Thb = "THB", 2;
    /// The Japanese yen. It has no minor unit.
    Jpy = "JPY", 0;
}

impl Currency {
    /// Minor units in one unit.
    #[must_use]
    pub const fn minor_per_unit(self) -> i64 {
        10_i64.pow(self.exponent())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = Refusal;

    /// Reads an ISO 4217 code in capitals. Errors: UNKNOWN_CURRENCY.
    fn from_str(code: &str) -> Result<Self, Refusal> {
        Self::ALL
            .iter()
            .copied()
            .find(|currency| currency.code() == code)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|currency| currency.code()).collect();
                Refusal::new(
                    RefusalCode::UnknownCurrency,
                    format!("Use one of these currencies: {}.", known.join(", ")),
                )
            })
    }
}

/// The largest amount that is counted, in minor units, either side of zero. Columns are guarded by the same range.
pub const MAX_MINOR: i64 = 1_000_000_000_000_000;

/// The longest text that is read as an amount.
const MAX_AMOUNT_TEXT: usize = 32;

/// Which amounts a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Any.
    Any,
    /// Zero or more.
    NotNegative,
    /// More than zero.
    Positive,
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// An amount that is known to be in range: read from a guarded column, or a constant.
    #[must_use]
    pub const fn of(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::of(0, currency)
    }

    /// An amount that may be out of range. Errors: AMOUNT_OUT_OF_RANGE beyond [`MAX_MINOR`].
    pub fn checked(minor: i64, currency: Currency) -> Result<Self, Refusal> {
        if (-MAX_MINOR..=MAX_MINOR).contains(&minor) {
            Ok(Self::of(minor, currency))
        } else {
            Err(out_of_range(currency))
        }
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// Its currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is more than nothing.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.minor < 0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum. Errors: CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE.
    pub fn plus(self, other: Self) -> Result<Self, Refusal> {
        self.same_currency(other)?;
        let minor = self
            .minor
            .checked_add(other.minor)
            .ok_or_else(|| out_of_range(self.currency))?;
        Self::checked(minor, self.currency)
    }

    /// The difference. Errors: CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE.
    pub fn minus(self, other: Self) -> Result<Self, Refusal> {
        self.same_currency(other)?;
        let minor = self
            .minor
            .checked_sub(other.minor)
            .ok_or_else(|| out_of_range(self.currency))?;
        Self::checked(minor, self.currency)
    }

    /// The same amount the other way. Errors: AMOUNT_OUT_OF_RANGE.
    pub fn negated(self) -> Result<Self, Refusal> {
        Self::zero(self.currency).minus(self)
    }

    /// The amount, or nothing when it is below zero.
    #[must_use]
    pub fn max_zero(self) -> Self {
        Self {
            minor: self.minor.max(0),
            currency: self.currency,
        }
    }

    /// The smaller one. Errors: CURRENCY_MISMATCH.
    pub fn at_most(self, other: Self) -> Result<Self, Refusal> {
        self.same_currency(other)?;
        Ok(if self.minor <= other.minor { self } else { other })
    }

    /// The sum of any number of amounts of one currency. Errors: CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE.
    pub fn sum(currency: Currency, amounts: impl IntoIterator<Item = Self>) -> Result<Self, Refusal> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::plus)
    }

    /// `round(self x part / whole)`, half away from zero, rounded once.
    /// Errors: INCONSISTENT when `whole` is not above zero, AMOUNT_OUT_OF_RANGE.
    pub fn share(self, part: i64, whole: i64) -> Result<Self, Refusal> {
        Self::checked(
            Fraction::whole(self.minor).times(part)?.over(whole)?.rounded()?,
            self.currency,
        )
    }

    /// Reads a decimal text exactly: digits, at most one point with as many decimals as the currency has, and a
    /// leading minus where `sign` takes it. No exponent, no separators, no spaces, no plus.
    /// Errors: INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE.
    pub fn from_decimal_text(text: &str, currency: Currency, sign: Sign) -> Result<Self, Refusal> {
        let not_an_amount = || {
            Refusal::new(
                RefusalCode::InvalidAmount,
                "Write the amount in digits, for example \"181000\" or \"7.50\".",
            )
        };
        if text.len() > MAX_AMOUNT_TEXT {
            return Err(not_an_amount());
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (units, decimals) = match digits.split_once('.') {
            Some((units, decimals)) if !decimals.is_empty() => (units, decimals),
            Some(_) => return Err(not_an_amount()),
            None => (digits, ""),
        };
        if units.is_empty() || !units.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(not_an_amount());
        }
        let exponent = currency.exponent() as usize;
        if decimals.len() > exponent {
            let message = match exponent {
                0 => format!("{currency} has no decimals. Write a whole amount."),
                _ => format!("{currency} has {exponent} decimals. Write no more than that."),
            };
            return Err(Refusal::new(RefusalCode::TooManyDecimals, message));
        }
        let mut magnitude: i64 = 0;
        for digit in units.bytes().chain(format!("{decimals:0<exponent$}").bytes()) {
            magnitude = magnitude
                .checked_mul(10)
                .and_then(|shifted| shifted.checked_add(i64::from(digit - b'0')))
                .filter(|value| *value <= MAX_MINOR)
                .ok_or_else(|| out_of_range(currency))?;
        }
        let minor = if negative { -magnitude } else { magnitude };
        match sign {
            Sign::Positive if minor <= 0 => {
                Err(Refusal::new(RefusalCode::InvalidAmount, "Write an amount above zero."))
            }
            Sign::NotNegative if minor < 0 => Err(Refusal::new(
                RefusalCode::InvalidAmount,
                "Write an amount of zero or more.",
            )),
            _ => Ok(Self::of(minor, currency)),
        }
    }

    /// The exact decimal text, with all the decimals of the currency: `181000`, `-7.50`.
    #[must_use]
    pub fn to_decimal_text(self) -> String {
        let sign = if self.minor < 0 { "-" } else { "" };
        let magnitude = self.minor.unsigned_abs();
        match self.currency.exponent() {
            0 => format!("{sign}{magnitude}"),
            exponent => {
                let one = 10_u64.pow(exponent);
                format!(
                    "{sign}{}.{:0width$}",
                    magnitude / one,
                    magnitude % one,
                    width = exponent as usize
                )
            }
        }
    }

    fn same_currency(self, other: Self) -> Result<(), Refusal> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalCode::CurrencyMismatch,
            format!(
                "{} and {} can't be counted together. Use one currency.",
                self.currency, other.currency
            ),
        ))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to_decimal_text(), self.currency)
    }
}

fn out_of_range(currency: Currency) -> Refusal {
    Refusal::new(
        RefusalCode::AmountOutOfRange,
        format!(
            "The amount is too large. The most that is counted is {}.",
            Money::of(MAX_MINOR, currency)
        ),
    )
}

/// Splits `total` in proportion to `weights`, so that the parts add up to it exactly: each part is cut down to whole
/// minor units, and what is left goes, one each, to the largest remainders; equals are served by position. Weights
/// that are all zero count as equal. While `total` is no more than the sum of the weights, no part exceeds its weight.
///
/// Source: rule "Largest remainder" in ARCHITECTURE, section Money.
/// Errors: CURRENCY_MISMATCH; INCONSISTENT for a weight below zero, or nothing to split over.
pub fn allocate(total: Money, weights: &[Money]) -> Result<Vec<Money>, Refusal> {
    let mut plain = Vec::with_capacity(weights.len());
    for weight in weights {
        total.same_currency(*weight)?;
        plain.push(weight.minor);
    }
    let parts = allocate_minor(total.minor, &plain)?;
    Ok(parts
        .into_iter()
        .map(|minor| Money::of(minor, total.currency))
        .collect())
}

fn allocate_minor(total: i64, weights: &[i64]) -> Result<Vec<i64>, Refusal> {
    if weights.iter().any(|weight| *weight < 0) {
        return Err(Refusal::inconsistent(
            "an amount was to be split by a weight below zero",
        ));
    }
    if weights.is_empty() {
        return if total == 0 {
            Ok(Vec::new())
        } else {
            Err(Refusal::inconsistent("an amount was to be split over nothing"))
        };
    }
    // 64-bit weights, at most usize::MAX of them: the sum and each product stay far inside 127 bits for all that fits
    // in memory, and the magnitude keeps the split of a negative total the mirror of the positive one.
    let equal = weights.iter().all(|weight| *weight == 0);
    let weight_at = |index: usize| -> u128 {
        if equal {
            1
        } else {
            u128::from(weights.get(index).copied().unwrap_or_default().unsigned_abs())
        }
    };
    let sum: u128 = (0..weights.len()).map(weight_at).sum();
    let magnitude = u128::from(total.unsigned_abs());

    let mut parts: Vec<u128> = Vec::with_capacity(weights.len());
    let mut by_remainder: Vec<(u128, usize)> = Vec::with_capacity(weights.len());
    for index in 0..weights.len() {
        let product = magnitude * weight_at(index);
        parts.push(product / sum);
        by_remainder.push((product % sum, index));
    }
    let given: u128 = parts.iter().sum();
    by_remainder.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
    let left_over =
        usize::try_from(magnitude - given).map_err(|_| Refusal::inconsistent("a split left too much over"))?;
    for (_, index) in by_remainder.iter().take(left_over) {
        if let Some(part) = parts.get_mut(*index) {
            *part += 1;
        }
    }
    parts
        .into_iter()
        .map(|part| {
            let part = i64::try_from(part).map_err(|_| Refusal::inconsistent("a part is larger than the whole"))?;
            Ok(if total < 0 { -part } else { part })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("181000", Currency::Vnd, 181_000)]
    #[case("0", Currency::Vnd, 0)]
    #[case("-5", Currency::Vnd, -5)]
    #[case("007", Currency::Vnd, 7)]
    #[case("7.5", Currency::Usd, 750)]
    #[case("7.50", Currency::Usd, 750)]
    #[case("-0.01", Currency::Usd, -1)]
    #[case("1000000000000000", Currency::Vnd, MAX_MINOR)]
    fn amounts_are_read_exactly(#[case] text: &str, #[case] currency: Currency, #[case] minor: i64) {
        assert_eq!(
            Money::from_decimal_text(text, currency, Sign::Any).unwrap(),
            Money::of(minor, currency)
        );
    }

    #[rstest]
    #[case("", RefusalCode::InvalidAmount)]
    #[case("-", RefusalCode::InvalidAmount)]
    #[case("+1", RefusalCode::InvalidAmount)]
    #[case("--1", RefusalCode::InvalidAmount)]
    #[case("1e3", RefusalCode::InvalidAmount)]
    #[case("1,000", RefusalCode::InvalidAmount)]
    #[case(" 1", RefusalCode::InvalidAmount)]
    #[case("1 ", RefusalCode::InvalidAmount)]
    #[case("1.", RefusalCode::InvalidAmount)]
    #[case(".5", RefusalCode::InvalidAmount)]
    #[case("1.2.3", RefusalCode::InvalidAmount)]
    #[case("NaN", RefusalCode::InvalidAmount)]
    #[case("٣", RefusalCode::InvalidAmount)]
    #[case("0x10", RefusalCode::InvalidAmount)]
    #[case("1.001", RefusalCode::TooManyDecimals)]
    #[case("1.000", RefusalCode::TooManyDecimals)]
    #[case("10000000000000.01", RefusalCode::AmountOutOfRange)]
    #[case("99999999999999999999999999999999", RefusalCode::AmountOutOfRange)]
    #[case("999999999999999999999999999999999", RefusalCode::InvalidAmount)]
    fn what_is_no_amount_is_refused(#[case] text: &str, #[case] code: RefusalCode) {
        assert_eq!(
            Money::from_decimal_text(text, Currency::Usd, Sign::Any)
                .unwrap_err()
                .code,
            code
        );
    }

    #[test]
    fn a_megabyte_is_no_amount() {
        let text = "1".repeat(1_000_000);
        let refusal = Money::from_decimal_text(&text, Currency::Vnd, Sign::Any).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::InvalidAmount);
        assert!(refusal.message.len() < 200);
    }

    #[rstest]
    #[case("0", Sign::Positive, false)]
    #[case("-0", Sign::Positive, false)]
    #[case("-1", Sign::Positive, false)]
    #[case("1", Sign::Positive, true)]
    #[case("0", Sign::NotNegative, true)]
    #[case("-1", Sign::NotNegative, false)]
    #[case("-1", Sign::Any, true)]
    fn signs_are_held(#[case] text: &str, #[case] sign: Sign, #[case] accepted: bool) {
        let read = Money::from_decimal_text(text, Currency::Vnd, sign);
        assert_eq!(read.is_ok(), accepted);
        if let Err(refusal) = read {
            assert_eq!(refusal.code, RefusalCode::InvalidAmount);
        }
    }

    #[test]
    fn sums_leave_neither_range_nor_currency() {
        let most = Money::of(MAX_MINOR, Currency::Vnd);
        assert_eq!(
            most.plus(Money::of(1, Currency::Vnd)).unwrap_err().code,
            RefusalCode::AmountOutOfRange
        );
        assert_eq!(
            Money::of(i64::MAX, Currency::Vnd)
                .plus(Money::of(i64::MAX, Currency::Vnd))
                .unwrap_err()
                .code,
            RefusalCode::AmountOutOfRange
        );
        assert_eq!(
            most.minus(Money::zero(Currency::Usd)).unwrap_err().code,
            RefusalCode::CurrencyMismatch
        );
        assert_eq!(most.negated().unwrap().minor(), -MAX_MINOR);
    }

    #[test]
    fn currencies_are_read_by_their_code() {
        assert_eq!("VND".parse::<Currency>().unwrap(), Currency::Vnd);
        assert_eq!(
            "vnd".parse::<Currency>().unwrap_err().code,
            RefusalCode::UnknownCurrency
        );
    }

    #[test]
    fn money_is_integers_and_a_code_in_json() {
        let json = serde_json::to_string(&Money::of(-750, Currency::Usd)).unwrap();
        assert_eq!(json, r#"{"minor":-750,"currency":"USD"}"#);
        assert_eq!(
            serde_json::from_str::<Money>(&json).unwrap(),
            Money::of(-750, Currency::Usd)
        );
    }

    #[rstest]
    #[case(100, &[1, 1, 1], &[34, 33, 33])]
    #[case(-100, &[1, 1, 1], &[-34, -33, -33])]
    #[case(150_000, &[1_000_000, 500_000], &[100_000, 50_000])]
    #[case(2, &[0, 0, 0], &[1, 1, 0])]
    #[case(0, &[5, 0], &[0, 0])]
    #[case(10, &[0, 3, 0], &[0, 10, 0])]
    #[case(5, &[1, 2, 3], &[1, 2, 2])]
    fn parts_go_by_largest_remainder(#[case] total: i64, #[case] weights: &[i64], #[case] expected: &[i64]) {
        assert_eq!(allocate_minor(total, weights).unwrap(), expected);
    }

    #[test]
    fn there_must_be_something_to_split_over() {
        assert_eq!(allocate_minor(0, &[]).unwrap(), Vec::<i64>::new());
        assert_eq!(allocate_minor(1, &[]).unwrap_err().code, RefusalCode::Inconsistent);
        assert_eq!(allocate_minor(1, &[-1]).unwrap_err().code, RefusalCode::Inconsistent);
    }

    proptest! {
        #[test]
        fn amounts_survive_their_text(minor in -MAX_MINOR..=MAX_MINOR) {
            for currency in Currency::ALL {
                let money = Money::of(minor, *currency);
                let read = Money::from_decimal_text(&money.to_decimal_text(), *currency, Sign::Any).unwrap();
                prop_assert_eq!(read, money);
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = Money::from_decimal_text(&text, Currency::Usd, Sign::Any);
        }

        #[test]
        fn parts_add_up_and_differ_from_exact_by_less_than_one(
            total in -MAX_MINOR..=MAX_MINOR,
            weights in proptest::collection::vec(0..=MAX_MINOR, 1..20),
        ) {
            let parts = allocate_minor(total, &weights).unwrap();
            prop_assert_eq!(parts.iter().sum::<i64>(), total);
            let sum: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
            if sum > 0 {
                for (part, weight) in parts.iter().zip(&weights) {
                    let off = i128::from(*part) * sum - i128::from(total) * i128::from(*weight);
                    prop_assert!(off.abs() < sum);
                }
            }
        }

        #[test]
        fn no_part_exceeds_its_weight_while_the_total_does_not_exceed_the_sum(
            weights in proptest::collection::vec(0i64..1_000_000, 1..20),
            cut in 0u32..=100,
        ) {
            let total = weights.iter().sum::<i64>() * i64::from(cut) / 100;
            for (part, weight) in allocate_minor(total, &weights).unwrap().iter().zip(&weights) {
                prop_assert!(part <= weight);
            }
        }
    }
}
