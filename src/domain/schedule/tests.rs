#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::BTreeSet;

use chrono_tz::Asia;
use entity::enums::GraceService;
use proptest::prelude::*;
use rstest::rstest;

use super::super::time::tests::{ZONES, at};
use super::*;

const STANDARD: PolicyTerms = PolicyTerms {
    policy: LifecyclePolicy::Standard,
    grace_service: GraceService::Full,
    release_days: 99,
    trash_days: 7,
    auto_renew_locked: false,
};
const TRASH: PolicyTerms = PolicyTerms {
    policy: LifecyclePolicy::Trash,
    release_days: 7,
    ..STANDARD
};

fn plan(terms: &PolicyTerms, auto_renew: bool) -> Plan<'_> {
    Plan {
        terms,
        paid_until: at("2023-04-06T10:30:00+07:00"),
        zone: Asia::Ho_Chi_Minh,
        auto_renew,
        release_at: None,
    }
}

fn keys(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.key().to_string()).collect()
}

fn due_of(plan: &Plan<'_>, key: &str) -> Instant {
    plan.schedule().step(key.parse().unwrap()).unwrap().due_at
}

#[test]
fn the_standard_plan() {
    let plan = plan(&STANDARD, true);
    let keys = keys(&plan.steps());
    assert_eq!(keys.iter().filter(|key| key.starts_with("REMINDER")).count(), 37);
    assert_eq!(
        keys[..14],
        [
            "AUTO_RENEW:-7",
            "REMINDER:-7",
            "REMINDER:-6",
            "REMINDER:-5",
            "AUTO_RENEW:-4",
            "REMINDER:-4",
            "REMINDER:-3",
            "REMINDER:-2",
            "AUTO_RENEW:-1",
            "REMINDER:-1",
            "AUTO_RENEW:0",
            "REMINDER:0",
            "EXPIRE:0",
            "REMINDER:1",
        ]
    );
    assert_eq!(keys.last().unwrap(), "RELEASE:30");
    for (key, due) in [
        ("REMINDER:-7", "2023-03-30T10:30:00+07:00"),
        ("AUTO_RENEW:-7", "2023-03-30T08:00:00+07:00"),
        ("AUTO_RENEW:0", "2023-04-06T08:00:00+07:00"),
        ("EXPIRE:0", "2023-04-06T10:30:00+07:00"),
        ("REMINDER:29", "2023-05-05T10:30:00+07:00"),
        ("SUSPEND:15", "2023-04-21T10:30:00+07:00"),
        ("FINAL_NOTICE:27", "2023-05-03T10:30:00+07:00"),
        ("RELEASE:30", "2023-05-06T10:30:00+07:00"),
    ] {
        assert_eq!(due_of(&plan, key), at(due), "{key}");
    }
}

#[test]
fn the_trash_plan() {
    let plan = plan(&TRASH, true);
    let keys = keys(&plan.steps());
    assert_eq!(
        keys,
        [
            "REMINDER:-7",
            "AUTO_RENEW:-3",
            "EXPIRE:0",
            "FINAL_NOTICE:4",
            "RELEASE:7"
        ]
    );
    assert_eq!(due_of(&plan, "AUTO_RENEW:-3"), at("2023-04-03T08:00:00+07:00"));
    assert_eq!(due_of(&plan, "RELEASE:7"), at("2023-04-13T10:30:00+07:00"));
}

#[test]
fn three_days_of_trash_have_their_notice_at_the_end() {
    let short = PolicyTerms {
        release_days: 3,
        ..TRASH
    };
    let keys = keys(&plan(&short, false).steps());
    assert_eq!(keys, ["REMINDER:-7", "EXPIRE:0", "FINAL_NOTICE:0", "RELEASE:3"]);
    let shorter = PolicyTerms {
        release_days: 1,
        ..TRASH
    };
    let plan = plan(&shorter, false);
    assert_eq!(due_of(&plan, "FINAL_NOTICE:0"), plan.paid_until);
    let released = effective_release(plan.planned_release(), Some(plan.paid_until), 0);
    assert_eq!(released, Some(at("2023-04-09T10:30:00+07:00")));
}

