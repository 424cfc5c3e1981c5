//! The steps around the end of what is paid (T): when each is due, what becomes of late ones, and the brakes before a
//! release. A schedule is computed, never stored: only what became of a step leaves a row.

use chrono::{Days, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use entity::enums::{Health, LifecyclePolicy, StepKind};

use super::policy::{PolicyTerms, STANDARD_SUSPEND_DAYS};
use super::time::{Instant, instant_of_local};

/// How long before a release its final notice must have been sent, in hours.
pub const FINAL_NOTICE_HOURS: i64 = 72;
/// How late an auto-renewal may still be tried, in hours.
pub const AUTO_RENEW_LATE_HOURS: i64 = 24;
/// Days before T at which the standard policy begins to remind; so does the trash policy, once.
const FIRST_REMINDER_DAYS: i64 = 7;
/// The local time at which auto-renewals are tried.
const AUTO_RENEW_HOUR: u32 = 8;

/// One step of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// Its day, counted from T; negative is before it.
    pub offset_days: i64,
    /// When it is due.
    pub due_at: Instant,
}

impl Step {
    /// Its name, unique in the schedule of a paid period: `REMINDER:-7`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind, self.offset_days)
    }

    /// Whether handling it tells the account something.
    #[must_use]
    pub const fn tells(&self) -> bool {
        !matches!(self.kind, StepKind::AutoRenew)
    }
}

/// The schedule of a resource: its steps in the order in which they are handled.
///
/// Source: rule "Schedule" in ARCHITECTURE, section Life.
#[must_use]
pub fn steps(terms: &PolicyTerms, paid_until: Instant, zone: Tz, auto_renew: bool) -> Vec<Step> {
    let release_days = i64::from(terms.release_offset_days());
    let local = paid_until.with_timezone(&zone);
    // A day of the schedule is a calendar day of the account, at T's local time of day.
    let on_day = |offset: i64| -> Instant {
        let days = Days::new(offset.unsigned_abs());
        let date = local.date_naive();
        let date = if offset < 0 { date.checked_sub_days(days) } else { date.checked_add_days(days) };
        date.filter(|_| offset != 0).map_or(paid_until, |date| instant_of_local(date.and_time(local.time()), zone))
    };
    let step = |kind: StepKind, offset_days: i64| Step { kind, offset_days, due_at: on_day(offset_days) };
    let release = step(StepKind::Release, release_days);
    let mut steps = vec![
        step(StepKind::Expire, 0),
        Step {
            kind: StepKind::FinalNotice,
            offset_days: release_days - FINAL_NOTICE_HOURS / 24,
            due_at: (release.due_at - TimeDelta::hours(FINAL_NOTICE_HOURS)).max(paid_until),
        },
        release,
    ];
    let attempts: &[i64] = match terms.policy {
        LifecyclePolicy::Standard => {
            steps.push(step(StepKind::Suspend, i64::from(STANDARD_SUSPEND_DAYS)));
            // T itself is told by the expiry, the release by itself: neither is reminded of on its day.
            steps.extend((-FIRST_REMINDER_DAYS..release_days).filter(|day| *day != 0).map(|day| step(StepKind::Reminder, day)));
            &[7, 4, 1, 0]
        }
        LifecyclePolicy::Trash => {
            steps.push(step(StepKind::Reminder, -FIRST_REMINDER_DAYS));
            &[3]
        }
    };
    if auto_renew {
        for days in attempts {
            let latest = on_day(-days);
            steps.push(Step { kind: StepKind::AutoRenew, offset_days: -days, due_at: latest_eight(latest, zone) });
        }
    }
    steps.sort_by_key(|step| (step.due_at, rank(step.kind), step.offset_days));
    steps
}

/// The latest 08:00 of the zone that is not after an instant.
fn latest_eight(at: Instant, zone: Tz) -> Instant {
    let eight = NaiveTime::from_hms_opt(AUTO_RENEW_HOUR, 0, 0).unwrap_or(NaiveTime::MIN);
    let date = at.with_timezone(&zone).date_naive();
    let today = instant_of_local(date.and_time(eight), zone);
    match date.pred_opt() {
        Some(before) if today > at => instant_of_local(before.and_time(eight), zone),
        _ => today,
    }
}

