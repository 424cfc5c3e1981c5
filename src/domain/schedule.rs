//! What happens around the end of what is paid, and when: reminders, attempts to renew, expiry, suspension, final
//! notice, release. The plan is computed from the end, never stored; only what became of its steps is.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use chrono_tz::Tz;
use entity::enums::{Health, LifecyclePolicy, StepKind, StepStatus};

use super::policy::{PolicyTerms, STANDARD_SUSPEND_DAYS};
use super::refusal::{Refusal, RefusalCode};
use super::time::{Instant, latest_hour_not_after, shift_days};

/// The hour, on the account's clock, at which renewals are attempted.
pub const AUTO_RENEW_HOUR: u32 = 8;
/// The least time from a final notice to the release, in hours.
pub const FINAL_NOTICE_HOURS: i64 = 72;
/// How late an attempt to renew may be, in hours.
pub const AUTO_RENEW_LATE_HOURS: i64 = 24;
/// The most days a postponed release is followed by reminders.
const MAX_REMINDED_DAYS: i32 = 400;

/// The name of a step, unique in the plan of one paid period: its kind and its days from the end of what is paid.
/// Its text, `REMINDER:-7`, is stored and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// What the step does.
    pub kind: StepKind,
    /// Its days from the end of what is paid; before it, below zero.
    pub offset_days: i32,
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.offset_days)
    }
}

impl FromStr for StepKey {
    type Err = Refusal;

    /// Reads the stored text. Errors: INCONSISTENT, for it was written by us.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        text.split_once(':')
            .and_then(|(kind, days)| {
                Some(Self {
                    kind: kind.parse().ok()?,
                    offset_days: days.parse().ok()?,
                })
            })
            .ok_or_else(|| Refusal::new(RefusalCode::Inconsistent, "the text is not the key of a step"))
    }
}

/// One step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// Its days from the end of what is paid; before it, below zero.
    pub offset_days: i32,
    /// When it is due.
    pub due_at: Instant,
    /// Until when it is still of use; for ever when absent. Only attempts to renew grow stale.
    pub useful_until: Option<Instant>,
}

impl Step {
    /// Its name.
    #[must_use]
    pub const fn key(&self) -> StepKey {
        StepKey {
            kind: self.kind,
            offset_days: self.offset_days,
        }
    }

    /// Whether it is due.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.due_at <= now
    }
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// What the product says.
    pub terms: &'a PolicyTerms,
    /// The end of what is paid: T.
    pub paid_until: Instant,
    /// The account's zone.
    pub zone: Tz,
    /// Whether the engine renews it.
    pub auto_renew: bool,
    /// When it is really released, where the brakes have moved that; the planned instant when absent.
    pub release_at: Option<Instant>,
}

