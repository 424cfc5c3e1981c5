//! The calendar, held against another: anchors, leap days, clocks set forward and back, years out to 2100.
//!
//! Every instant here was worked out with the time zones of another language and none was taken from this program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono_tz::{America, Asia, Europe, Tz};
use entity::enums::{DayCount, GraceService, LifecyclePolicy};
use rstest::rstest;

use super::day_count;
use super::policy::PolicyTerms;
use super::refusal::RefusalCode;
use super::schedule::{Plan, StepKey};
use super::term::{Span, Term, span};
use super::time::tests::at;
use super::time::{Instant, MINUTES_PER_THIRTY_DAYS, local};

const STANDARD: PolicyTerms = PolicyTerms {
    policy: LifecyclePolicy::Standard,
    grace_service: GraceService::Full,
    release_days: 7,
    trash_days: 7,
    auto_renew_locked: false,
};

fn months(count: u32, start: Instant, zone: Tz, anchor: Option<u32>, day_count: DayCount) -> Span {
    span(Term::Months(count), start, zone, anchor, day_count).unwrap()
}

/// The instant, and what the clock on the wall shows then.
fn read(at: Instant, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339()
}

#[rstest]
// Day 31 is remembered through every shorter month, and through a leap year.
#[case(Asia::Ho_Chi_Minh, "2023-01-31T10:00:00+07:00", &[(1, "2023-02-28T10:00:00+07:00"), (1, "2023-03-31T10:00:00+07:00"), (1, "2023-04-30T10:00:00+07:00"), (1, "2023-05-31T10:00:00+07:00"), (1, "2023-06-30T10:00:00+07:00"), (1, "2023-07-31T10:00:00+07:00"), (1, "2023-08-31T10:00:00+07:00"), (1, "2023-09-30T10:00:00+07:00"), (1, "2023-10-31T10:00:00+07:00"), (1, "2023-11-30T10:00:00+07:00"), (1, "2023-12-31T10:00:00+07:00"), (1, "2024-01-31T10:00:00+07:00"), (1, "2024-02-29T10:00:00+07:00")])]
// So is day 30.
#[case(Asia::Ho_Chi_Minh, "2024-01-30T10:00:00+07:00", &[(1, "2024-02-29T10:00:00+07:00"), (1, "2024-03-30T10:00:00+07:00"), (1, "2024-04-30T10:00:00+07:00")])]
// And 29 February waits four years for its day.
#[case(Asia::Ho_Chi_Minh, "2024-02-29T00:00:00+07:00", &[(12, "2025-02-28T00:00:00+07:00"), (12, "2026-02-28T00:00:00+07:00"), (12, "2027-02-28T00:00:00+07:00"), (12, "2028-02-29T00:00:00+07:00")])]
// Half years from the end of a day.
#[case(Asia::Ho_Chi_Minh, "2024-08-31T23:59:00+07:00", &[(6, "2025-02-28T23:59:00+07:00"), (6, "2025-08-31T23:59:00+07:00"), (6, "2026-02-28T23:59:00+07:00")])]
// Over the ends of two years.
#[case(Asia::Ho_Chi_Minh, "2023-12-31T00:00:00+07:00", &[(1, "2024-01-31T00:00:00+07:00"), (1, "2024-02-29T00:00:00+07:00"), (1, "2024-03-31T00:00:00+07:00"), (9, "2024-12-31T00:00:00+07:00"), (1, "2025-01-31T00:00:00+07:00")])]
// Paris has no 02:30 on 31 March 2024: the end of the gap stays the hour of what follows.
#[case(Europe::Paris, "2024-01-31T02:30:00+01:00", &[(1, "2024-02-29T02:30:00+01:00"), (1, "2024-03-31T03:00:00+02:00"), (1, "2024-04-30T03:00:00+02:00")])]
// Noon stays noon, in summer and in winter.
#[case(Europe::Paris, "2024-02-29T12:00:00+01:00", &[(1, "2024-03-29T12:00:00+01:00"), (1, "2024-04-29T12:00:00+02:00"), (6, "2024-10-29T12:00:00+01:00"), (1, "2024-11-29T12:00:00+01:00")])]
// Paris has 02:30 twice on 27 October 2024: the first counts.
#[case(Europe::Paris, "2024-08-27T02:30:00+02:00", &[(1, "2024-09-27T02:30:00+02:00"), (1, "2024-10-27T02:30:00+02:00"), (1, "2024-11-27T02:30:00+01:00")])]
// São Paulo had no midnight on 4 November 2018.
#[case(America::Sao_Paulo, "2018-09-04T00:00:00-03:00", &[(1, "2018-10-04T00:00:00-03:00"), (1, "2018-11-04T01:00:00-02:00"), (1, "2018-12-04T01:00:00-02:00")])]
// The evening of 16 February 2019 came twice there.
#[case(America::Sao_Paulo, "2019-01-16T23:30:00-02:00", &[(1, "2019-02-16T23:30:00-02:00"), (1, "2019-03-16T23:30:00-03:00")])]
// And since that year its clocks are not changed any more.
#[case(America::Sao_Paulo, "2019-10-03T00:00:00-03:00", &[(1, "2019-11-03T00:00:00-03:00"), (1, "2019-12-03T00:00:00-03:00")])]
// 2100 is no leap year, 2104 is.
#[case(Asia::Ho_Chi_Minh, "2096-02-29T00:00:00+07:00", &[(12, "2097-02-28T00:00:00+07:00"), (36, "2100-02-28T00:00:00+07:00"), (12, "2101-02-28T00:00:00+07:00"), (36, "2104-02-29T00:00:00+07:00")])]
// Into 2100.
#[case(Asia::Ho_Chi_Minh, "2099-12-31T23:59:00+07:00", &[(1, "2100-01-31T23:59:00+07:00"), (1, "2100-02-28T23:59:00+07:00"), (1, "2100-03-31T23:59:00+07:00")])]
// Summer time goes on as its rule says.
#[case(Europe::Paris, "2099-01-31T12:00:00+01:00", &[(1, "2099-02-28T12:00:00+01:00"), (1, "2099-03-31T12:00:00+02:00"), (5, "2099-08-31T12:00:00+02:00"), (4, "2099-12-31T12:00:00+01:00"), (12, "2100-12-31T12:00:00+01:00")])]
// A clock that is not changed today is not changed then.
#[case(America::Sao_Paulo, "2099-10-31T00:00:00-03:00", &[(1, "2099-11-30T00:00:00-03:00"), (3, "2100-02-28T00:00:00-03:00"), (1, "2100-03-31T00:00:00-03:00")])]
fn renewals_end_on_the_day_and_at_the_hour_they_are_anchored_to(
    #[case] zone: Tz,
    #[case] start: &str,
    #[case] renewals: &[(u32, &str)],
) {
    for day_count in DayCount::ALL {
        let (mut start, mut anchor) = (at(start), None);
        for (count, end) in renewals {
            let period = months(*count, start, zone, anchor, *day_count);
            assert_eq!(
                read(period.end, zone),
                *end,
                "{count} months from {}",
                read(start, zone)
            );
            assert_eq!(period.priced.get(), i64::from(*count) * MINUTES_PER_THIRTY_DAYS);
            (start, anchor) = (period.end, Some(period.anchor_day));
        }
    }
}

