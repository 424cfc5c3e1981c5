//! Instants, minutes and local time. No clock: an instant always comes from outside.

use std::fmt;

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::refusal::{Refusal, RefusalCode};

/// A point in time.
pub type Instant = DateTime<Utc>;

/// Minutes in a day of 24 hours.
pub const MINUTES_PER_DAY: i64 = 1_440;
/// Minutes in the 30 days that a unit price is for.
pub const MINUTES_PER_THIRTY_DAYS: i64 = 43_200;

/// The first year whose instants are counted.
pub const FIRST_YEAR: i32 = 2000;
/// The last year whose instants are counted.
pub const LAST_YEAR: i32 = 2200;

/// A length by a day count, in minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minutes(i64);

/// The minutes that a price is made for. They may differ from the length: a month is priced as 30 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PricedMinutes(i64);

macro_rules! minutes {
    ($name:ident) => {
        impl $name {
            /// None.
            pub const ZERO: Self = Self(0);

            /// So many minutes.
            #[must_use]
            pub const fn new(minutes: i64) -> Self {
                Self(minutes)
            }

            /// How many.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }

            /// The sum. Errors: AMOUNT_OUT_OF_RANGE beyond 64 bits.
            pub fn plus(self, other: Self) -> Result<Self, Refusal> {
                self.0.checked_add(other.0).map(Self).ok_or_else(|| {
                    Refusal::new(
                        RefusalCode::AmountOutOfRange,
                        "The time is too long. Choose a shorter one.",
                    )
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} min", self.0)
            }
        }
    };
}

minutes!(Minutes);
minutes!(PricedMinutes);

/// The instant without the seconds of its minute.
#[must_use]
pub fn floor_to_minute(at: Instant) -> Instant {
    at - TimeDelta::seconds(at.timestamp().rem_euclid(60))
        - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()))
}

/// The instant as it is stored: without what is finer than a microsecond.
#[must_use]
pub fn truncate_micros(at: Instant) -> Instant {
    at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos() % 1_000))
}

/// The whole minute an instant lies in, counted from 1970.
#[must_use]
pub fn minute_of(at: Instant) -> i64 {
    at.timestamp().div_euclid(60)
}

/// The instant, cut to microseconds, when it lies in the years that are counted. Errors: INVALID_INSTANT.
pub fn checked_instant(at: Instant) -> Result<Instant, Refusal> {
    if (FIRST_YEAR..=LAST_YEAR).contains(&at.year()) {
        Ok(truncate_micros(at))
    } else {
        Err(Refusal::new(
            RefusalCode::InvalidInstant,
            format!("Choose an instant in the years {FIRST_YEAR} to {LAST_YEAR}."),
        ))
    }
}

/// The time zone of an IANA name. Errors: INVALID_ZONE.
pub fn zone(name: &str) -> Result<Tz, Refusal> {
    name.parse().map_err(|_| {
        Refusal::new(
            RefusalCode::InvalidZone,
            "Write an IANA time zone, for example \"Asia/Ho_Chi_Minh\".",
        )
    })
}

/// The clock's reading at an instant.
#[must_use]
pub fn local(at: Instant, zone: Tz) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}

/// The instant of a clock's reading. A reading that comes twice means the earlier one; one that is skipped means the
/// first instant after the gap.
///
/// Source: rule "Local time" in ARCHITECTURE, section Time.
#[must_use]
pub fn instant_of_local(reading: NaiveDateTime, zone: Tz) -> Instant {
    match zone.from_local_datetime(&reading) {
        LocalResult::Single(at) => at.with_timezone(&Utc),
        LocalResult::Ambiguous(one, other) => one.with_timezone(&Utc).min(other.with_timezone(&Utc)),
        LocalResult::None => first_instant_reading_at_least(reading, zone),
    }
}

