//! Scalars and money, as the API writes them: exact decimal text, never a binary float.

use std::str::FromStr as _;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value};
use chrono::{SecondsFormat, Timelike as _, Utc};

use super::errors::Result;
use super::in_place::InPlace;
use crate::domain;
use crate::error::Error;
use crate::live::Cursor;

/// The longest text that a scalar takes.
const MOST_CHARACTERS: usize = 64;

fn text(value: Value, name: &str) -> InputValueResult<String> {
    match value {
        Value::String(text) if text.len() <= MOST_CHARACTERS => Ok(text),
        Value::String(_) => Err(InputValueError::custom(format!(
            "{name} takes at most {MOST_CHARACTERS} characters"
        ))),
        Value::Number(_) => Err(InputValueError::custom(format!(
            "{name} is written as text, in quotes, never as a number"
        ))),
        _ => Err(InputValueError::custom(format!("{name} is written as text"))),
    }
}

/// Whether [`text`] takes it. The validator asks before anything runs; the parser only when the field is reached, when
/// other fields of a mutation may have run.
fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(text) if text.len() <= MOST_CHARACTERS)
}

/// An exact decimal number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal(pub(crate) String);

/// An exact decimal number, always as text: "181000", "7.50", "-0.5". JSON numbers are refused: they are binary floats
/// in most clients.
#[Scalar(specified_by_url = "https://www.w3.org/TR/xmlschema11-2/#decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        text(value, "Decimal").map(Self).map_err(|error| error.propagate())
    }

    fn is_valid(value: &Value) -> bool {
        is_text(value)
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl Decimal {
    /// Millionths as a decimal: a unit price.
    pub(crate) fn from_micros(micros: i64) -> Self {
        Self(rust_decimal::Decimal::new(micros, 6).normalize().to_string())
    }

    /// Millionths of one as a percentage.
    pub(crate) fn percent_from_micros(micros: i64) -> Self {
        Self(rust_decimal::Decimal::new(micros, 4).normalize().to_string())
    }
}

/// An instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateTime(pub(crate) chrono::DateTime<Utc>);

/// An instant as RFC 3339 writes it, in UTC, to the microsecond: "2026-04-06T00:00:00Z". Any offset is taken.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let text = text(value, "DateTime").map_err(|error: InputValueError<String>| error.propagate())?;
        let instant = chrono::DateTime::parse_from_rfc3339(&text)
            .map_err(|_| InputValueError::custom("DateTime is written as in RFC 3339: \"2026-04-06T00:00:00Z\""))?
            .with_timezone(&Utc);
        let micros = instant.nanosecond() / 1_000 * 1_000;
        Ok(Self(instant.with_nanosecond(micros).unwrap_or(instant)))
    }

    fn is_valid(value: &Value) -> bool {
        is_text(value) && matches!(value, Value::String(text) if chrono::DateTime::parse_from_rfc3339(text).is_ok())
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl From<chrono::DateTime<Utc>> for DateTime {
    fn from(instant: chrono::DateTime<Utc>) -> Self {
        Self(instant)
    }
}

/// An instant, where there is one.
pub(crate) fn instant(at: Option<chrono::DateTime<Utc>>) -> Option<DateTime> {
    at.map(DateTime)
}

/// A currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CurrencyCode(pub(crate) String);

/// A currency by its ISO 4217 code, in capitals: "VND".
#[Scalar(specified_by_url = "https://www.iso.org/iso-4217-currency-codes.html")]
impl ScalarType for CurrencyCode {
    fn parse(value: Value) -> InputValueResult<Self> {
        text(value, "CurrencyCode").map(Self).map_err(|error| error.propagate())
    }

    fn is_valid(value: &Value) -> bool {
        is_text(value)
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A place in an account's stream of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventCursor(pub(crate) String);

/// A place in an account's stream of events: everything up to it has been seen. Opaque, and good for as long as events
/// are kept; after that a subscription answers CURSOR_EXPIRED.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc4648#section-5")]
impl ScalarType for EventCursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            // What is not one of ours is answered by the subscription, with its code.
            Value::String(text) => Ok(Self(text)),
            _ => Err(InputValueError::custom("EventCursor is written as text")),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(_))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl From<Cursor> for EventCursor {
    fn from(cursor: Cursor) -> Self {
        Self(cursor.encode())
    }
}

/// An amount, as every field shows one: its two fields are at hand.
pub(crate) type Money = InPlace<MoneyObject>;

/// An amount of money.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(name = "Money")]
pub(crate) struct MoneyObject {
    /// How much, in units of the currency, with as many decimals as the currency has.
    amount: Decimal,
    /// The currency.
    currency: CurrencyCode,
}

impl From<domain::Money> for Money {
    fn from(money: domain::Money) -> Self {
        Self(MoneyObject {
            amount: Decimal(money.to_decimal_text()),
            currency: CurrencyCode(money.currency().code().to_owned()),
        })
    }
}

/// An amount as a row has it: minor units and an ISO 4217 code.
pub(crate) fn money(minor: i64, currency: &str) -> Result<Money> {
    let currency = domain::Currency::from_str(currency).map_err(Error::from)?;
    Ok(domain::Money::of(minor, currency).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use async_graphql::{InputType, Number, Value};

    use super::{DateTime, Decimal, money};

    #[test]
    fn a_decimal_is_text_and_nothing_else() {
        assert_eq!(
            <Decimal as async_graphql::ScalarType>::parse(Value::from("181000.5"))
                .unwrap()
                .0,
            "181000.5"
        );
        for wrong in [Value::Number(Number::from(181_000)), Value::Null, Value::Boolean(true)] {
            assert!(<Decimal as async_graphql::ScalarType>::parse(wrong).is_err());
        }
        assert!(<Decimal as async_graphql::InputType>::parse(Some(Value::from("1".repeat(1_000_000)))).is_err());
        assert_eq!(<Decimal as InputType>::type_name(), "Decimal");
    }

    #[test]
    fn an_instant_is_utc_to_the_microsecond() {
        let parse = |text: &str| <DateTime as async_graphql::ScalarType>::parse(Value::from(text));
        let instant = parse("2026-04-06T07:00:00.123456789+07:00").unwrap();
        assert_eq!(
            InputType::to_value(&instant),
            Value::from("2026-04-06T00:00:00.123456Z")
        );
        for wrong in ["", "2026-04-06", "yesterday", "2026-13-01T00:00:00Z"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn minor_units_become_exact_text() {
        assert_eq!(money(181_000, "VND").unwrap().0.amount.0, "181000");
        assert_eq!(money(-750, "USD").unwrap().0.amount.0, "-7.50");
        assert!(money(1, "XXX").is_err());
    }
}