#[test]
fn an_attempt_at_midnight_is_of_the_morning_before() {
    let plan = Plan {
        paid_until: at("2023-04-06T00:00:00+07:00"),
        ..plan(&STANDARD, true)
    };
    assert_eq!(due_of(&plan, "AUTO_RENEW:0"), at("2023-04-05T08:00:00+07:00"));
    assert_eq!(due_of(&plan, "AUTO_RENEW:-1"), at("2023-04-04T08:00:00+07:00"));
}

#[test]
fn without_auto_renewal_there_are_no_attempts_but_they_keep_their_place() {
    let off = plan(&STANDARD, false);
    assert!(off.steps().iter().all(|step| step.kind != StepKind::AutoRenew));
    assert_eq!(
        off.schedule().next_after(None).unwrap().key().to_string(),
        "REMINDER:-7"
    );
    let after = off
        .schedule()
        .next_after(Some("AUTO_RENEW:-4".parse().unwrap()))
        .unwrap();
    assert_eq!(after.key().to_string(), "REMINDER:-4");
    let on = plan(&STANDARD, true);
    let after = on.schedule().next_after(Some("REMINDER:-2".parse().unwrap())).unwrap();
    assert_eq!(after.key().to_string(), "AUTO_RENEW:-1");
    assert_eq!(on.schedule().next_after(Some("RELEASE:30".parse().unwrap())), None);
}

#[test]
fn a_moved_release_is_reminded_of_and_comes_last() {
    let moved = Plan {
        release_at: Some(at("2023-05-08T12:00:00+07:00")),
        ..plan(&STANDARD, false)
    };
    let steps = moved.steps();
    assert_eq!(
        keys(&steps[steps.len() - 3..]),
        ["REMINDER:31", "REMINDER:32", "RELEASE:30"]
    );
    let earlier = Plan {
        release_at: Some(at("2023-04-07T12:00:00+07:00")),
        ..moved
    };
    assert_eq!(due_of(&earlier, "RELEASE:30"), earlier.planned_release());
    let after = plan(&STANDARD, false)
        .schedule()
        .next_after(Some("REMINDER:29".parse().unwrap()))
        .unwrap();
    assert_eq!(after.kind, StepKind::Release);
    let gone = earlier
        .schedule()
        .next_after(Some("SUSPEND:14".parse().unwrap()))
        .unwrap();
    assert_eq!(gone.key().to_string(), "REMINDER:15");
}

#[test]
fn a_release_that_is_moved_by_less_than_a_day_is_not_reminded_of() {
    let late = |moved| Plan {
        release_at: Some(at(moved)),
        ..plan(&STANDARD, false)
    };
    for moved in ["2023-05-06T10:30:05+07:00", "2023-05-07T10:29:59+07:00"] {
        let steps = late(moved).steps();
        assert_eq!(
            keys(&steps[steps.len() - 2..]),
            ["REMINDER:29", "RELEASE:30"],
            "{moved}"
        );
    }
    let steps = late("2023-05-07T10:30:00+07:00").steps();
    assert_eq!(keys(&steps[steps.len() - 2..]), ["REMINDER:30", "RELEASE:30"]);
    // A reminder that was planned while the release was postponed: the release is never forgotten.
    let gone = plan(&STANDARD, false)
        .schedule()
        .next_after(Some("REMINDER:31".parse().unwrap()));
    assert_eq!(gone.unwrap().kind, StepKind::Release);
}

#[test]
fn a_later_reminder_makes_an_earlier_one_useless() {
    let schedule = plan(&STANDARD, true).schedule();
    let key = |key: &str| key.parse().unwrap();
    let now = at("2023-04-06T10:30:00+07:00");
    assert!(schedule.later_reminder_is_due(key("AUTO_RENEW:-1"), now));
    assert!(schedule.later_reminder_is_due(key("REMINDER:-1"), now));
    assert!(!schedule.later_reminder_is_due(key("REMINDER:0"), now));
}

#[test]
fn a_late_engine_sends_the_last_reminder_and_catches_up_in_order() {
    let plan = plan(&STANDARD, true);
    let now = at("2023-04-22T00:00:00+07:00");
    let due = plan.due(now, |_| false);
    let done: Vec<String> = due
        .iter()
        .filter(|(_, status)| *status == StepStatus::Sent)
        .map(|(step, _)| step.key().to_string())
        .collect();
    assert_eq!(done, ["EXPIRE:0", "REMINDER:15", "SUSPEND:15"]);
    assert!(
        due.iter()
            .any(|(step, status)| step.kind == StepKind::AutoRenew && *status == StepStatus::Missed)
    );
}

