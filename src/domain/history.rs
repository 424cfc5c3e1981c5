//! What may be looked for in the histories: a period and a text.

use chrono::TimeDelta;

use super::refusal::{Refusal, RefusalCode};
use super::time::{Instant, checked_instant};

/// The longest text that is looked for, in characters.
pub const MOST_CHARACTERS: usize = 256;
/// The longest period of an export: a year, whichever it is.
pub const LONGEST_EXPORT: TimeDelta = TimeDelta::days(366);

/// From an instant on, and before another one; either may be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Period {
    /// Its first instant.
    pub from: Option<Instant>,
    /// Its end, exclusive.
    pub to: Option<Instant>,
}

impl Period {
    /// A period that has a length. Errors: INVALID_INSTANT under `from` or `to`.
    pub fn checked(from: Option<Instant>, to: Option<Instant>) -> Result<Self, Refusal> {
        let from = from
            .map(checked_instant)
            .transpose()
            .map_err(|refusal| refusal.under("from"))?;
        let to = to
            .map(checked_instant)
            .transpose()
            .map_err(|refusal| refusal.under("to"))?;
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            let message = "The end of a period comes after its beginning; the end itself is not in it.";
            return Err(Refusal::new(RefusalCode::InvalidInstant, message).under("to"));
        }
        Ok(Self { from, to })
    }

    /// The period of an export: both ends are given, and it is not longer than a year.
    /// Errors: INVALID_INSTANT under `from` or `to`.
    pub fn of_export(from: Option<Instant>, to: Option<Instant>) -> Result<Self, Refusal> {
        let missing = |field: &str| {
            let message = "Say from when and up to when: an export is of at most a year.";
            Refusal::new(RefusalCode::InvalidInstant, message).under(field)
        };
        let from = from.ok_or_else(|| missing("from"))?;
        let to = to.ok_or_else(|| missing("to"))?;
        let period = Self::checked(Some(from), Some(to))?;
        if to.signed_duration_since(from) > LONGEST_EXPORT {
            let message = "An export is of at most 366 days: ask for a shorter period, and then for the next one.";
            return Err(Refusal::new(RefusalCode::InvalidInstant, message).under("to"));
        }
        Ok(period)
    }
}

/// A text that is looked for: bounded, without what no database can be asked for; an empty one is none.
/// Errors: INVALID_TEXT.
pub fn text(wanted: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(wanted) = wanted.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if wanted.chars().count() > MOST_CHARACTERS || wanted.contains('\0') {
        let message = format!("A text to look for has at most {MOST_CHARACTERS} characters, none of them a zero.");
        return Err(Refusal::new(RefusalCode::InvalidText, message));
    }
    Ok(Some(wanted))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use rstest::rstest;

    use super::*;

    fn at(text: &str) -> Option<Instant> {
        (!text.is_empty()).then(|| text.parse().unwrap())
    }

    #[rstest]
    #[case("", "", Ok(()), Err("from"))]
    #[case("2026-01-01T00:00:00Z", "", Ok(()), Err("to"))]
    #[case("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", Ok(()), Ok(()))]
    #[case("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", Ok(()), Ok(()))]
    #[case("2026-01-01T00:00:00Z", "2027-01-02T00:00:01Z", Ok(()), Err("to"))]
    #[case("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", Err("to"), Err("to"))]
    #[case("1999-01-01T00:00:00Z", "2026-01-01T00:00:00Z", Err("from"), Err("from"))]
    #[case("2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z", Err("to"), Err("to"))]
    fn periods_have_a_length(
        #[case] from: &str,
        #[case] to: &str,
        #[case] listed: Result<(), &str>,
        #[case] exported: Result<(), &str>,
    ) {
        let field = |found: Result<Period, Refusal>| found.map(|_| ()).map_err(|refusal| refusal.path[0].clone());
        let expected = |wanted: Result<(), &str>| wanted.map_err(str::to_owned);
        assert_eq!(field(Period::checked(at(from), at(to))), expected(listed));
        assert_eq!(field(Period::of_export(at(from), at(to))), expected(exported));
    }

    #[test]
    fn texts_are_bounded() {
        assert_eq!(text(Some(String::new())).unwrap(), None);
        assert!(text(Some("ố".repeat(MOST_CHARACTERS))).unwrap().is_some());
        assert!(text(Some("ố".repeat(MOST_CHARACTERS + 1))).is_err());
        assert!(text(Some("a\0".to_owned())).is_err());
    }
}
