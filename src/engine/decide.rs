//! What becomes of one due resource: pure, from the row, its product and the present.

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{EventType, StepKind, StepStatus};
use entity::{expiry_alert, product, resource, schedule_step};

use crate::domain::lifecycle::{self, Event, State};
use crate::domain::schedule::{self, Plan};
use crate::domain::time;
use crate::error::Error;
use crate::ids;
use crate::store::event_log::News;
use crate::store::fulfilment;

/// How long a release waits before it is looked at again while releases are halted.
pub(super) const HALTED_WAIT: TimeDelta = TimeDelta::minutes(10);

/// After this pass, whose present is one instant, and before any other.
const NEXT_PASS: TimeDelta = TimeDelta::microseconds(1);

/// What the engine knows besides the row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    pub(super) now: DateTime<Utc>,
    /// The account's zone, as its row has it: one that can't be read fails its resources and nobody else's.
    pub(super) zone: &'a str,
    /// Releases wait for an operator.
    pub(super) releases_halted: bool,
    /// The spans in which no engine ran.
    pub(super) downtimes: &'a [(DateTime<Utc>, DateTime<Utc>)],
}

/// What was decided for one resource.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) resource: resource::Model,
    pub(super) steps: Vec<schedule_step::Model>,
    /// Alerts without their place in the stream, each with the news that carries it.
    pub(super) alerts: Vec<(expiry_alert::Model, News)>,
}

/// Handles every step that is due, in order, as far as the brakes allow.
pub(super) fn decide(
    mut resource: resource::Model,
    product: &product::Model,
    notice_sent_at: Option<DateTime<Utc>>,
    present: Present<'_>,
) -> Result<Decided, Error> {
    let now = present.now;
    let (Some(paid_until), Some(period)) = (resource.paid_until, resource.period_id) else {
        return Err(Error::internal("a resource is due that has no paid period"));
    };
    let terms = fulfilment::policy_terms(product)?;
    let planned = Plan {
        terms: &terms,
        paid_until,
        zone: time::zone(present.zone)?,
        auto_renew: false,
        release_at: None,
    };
    let downtime = schedule::downtime_minutes(present.downtimes, paid_until, now);
    let mut notice_sent_at = notice_sent_at;
    let release_at = |notice| schedule::effective_release(planned.planned_release(), notice, downtime);
    let mut plan = Plan {
        release_at: release_at(notice_sent_at),
        ..planned
    };
    let mut next = match resource.next_step.as_deref() {
        // A step that the plan does not know is put off and logged: forgetting it would end the schedule in silence.
        Some(key) => Some(
            plan.step(key.parse()?)
                .ok_or_else(|| Error::internal(format_args!("{key} is not in the plan")))?,
        ),
        None => None,
    };
    let (mut steps, mut alerts) = (Vec::new(), Vec::new());
    let mut waits_until = None;

    while let Some(step) = next.filter(|step| step.is_due(now)) {
        if step.kind == StepKind::Release && !steps.is_empty() {
            // Never a side effect: the next pass counts it among those that are due, before any of them is made.
            waits_until = Some(now + NEXT_PASS);
            break;
        }
        if step.kind == StepKind::Release && (present.releases_halted || plan.release_at.is_none_or(|at| at > now)) {
            waits_until = Some(plan.release_at.filter(|at| *at > now).unwrap_or(now + HALTED_WAIT));
            break;
        }
        let after = plan.next_after(Some(step.key()));
        let later_reminder_due = {
            let mut later = after;
            while let Some(candidate) = later.filter(|step| step.is_due(now) && step.kind != StepKind::Reminder) {
                later = plan.next_after(Some(candidate.key()));
            }
            later.is_some_and(|step| step.is_due(now))
        };
        let status = schedule::disposition(&step, now, later_reminder_due);
        steps.push(schedule_step::Model {
            resource_id: resource.id,
            period_id: period,
            step: step.key().to_string(),
            account_id: resource.account_id,
            kind: step.kind,
            status,
            due_at: step.due_at,
            handled_at: now,
        });
        if status == StepStatus::Sent {
            if step.kind == StepKind::FinalNotice {
                notice_sent_at = Some(now);
                plan.release_at = release_at(notice_sent_at);
            }
            if let Some(event) = event_of(step.kind) {
                let state = State {
                    life: resource.life,
                    power: resource.power,
                };
                resource.life = lifecycle::decide(&terms, state, event)?.to.life;
                if lifecycle::is_over(resource.life) {
                    resource.ended_at = Some(now);
                }
            }
            if let Some(kind) = news_of(step.kind) {
                let releases_at = schedule::effective_release(
                    planned.planned_release(),
                    Some(notice_sent_at.unwrap_or(DateTime::<Utc>::UNIX_EPOCH)),
                    downtime,
                );
                let alert = expiry_alert::Model {
                    id: ids::new_id(),
                    account_id: resource.account_id,
                    resource_id: resource.id,
                    period_id: period,
                    step: step.key().to_string(),
                    kind: step.kind,
                    event_sequence: 0,
                    days_left: schedule::days_left(paid_until, now),
                    expires_at: paid_until,
                    releases_at,
                    created_at: now,
                    acknowledged_at: None,
                    acknowledged_by: None,
                };
                let news = News::of(kind).resource(resource.id).alert(alert.id);
                alerts.push((alert, news));
            }
        }
        next = plan.next_after(Some(step.key()));
    }

    resource.next_step = next.map(|step| step.key().to_string());
    resource.next_due_at = next.map(|step| waits_until.unwrap_or(step.due_at));
    resource.attempts = 0;
    resource.version += 1;
    Ok(Decided {
        resource,
        steps,
        alerts,
    })
}

/// The event that a step is in the life of its resource.
const fn event_of(step: StepKind) -> Option<Event> {
    match step {
        StepKind::Expire => Some(Event::PeriodEnded),
        StepKind::Suspend => Some(Event::SuspendDue),
        StepKind::Release => Some(Event::ReleaseDue),
        StepKind::Reminder | StepKind::AutoRenew | StepKind::FinalNotice => None,
    }
}

const fn news_of(step: StepKind) -> Option<EventType> {
    match step {
        StepKind::Reminder => Some(EventType::ExpiryReminder),
        StepKind::Expire => Some(EventType::ResourceExpired),
        StepKind::Suspend => Some(EventType::ResourceSuspended),
        StepKind::FinalNotice => Some(EventType::FinalNotice),
        StepKind::Release => Some(EventType::ResourceReleased),
        StepKind::AutoRenew => None,
    }
}