#[test]
fn a_reminder_alone_is_sent_however_late() {
    let plan = plan(&TRASH, false);
    let due = plan.due(at("2023-04-05T00:00:00+07:00"), |_| false);
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].1, StepStatus::Sent);
}

#[rstest]
// Ten in the morning of T, half past: the attempt was due at eight and T gives it a day.
#[case("AUTO_RENEW:0", "2023-04-07T10:30:00+07:00", StepStatus::Sent)]
#[case("AUTO_RENEW:0", "2023-04-07T10:30:01+07:00", StepStatus::Missed)]
#[case("AUTO_RENEW:-1", "2023-04-06T08:00:00+07:00", StepStatus::Sent)]
#[case("AUTO_RENEW:-1", "2023-04-06T08:00:01+07:00", StepStatus::Missed)]
#[case("RELEASE:30", "2033-04-06T08:00:01+07:00", StepStatus::Sent)]
fn an_attempt_grows_stale_and_a_state_does_not(#[case] key: &str, #[case] now: &str, #[case] expected: StepStatus) {
    let step = plan(&STANDARD, true).schedule().step(key.parse().unwrap()).unwrap();
    assert_eq!(disposition(&step, at(now), false), expected);
}

#[test]
fn the_attempt_of_the_end_comes_before_the_end() {
    for end in [
        "2023-04-06T08:00:00+07:00",
        "2023-04-06T07:59:00+07:00",
        "2023-04-06T00:00:00+07:00",
    ] {
        let plan = Plan {
            paid_until: at(end),
            ..plan(&STANDARD, true)
        };
        let steps = plan.steps();
        let place = |key: &str| steps.iter().position(|step| step.key().to_string() == key).unwrap();
        assert!(place("AUTO_RENEW:0") < place("EXPIRE:0"), "{end}");
    }
}

#[test]
fn the_last_attempt_is_known() {
    assert!(is_last_attempt(&STANDARD, "AUTO_RENEW:0".parse().unwrap()));
    assert!(!is_last_attempt(&STANDARD, "AUTO_RENEW:-1".parse().unwrap()));
    assert!(is_last_attempt(&TRASH, "AUTO_RENEW:-3".parse().unwrap()));
    assert!(!is_last_attempt(&TRASH, "REMINDER:-3".parse().unwrap()));
}

#[rstest]
#[case(None, 0, None)]
#[case(Some("2023-05-03T10:30:00+07:00"), 0, Some("2023-05-06T10:30:00+07:00"))]
#[case(Some("2023-05-04T10:30:00+07:00"), 0, Some("2023-05-07T10:30:00+07:00"))]
#[case(Some("2023-05-03T10:30:00+07:00"), 90, Some("2023-05-06T12:00:00+07:00"))]
#[case(Some("2023-05-03T10:30:00+07:00"), -90, Some("2023-05-06T10:30:00+07:00"))]
#[case(Some("2023-05-03T10:30:00+07:00"), i64::MAX, None)]
fn nothing_is_destroyed_by_our_lateness(
    #[case] notice: Option<&str>,
    #[case] downtime: i64,
    #[case] expected: Option<&str>,
) {
    let planned = at("2023-05-06T10:30:00+07:00");
    assert_eq!(effective_release(planned, notice.map(at), downtime), expected.map(at));
}

#[test]
fn downtime_counts_where_it_matters() {
    let spans = [
        (at("2023-04-01T00:00:00Z"), at("2023-04-06T01:00:00Z")),
        (at("2023-04-10T00:00:00Z"), at("2023-04-10T00:00:30Z")),
        (at("2023-06-01T00:00:00Z"), at("2023-06-02T00:00:00Z")),
    ];
    let (from, until) = (at("2023-04-06T00:00:00Z"), at("2023-05-06T00:00:00Z"));
    assert_eq!(downtime_minutes(&spans, from, until), 61);
    assert_eq!(downtime_minutes(&[], from, until), 0);
    // What two engines noted of one absence counts once, in whatever order it is read.
    let (day, week) = (TimeDelta::days(1), TimeDelta::days(7));
    let overlapping = [
        (from + day, from + week),
        (from, from + day * 3),
        (from, from + week),
        (from + day, from + day),
    ];
    assert_eq!(downtime_minutes(&overlapping, from, until), 7 * 1_440);
    assert_eq!(lateness(from, from + TimeDelta::hours(1)), None);
    assert_eq!(lateness(from, from + day), Some((from, from + day)));
}

