//! What happens around the end of what is paid, and when: reminders, attempts to renew, expiry, suspension, final
//! notice, release. The plan is computed from the end, never stored; only what became of its steps is.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use chrono_tz::Tz;
use entity::enums::{Health, Life, LifecyclePolicy, StepKind, StepStatus};

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
/// From how many hours on a release that comes later than planned is postponed, and reminded of. An engine that looks
/// every few seconds sends each notice seconds late: that alone adds no reminder.
const POSTPONED_HOURS: i64 = 24;
/// From how many hours on a step was late: less is how engines look at things.
const LATE_HOURS: i64 = 1;

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

    /// The plan worked out: who walks through it works it out once.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule {
            steps: self.all_steps(),
            auto_renew: self.auto_renew,
            paid_until: self.paid_until,
            zone: self.zone,
        }
    }

    /// Where a plan begins that is made at `now`. What lies before belongs to no plan: a term shorter than a week begins
    /// after some of its reminders, a renewal that does not reach the present after its end. But nothing is released
    /// without a final notice of its own.
    ///
    /// Source: rule "Schedule" in ARCHITECTURE, section Life.
    #[must_use]
    pub fn begins(&self, life: Life, now: Instant) -> Option<Step> {
        let waits_for_release = matches!(life, Life::Grace | Life::Suspended | Life::Trashed);
        self.steps().into_iter().find(|step| match step.kind {
            StepKind::FinalNotice if waits_for_release => true,
            // A renewal that does not reach the present leaves it as it is; and what a late engine has not done yet is still
            // to be done, or it would live for ever.
            StepKind::Suspend if life == Life::Suspended => false,
            StepKind::Expire if life == Life::Active => true,
            StepKind::Suspend if life == Life::Grace => true,
            // It has ended, whoever ended it.
            StepKind::Reminder | StepKind::AutoRenew | StepKind::Expire | StepKind::Suspend
                if life == Life::Trashed =>
            {
                false
            }
            _ => step.due_at >= now,
        })
    }

    /// The first step for which `is_handled` says no.
    #[must_use]
    pub fn next_unhandled(&self, is_handled: impl Fn(StepKey) -> bool) -> Option<Step> {
        self.steps().into_iter().find(|step| !is_handled(step.key()))
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
        let reminded_until = if release_at - planned < TimeDelta::hours(POSTPONED_HOURS) {
            planned
        } else {
            release_at
        };
        let mut steps = Vec::with_capacity(48);

        let attempts: &[i32] = match self.terms.policy {
            LifecyclePolicy::Standard => {
                let reminders = (-7..=MAX_REMINDED_DAYS).map(|offset| at_offset(StepKind::Reminder, offset));
                steps.extend(reminders.take_while(|reminder| reminder.due_at < reminded_until));
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

/// The steps of a plan, worked out.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// All of them, attempts to renew included, in order; the release is the last.
    steps: Vec<Step>,
    auto_renew: bool,
    paid_until: Instant,
    zone: Tz,
}

impl Schedule {
    /// The step of a name, when the plan has it.
    #[must_use]
    pub fn step(&self, key: StepKey) -> Option<Step> {
        self.steps.iter().find(|step| step.key() == key).copied()
    }

    /// The step to handle after the one named, or the first of all. A step that is left out because auto-renewal is
    /// off keeps its place: switched on again, only later attempts follow. Behind a reminder of a release that is not
    /// postponed any more the plan goes on where it stood, and never ends without its release.
    #[must_use]
    pub fn next_after(&self, handled: Option<StepKey>) -> Option<Step> {
        let next = match handled {
            None => 0,
            Some(key) => self.steps.iter().position(|step| step.key() == key).map_or_else(
                || {
                    let stood = (shift_days(self.paid_until, key.offset_days, self.zone), key.kind);
                    let later = self.steps.iter().position(|step| (step.due_at, step.kind) > stood);
                    later.unwrap_or(self.steps.len().saturating_sub(1))
                },
                |place| place + 1,
            ),
        };
        self.steps
            .iter()
            .skip(next)
            .find(|step| self.auto_renew || step.kind != StepKind::AutoRenew)
            .copied()
    }

    /// The attempt to renew that comes next, for who waits for a step: itself, or a later one, that is not too late.
    ///
    /// Source: rule "Auto-renewal" in ARCHITECTURE, section Life.
    #[must_use]
    pub fn next_attempt(&self, waited: StepKey, now: Instant) -> Option<Step> {
        let place = self.steps.iter().position(|step| step.key() == waited)?;
        let later = self.steps.iter().skip(place);
        later
            .filter(|step| step.kind == StepKind::AutoRenew && self.auto_renew)
            .find(|step| step.useful_until.is_none_or(|until| now <= until))
            .copied()
    }

    /// What is waited for in place of a step, now that attempts to renew are made or left out: the attempt that stands
    /// before it and is still ahead; or the step itself, where the plan still has it; or what follows it. None for a step
    /// that the plan does not know.
    ///
    /// Source: rule "Auto-renewal" in ARCHITECTURE, section Life.
    #[must_use]
    pub fn instead_of(&self, waited: StepKey, now: Instant) -> Option<Step> {
        let place = self.steps.iter().position(|step| step.key() == waited)?;
        let is_attempt = |step: &&Step| step.kind == StepKind::AutoRenew;
        let ahead = self
            .steps
            .iter()
            .take(place)
            .find(|step| is_attempt(step) && step.due_at >= now);
        let kept = self
            .steps
            .iter()
            .skip(place)
            .find(|step| self.auto_renew || !is_attempt(step));
        ahead.filter(|_| self.auto_renew).or(kept).copied()
    }

    /// Whether a reminder that stands behind the step named is due as well.
    #[must_use]
    pub fn later_reminder_is_due(&self, key: StepKey, now: Instant) -> bool {
        self.steps
            .iter()
            .skip_while(|step| step.key() != key)
            .skip(1)
            .take_while(|step| step.is_due(now))
            .any(|step| step.kind == StepKind::Reminder)
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

/// Whether a step is an attempt to renew that is made now: it is due, not too late, and the resource is alive and renewed
/// by itself.
///
/// Source: rule "Auto-renewal" in ARCHITECTURE, section Life.
#[must_use]
pub fn is_attempted(step: &Step, life: Life, auto_renew: bool, now: Instant) -> bool {
    step.kind == StepKind::AutoRenew
        && auto_renew
        && life == Life::Active
        && step.is_due(now)
        && disposition(step, now, false) == StepStatus::Sent
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

/// The minutes, begun ones counted, of `spans` that lie between two instants. Where spans overlap, a minute counts once.
#[must_use]
pub fn downtime_minutes(spans: &[(Instant, Instant)], from: Instant, until: Instant) -> i64 {
    let mut spans: Vec<(Instant, Instant)> = spans
        .iter()
        .map(|(begin, end)| ((*begin).max(from), (*end).min(until)))
        .filter(|(begin, end)| begin < end)
        .collect();
    spans.sort_unstable();
    let (mut milliseconds, mut counted_until) = (0_i64, from);
    for (begin, end) in spans {
        let lost = end - begin.max(counted_until);
        milliseconds = milliseconds.saturating_add(lost.max(TimeDelta::zero()).num_milliseconds());
        counted_until = counted_until.max(end);
    }
    milliseconds.saturating_add(59_999) / 60_000
}

/// The span in which a resource waited for a step, when it waited for more than an hour: it counts like a span in which
/// no engine ran.
///
/// Source: rule "Release brakes" in ARCHITECTURE, section Life.
#[must_use]
pub fn lateness(due_at: Instant, handled_at: Instant) -> Option<(Instant, Instant)> {
    (handled_at - due_at > TimeDelta::hours(LATE_HOURS)).then_some((due_at, handled_at))
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
mod tests;
