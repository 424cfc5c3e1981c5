//! Rates: unit prices and shares (discounts, taxes, percentages). They are not money: exact decimals with six places,
//! stored as whole millionths and written as decimal text.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::refusal::{Refusal, RefusalCode};

/// Millionths in one.
pub const MICROS: i64 = 1_000_000;
const PLACES: u32 = 6;

/// The largest unit price, in millionths of the currency's unit: a million million units.
pub const MAX_UNIT_PRICE_MICROS: i64 = 1_000_000_000_000_000_000;

fn invalid_rate(message: &str) -> Refusal {
    Refusal::new(RefusalCode::InvalidRate, message)
}

/// Millionths of an exact decimal; `None` when it has more than six places or does not fit.
fn micros_of(value: Decimal) -> Option<i64> {
    let value = value.normalize();
    let missing = PLACES.checked_sub(value.scale())?;
    let micros = value.mantissa().checked_mul(10_i128.checked_pow(missing)?)?;
    i64::try_from(micros).ok()
}

/// Digits, and at most one point with one to six decimals. Read by hand: the general parser rounds what does not fit.
fn micros_of_text(text: &str) -> Option<i64> {
    if text.len() > 32 {
        return None;
    }
    let (units, decimals) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some((units, decimals)) => (units, decimals),
        None => (text, ""),
    };
    if units.is_empty() || decimals.len() > PLACES as usize {
        return None;
    }
    let mut micros: i64 = 0;
    for digit in units.bytes().chain(format!("{decimals:0<6}").bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        micros = micros.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(micros)
}

/// What one unit costs, in units of a currency: for 30 days, for an hour, or once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitPrice(i64);

impl UnitPrice {
    /// From millionths of the currency's unit. Errors: INVALID_RATE below zero or beyond [`MAX_UNIT_PRICE_MICROS`].
    pub fn from_micros(micros: i64) -> Result<Self, Refusal> {
        if (0..=MAX_UNIT_PRICE_MICROS).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(invalid_rate("Write a price of zero or more, up to 1,000,000,000,000."))
        }
    }

    /// From an exact decimal. Errors: INVALID_RATE out of range or with more than six places.
    pub fn from_decimal(value: Decimal) -> Result<Self, Refusal> {
        Self::from_micros(micros_of(value).ok_or_else(|| invalid_rate("Write a price with at most six decimals."))?)
    }

    /// From decimal text. Errors: INVALID_RATE.
    pub fn from_decimal_text(text: &str) -> Result<Self, Refusal> {
        Self::from_micros(micros_of_text(text).ok_or_else(|| invalid_rate("Write a price with at most six decimals."))?)
    }

    /// Millionths of the currency's unit.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The exact decimal, without trailing zeros.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, PLACES).normalize()
    }
}

/// A share of one: a discount, a tax rate, a percentage. 10 % is 100,000 millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share(i64);

impl Share {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const ONE: Self = Self(MICROS);

    /// From millionths of one. Errors: INVALID_RATE below zero or above one.
    pub fn from_micros(micros: i64) -> Result<Self, Refusal> {
        if (0..=MICROS).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(invalid_rate("Write a percentage from 0 to 100."))
        }
    }

    /// From whole percent. Errors: INVALID_RATE above 100.
    pub fn from_percent(percent: u32) -> Result<Self, Refusal> {
        Self::from_micros(i64::from(percent).saturating_mul(MICROS / 100))
    }

    /// From a decimal text in percent, `"10"` or `"8.5"`, with at most four decimals. Errors: INVALID_RATE.
    pub fn from_percent_text(text: &str) -> Result<Self, Refusal> {
        let wrong = || invalid_rate("Write a percentage from 0 to 100 with at most four decimals.");
        let micros = micros_of_text(text).ok_or_else(wrong)?;
        if micros % 100 != 0 {
            return Err(wrong());
        }
        Self::from_micros(micros / 100)
    }

    /// From an exact decimal share of one. Errors: INVALID_RATE out of range or with more than six places.
    pub fn from_decimal(value: Decimal) -> Result<Self, Refusal> {
        Self::from_micros(micros_of(value).ok_or_else(|| invalid_rate("Write a share with at most six decimals."))?)
    }

    /// Millionths of one.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// What it leaves of one, in millionths.
    #[must_use]
    pub const fn complement_micros(self) -> i64 {
        MICROS - self.0
    }

    /// The exact decimal share of one, without trailing zeros: 0.1.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, PLACES).normalize()
    }

    /// The exact decimal in percent, without trailing zeros: 10.
    #[must_use]
    pub fn percent(self) -> Decimal {
        Decimal::new(self.0, PLACES - 2).normalize()
    }
}

impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_decimal().fmt(f)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.percent())
    }
}

impl Serialize for UnitPrice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.to_decimal())
    }
}

impl<'de> Deserialize<'de> for UnitPrice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_decimal_text(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.to_decimal())
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let micros = micros_of_text(&text)
            .ok_or_else(|| serde::de::Error::custom("a share is a decimal text with at most six places"))?;
        Self::from_micros(micros).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("181000", 181_000_000_000)]
    #[case("7.7", 7_700_000)]
    #[case("0.000001", 1)]
    #[case("1000000000000", MAX_UNIT_PRICE_MICROS)]
    fn prices_are_read_exactly(#[case] text: &str, #[case] micros: i64) {
        let price = UnitPrice::from_decimal_text(text).unwrap();
        assert_eq!(price.micros(), micros);
        assert_eq!(price.to_string(), text);
        assert_eq!(UnitPrice::from_decimal(text.parse().unwrap()).unwrap(), price);
    }

    #[rstest]
    #[case("")]
    #[case("-1")]
    #[case("1.")]
    #[case(".1")]
    #[case("0.0000001")]
    #[case("1e5")]
    #[case("1000000000001")]
    #[case("99999999999999999999")]
    fn what_is_no_price_is_refused(#[case] text: &str) {
        assert_eq!(
            UnitPrice::from_decimal_text(text).unwrap_err().code,
            RefusalCode::InvalidRate
        );
    }

    #[test]
    fn shares_are_read_in_percent() {
        assert_eq!(Share::from_percent_text("10").unwrap().micros(), 100_000);
        assert_eq!(Share::from_percent_text("8.5").unwrap().to_string(), "8.5 %");
        assert_eq!(Share::from_percent(100).unwrap(), Share::ONE);
        for text in ["100.0001", "101", "-1", "0.00001", "x"] {
            assert_eq!(
                Share::from_percent_text(text).unwrap_err().code,
                RefusalCode::InvalidRate,
                "{text}"
            );
        }
    }

    #[test]
    fn rates_are_text_in_json_and_never_numbers() {
        assert_eq!(
            serde_json::to_string(&UnitPrice::from_micros(7_700_000).unwrap()).unwrap(),
            r#""7.7""#
        );
        assert_eq!(
            serde_json::to_string(&Share::from_percent(10).unwrap()).unwrap(),
            r#""0.1""#
        );
        assert!(serde_json::from_str::<UnitPrice>("7.7").is_err());
        assert!(serde_json::from_str::<Share>(r#""1.1""#).is_err());
    }

    proptest! {
        #[test]
        fn rates_survive_their_text(price in 0..=MAX_UNIT_PRICE_MICROS, share in 0..=MICROS) {
            let price = UnitPrice::from_micros(price).unwrap();
            let json = serde_json::to_string(&price).unwrap();
            prop_assert_eq!(serde_json::from_str::<UnitPrice>(&json).unwrap(), price);
            prop_assert_eq!(UnitPrice::from_decimal(price.to_decimal()).unwrap(), price);
            let share = Share::from_micros(share).unwrap();
            let json = serde_json::to_string(&share).unwrap();
            prop_assert_eq!(serde_json::from_str::<Share>(&json).unwrap(), share);
            prop_assert_eq!(Share::from_decimal(share.to_decimal()).unwrap(), share);
        }
    }
}