/// Steps of one instant: renewing comes before expiring, and telling of a state after reaching it.
const fn rank(kind: StepKind) -> u8 {
    match kind {
        StepKind::AutoRenew => 0,
        StepKind::Expire => 1,
        StepKind::Suspend => 2,
        StepKind::Reminder => 3,
        StepKind::FinalNotice => 4,
        StepKind::Release => 5,
    }
}

/// The step after the one of this name; the first one when nothing was handled yet. Steps that were due before
/// `planned_at`, when the plan was made, belong to no plan and are left out, but for those that change a state.
#[must_use]
pub fn first_after(steps: &[Step], handled: Option<&str>, planned_at: Instant) -> Option<Step> {
    let from = match handled {
        None => 0,
        Some(key) => steps.iter().position(|step| step.key() == key).map_or(0, |place| place + 1),
    };
    steps
        .iter()
        .skip(from)
        .find(|step| step.due_at >= planned_at || !matches!(step.kind, StepKind::Reminder | StepKind::AutoRenew))
        .copied()
}

/// What becomes of a step that is due now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is done, however late.
    Done,
    /// It came too late to be of use: a later reminder is due as well, or the attempt is more than a day old.
    Missed,
}

/// What becomes of a due step. States always catch up, in order. Of several reminders that are due at once only the
/// last is told. An auto-renewal is tried up to 24 hours late.
///
/// Source: rule "Late engine" in ARCHITECTURE, section Life.
#[must_use]
pub fn disposition(steps: &[Step], step: &Step, now: Instant) -> Disposition {
    let missed = match step.kind {
        StepKind::Reminder => steps
            .iter()
            .any(|later| later.kind == StepKind::Reminder && later.due_at > step.due_at && later.due_at <= now),
        StepKind::AutoRenew => now > step.due_at + TimeDelta::hours(AUTO_RENEW_LATE_HOURS),
        _ => false,
    };
    if missed { Disposition::Missed } else { Disposition::Done }
}

/// When a release may happen: not before its day, put off by the time in which no engine ran, and never sooner than 72
/// hours after its final notice was sent. Nothing without a notice: lateness of ours destroys nobody's data.
///
/// Source: rule "Release" in ARCHITECTURE, section Life.
#[must_use]
pub fn release_at(planned: Instant, notice_sent_at: Option<Instant>, downtime: TimeDelta) -> Option<Instant> {
    let notice = notice_sent_at?;
    Some((planned + downtime).max(notice + TimeDelta::hours(FINAL_NOTICE_HOURS)))
}

/// Whole days from now to an instant, rounded up; negative past it.
#[must_use]
pub fn days_left(now: Instant, until: Instant) -> i64 {
    let seconds = until.signed_duration_since(now).num_seconds();
    let days = seconds.div_euclid(86_400);
    if seconds.rem_euclid(86_400) > 0 { days + 1 } else { days }
}