#[rstest]
// Spring in Paris: one reminder falls into the gap.
#[case(Europe::Paris, ["2024-03-27T02:30:00+01:00", "2024-03-28T02:30:00+01:00", "2024-03-29T02:30:00+01:00", "2024-03-30T02:30:00+01:00", "2024-03-31T03:00:00+02:00", "2024-04-01T02:30:00+02:00", "2024-04-02T02:30:00+02:00", "2024-04-03T02:30:00+02:00", "2024-04-04T02:30:00+02:00"], ["2024-03-26T08:00:00+01:00", "2024-03-29T08:00:00+01:00", "2024-04-01T08:00:00+02:00", "2024-04-02T08:00:00+02:00"], ["2024-04-18T02:30:00+02:00", "2024-04-30T02:30:00+02:00", "2024-05-03T02:30:00+02:00"])]
// Autumn in Paris: one reminder stands on an hour that comes twice.
#[case(Europe::Paris, ["2024-10-23T02:30:00+02:00", "2024-10-24T02:30:00+02:00", "2024-10-25T02:30:00+02:00", "2024-10-26T02:30:00+02:00", "2024-10-27T02:30:00+02:00", "2024-10-28T02:30:00+01:00", "2024-10-29T02:30:00+01:00", "2024-10-30T02:30:00+01:00", "2024-10-31T02:30:00+01:00"], ["2024-10-22T08:00:00+02:00", "2024-10-25T08:00:00+02:00", "2024-10-28T08:00:00+01:00", "2024-10-29T08:00:00+01:00"], ["2024-11-14T02:30:00+01:00", "2024-11-26T02:30:00+01:00", "2024-11-29T02:30:00+01:00"])]
// The gap lies within the 72 hours before the release: the notice keeps them, and so reads an hour less.
#[case(Europe::Paris, ["2024-02-24T12:00:00+01:00", "2024-02-25T12:00:00+01:00", "2024-02-26T12:00:00+01:00", "2024-02-27T12:00:00+01:00", "2024-02-28T12:00:00+01:00", "2024-02-29T12:00:00+01:00", "2024-03-01T12:00:00+01:00", "2024-03-02T12:00:00+01:00", "2024-03-03T12:00:00+01:00"], ["2024-02-24T08:00:00+01:00", "2024-02-27T08:00:00+01:00", "2024-03-01T08:00:00+01:00", "2024-03-02T08:00:00+01:00"], ["2024-03-17T12:00:00+01:00", "2024-03-29T11:00:00+01:00", "2024-04-01T12:00:00+02:00"])]
// The hour that comes twice does: it reads an hour more.
#[case(Europe::Paris, ["2024-09-21T12:00:00+02:00", "2024-09-22T12:00:00+02:00", "2024-09-23T12:00:00+02:00", "2024-09-24T12:00:00+02:00", "2024-09-25T12:00:00+02:00", "2024-09-26T12:00:00+02:00", "2024-09-27T12:00:00+02:00", "2024-09-28T12:00:00+02:00", "2024-09-29T12:00:00+02:00"], ["2024-09-21T08:00:00+02:00", "2024-09-24T08:00:00+02:00", "2024-09-27T08:00:00+02:00", "2024-09-28T08:00:00+02:00"], ["2024-10-13T12:00:00+02:00", "2024-10-25T13:00:00+02:00", "2024-10-28T12:00:00+01:00"])]
// A midnight that was not, in São Paulo.
#[case(America::Sao_Paulo, ["2018-10-30T00:00:00-03:00", "2018-10-31T00:00:00-03:00", "2018-11-01T00:00:00-03:00", "2018-11-02T00:00:00-03:00", "2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00", "2018-11-06T00:00:00-02:00", "2018-11-07T00:00:00-02:00"], ["2018-10-29T08:00:00-03:00", "2018-11-01T08:00:00-03:00", "2018-11-04T08:00:00-02:00", "2018-11-05T08:00:00-02:00"], ["2018-11-21T00:00:00-02:00", "2018-12-03T00:00:00-02:00", "2018-12-06T00:00:00-02:00"])]
// The end of its summer time.
#[case(America::Sao_Paulo, ["2019-02-11T23:30:00-02:00", "2019-02-12T23:30:00-02:00", "2019-02-13T23:30:00-02:00", "2019-02-14T23:30:00-02:00", "2019-02-15T23:30:00-02:00", "2019-02-16T23:30:00-02:00", "2019-02-17T23:30:00-03:00", "2019-02-18T23:30:00-03:00", "2019-02-19T23:30:00-03:00"], ["2019-02-11T08:00:00-02:00", "2019-02-14T08:00:00-02:00", "2019-02-17T08:00:00-03:00", "2019-02-18T08:00:00-03:00"], ["2019-03-05T23:30:00-03:00", "2019-03-17T23:30:00-03:00", "2019-03-20T23:30:00-03:00"])]
// A year later its clocks stood still.
#[case(America::Sao_Paulo, ["2019-10-30T00:00:00-03:00", "2019-10-31T00:00:00-03:00", "2019-11-01T00:00:00-03:00", "2019-11-02T00:00:00-03:00", "2019-11-03T00:00:00-03:00", "2019-11-04T00:00:00-03:00", "2019-11-05T00:00:00-03:00", "2019-11-06T00:00:00-03:00", "2019-11-07T00:00:00-03:00"], ["2019-10-29T08:00:00-03:00", "2019-11-01T08:00:00-03:00", "2019-11-04T08:00:00-03:00", "2019-11-05T08:00:00-03:00"], ["2019-11-21T00:00:00-03:00", "2019-12-03T00:00:00-03:00", "2019-12-06T00:00:00-03:00"])]
// 2100 has no 29 February; an end at 08:00 has its last attempt at its own instant.
#[case(Asia::Ho_Chi_Minh, ["2100-02-23T08:00:00+07:00", "2100-02-24T08:00:00+07:00", "2100-02-25T08:00:00+07:00", "2100-02-26T08:00:00+07:00", "2100-02-27T08:00:00+07:00", "2100-02-28T08:00:00+07:00", "2100-03-01T08:00:00+07:00", "2100-03-02T08:00:00+07:00", "2100-03-03T08:00:00+07:00"], ["2100-02-23T08:00:00+07:00", "2100-02-26T08:00:00+07:00", "2100-03-01T08:00:00+07:00", "2100-03-02T08:00:00+07:00"], ["2100-03-17T08:00:00+07:00", "2100-03-29T08:00:00+07:00", "2100-04-01T08:00:00+07:00"])]
// Over a new year; an end just before 08:00 has its attempts the mornings before.
#[case(Asia::Ho_Chi_Minh, ["2023-12-26T07:59:00+07:00", "2023-12-27T07:59:00+07:00", "2023-12-28T07:59:00+07:00", "2023-12-29T07:59:00+07:00", "2023-12-30T07:59:00+07:00", "2023-12-31T07:59:00+07:00", "2024-01-01T07:59:00+07:00", "2024-01-02T07:59:00+07:00", "2024-01-03T07:59:00+07:00"], ["2023-12-25T08:00:00+07:00", "2023-12-28T08:00:00+07:00", "2023-12-31T08:00:00+07:00", "2024-01-01T08:00:00+07:00"], ["2024-01-17T07:59:00+07:00", "2024-01-29T07:59:00+07:00", "2024-02-01T07:59:00+07:00"])]
fn steps_stand_at_the_hours_of_the_account(
    #[case] zone: Tz,
    #[case] reminders: [&str; 9],
    #[case] attempts: [&str; 4],
    #[case] ends: [&str; 3],
) {
    let plan = Plan {
        terms: &STANDARD,
        paid_until: at(reminders[7]),
        zone,
        auto_renew: true,
        release_at: None,
    };
    let schedule = plan.schedule();
    let due = |key: &str| {
        let key: StepKey = key.parse().unwrap();
        read(schedule.step(key).unwrap().due_at, zone)
    };
    let reminded: Vec<String> = (-7..=1).map(|day| due(&format!("REMINDER:{day}"))).collect();
    assert_eq!(reminded, reminders);
    let attempted = ["AUTO_RENEW:-7", "AUTO_RENEW:-4", "AUTO_RENEW:-1", "AUTO_RENEW:0"].map(due);
    assert_eq!(attempted, attempts);
    assert_eq!(due("EXPIRE:0"), reminders[7]);
    assert_eq!(["SUSPEND:15", "FINAL_NOTICE:27", "RELEASE:30"].map(due), ends);
    assert_eq!(read(plan.planned_release(), zone), ends[2]);
}

