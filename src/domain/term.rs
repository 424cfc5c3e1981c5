//! How long something is bought for, and what instants and minutes that makes.

use chrono::{Datelike, Months, NaiveDate, TimeDelta};
use chrono_tz::Tz;
use entity::enums::{DayCount, TermUnit};
use serde::{Deserialize, Serialize};

use super::day_count;
use super::refusal::{Refusal, RefusalCode};
use super::time::{
    Instant, MINUTES_PER_DAY, MINUTES_PER_THIRTY_DAYS, Minutes, PricedMinutes, checked_instant, days_in_month,
    instant_of_local, local,
};

/// The most months of one term.
pub const MAX_MONTHS: u32 = 120;
/// The most days of one term.
pub const MAX_DAYS: u32 = 3_660;

/// How long something is bought for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "unit", content = "value")]
pub enum Term {
    /// So many calendar months, each priced as 30 days.
    #[serde(rename = "MONTH")]
    Months(u32),
    /// So many days of 24 hours.
    #[serde(rename = "DAY")]
    Days(u32),
    /// Up to a chosen instant, priced by the product's day count.
    #[serde(rename = "UNTIL")]
    Until(Instant),
}

impl Term {
    /// A number of months. Errors: INVALID_TERM outside 1 to [`MAX_MONTHS`].
    pub fn months(months: i64) -> Result<Self, Refusal> {
        u32::try_from(months)
            .ok()
            .filter(|months| (1..=MAX_MONTHS).contains(months))
            .map(Self::Months)
            .ok_or_else(|| Refusal::new(RefusalCode::InvalidTerm, format!("Choose 1 to {MAX_MONTHS} months.")))
    }

    /// A number of days. Errors: INVALID_TERM outside 1 to [`MAX_DAYS`].
    pub fn days(days: i64) -> Result<Self, Refusal> {
        u32::try_from(days)
            .ok()
            .filter(|days| (1..=MAX_DAYS).contains(days))
            .map(Self::Days)
            .ok_or_else(|| Refusal::new(RefusalCode::InvalidTerm, format!("Choose 1 to {MAX_DAYS} days.")))
    }

    /// A chosen end. Errors: INVALID_INSTANT outside the years that are counted.
    pub fn until(end: Instant) -> Result<Self, Refusal> {
        checked_instant(end).map(Self::Until)
    }

    /// Its unit.
    #[must_use]
    pub const fn unit(self) -> TermUnit {
        match self {
            Self::Months(_) => TermUnit::Month,
            Self::Days(_) => TermUnit::Day,
            Self::Until(_) => TermUnit::Until,
        }
    }

    fn checked(self) -> Result<Self, Refusal> {
        match self {
            Self::Months(months) => Self::months(i64::from(months)),
            Self::Days(days) => Self::days(i64::from(days)),
            Self::Until(end) => Self::until(end),
        }
    }
}

/// A term laid down in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first instant.
    pub start: Instant,
    /// Its end, exclusive.
    pub end: Instant,
    /// Its length by `day_count`; above zero.
    pub length: Minutes,
    /// The minutes its price is made for; above zero.
    pub priced: PricedMinutes,
    /// What its length is measured by.
    pub day_count: DayCount,
    /// The day of the month on which later months end.
    pub anchor_day: u32,
}

