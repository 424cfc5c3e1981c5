//! What becomes of one due resource: pure, from the row, its product and the present.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use entity::enums::{EventType, GraceService, Life, ProductCall, StepKind, StepStatus};
use entity::{expiry_alert, product, resource, schedule_step, webhook_delivery};

use super::brake::Brake;
use crate::domain::lifecycle::{self, Event, State};
use crate::domain::schedule::{self, Plan, Schedule, Step, StepKey};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::News;
use crate::store::{deliveries, fulfilment};

/// How long a release waits before it is looked at again while releases are halted.
const HALTED_WAIT: TimeDelta = TimeDelta::minutes(10);
/// How long an attempt to renew waits for a product that carries out an order of the resource before it is looked at
/// again.
const BUSY_WAIT: TimeDelta = TimeDelta::minutes(10);
/// How long a resource keeps what it still has while its product carries out an order of it, before it is looked at again.
const ORDERED_WAIT: TimeDelta = TimeDelta::hours(1);
/// After this pass, whose present is one instant, and before any other.
const NEXT_PASS: TimeDelta = TimeDelta::microseconds(1);

/// What the engine knows besides the row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) zone: Tz,
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
    /// What the product's service is told to do.
    pub(super) calls: Vec<webhook_delivery::Model>,
    /// Whether an attempt to renew is to be made now, before anything else is.
    pub(super) attempt: bool,
}

/// When a resource may be released: from the plan, the notice that was sent, and how late we were.
struct Grace<'a> {
    paid_until: DateTime<Utc>,
    now: DateTime<Utc>,
    planned_release: DateTime<Utc>,
    /// The spans in which no engine ran, and those in which this resource waited for a step.
    lost: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    notice_sent_at: Option<DateTime<Utc>>,
    downtimes: &'a [(DateTime<Utc>, DateTime<Utc>)],
}

impl Grace<'_> {
    /// Takes over what a state step was late by, and when the final notice was sent.
    fn note(&mut self, kind: StepKind, due_at: DateTime<Utc>, handled_at: DateTime<Utc>) {
        if kind == StepKind::FinalNotice {
            self.notice_sent_at = Some(handled_at);
        }
        if matches!(kind, StepKind::Expire | StepKind::Suspend | StepKind::FinalNotice) {
            self.lost.extend(schedule::lateness(due_at, handled_at));
        }
    }

    fn release_after(&self, notice_sent_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let lost: Vec<_> = self.downtimes.iter().chain(&self.lost).copied().collect();
        let minutes = schedule::downtime_minutes(&lost, self.paid_until, self.now);
        schedule::effective_release(self.planned_release, notice_sent_at, minutes)
    }

    /// The earliest instant of the release; none before the notice was sent.
    fn release_at(&self) -> Option<DateTime<Utc>> {
        self.release_after(self.notice_sent_at)
    }

    /// The earliest instant of the release as far as it is known now.
    fn foreseen_release(&self) -> Option<DateTime<Utc>> {
        self.release_after(Some(self.notice_sent_at.unwrap_or(DateTime::<Utc>::UNIX_EPOCH)))
    }
}

/// Whether a resource may have made state steps of its plan before. What was given up may be paid for still: its end is
/// when it was given up.
pub(super) fn has_ended(resource: &resource::Model, now: DateTime<Utc>) -> bool {
    resource.life != Life::Active || resource.paid_until.is_some_and(|end| end <= now)
}