#[rstest]
// The evening of one zone is the day 31 of the next.
#[case("2024-03-30T23:30:00Z", "2024-03-31T17:30:00Z", [30, 0, 210], 1080)]
// The end of a leap February.
#[case("2024-02-28T17:00:00Z", "2024-03-01T00:00:00Z", [3300, 3300, 1860], 1860)]
// São Paulo's day of 23 hours, whole.
#[case("2018-11-03T12:00:00Z", "2018-11-04T12:00:00Z", [1440, 1440, 1440], 1440)]
// Paris's day of 23 hours, which is a 31st.
#[case("2024-03-30T12:00:00Z", "2024-04-01T12:00:00Z", [1440, 1500, 1440], 2880)]
// A day of 25 hours counts as one.
#[case("2024-10-26T12:00:00Z", "2024-10-28T12:00:00Z", [2880, 2820, 2880], 2880)]
// A year is 360 days.
#[case("2023-12-31T17:00:00Z", "2024-12-31T17:00:00Z", [518400, 518400, 518400], 527040)]
// February of 2100.
#[case("2100-02-27T17:00:00Z", "2100-03-01T17:00:00Z", [5760, 5760, 5760], 2880)]
// The evening that came twice counts once.
#[case("2019-02-16T12:00:00Z", "2019-02-17T12:00:00Z", [1440, 1440, 1380], 1440)]
// Within the day of 25 hours.
#[case("2024-10-27T00:00:00Z", "2024-10-27T23:00:00Z", [1380, 1320, 1380], 1380)]
fn each_zone_has_its_own_months_of_thirty_days(
    #[case] from: &str,
    #[case] to: &str,
    #[case] thirty: [i64; 3],
    #[case] actual: i64,
) {
    let zones = [Asia::Ho_Chi_Minh, Europe::Paris, America::Sao_Paulo];
    for (zone, thirty) in zones.into_iter().zip(thirty) {
        let length = |count| day_count::length(count, zone, at(from), at(to)).get();
        assert_eq!(length(DayCount::Thirty360), thirty, "{zone}");
        assert_eq!(length(DayCount::ActualMinutes), actual, "{zone}");
    }
}