/// Lays a term down from `start`, in the account's zone.
///
/// Months end so many calendar months later, on the anchor day (clamped at short months, but remembered) at the same
/// local time, and are priced as 30 days each. Days end so many times 24 hours later and are measured by the minutes
/// that pass. A chosen end is priced and measured by the product's day count. Without an anchor day, the start's
/// becomes it; after days or a chosen end, the end's.
///
/// Source: rule "Term" in ARCHITECTURE, section Time. Errors: INVALID_TERM outside the limits (a chosen end: ten
/// years), END_NOT_AFTER_START, ZERO_LENGTH, INVALID_INSTANT.
pub fn span(
    term: Term,
    start: Instant,
    zone: Tz,
    anchor_day: Option<u32>,
    product_day_count: DayCount,
) -> Result<Span, Refusal> {
    let start = checked_instant(start)?;
    let (end, priced, day_count) = match term.checked()? {
        Term::Months(months) => {
            let anchor = anchor_day.unwrap_or_else(|| local(start, zone).day());
            let end = months_later(start, months, anchor, zone)?;
            (
                end,
                Some(i64::from(months) * MINUTES_PER_THIRTY_DAYS),
                product_day_count,
            )
        }
        Term::Days(days) => {
            let minutes = i64::from(days) * MINUTES_PER_DAY;
            (
                start + TimeDelta::minutes(minutes),
                Some(minutes),
                DayCount::ActualMinutes,
            )
        }
        Term::Until(end) => {
            if end <= start {
                return Err(end_not_after(start, zone));
            }
            let limit = start.checked_add_months(Months::new(MAX_MONTHS));
            if limit.is_some_and(|limit| end > limit) {
                return Err(Refusal::new(
                    RefusalCode::InvalidTerm,
                    "Choose an end within ten years of the start.",
                ));
            }
            (end, None, product_day_count)
        }
    };
    let end = checked_instant(end)?;
    let length = day_count::length(day_count, zone, start, end);
    if length.get() <= 0 {
        return Err(Refusal::new(
            RefusalCode::ZeroLength,
            "That end leaves nothing to pay for. Choose a later one.",
        ));
    }
    let anchor_day = match term {
        Term::Months(_) => anchor_day.unwrap_or_else(|| local(start, zone).day()),
        Term::Days(_) | Term::Until(_) => local(end, zone).day(),
    };
    Ok(Span {
        start,
        end,
        length,
        priced: PricedMinutes::new(priced.unwrap_or(length.get())),
        day_count,
        anchor_day,
    })
}

/// The span as it is once provisioning succeeded at `at`: a new resource's months or days count again from there, a
/// chosen end stays. The priced minutes, and so the amount, never move.
///
/// A product that succeeds only after the chosen end has nothing left to serve: the outcome counts as a failure, and
/// what was charged goes back. One that succeeds before it serves, though the day count may find no minute left (within
/// a day 31): the period is then a minute long.
///
/// Source: rule "Start at provisioning" in ARCHITECTURE, section Time. Errors: END_NOT_AFTER_START when the chosen end
/// has passed.
pub fn respan_at_provisioning(
    term: Term,
    planned: &Span,
    at: Instant,
    zone: Tz,
    product_day_count: DayCount,
) -> Result<Span, Refusal> {
    if let Term::Until(end) = term
        && end > at
    {
        let left = day_count::length(product_day_count, zone, at, end);
        return Ok(Span {
            start: checked_instant(at)?,
            length: left.max(Minutes::new(1)),
            ..*planned
        });
    }
    let laid_down = span(term, at, zone, None, product_day_count)?;
    Ok(Span {
        priced: planned.priced,
        ..laid_down
    })
}

fn months_later(start: Instant, months: u32, anchor: u32, zone: Tz) -> Result<Instant, Refusal> {
    let reading = local(start, zone);
    let counted = i64::from(reading.year()) * 12 + i64::from(reading.month0()) + i64::from(months);
    let year = i32::try_from(counted.div_euclid(12)).map_err(|_| too_late())?;
    let month = u32::try_from(counted.rem_euclid(12)).map_err(|_| too_late())? + 1;
    let day = anchor.clamp(1, days_in_month(year, month));
    let date = NaiveDate::from_ymd_opt(year, month, day).ok_or_else(too_late)?;
    Ok(instant_of_local(date.and_time(reading.time()), zone))
}

fn too_late() -> Refusal {
    Refusal::new(
        RefusalCode::InvalidInstant,
        "That end is too far away. Choose a shorter term.",
    )
}

