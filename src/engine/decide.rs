//! What becomes of one due resource: pure, from the row, its product and the present.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use entity::enums::{EventType, LifecyclePolicy, Life, StepKind, StepStatus};
use entity::{engine_downtime, expiry_alert, product, resource, schedule_step};
use uuid::Uuid;

use crate::domain::schedule::{self, Disposition, Step};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::News;
use crate::store::fulfilment;

/// How long a release waits before it is looked at again while releases are halted.
const HALTED_WAIT: TimeDelta = TimeDelta::minutes(10);

/// What the engine knows besides the row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) zone: Tz,
    /// Releases wait for an operator.
    pub(super) releases_halted: bool,
    pub(super) downtimes: &'a [engine_downtime::Model],
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
    let plan = schedule::steps(&terms, paid_until, present.zone, false);
    let mut notice_sent_at = notice_sent_at;
    let mut steps = Vec::new();
    let mut alerts = Vec::new();
    let mut next = resource.next_step.as_deref().and_then(|key| plan.iter().find(|step| step.key() == key)).copied();
    let mut waits_until = None;

    while let Some(step) = next {
        if step.due_at > now {
            break;
        }
        if step.kind == StepKind::Release {
            let downtime = downtime_between(present.downtimes, paid_until, now);
            let release_at = schedule::release_at(step.due_at, notice_sent_at, downtime);
            if present.releases_halted || release_at.is_none_or(|at| at > now) {
                waits_until = Some(release_at.filter(|at| *at > now).unwrap_or(now + HALTED_WAIT));
                break;
            }
        }
        let status = match schedule::disposition(&plan, &step, now) {
            Disposition::Done => StepStatus::Sent,
            Disposition::Missed => StepStatus::Missed,
        };
        steps.push(schedule_step::Model {
            resource_id: resource.id,
            period_id: period,
            step: step.key(),
            account_id: resource.account_id,
            kind: step.kind,
            status,
            due_at: step.due_at,
            handled_at: now,
        });
        if status == StepStatus::Sent {
            if step.kind == StepKind::FinalNotice {
                notice_sent_at = Some(now);
            }
            if let Some(life) = life_after(step.kind, product.lifecycle, resource.life) {
                resource.life = life;
                if life == Life::Deleted {
                    resource.ended_at = Some(now);
                }
            }
            if let Some(kind) = news_of(step.kind) {
                let alert = alert(&resource, period, &step, &plan, paid_until, notice_sent_at, present);
                let news = News::of(kind).resource(resource.id).alert(alert.id);
                alerts.push((alert, news));
            }
        }
        next = schedule::first_after(&plan, Some(&step.key()), DateTime::<Utc>::MIN_UTC);
    }

    resource.next_step = next.map(|step| step.key());
    resource.next_due_at = next.map(|step| waits_until.unwrap_or(step.due_at));
    resource.attempts = 0;
    resource.version += 1;
    Ok(Decided { resource, steps, alerts })
}

/// The life a step leads to; nothing when the resource is already there or past it.
fn life_after(step: StepKind, policy: LifecyclePolicy, life: Life) -> Option<Life> {
    match (step, life) {
        (StepKind::Expire, Life::Active) => Some(match policy {
            LifecyclePolicy::Standard => Life::Grace,
            LifecyclePolicy::Trash => Life::Suspended,
        }),
        (StepKind::Suspend, Life::Grace) => Some(Life::Suspended),
        (StepKind::Release, Life::Suspended | Life::Grace) => Some(Life::Deleted),
        _ => None,
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

fn alert(
    resource: &resource::Model,
    period: Uuid,
    step: &Step,
    plan: &[Step],
    paid_until: DateTime<Utc>,
    notice_sent_at: Option<DateTime<Utc>>,
    present: Present<'_>,
) -> expiry_alert::Model {
    let planned = plan.iter().find(|step| step.kind == StepKind::Release).map(|step| step.due_at);
    let downtime = downtime_between(present.downtimes, paid_until, present.now);
    let releases_at = planned.map(|planned| {
        schedule::release_at(planned, notice_sent_at, downtime).unwrap_or(planned + downtime)
    });
    let days_left = schedule::days_left(present.now, paid_until);
    expiry_alert::Model {
        id: ids::new_id(),
        account_id: resource.account_id,
        resource_id: resource.id,
        period_id: period,
        step: step.key(),
        kind: step.kind,
        event_sequence: 0,
        days_left: i32::try_from(days_left).unwrap_or(i32::MAX),
        expires_at: paid_until,
        releases_at,
        created_at: present.now,
        acknowledged_at: None,
        acknowledged_by: None,
    }
}

/// How long no engine ran between two instants.
fn downtime_between(spans: &[engine_downtime::Model], from: DateTime<Utc>, until: DateTime<Utc>) -> TimeDelta {
    spans
        .iter()
        .map(|span| (span.until_at.min(until) - span.from_at.max(from)).max(TimeDelta::zero()))
        .fold(TimeDelta::zero(), |sum, part| sum + part)
}