#[rstest]
#[case(Europe::Paris, "2024-03-30T12:00:00+01:00", 1, "2024-03-31T13:00:00+02:00")]
#[case(Europe::Paris, "2024-10-26T12:00:00+02:00", 2, "2024-10-28T11:00:00+01:00")]
#[case(America::Sao_Paulo, "2018-11-03T00:00:00-03:00", 1, "2018-11-04T01:00:00-02:00")]
#[case(America::Sao_Paulo, "2019-02-16T12:00:00-02:00", 1, "2019-02-17T11:00:00-03:00")]
#[case(Asia::Ho_Chi_Minh, "2100-02-28T12:00:00+07:00", 1, "2100-03-01T12:00:00+07:00")]
#[case(Asia::Ho_Chi_Minh, "2096-02-28T12:00:00+07:00", 1, "2096-02-29T12:00:00+07:00")]
fn days_are_24_hours_whatever_the_clock_does(
    #[case] zone: Tz,
    #[case] start: &str,
    #[case] days: u32,
    #[case] end: &str,
) {
    let bought = span(Term::Days(days), at(start), zone, None, DayCount::Thirty360).unwrap();
    assert_eq!(read(bought.end, zone), end);
    assert_eq!(bought.length.get(), i64::from(days) * 1_440);
}