/// The transition that skips `reading`: the first second whose reading is not before it. No zone skips more than a
/// day, nor changes twice within the two days searched either side.
fn first_instant_reading_at_least(reading: NaiveDateTime, zone: Tz) -> Instant {
    let middle = reading.and_utc().timestamp();
    let reads_at_least = |second: i64| DateTime::from_timestamp(second, 0).is_some_and(|at| local(at, zone) >= reading);
    let (mut before, mut reached) = (middle - 2 * 86_400, middle + 2 * 86_400);
    while reached - before > 1 {
        let half = before + (reached - before) / 2;
        if reads_at_least(half) {
            reached = half;
        } else {
            before = half;
        }
    }
    DateTime::from_timestamp(reached, 0).unwrap_or_else(|| reading.and_utc())
}

/// The first instant of a local day: its midnight, or the end of the gap when it has none.
#[must_use]
pub fn start_of_day(date: NaiveDate, zone: Tz) -> Instant {
    instant_of_local(date.and_time(chrono::NaiveTime::MIN), zone)
}

/// The local day an instant lies in: the last one that has begun. A clock set back over midnight does not bring the
/// day before back.
#[must_use]
pub fn local_day(at: Instant, zone: Tz) -> NaiveDate {
    let mut date = local(at, zone).date();
    while let Some(next) = date.succ_opt() {
        if start_of_day(next, zone) > at {
            break;
        }
        date = next;
    }
    date
}

/// The instant `days` calendar days from `at` (before it when negative), at the same local time.
#[must_use]
pub fn shift_days(at: Instant, days: i32, zone: Tz) -> Instant {
    if days == 0 {
        return at;
    }
    let reading = local(at, zone);
    let distance = Days::new(u64::from(days.unsigned_abs()));
    let shifted = if days > 0 {
        reading.checked_add_days(distance)
    } else {
        reading.checked_sub_days(distance)
    };
    shifted.map_or(at, |shifted| instant_of_local(shifted, zone))
}

/// The last instant not after `at` at which a local clock shows `hour` o'clock.
#[must_use]
pub fn latest_hour_not_after(at: Instant, hour: u32, zone: Tz) -> Instant {
    let mut date = local_day(at, zone);
    // Two days back is always enough: a day may skip the hour, two in a row never do.
    for _ in 0..3 {
        if let Some(reading) = date.and_hms_opt(hour.min(23), 0, 0) {
            let candidate = instant_of_local(reading, zone);
            if candidate <= at {
                return candidate;
            }
        }
        let Some(previous) = date.pred_opt() else { break };
        date = previous;
    }
    at
}

/// The number of days of a month.
#[must_use]
pub fn days_in_month(year: i32, month: u32) -> u32 {
    let next = if month >= 12 {
        NaiveDate::from_ymd_opt(year + 1, 1, 1)
    } else {
        NaiveDate::from_ymd_opt(year, month + 1, 1)
    };
    next.and_then(|first| first.pred_opt()).map_or(30, |last| last.day())
}

/// A reading as people write it: `2023-03-06 00:00`.
#[must_use]
pub fn to_local_text(at: Instant, zone: Tz) -> String {
    let reading = local(at, zone);
    format!("{} {:02}:{:02}", reading.date(), reading.hour(), reading.minute())
}