fn end_not_after(start: Instant, zone: Tz) -> Refusal {
    Refusal::new(
        RefusalCode::EndNotAfterStart,
        format!(
            "Choose an end after {} ({zone}).",
            super::time::to_local_text(start, zone)
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use chrono::DateTime;
    use chrono_tz::{Asia, Europe};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::time::tests::{ZONES, at};
    use super::*;

    const SAIGON: Tz = Asia::Ho_Chi_Minh;

    fn saigon(term: Term, start: &str, anchor: Option<u32>) -> Result<Span, Refusal> {
        span(term, at(start), SAIGON, anchor, DayCount::Thirty360)
    }

    #[rstest]
    #[case("2023-03-06T10:15:30+07:00", 1, None, "2023-04-06T10:15:30+07:00", 30, 6)]
    #[case("2023-01-31T00:00:00+07:00", 1, None, "2023-02-28T00:00:00+07:00", 27, 31)]
    #[case("2023-02-28T00:00:00+07:00", 1, Some(31), "2023-03-31T00:00:00+07:00", 33, 31)]
    #[case("2024-01-31T00:00:00+07:00", 1, None, "2024-02-29T00:00:00+07:00", 28, 31)]
    #[case("2023-12-15T00:00:00+07:00", 120, None, "2033-12-15T00:00:00+07:00", 3_600, 15)]
    fn months_end_on_the_anchor_day_and_cost_thirty_days_each(
        #[case] start: &str,
        #[case] months: u32,
        #[case] anchor: Option<u32>,
        #[case] end: &str,
        #[case] length_days: i64,
        #[case] anchor_day: u32,
    ) {
        let span = saigon(Term::Months(months), start, anchor).unwrap();
        assert_eq!(span.end, at(end));
        assert_eq!(span.length.get(), length_days * MINUTES_PER_DAY);
        assert_eq!(span.priced.get(), i64::from(months) * MINUTES_PER_THIRTY_DAYS);
        assert_eq!(span.day_count, DayCount::Thirty360);
        assert_eq!(span.anchor_day, anchor_day);
    }

    #[test]
    fn days_are_24_hours_each_and_measured_by_them() {
        let span = span(
            Term::Days(2),
            at("2024-03-30T12:00:00+01:00"),
            Europe::Paris,
            Some(9),
            DayCount::Thirty360,
        )
        .unwrap();
        assert_eq!(span.end, at("2024-04-01T13:00:00+02:00"));
        assert_eq!(span.length.get(), 2_880);
        assert_eq!(span.priced.get(), 2_880);
        assert_eq!(span.day_count, DayCount::ActualMinutes);
        assert_eq!(span.anchor_day, 1);
    }

    #[test]
    fn a_chosen_end_costs_its_length() {
        let span = saigon(
            Term::Until(at("2023-06-06T00:00:00+07:00")),
            "2023-03-06T00:00:00+07:00",
            None,
        )
        .unwrap();
        assert_eq!(span.length.get(), 90 * MINUTES_PER_DAY);
        assert_eq!(span.priced.get(), 90 * MINUTES_PER_DAY);
        assert_eq!(span.anchor_day, 6);
    }

    #[rstest]
    #[case(Term::Months(0), RefusalCode::InvalidTerm)]
    #[case(Term::Months(121), RefusalCode::InvalidTerm)]
    #[case(Term::Days(0), RefusalCode::InvalidTerm)]
    #[case(Term::Days(3_661), RefusalCode::InvalidTerm)]
    #[case(Term::Until(at("2023-03-31T00:00:00+07:00")), RefusalCode::EndNotAfterStart)]
    #[case(Term::Until(at("2022-03-31T00:00:00+07:00")), RefusalCode::EndNotAfterStart)]
    #[case(Term::Until(at("2023-03-31T00:00:30+07:00")), RefusalCode::ZeroLength)]
    #[case(Term::Until(at("2023-03-31T23:00:00+07:00")), RefusalCode::ZeroLength)]
    #[case(Term::Until(at("2033-04-01T00:00:00+07:00")), RefusalCode::InvalidTerm)]
    #[case(Term::Until(at("2999-01-01T00:00:00+07:00")), RefusalCode::InvalidInstant)]
    fn what_makes_no_term_is_refused(#[case] term: Term, #[case] code: RefusalCode) {
        // Day 31 has no length in months of 30 days.
        assert_eq!(saigon(term, "2023-03-31T00:00:00+07:00", None).unwrap_err().code, code);
    }

    #[rstest]
    #[case(-1)]
    #[case(0)]
    #[case(i64::MAX)]
    #[case(i64::MIN)]
    fn absurd_numbers_make_no_term(#[case] number: i64) {
        assert_eq!(Term::months(number).unwrap_err().code, RefusalCode::InvalidTerm);
        assert_eq!(Term::days(number).unwrap_err().code, RefusalCode::InvalidTerm);
    }

    #[test]
    fn a_term_does_not_leave_the_years_that_are_counted() {
        let refusal = saigon(Term::Months(12), "2200-06-01T00:00:00+07:00", None).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::InvalidInstant);
    }

    #[test]
    fn a_term_counts_again_from_provisioning_and_costs_the_same() {
        let term = Term::Months(1);
        let planned = saigon(term, "2023-01-30T23:59:00+07:00", None).unwrap();
        let real = respan_at_provisioning(
            term,
            &planned,
            at("2023-01-31T00:10:00+07:00"),
            SAIGON,
            DayCount::Thirty360,
        )
        .unwrap();
        assert_eq!(real.start, at("2023-01-31T00:10:00+07:00"));
        assert_eq!(real.end, at("2023-02-28T00:10:00+07:00"));
        assert_eq!(real.priced, planned.priced);
        assert_eq!(real.anchor_day, 31);
    }

    #[test]
    fn a_chosen_end_stays_at_provisioning_and_costs_the_same() {
        let term = Term::Until(at("2023-03-16T00:00:00+07:00"));
        let planned = saigon(term, "2023-03-06T00:00:00+07:00", None).unwrap();
        let real = respan_at_provisioning(
            term,
            &planned,
            at("2023-03-07T00:00:00+07:00"),
            SAIGON,
            DayCount::Thirty360,
        )
        .unwrap();
        assert_eq!(real.end, planned.end);
        assert_eq!(real.length.get(), 9 * MINUTES_PER_DAY);
        assert_eq!(real.priced.get(), 10 * MINUTES_PER_DAY);
        let late = respan_at_provisioning(
            term,
            &planned,
            at("2023-03-16T00:00:00+07:00"),
            SAIGON,
            DayCount::Thirty360,
        );
        assert_eq!(late.unwrap_err().code, RefusalCode::EndNotAfterStart);
    }

    #[test]
    fn a_chosen_end_within_a_day_that_counts_nothing_is_still_served() {
        let term = Term::Until(at("2023-03-31T20:00:00+07:00"));
        let planned = saigon(term, "2023-03-30T12:00:00+07:00", None).unwrap();
        assert_eq!(planned.priced.get(), 720);
        // Day 31 adds nothing: from here to the end the day count finds no minute.
        let real = respan_at_provisioning(
            term,
            &planned,
            at("2023-03-31T09:00:00+07:00"),
            SAIGON,
            DayCount::Thirty360,
        )
        .unwrap();
        assert_eq!((real.end, real.length.get(), real.priced.get()), (planned.end, 1, 720));
    }

    #[test]
    fn terms_are_words_and_numbers_in_json() {
        assert_eq!(
            serde_json::to_string(&Term::Months(3)).unwrap(),
            r#"{"unit":"MONTH","value":3}"#
        );
        let until = Term::Until(at("2023-03-16T00:00:00Z"));
        let json = serde_json::to_string(&until).unwrap();
        assert_eq!(json, r#"{"unit":"UNTIL","value":"2023-03-16T00:00:00Z"}"#);
        assert_eq!(serde_json::from_str::<Term>(&json).unwrap(), until);
    }

    proptest! {
        #[test]
        fn every_term_has_a_length_and_a_price(
            second in 946_684_800i64..4_000_000_000,
            months in 1u32..=MAX_MONTHS,
            days in 1u32..=MAX_DAYS,
            index in 0..ZONES.len(),
        ) {
            let start = DateTime::from_timestamp(second, 0).unwrap();
            for term in [Term::Months(months), Term::Days(days)] {
                for day_count in DayCount::ALL {
                    let span = span(term, start, ZONES[index], None, *day_count).unwrap();
                    prop_assert!(span.end > span.start);
                    prop_assert!(span.length.get() > 0 && span.priced.get() > 0);
                    prop_assert!((1..=31).contains(&span.anchor_day));
                }
            }
        }

        #[test]
        fn months_one_by_one_end_where_all_at_once_do(second in 946_684_800i64..1_900_000_000, months in 1u32..=24) {
            let start = DateTime::from_timestamp(second, 0).unwrap();
            let whole = span(Term::Months(months), start, SAIGON, None, DayCount::Thirty360).unwrap();
            let (mut end, mut anchor) = (start, None);
            for _ in 0..months {
                let one = span(Term::Months(1), end, SAIGON, anchor, DayCount::Thirty360).unwrap();
                (end, anchor) = (one.end, Some(one.anchor_day));
            }
            prop_assert_eq!(end, whole.end);
        }
    }
}