#[rstest]
#[case(Europe::Paris, "2024-03-06T12:00:00+01:00", 31 * 1_440 - 60)]
#[case(Europe::Paris, "2024-10-06T12:00:00+02:00", 31 * 1_440 + 60)]
#[case(America::Sao_Paulo, "2018-10-06T12:00:00-03:00", 31 * 1_440 - 60)]
#[case(America::Sao_Paulo, "2019-02-06T12:00:00-02:00", 28 * 1_440 + 60)]
#[case(America::Sao_Paulo, "2019-10-06T12:00:00-03:00", 31 * 1_440)]
#[case(Asia::Ho_Chi_Minh, "2100-02-06T12:00:00+07:00", 28 * 1_440)]
fn a_month_costs_thirty_days_and_is_as_long_as_it_is(#[case] zone: Tz, #[case] start: &str, #[case] minutes: i64) {
    let actual = months(1, at(start), zone, None, DayCount::ActualMinutes);
    assert_eq!((actual.length.get(), actual.priced.get()), (minutes, 43_200));
    let thirty = months(1, at(start), zone, None, DayCount::Thirty360);
    assert_eq!((thirty.length.get(), thirty.priced.get()), (43_200, 43_200));
    assert_eq!(local(thirty.end, zone).time(), local(thirty.start, zone).time());
}

#[test]
fn ten_years_are_the_most_and_the_last_year_that_is_counted_is_full() {
    let zone = Asia::Ho_Chi_Minh;
    let bought = months(
        120,
        at("2090-02-28T10:00:00+07:00"),
        zone,
        Some(29),
        DayCount::Thirty360,
    );
    assert_eq!(read(bought.end, zone), "2100-02-28T10:00:00+07:00");

    let last = at("2200-12-31T23:59:59Z");
    let until = |end| {
        span(
            Term::Until(end),
            at("2200-06-01T00:00:00Z"),
            zone,
            None,
            DayCount::ActualMinutes,
        )
    };
    assert_eq!(until(last).unwrap().end, last);
    let refusal = until(last + chrono::TimeDelta::seconds(1)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::InvalidInstant);
    let month_from = |start| span(Term::Months(1), at(start), zone, None, DayCount::ActualMinutes);
    assert!(month_from("2200-11-30T23:59:59Z").is_ok());
    assert_eq!(
        month_from("2200-12-01T00:00:00Z").unwrap_err().code,
        RefusalCode::InvalidInstant
    );
}