/// Serialises a zone as its IANA name.
pub mod zone_name {
    use chrono_tz::Tz;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the name.
    pub fn serialize<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.name())
    }

    /// Reads the name; an unknown one is an error.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse()
            .map_err(|_| serde::de::Error::custom("not an IANA time zone"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use chrono_tz::{America, Asia, Europe, Pacific};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// An instant from its RFC 3339 text.
    pub(crate) fn at(text: &str) -> Instant {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    /// Zones with no, ordinary, midnight and day-long changes.
    pub(crate) const ZONES: &[Tz] = &[
        Asia::Ho_Chi_Minh,
        Europe::Paris,
        America::Sao_Paulo,
        America::St_Johns,
        Asia::Beirut,
        Pacific::Apia,
        Asia::Kathmandu,
    ];

    #[rstest]
    // Paris skips 02:00 to 03:00 and repeats 02:00 to 03:00.
    #[case(Europe::Paris, "2024-03-31T02:30:00", "2024-03-31T01:00:00Z")]
    #[case(Europe::Paris, "2024-10-27T02:30:00", "2024-10-27T00:30:00Z")]
    // São Paulo's day began at 01:00 on 4 November 2018, and the evening of 17 February 2018 came twice.
    #[case(America::Sao_Paulo, "2018-11-04T00:00:00", "2018-11-04T03:00:00Z")]
    #[case(America::Sao_Paulo, "2018-02-17T23:30:00", "2018-02-18T01:30:00Z")]
    // Samoa had no 30 December 2011.
    #[case(Pacific::Apia, "2011-12-30T12:00:00", "2011-12-30T10:00:00Z")]
    #[case(Asia::Ho_Chi_Minh, "2023-03-06T00:00:00", "2023-03-05T17:00:00Z")]
    fn gaps_end_after_and_overlaps_begin_early(#[case] zone: Tz, #[case] reading: &str, #[case] expected: &str) {
        assert_eq!(instant_of_local(reading.parse().unwrap(), zone), at(expected));
    }

    #[test]
    fn a_day_does_not_come_back() {
        // St John's set its clocks back at 00:01, into the day before.
        let zone = America::St_Johns;
        let new_day = NaiveDate::from_ymd_opt(2010, 11, 7).unwrap();
        let begun = start_of_day(new_day, zone);
        assert_eq!(local_day(begun, zone), new_day);
        let set_back = begun + TimeDelta::minutes(5);
        assert_eq!(local(set_back, zone).date(), new_day.pred_opt().unwrap());
        assert_eq!(local_day(set_back, zone), new_day);
    }

    #[test]
    fn minutes_and_micros_are_cut() {
        let precise = at("2023-03-06T01:02:03.123456789Z");
        assert_eq!(floor_to_minute(precise), at("2023-03-06T01:02:00Z"));
        assert_eq!(truncate_micros(precise), at("2023-03-06T01:02:03.123456Z"));
        assert_eq!(minute_of(at("1969-12-31T23:59:59Z")), -1);
    }

    #[rstest]
    #[case("1999-12-31T23:59:59Z", false)]
    #[case("2000-01-01T00:00:00Z", true)]
    #[case("2200-12-31T23:59:59Z", true)]
    #[case("2201-01-01T00:00:00Z", false)]
    fn instants_lie_in_the_years_that_are_counted(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(checked_instant(at(text)).is_ok(), accepted);
    }

    #[test]
    fn eight_o_clock_is_the_last_one_before() {
        let zone = Asia::Ho_Chi_Minh;
        assert_eq!(
            latest_hour_not_after(at("2023-04-06T00:00:00+07:00"), 8, zone),
            at("2023-04-05T08:00:00+07:00")
        );
        assert_eq!(
            latest_hour_not_after(at("2023-04-06T08:00:00+07:00"), 8, zone),
            at("2023-04-06T08:00:00+07:00")
        );
        assert_eq!(
            latest_hour_not_after(at("2023-04-06T09:30:00+07:00"), 8, zone),
            at("2023-04-06T08:00:00+07:00")
        );
    }

    #[test]
    fn zones_are_named() {
        assert_eq!(zone("Asia/Ho_Chi_Minh").unwrap(), Asia::Ho_Chi_Minh);
        assert_eq!(zone("Mars/Base").unwrap_err().code, RefusalCode::InvalidZone);
    }

    proptest! {
        #[test]
        fn a_reading_leads_back_to_its_instant_or_the_earlier_twin(second in 946_684_800i64..4_102_444_800, index in 0..ZONES.len()) {
            let zone = ZONES[index];
            let instant = DateTime::from_timestamp(second, 0).unwrap();
            let back = instant_of_local(local(instant, zone), zone);
            prop_assert!(back <= instant);
            prop_assert_eq!(local(back, zone), local(instant, zone));
        }

        #[test]
        fn days_begin_before_what_lies_in_them(second in 946_684_800i64..4_102_444_800, index in 0..ZONES.len()) {
            let zone = ZONES[index];
            let instant = DateTime::from_timestamp(second, 0).unwrap();
            let day = local_day(instant, zone);
            prop_assert!(start_of_day(day, zone) <= instant);
            prop_assert!(instant < start_of_day(day.succ_opt().unwrap(), zone));
        }
    }
}