#[rstest]
#[case("2023-04-21T10:30:00.000001Z", Health::Good)]
#[case("2023-04-21T10:30:00Z", Health::Warning)]
#[case("2023-04-11T10:30:00Z", Health::Warning)]
#[case("2023-04-11T10:29:59Z", Health::Alerted)]
#[case("2023-04-06T10:30:00.000001Z", Health::Alerted)]
#[case("2023-04-06T10:30:00Z", Health::Expired)]
fn health_is_the_time_left(#[case] paid_until: &str, #[case] expected: Health) {
    assert_eq!(health(at(paid_until), at("2023-04-06T10:30:00Z")), expected);
}

#[rstest]
#[case("2023-04-13T10:30:00Z", 7)]
#[case("2023-04-13T10:29:00Z", 7)]
#[case("2023-04-13T10:31:00Z", 8)]
#[case("2023-04-06T10:30:00Z", 0)]
#[case("2023-04-05T10:30:00Z", -1)]
#[case("2023-04-05T22:30:00Z", 0)]
fn days_left_count_the_day_that_has_begun(#[case] paid_until: &str, #[case] expected: i32) {
    assert_eq!(days_left(at(paid_until), at("2023-04-06T10:30:00Z")), expected);
}

#[test]
fn keys_are_read_back() {
    for key in ["REMINDER:-7", "EXPIRE:0", "RELEASE:30"] {
        assert_eq!(key.parse::<StepKey>().unwrap().to_string(), key);
    }
    for wrong in ["", "REMINDER", "REMINDER:x", "NOTHING:1", "REMINDER:1:2"] {
        assert_eq!(wrong.parse::<StepKey>().unwrap_err().code, RefusalCode::Inconsistent);
    }
}

proptest! {
    #[test]
    fn plans_are_in_order_and_their_keys_unique(
        second in 946_684_800i64..4_000_000_000,
        zone in 0..ZONES.len(),
        trash in any::<bool>(),
        release_days in 1u32..60,
        auto_renew in any::<bool>(),
        late_hours in 0i64..2_000,
    ) {
        let terms = PolicyTerms { release_days, ..if trash { TRASH } else { STANDARD } };
        let paid_until = chrono::DateTime::from_timestamp(second, 0).unwrap();
        let plan = Plan { terms: &terms, paid_until, zone: ZONES[zone], auto_renew, release_at: None };
        let steps = plan.steps();
        prop_assert!(steps.windows(2).all(|pair| (pair[0].due_at, pair[0].kind) <= (pair[1].due_at, pair[1].kind)));
        let unique: BTreeSet<String> = keys(&steps).into_iter().collect();
        prop_assert_eq!(unique.len(), steps.len());
        prop_assert_eq!(steps.last().unwrap().kind, StepKind::Release);
        for step in &steps {
            match step.kind {
                StepKind::Expire => prop_assert_eq!(step.due_at, paid_until),
                StepKind::AutoRenew => prop_assert!(step.due_at <= paid_until),
                StepKind::Suspend | StepKind::FinalNotice | StepKind::Release => prop_assert!(step.due_at >= paid_until),
                StepKind::Reminder => {}
            }
        }
        // Walking step by step is walking the whole plan.
        let (mut walked, mut last) = (Vec::new(), None);
        let schedule = plan.schedule();
        while let Some(step) = schedule.next_after(last) {
            last = Some(step.key());
            walked.push(step);
        }
        prop_assert_eq!(&walked, &steps);
        // At most one reminder is sent at a time, and no state step is left out.
        let now = paid_until + TimeDelta::hours(late_hours);
        let due = plan.due(now, |_| false);
        let sent = due.iter().filter(|(step, status)| step.kind == StepKind::Reminder && *status == StepStatus::Sent);
        prop_assert_eq!(sent.count(), 1);
        prop_assert!(due.iter().any(|(step, status)| step.kind == StepKind::Expire && *status == StepStatus::Sent));
    }
}