/// How much paid time is left.
///
/// Source: rule "Health" in ARCHITECTURE, section Life.
#[must_use]
pub fn health(now: Instant, paid_until: Instant) -> Health {
    let left = paid_until.signed_duration_since(now);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use chrono::DateTime;
    use chrono_tz::{America, Asia};
    use entity::enums::GraceService;

    use super::*;

    fn at(text: &str) -> Instant {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn terms(policy: LifecyclePolicy, release_days: u32) -> PolicyTerms {
        PolicyTerms { policy, grace_service: GraceService::Full, release_days, trash_days: 7, auto_renew_locked: false }
    }

    #[test]
    fn the_standard_policy_reminds_daily_and_releases_after_thirty_days() {
        let end = at("2023-04-06T09:30:00+07:00");
        let steps = steps(&terms(LifecyclePolicy::Standard, 30), end, Asia::Ho_Chi_Minh, true);
        let keys: Vec<String> = steps.iter().map(Step::key).collect();
        assert_eq!(keys[..4], ["AUTO_RENEW:-7", "REMINDER:-7", "REMINDER:-6", "REMINDER:-5"]);
        assert_eq!(steps[0].due_at, at("2023-03-30T08:00:00+07:00"));
        assert_eq!(steps[1].due_at, at("2023-03-30T09:30:00+07:00"));
        assert_eq!(steps.iter().filter(|step| step.kind == StepKind::Reminder).count(), 7 + 29);
        let due = |key: &str| steps.iter().find(|step| step.key() == key).unwrap().due_at;
        assert_eq!(due("EXPIRE:0"), end);
        assert_eq!(due("SUSPEND:15"), at("2023-04-21T09:30:00+07:00"));
        assert_eq!(due("FINAL_NOTICE:27"), at("2023-05-03T09:30:00+07:00"));
        assert_eq!(due("RELEASE:30"), at("2023-05-06T09:30:00+07:00"));
        assert_eq!(keys.last().unwrap(), "RELEASE:30");
        let place = |key: &str| keys.iter().position(|other| other == key).unwrap();
        assert!(place("AUTO_RENEW:0") < place("EXPIRE:0"));
    }

    #[test]
    fn the_trash_policy_reminds_once() {
        let end = at("2023-04-06T07:00:00+07:00");
        let steps = steps(&terms(LifecyclePolicy::Trash, 3), end, Asia::Ho_Chi_Minh, true);
        let keys: Vec<String> = steps.iter().map(Step::key).collect();
        assert_eq!(keys, ["REMINDER:-7", "AUTO_RENEW:-3", "EXPIRE:0", "FINAL_NOTICE:0", "RELEASE:3"]);
        assert_eq!(steps[1].due_at, at("2023-04-02T08:00:00+07:00"), "08:00 of the day before, because T is at 07:00");
    }

    #[test]
    fn days_are_the_accounts_own_across_clock_changes() {
        let end = at("2018-11-10T00:00:00-02:00");
        let steps = steps(&terms(LifecyclePolicy::Standard, 30), end, America::Sao_Paulo, false);
        assert_eq!(steps[0].due_at, at("2018-11-03T00:00:00-03:00"));
        assert_eq!(steps[1].due_at, at("2018-11-04T01:00:00-02:00"), "midnight of that day does not exist");
    }

    #[test]
    fn a_late_engine_tells_the_last_reminder_and_misses_old_attempts() {
        let end = at("2023-04-06T09:30:00+07:00");
        let steps = steps(&terms(LifecyclePolicy::Standard, 30), end, Asia::Ho_Chi_Minh, true);
        let now = at("2023-04-02T12:00:00+07:00");
        let of = |key: &str| disposition(&steps, steps.iter().find(|step| step.key() == key).unwrap(), now);
        assert_eq!(of("REMINDER:-5"), Disposition::Missed);
        assert_eq!(of("REMINDER:-4"), Disposition::Done);
        assert_eq!(of("AUTO_RENEW:-7"), Disposition::Missed);
        assert_eq!(of("AUTO_RENEW:-4"), Disposition::Done);
    }

    #[test]
    fn a_release_waits_for_its_notice_and_for_our_downtime() {
        let planned = at("2023-05-06T00:00:00+07:00");
        assert_eq!(release_at(planned, None, TimeDelta::zero()), None);
        assert_eq!(release_at(planned, Some(at("2023-05-03T00:00:00+07:00")), TimeDelta::zero()), Some(planned));
        assert_eq!(release_at(planned, Some(at("2023-05-05T00:00:00+07:00")), TimeDelta::zero()), Some(at("2023-05-08T00:00:00+07:00")));
        assert_eq!(release_at(planned, Some(at("2023-05-03T00:00:00+07:00")), TimeDelta::days(40)), Some(at("2023-06-15T00:00:00+07:00")));
    }

    #[test]
    fn health_follows_the_published_bounds() {
        let now = at("2023-04-06T00:00:00+07:00");
        for (hours, health_is) in [(16 * 24, Health::Good), (15 * 24, Health::Warning), (5 * 24, Health::Warning), (5 * 24 - 1, Health::Alerted), (0, Health::Expired)] {
            assert_eq!(health(now, now + TimeDelta::hours(hours)), health_is, "{hours}");
        }
        assert_eq!(days_left(now, now + TimeDelta::hours(1)), 1);
        assert_eq!(days_left(now, now - TimeDelta::hours(1)), 0);
        assert_eq!(days_left(now, now - TimeDelta::hours(24)), -1);
    }
}