impl Plan<'_> {
    /// The instant the policy plans for the release: its days after T, at T's local time of day.
    #[must_use]
    pub fn planned_release(&self) -> Instant {
        shift_days(self.paid_until, days(self.terms.release_offset_days()), self.zone)
    }

    /// The steps around T, in the order they are to be handled: by due instant, then by kind (a reminder, then an
    /// attempt to renew, then the end itself and what follows it).
    ///
    /// `STANDARD`: a reminder at T - 7 days and then daily, after T too, until the release; attempts to renew at the
    /// latest 08:00 not after T - 7, 4, 1 and 0 days; the end at T; suspension 15 days and release 30 days after it.
    /// `TRASH`: a reminder at T - 7 days; one attempt, T - 3 days; the end at T; release after the product's days.
    /// Both: a final notice 72 hours before the release, not before T. Days are calendar days of the account, at T's
    /// local time of day.
    ///
    /// Source: rule "Schedule" in ARCHITECTURE, section Life.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.all_steps();
        steps.retain(|step| self.auto_renew || step.kind != StepKind::AutoRenew);
        steps
    }

    /// The step to handle after the one named, or the first of all. A step that is left out because auto-renewal is
    /// off keeps its place: switched on again, only later attempts follow.
    #[must_use]
    pub fn next_after(&self, handled: Option<StepKey>) -> Option<Step> {
        let all = self.all_steps();
        let next = match handled {
            None => 0,
            Some(key) => match all.iter().position(|step| step.key() == key) {
                Some(place) => place + 1,
                // A reminder of a postponed release that is planned no longer: the plan goes on where it stood.
                None => {
                    let stood = (shift_days(self.paid_until, key.offset_days, self.zone), key.kind);
                    all.iter().position(|step| (step.due_at, step.kind) > stood)?
                }
            },
        };
        all.into_iter()
            .skip(next)
            .find(|step| self.auto_renew || step.kind != StepKind::AutoRenew)
    }

    /// The first step for which `is_handled` says no.
    #[must_use]
    pub fn next_unhandled(&self, is_handled: impl Fn(StepKey) -> bool) -> Option<Step> {
        self.steps().into_iter().find(|step| !is_handled(step.key()))
    }

    /// The step of a name, when the plan has it.
    #[must_use]
    pub fn step(&self, key: StepKey) -> Option<Step> {
        self.all_steps().into_iter().find(|step| step.key() == key)
    }

    /// What is due and not handled, in order, each with what becomes of it: see [`disposition`]. State steps stand
    /// between reminders where their time was, so that states catch up in order.
    #[must_use]
    pub fn due(&self, now: Instant, is_handled: impl Fn(StepKey) -> bool) -> Vec<(Step, StepStatus)> {
        let due: Vec<Step> = self
            .steps()
            .into_iter()
            .filter(|step| step.is_due(now) && !is_handled(step.key()))
            .collect();
        let last_reminder = due.iter().rposition(|step| step.kind == StepKind::Reminder);
        due.iter()
            .enumerate()
            .map(|(index, step)| {
                let later_reminder_due = last_reminder.is_some_and(|last| index < last);
                (*step, disposition(step, now, later_reminder_due))
            })
            .collect()
    }

    fn all_steps(&self) -> Vec<Step> {
        let end = self.paid_until;
        let at_offset = |kind: StepKind, offset_days: i32| Step {
            kind,
            offset_days,
            due_at: shift_days(end, offset_days, self.zone),
            useful_until: None,
        };
        let release_days = days(self.terms.release_offset_days());
        let planned = self.planned_release();
        let release_at = self.release_at.map_or(planned, |moved| moved.max(planned));
        let mut steps = Vec::with_capacity(48);

        let attempts: &[i32] = match self.terms.policy {
            LifecyclePolicy::Standard => {
                let reminders = (-7..=MAX_REMINDED_DAYS).map(|offset| at_offset(StepKind::Reminder, offset));
                steps.extend(reminders.take_while(|reminder| reminder.due_at < release_at));
                steps.push(at_offset(StepKind::Suspend, days(STANDARD_SUSPEND_DAYS)));
                &[7, 4, 1, 0]
            }
            LifecyclePolicy::Trash => {
                steps.push(at_offset(StepKind::Reminder, -7));
                &[3]
            }
        };
        steps.extend(attempts.iter().map(|before| self.attempt(*before)));
        steps.push(at_offset(StepKind::Expire, 0));
        // Never before T: a release that follows T by less has its notice at T, and waits for it.
        let notice_at = (planned - TimeDelta::hours(FINAL_NOTICE_HOURS)).max(end);
        steps.push(Step {
            due_at: notice_at,
            ..at_offset(StepKind::FinalNotice, (release_days - days_of_final_notice()).max(0))
        });
        steps.push(Step {
            due_at: release_at,
            ..at_offset(StepKind::Release, release_days)
        });
        steps.sort_by_key(|step| (step.due_at, step.kind));
        steps
    }

    /// An attempt may be a day late; the one of T counts that day from T, so that nothing expires unattempted.
    fn attempt(&self, days_before: i32) -> Step {
        let meant = shift_days(self.paid_until, -days_before, self.zone);
        let due_at = latest_hour_not_after(meant, AUTO_RENEW_HOUR, self.zone);
        let from = if days_before == 0 { meant } else { due_at };
        Step {
            kind: StepKind::AutoRenew,
            offset_days: -days_before,
            due_at,
            useful_until: Some(from + TimeDelta::hours(AUTO_RENEW_LATE_HOURS)),
        }
    }
}

fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

const fn days_of_final_notice() -> i32 {
    3
}