/// T is 6 April, 10:30: attempts are at 08:00 of 30 March, 2, 5 and 6 April, reminders at 10:30.
#[rstest]
#[case("REMINDER:-3", true, "2023-04-02T09:00:00+07:00", "REMINDER:-3")]
#[case("REMINDER:-3", true, "2023-04-02T07:59:00+07:00", "AUTO_RENEW:-4")]
#[case("REMINDER:-4", true, "2023-04-02T07:59:00+07:00", "AUTO_RENEW:-4")]
#[case("REMINDER:-7", true, "2023-03-20T00:00:00+07:00", "AUTO_RENEW:-7")]
#[case("REMINDER:-7", true, "2023-03-30T09:00:00+07:00", "REMINDER:-7")]
#[case("AUTO_RENEW:-4", false, "2023-04-01T00:00:00+07:00", "REMINDER:-4")]
#[case("AUTO_RENEW:0", false, "2023-04-05T20:00:00+07:00", "REMINDER:0")]
#[case("REMINDER:-7", false, "2023-03-20T00:00:00+07:00", "REMINDER:-7")]
#[case("SUSPEND:15", true, "2023-04-10T00:00:00+07:00", "SUSPEND:15")]
fn switching_auto_renewal_changes_what_is_waited_for(
    #[case] waited: &str,
    #[case] auto_renew: bool,
    #[case] now: &str,
    #[case] instead: &str,
) {
    let schedule = plan(&STANDARD, auto_renew).schedule();
    let next = schedule.instead_of(waited.parse().unwrap(), at(now)).unwrap();
    assert_eq!(next.key().to_string(), instead);
}

#[rstest]
#[case("AUTO_RENEW:-7", "2023-03-30T12:00:00+07:00", Some("AUTO_RENEW:-7"))]
#[case("AUTO_RENEW:-7", "2023-03-31T09:00:00+07:00", Some("AUTO_RENEW:-4"))]
#[case("REMINDER:-3", "2023-04-03T00:00:00+07:00", Some("AUTO_RENEW:-1"))]
#[case("REMINDER:0", "2023-04-06T10:00:00+07:00", None)]
fn the_next_attempt_is_the_first_that_is_not_too_late(
    #[case] waited: &str,
    #[case] now: &str,
    #[case] attempt: Option<&str>,
) {
    let next = |auto_renew| {
        plan(&STANDARD, auto_renew)
            .schedule()
            .next_attempt(waited.parse().unwrap(), at(now))
    };
    assert_eq!(next(true).map(|step| step.key().to_string()).as_deref(), attempt);
    assert_eq!(next(false), None);
}

#[test]
fn an_attempt_is_made_of_what_is_alive_and_renewed_and_in_its_time() {
    let schedule = plan(&STANDARD, true).schedule();
    let attempt = schedule.step("AUTO_RENEW:-7".parse().unwrap()).unwrap();
    let reminder = schedule.step("REMINDER:-7".parse().unwrap()).unwrap();
    let (due, late) = (at("2023-03-30T08:00:00+07:00"), at("2023-03-31T08:00:01+07:00"));
    assert!(is_attempted(&attempt, Life::Active, true, due));
    assert!(!is_attempted(&attempt, Life::Active, true, due - TimeDelta::seconds(1)));
    assert!(!is_attempted(&attempt, Life::Active, true, late));
    assert!(!is_attempted(&attempt, Life::Active, false, due));
    assert!(!is_attempted(&reminder, Life::Active, true, reminder.due_at));
    for life in [
        Life::Provisioning,
        Life::Grace,
        Life::Suspended,
        Life::Trashed,
        Life::Deleted,
        Life::Failed,
    ] {
        assert!(!is_attempted(&attempt, life, true, due), "{life}");
    }
    let locked = PolicyTerms {
        auto_renew_locked: true,
        ..STANDARD
    };
    assert!(STANDARD.stops_renewing() && !TRASH.stops_renewing() && !locked.stops_renewing());
}
