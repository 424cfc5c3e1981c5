//! How long a period is, in minutes: by months of 30 days in the account's zone, or by the minutes that passed.

use chrono::Datelike;
use chrono_tz::Tz;
use entity::enums::DayCount;

use super::time::{Instant, MINUTES_PER_DAY, MINUTES_PER_THIRTY_DAYS, Minutes, local_day, minute_of, start_of_day};

/// The length from one instant to another, both floored to the minute; negative when `to` is before `from`.
///
/// `THIRTY_360` takes the difference of two ordinals in the zone, `ACTUAL_MINUTES` the minutes that passed. Both are
/// monotone and additive: the lengths of two adjoining periods add up to the length of both.
///
/// Source: rule "Day count" in ARCHITECTURE, section Time.
#[must_use]
pub fn length(day_count: DayCount, zone: Tz, from: Instant, to: Instant) -> Minutes {
    Minutes::new(match day_count {
        DayCount::Thirty360 => ordinal(zone, to) - ordinal(zone, from),
        DayCount::ActualMinutes => minute_of(to) - minute_of(from),
    })
}

/// `(360 y + 30 m) x 1,440 + min((d - 1) x 1,440 + minute of the day, 43,200)`, where the minute of the day is the
/// minutes since the local day began, at most 1,440. So day 31 adds nothing, the last day of February makes up for
/// what it lacks, and a day of 23 or 25 hours counts as one.
fn ordinal(zone: Tz, at: Instant) -> i64 {
    let day = local_day(at, zone);
    let minute_of_day = (minute_of(at) - minute_of(start_of_day(day, zone))).clamp(0, MINUTES_PER_DAY);
    let months = 12 * i64::from(day.year()) + i64::from(day.month());
    let minute_of_month = (i64::from(day.day()) - 1) * MINUTES_PER_DAY + minute_of_day;
    months * MINUTES_PER_THIRTY_DAYS + minute_of_month.min(MINUTES_PER_THIRTY_DAYS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use chrono::{DateTime, TimeDelta};
    use chrono_tz::{America, Asia, Europe};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::time::tests::{ZONES, at};
    use super::*;

    const DAY: i64 = MINUTES_PER_DAY;

    #[rstest]
    // A calendar month is 30 days, whatever it has.
    #[case("2023-03-06T00:00:00+07:00", "2023-04-06T00:00:00+07:00", 30 * DAY)]
    #[case("2023-02-06T00:00:00+07:00", "2023-03-06T00:00:00+07:00", 30 * DAY)]
    #[case("2023-04-16T00:00:00+07:00", "2023-06-06T00:00:00+07:00", 50 * DAY)]
    #[case("2023-01-01T00:00:00+07:00", "2024-01-01T00:00:00+07:00", 360 * DAY)]
    // Day 31 adds nothing: not within it, not across it.
    #[case("2023-03-31T00:00:00+07:00", "2023-03-31T23:59:00+07:00", 0)]
    #[case("2023-03-31T00:00:00+07:00", "2023-04-01T00:00:00+07:00", 0)]
    #[case("2023-03-30T00:00:00+07:00", "2023-03-31T00:00:00+07:00", DAY)]
    // February's last day makes up the rest, at its end.
    #[case("2023-02-28T00:00:00+07:00", "2023-02-28T23:59:00+07:00", DAY - 1)]
    #[case("2023-02-28T00:00:00+07:00", "2023-03-01T00:00:00+07:00", 3 * DAY)]
    #[case("2024-02-28T00:00:00+07:00", "2024-03-01T00:00:00+07:00", 3 * DAY)]
    #[case("2023-01-31T00:00:00+07:00", "2023-02-28T00:00:00+07:00", 27 * DAY)]
    // Seconds are cut on both sides.
    #[case("2023-03-06T00:00:59+07:00", "2023-03-06T00:01:00+07:00", 1)]
    #[case("2023-03-06T00:00:00+07:00", "2023-03-06T00:00:59+07:00", 0)]
    // Backwards is negative.
    #[case("2023-04-06T00:00:00+07:00", "2023-03-06T00:00:00+07:00", -30 * DAY)]
    fn months_have_thirty_days(#[case] from: &str, #[case] to: &str, #[case] expected: i64) {
        assert_eq!(
            length(DayCount::Thirty360, Asia::Ho_Chi_Minh, at(from), at(to)).get(),
            expected
        );
    }

    #[rstest]
    // 31 March 2024 in Paris has 23 hours and 27 October 25: a day each, when they are crossed.
    #[case(Europe::Paris, "2024-03-15T00:00:00+01:00", "2024-04-15T00:00:00+02:00", 30 * DAY)]
    #[case(Europe::Paris, "2024-10-27T00:00:00+02:00", "2024-10-28T00:00:00+01:00", DAY)]
    #[case(Europe::Paris, "2024-10-27T00:00:00+02:00", "2024-10-27T23:30:00+01:00", DAY)]
    // São Paulo's 4 November 2018 began at 01:00: that instant is its minute 0.
    #[case(America::Sao_Paulo, "2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00", DAY)]
    #[case(America::Sao_Paulo, "2018-11-04T01:00:00-02:00", "2018-11-04T02:00:00-02:00", 60)]
    #[case(America::Sao_Paulo, "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00", DAY)]
    fn days_of_23_and_25_hours_are_a_day(
        #[case] zone: Tz,
        #[case] from: &str,
        #[case] to: &str,
        #[case] expected: i64,
    ) {
        assert_eq!(length(DayCount::Thirty360, zone, at(from), at(to)).get(), expected);
    }

    #[test]
    fn actual_minutes_are_what_passed() {
        let (from, to) = (at("2024-03-30T12:00:30+01:00"), at("2024-03-31T12:00:00+02:00"));
        assert_eq!(length(DayCount::ActualMinutes, Europe::Paris, from, to).get(), 23 * 60);
    }

    proptest! {
        #[test]
        fn every_day_count_is_monotone_and_additive(
            start in 946_684_800i64..4_102_444_800,
            first in 0i64..200_000_000,
            second in 0i64..200_000_000,
            index in 0..ZONES.len(),
        ) {
            let zone = ZONES[index];
            let a = DateTime::from_timestamp(start, 0).unwrap();
            let b = a + TimeDelta::seconds(first);
            let c = b + TimeDelta::seconds(second);
            for day_count in DayCount::ALL {
                let whole = length(*day_count, zone, a, c);
                let parts = length(*day_count, zone, a, b).plus(length(*day_count, zone, b, c)).unwrap();
                prop_assert_eq!(whole, parts);
                prop_assert!(length(*day_count, zone, a, b).get() >= 0);
            }
        }

        #[test]
        fn minute_by_minute_nothing_runs_backwards(start in 946_684_800i64..1_900_000_000, index in 0..ZONES.len()) {
            let zone = ZONES[index];
            let mut previous = ordinal(zone, DateTime::from_timestamp(start, 0).unwrap());
            for step in 1..200 {
                let next = ordinal(zone, DateTime::from_timestamp(start + step * 1_020, 0).unwrap());
                prop_assert!(previous <= next);
                previous = next;
            }
        }
    }

    #[test]
    fn nothing_runs_backwards_around_the_changes_of_the_clocks() {
        for (zone, around) in [
            (Europe::Paris, "2024-03-31T01:00:00Z"),
            (Europe::Paris, "2024-10-27T01:00:00Z"),
            (America::Sao_Paulo, "2018-11-04T03:00:00Z"),
            (America::Sao_Paulo, "2018-02-18T02:00:00Z"),
            (America::St_Johns, "2010-11-07T02:31:00Z"),
        ] {
            let begin = at(around) - TimeDelta::hours(30);
            let mut previous = ordinal(zone, begin);
            for minute in 1..3_600 {
                let next = ordinal(zone, begin + TimeDelta::minutes(minute));
                assert!(previous <= next, "{zone} {around} minute {minute}");
                previous = next;
            }
        }
    }
}