/// What becomes of a step that is due: SENT, it is done, however late; or MISSED. A reminder is missed when a later
/// reminder of the same plan is due as well; an attempt to renew when it is more than 24 hours late, and it is never
/// charged then. The end, the suspension, the final notice and the release are always done, in their order.
///
/// Source: rule "Late engine" in ARCHITECTURE, section Life.
#[must_use]
pub fn disposition(step: &Step, now: Instant, later_reminder_due: bool) -> StepStatus {
    match step.kind {
        StepKind::Reminder if later_reminder_due => StepStatus::Missed,
        StepKind::AutoRenew if step.useful_until.is_some_and(|until| now > until) => StepStatus::Missed,
        StepKind::Reminder | StepKind::AutoRenew => StepStatus::Sent,
        StepKind::Expire | StepKind::Suspend | StepKind::FinalNotice | StepKind::Release => StepStatus::Sent,
    }
}

/// Whether this attempt is the last of its plan: when it fails, auto-renewal stops under the standard policy.
///
/// Source: rule "Auto-renewal" in ARCHITECTURE, section Life.
#[must_use]
pub fn is_last_attempt(terms: &PolicyTerms, key: StepKey) -> bool {
    key.kind == StepKind::AutoRenew
        && match terms.policy {
            LifecyclePolicy::Standard => key.offset_days == 0,
            LifecyclePolicy::Trash => key.offset_days == -3,
        }
}

/// The earliest instant at which data may be destroyed: the planned one, later by the time no engine ran, and at
/// least 72 hours after the final notice was sent. None before it was sent.
///
/// Source: rule "Release brakes" in ARCHITECTURE, section Life.
#[must_use]
pub fn effective_release(
    planned: Instant,
    final_notice_sent_at: Option<Instant>,
    downtime_minutes: i64,
) -> Option<Instant> {
    let notice = final_notice_sent_at?;
    let extended = planned.checked_add_signed(TimeDelta::try_minutes(downtime_minutes.max(0))?)?;
    Some(extended.max(notice.checked_add_signed(TimeDelta::hours(FINAL_NOTICE_HOURS))?))
}

/// The minutes, begun ones counted, of `spans` that lie between two instants. The spans must not overlap.
#[must_use]
pub fn downtime_minutes(spans: &[(Instant, Instant)], from: Instant, until: Instant) -> i64 {
    let seconds: i64 = spans
        .iter()
        .map(|(begin, end)| {
            let lost = (*end).min(until) - (*begin).max(from);
            lost.max(TimeDelta::zero()).num_milliseconds()
        })
        .fold(0, i64::saturating_add);
    seconds.saturating_add(59_999) / 60_000
}

/// How much paid time is left, in one word: more than 15 days, 5 to 15, less than 5, none. Days of 24 hours.
///
/// Source: rule "Health" in ARCHITECTURE, section Life.
#[must_use]
pub fn health(paid_until: Instant, now: Instant) -> Health {
    let left = paid_until - now;
    if left <= TimeDelta::zero() {
        Health::Expired
    } else if left < TimeDelta::days(5) {
        Health::Alerted
    } else if left <= TimeDelta::days(15) {
        Health::Warning
    } else {
        Health::Good
    }
}

/// Whole days of 24 hours to the end of what is paid, begun ones counted; below zero after it, and there begun ones
/// are not counted.
#[must_use]
pub fn days_left(paid_until: Instant, now: Instant) -> i32 {
    const DAY: i64 = 86_400_000;
    let left = (paid_until - now).num_milliseconds();
    i32::try_from(left.saturating_add(DAY - 1).div_euclid(DAY)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
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
        plan.step(key.parse().unwrap()).unwrap().due_at
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
        assert_eq!(off.next_after(None).unwrap().key().to_string(), "REMINDER:-7");
        let after = off.next_after(Some("AUTO_RENEW:-4".parse().unwrap())).unwrap();
        assert_eq!(after.key().to_string(), "REMINDER:-4");
        let on = plan(&STANDARD, true);
        let after = on.next_after(Some("REMINDER:-2".parse().unwrap())).unwrap();
        assert_eq!(after.key().to_string(), "AUTO_RENEW:-1");
        assert_eq!(on.next_after(Some("RELEASE:30".parse().unwrap())), None);
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
            .next_after(Some("REMINDER:29".parse().unwrap()))
            .unwrap();
        assert_eq!(after.kind, StepKind::Release);
        let gone = earlier.next_after(Some("SUSPEND:14".parse().unwrap())).unwrap();
        assert_eq!(gone.key().to_string(), "REMINDER:15");
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
        let step = plan(&STANDARD, true).step(key.parse().unwrap()).unwrap();
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
            while let Some(step) = plan.next_after(last) {
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
}