/// Handles every step that is due, in order, as far as the brakes allow. `handled` is what became of the state steps of
/// the resource's period before.
pub(super) fn decide(
    mut resource: resource::Model,
    product: &product::Model,
    handled: &[schedule_step::Model],
    present: Present<'_>,
    brake: &mut Brake,
) -> Result<Decided, Error> {
    let now = present.now;
    let Some(period) = resource.plan_id else {
        return Err(Error::internal("a resource is due that has no plan"));
    };
    let (terms, paid_until) = fulfilment::plan_of(&resource, &fulfilment::policy_terms(product)?)?;
    let planned = Plan {
        terms: &terms,
        paid_until,
        zone: present.zone,
        auto_renew: resource.auto_renew,
        release_at: None,
    };
    let mut grace = Grace {
        paid_until,
        now,
        planned_release: planned.planned_release(),
        lost: Vec::new(),
        notice_sent_at: None,
        downtimes: present.downtimes,
    };
    for step in handled {
        grace.note(step.kind, step.due_at, step.handled_at);
    }
    let worked_out = |release_at| Plan { release_at, ..planned }.schedule();
    let mut release_at = grace.release_at();
    let mut plan = worked_out(release_at);
    let mut next = match resource.next_step.as_deref() {
        Some(key) => Some(found(&plan, key.parse()?)?),
        None => None,
    };
    let (mut steps, mut alerts) = (Vec::new(), Vec::new());
    let mut waits_until = None;
    let mut attempt = false;
    let mut calls = Vec::new();

    while let Some(step) = next.filter(|step| step.is_due(now)) {
        if resource.order_item_id.is_some() && takes_away(step.kind) {
            waits_until = Some(now + ORDERED_WAIT);
            break;
        }
        if step.kind == StepKind::Release {
            let wait = match release_at.filter(|at| *at <= now) {
                None => release_at.unwrap_or(now + HALTED_WAIT),
                // Never a side effect: the next pass counts it among those that are due, before any of them is made.
                Some(_) if !steps.is_empty() => now + NEXT_PASS,
                Some(since) if brake.lets_through(since) => now,
                Some(_) => now + HALTED_WAIT,
            };
            if wait > now {
                waits_until = Some(wait);
                break;
            }
        }
        if schedule::is_attempted(&step, resource.life, resource.auto_renew, now) {
            if resource.order_item_id.is_some() {
                // What it will be is not known yet. It waits as long as the attempt is of use.
                let last = step.useful_until.unwrap_or(now);
                waits_until = Some((now + BUSY_WAIT).min(last + NEXT_PASS));
            } else {
                attempt = true;
            }
            break;
        }
        let status = match step.kind {
            StepKind::AutoRenew => StepStatus::Missed,
            // It was suspended in an earlier plan, and a renewal that did not reach the present left it so.
            StepKind::Suspend if resource.life == Life::Suspended => StepStatus::Missed,
            _ => schedule::disposition(&step, now, plan.later_reminder_is_due(step.key(), now)),
        };
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
            grace.note(step.kind, step.due_at, now);
            if step.kind == StepKind::FinalNotice {
                release_at = grace.release_at();
                plan = worked_out(release_at);
            }
            if let Some(event) = event_of(step.kind) {
                let state = State {
                    life: resource.life,
                    power: resource.power,
                };
                resource.life = lifecycle::decide(&terms, state, event)?.to.life;
                let call = match resource.life {
                    Life::Grace if terms.grace_service == GraceService::Limited => Some(ProductCall::Limit),
                    Life::Suspended => Some(ProductCall::Suspend),
                    Life::Deleted => Some(ProductCall::Release),
                    _ => None,
                };
                calls.extend(call.and_then(|call| deliveries::call(product, &resource, call, None, now)));
                if lifecycle::is_over(resource.life) {
                    resource.ended_at = Some(now);
                }
            }
            if let Some(kind) = news_of(step.kind) {
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
                    releases_at: grace.foreseen_release(),
                    failure: None,
                    shortfall_minor: None,
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
        calls,
        attempt,
    })
}

/// The step that a row waits for. A reminder that is planned no longer gives way to what follows it; any other step that
/// the plan does not know is put off and logged: forgetting it would end the schedule in silence.
fn found(plan: &Schedule, key: StepKey) -> Result<Step, Error> {
    plan.step(key)
        .or_else(|| {
            let reminder = key.kind == StepKind::Reminder;
            reminder.then(|| plan.next_after(Some(key))).flatten()
        })
        .ok_or_else(|| Error::internal(format_args!("{key} is not in the plan")))
}

/// Whether a step takes something from a resource, or says that it will be. None of them is taken while an order of the
/// resource is being carried out: its customer can't renew it then, however much he would. Once it is done, the notice and
/// the 72 hours behind it are still to come.
///
/// Source: rule "Release brakes" in ARCHITECTURE, section Life.
const fn takes_away(step: StepKind) -> bool {
    match step {
        StepKind::Suspend | StepKind::FinalNotice | StepKind::Release => true,
        StepKind::Reminder | StepKind::AutoRenew | StepKind::Expire => false,
    }
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
